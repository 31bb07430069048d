"""Which source of transactions a kind of load has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.assets import KNOWN, Assets
from bench.day import ChainClock, Day
from bench.kinds import ON_ASSETS, VALUE_BYTES, Kind
from bench.market import Market, Side, Source
from bench.transfers import Transfers


@dataclass(frozen=True, slots=True)
class Goods:
    """What one client has to trade with: ``meters`` that sell, one that buys, assets under ``owner``'s name."""

    seed: int
    meters: tuple[str, ...]
    buyers_meter: str
    first_interval: int
    owner: str
    kind: Kind = Kind.MIXED
    value_bytes: int = VALUE_BYTES
    known: int = KNOWN
    """Assets that are there before."""
    clock: ChainClock | None = None
    """Of a trading day's nodes."""


def source_of(goods: Goods, signers: Mapping[Side, str]) -> Source:
    kind = goods.kind
    if kind in ON_ASSETS:
        return assets_of(goods)
    if kind is Kind.TRANSFER:
        return Transfers(goods.seed, signers)
    if kind is Kind.DAY:
        clock = goods.clock
        assert clock is not None, "a trading day's network has a clock of its own"
        return Day(goods.seed, goods.meters, goods.buyers_meter, lambda: clock.now_ms(time.time()))
    assert kind in (Kind.MIXED, Kind.LISTING, Kind.TAKING, Kind.BOOK)
    return Market(goods.seed, goods.meters, goods.buyers_meter, goods.first_interval, kind)


def assets_of(goods: Goods) -> Assets:
    return Assets(goods.seed, goods.kind, goods.owner, goods.value_bytes, goods.known)
