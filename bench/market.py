"""The bench's market: a seeded mix of deals, each a few transactions that trade with one another.

Half of the deals are an ask and a bid that cross in the book; the others a listing that is taken in parts, in whole
lots. Each transaction waits for the one before it, since it needs what that one returned. Pure loads have the one half
alone (``BOOK``), listings that nobody takes, or listings that are taken a hundred times each.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bench.kinds import Kind

PRICE = 200_000
"""Micro-currency per kWh: asks are at most this, bids at least, so that they always cross."""
SPREAD = 10_000
LOT_WH = 10
LOTS_MAX = 5
PARTS_MAX = 3
DEALS_PER_INTERVAL = 20
"""Far below the hundred trades that one meter may have in an interval, even if orders fill in parts."""
INTERVALS = 600
"""Of the 672 that are open for trade."""
TAKINGS = 100
"""Of a listing, where takings are what is measured: as many trades as one meter may have in an interval."""
CAPACITY_W = 10_000_000

Side = Literal["seller", "buyer", "gateway", "regulator"]
Deal = Generator["Step", Any, None]
"""Yields the next transaction, and is sent the value that it returned."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction, signed by one side. ``gas_limit``: what it may cost at most, if not what ``sdk.gas`` says.
    ``asked``: no transaction but a view, of one node."""

    side: Side
    function: str
    args: dict[str, Any]
    contract: str = "market"
    gas_limit: int | None = None
    asked: bool = False

    def trades(self, value: Any) -> int:
        """How many are in the value that it returned."""
        if self.function == "take_listing":
            return 1
        return len(value["trades"]) if self.function == "place_order" else 0


class Source(Protocol):
    """Where a load's transactions come from."""

    def deal(self) -> Deal:
        """The next deal; there is always one."""


class Market:
    """Deals between a seller with ``meters`` and a buyer with one; equal seeds give equal deals in the same order."""

    def __init__(
        self,
        seed: int,
        meters: tuple[str, ...],
        buyers_meter: str,
        first_interval: int,
        kind: Literal[Kind.MIXED, Kind.LISTING, Kind.TAKING, Kind.BOOK] = Kind.MIXED,
    ) -> None:
        self._random = random.Random(seed)
        self._kind = kind
        self._deals_per_interval = 1 if kind is Kind.TAKING else DEALS_PER_INTERVAL
        self._meters = meters
        self._buyers_meter = buyers_meter
        self._first_interval = first_interval
        self._deals = 0

    def deal(self) -> Deal:
        """The next deal. Meters and intervals are used in turn, and again when all have been."""
        block = self._deals // self._deals_per_interval
        meter = self._meters[block // INTERVALS % len(self._meters)]
        interval = self._first_interval + block % INTERVALS
        self._deals += 1
        lots = self._random.randint(1, LOTS_MAX)
        below, above = self._random.randrange(SPREAD), self._random.randrange(SPREAD)
        if self._kind is Kind.LISTING:
            return listing(meter, interval, lots, PRICE - below)
        if self._kind is Kind.TAKING:
            return listing(meter, interval, TAKINGS, PRICE - below, self._buyers_meter, TAKINGS)
        if self._kind is Kind.BOOK or self._random.random() < 0.5:
            return crossing(meter, self._buyers_meter, interval, lots * LOT_WH, PRICE - below, PRICE + above)
        parts = min(lots, self._random.randint(1, PARTS_MAX))
        return listing(meter, interval, lots, PRICE - below, self._buyers_meter, parts)


def crossing(meter: str, buyers_meter: str, interval: int, energy_wh: int, ask: int, bid: int) -> Deal:
    """An ask and a bid for as much, at prices that cross."""
    common = {"interval": interval, "energy_wh": energy_wh, "execution": "limit"}
    yield Step("seller", "place_order", {"side": "ask", "meter": meter, "price": ask, **common})
    yield Step("buyer", "place_order", {"side": "bid", "meter": buyers_meter, "price": bid, **common})


def listing(meter: str, interval: int, lots: int, price: int, buyers_meter: str = "", parts: int = 0) -> Deal:
    """A listing, and so many takings of it, which leave nothing."""
    terms = {"meter": meter, "interval": interval, "energy_wh": lots * LOT_WH, "price": price, "lot_wh": LOT_WH}
    listed = yield Step("seller", "post_listing", terms)
    for part in range(parts):
        taken = lots // parts + (1 if part < lots % parts else 0)
        taking = {"listing": listed, "meter": buyers_meter, "energy_wh": taken * LOT_WH, "price_max": price}
        yield Step("buyer", "take_listing", taking)
