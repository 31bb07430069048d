"""Kinds of load: the same transactions for the same seed, of the kind alone, and all of them good by real contracts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import contract_market
import pytest

from api.privacy import Viewer, may_call_view
from bench import day as trading_day
from bench.assets import CONTRACT, SOURCE, Assets
from bench.day import AHEAD, CONFIRMED_AT_ONCE, INTERVAL_MS, ChainClock, Day
from bench.ground import configuration_text
from bench.kinds import OF_KNOWN_ASSETS, ON_ASSETS, VALUE_BYTES_MAX, Kind
from bench.market import TAKINGS, Deal, Source, Step
from bench.options import BenchError, BenchOptions
from bench.run import run_bench
from bench.sources import Goods, source_of
from bench.transfers import Transfers
from cli.contracts import shipped_contracts
from contracts.testing import GAS_LIMIT
from ledger.envelope import PAYLOAD_BYTES_MAX
from sdk.configuration import parse
from sdk.gas import gas_limit_of

WHO = {"seller": "sol", "buyer": "bea", "gateway": "gate"}
METERS = ("m-sol", "m-sol2")


class Ledger:
    """Real contracts in memory, which do what a load asks for; every transaction must be good within its gas."""

    def __init__(self) -> None:
        self.market = contract_market.Market()
        for meter in METERS:
            self.market.bind(meter, "sol", 10_000_000)
        self.chain = self.market.chain
        source = SOURCE.read_text("utf-8")
        self.chain.put(f"governance/contract/{CONTRACT}", {"source": source, "sha256": "", "version": 1})
        self.functions: Counter[str] = Counter()

    def do(self, step: Step) -> Any:
        self.functions[f"{step.contract}.{step.function}"] += 1
        if step.asked:
            assert may_call_view(Viewer("rex", step.side), step.contract, step.function, step.args)
            result = self.chain.view(step.contract, step.function, step.args)
        else:
            gas = step.gas_limit or gas_limit_of(step.contract, step.function)
            assert gas <= GAS_LIMIT
            result = self.chain.call(step.contract, step.function, step.args, [WHO[step.side]], gas)
        assert result.code == "OK", (step, result)
        return result.value

    def deal(self, deal: Deal) -> Iterator[Step]:
        """Its steps, once they are done."""
        step = next(deal)
        while True:
            value = self.do(step)
            yield step
            try:
                step = deal.send(value)
            except StopIteration:
                return


def goods(kind: Kind, seed: int = 1, value_bytes: int = 100) -> Goods:
    first = contract_market.START_INTERVAL + 4
    return Goods(seed, METERS, "m-bea", first, "client0", kind, value_bytes, clock=ChainClock(0, 0, 1.0))


def source(kind: Kind, seed: int = 1, value_bytes: int = 100) -> Source:
    return source_of(goods(kind, seed, value_bytes), WHO)  # type: ignore[arg-type]  # these are sides


PURE = {
    Kind.TRANSFER: {"credit.transfer"},
    Kind.LISTING: {"market.post_listing"},
    Kind.BOOK: {"market.place_order"},
    Kind.EMPTY: {"assets.nothing"},
    Kind.EMPTY_QUERY: {"assets.look_at_nothing"},
    Kind.ASSET_CREATE: {"assets.create"},
    Kind.ASSET_READ: {"assets.read"},
    Kind.ASSET_UPDATE: {"assets.update"},
    Kind.ASSET_QUERY: {"assets.look"},
}


@pytest.mark.parametrize("kind", PURE)
@pytest.mark.parametrize("size", [100, 8_000])
def test_a_pure_load_has_one_kind_of_transaction_and_all_are_good(kind: Kind, size: int) -> None:
    ledger = Ledger()
    made = source(kind, value_bytes=size)
    if kind in OF_KNOWN_ASSETS:
        assert isinstance(made, Assets)
        for step in made.first():
            ledger.do(step)
        ledger.functions.clear()
    for _ in range(40):
        list(ledger.deal(made.deal()))
    assert set(ledger.functions) == PURE[kind]


def test_takings_have_a_listing_for_a_hundred_of_them() -> None:
    ledger, made = Ledger(), source(Kind.TAKING)
    for _ in range(2):
        list(ledger.deal(made.deal()))
    assert ledger.functions == {"market.post_listing": 2, "market.take_listing": 2 * TAKINGS}
    assert {listing["status"] for listing in ledger.market.records("market/listing/")} == {"taken"}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.DAY])
def test_equal_seeds_give_equal_loads_and_others_others(kind: Kind) -> None:
    def steps(seed: int) -> list[Step]:
        made = source(kind, seed)
        return [next(made.deal()) for _ in range(50)]

    assert steps(1) == steps(1)
    empty = kind in (Kind.EMPTY, Kind.EMPTY_QUERY)
    assert (steps(1) == steps(2)) is empty


@pytest.mark.parametrize("size", [100, 1_000, 8_000, VALUE_BYTES_MAX])
def test_assets_have_the_size_that_was_asked_for_and_fit_into_a_payload(size: int) -> None:
    ledger, made = Ledger(), source(Kind.ASSET_CREATE, value_bytes=size)
    (step,) = ledger.deal(made.deal())
    assert len(step.args["value"]) == size < PAYLOAD_BYTES_MAX - 1_000


def test_clients_names_of_assets_never_meet() -> None:
    one, other = (Assets(1, Kind.ASSET_CREATE, owner, 10) for owner in ("client1", "client11"))
    names = [next(each.deal()).args["asset"] for each in (one, other) for _ in range(200)]
    assert len(set(names)) == 400


def test_transfers_go_both_ways() -> None:
    made = Transfers(1, {"seller": "sol", "buyer": "bea"})
    assert {next(made.deal()).side for _ in range(50)} == {"seller", "buyer"}


# ---------------------------------------------------------------------------------------------- a trading day


def play(intervals: int, deals_an_interval: int, seed: int = 1) -> Ledger:
    ledger = Ledger()
    chain = ledger.chain
    made = Day(seed, METERS, "m-bea", lambda: chain.time_ms)
    for _ in range(intervals):
        for _ in range(deals_an_interval):
            list(ledger.deal(made.deal()))
        ledger.market.to(chain.time_ms + INTERVAL_MS)
    return ledger


def test_whatever_a_day_trades_is_read_confirmed_and_settled() -> None:
    ledger = play(intervals=30, deals_an_interval=12)
    trades = ledger.market.records("settlement/trade/")
    over = [t for t in trades if (t["interval"] + AHEAD) * INTERVAL_MS < ledger.chain.time_ms]
    assert len(over) > 50
    assert {trade["status"] for trade in over} == {"settled"}
    assert any(trade["penalty"] for trade in over), "some readings are short"
    assert {"settlement.submit_readings", "settlement.confirm_many", "market.place_order"} <= set(ledger.functions)


def test_a_day_opens_the_next_interval_when_one_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trading_day, "DEALS_PER_METER", 1)
    made = Day(1, METERS, "m-bea", lambda: 0)
    assert [next(made.deal()).args["interval"] for _ in range(4)] == [AHEAD, AHEAD, AHEAD + 1, AHEAD + 1]


def test_a_bid_that_another_meters_ask_meets_waits_for_both_readings() -> None:
    now = [0]
    made = Day(1, METERS, "m-bea", lambda: now[0])
    trade = {"order": "o", "trades": ["t"]}
    for _ in METERS:
        deal = made.deal()
        step = next(deal)
        while True:
            try:
                step = deal.send(trade if step.function == "place_order" else "l")
            except StopIteration:
                break
    now[0] = (AHEAD + 2) * INTERVAL_MS
    first, second = made.deal(), made.deal()
    assert [next(first).function, next(second).function] == ["submit_readings"] * 2
    first.close()
    assert next(made.deal()).function != "confirm_many"
    with pytest.raises(StopIteration):
        second.send(1)
    steps = [next(made.deal()) for _ in range(2)]
    assert [(step.side, step.function) for step in steps] == [("seller", "confirm_many"), ("buyer", "confirm_many")]
    assert 0 < len(steps[0].args["trades"]) <= CONFIRMED_AT_ONCE


def test_a_refused_reading_is_not_made_again() -> None:
    now = [0]
    made = Day(1, METERS[:1], "m-bea", lambda: now[0])
    next(made.deal())
    now[0] = (AHEAD + 2) * INTERVAL_MS
    reading = made.deal()
    assert next(reading).function == "submit_readings"
    assert next(made.deal()).side == "seller", "one at a time"
    reading.close()
    assert next(made.deal()).function != "submit_readings"


def test_a_days_network_has_a_clock_of_its_own() -> None:
    clock = parse(configuration_text(4, 20_000, (), clocked=True), "bench").clock
    assert (clock.rate, clock.start_ms) == (trading_day.RATE, clock.wall_start_ms)


async def test_a_day_needs_a_warm_up_in_which_the_first_trades_are_settled() -> None:
    with pytest.raises(BenchError, match="warm-up of 6 s"):
        await run_bench(BenchOptions(workload=Kind.DAY), shipped_contracts(), lambda _: None)


def test_every_kind_has_a_source() -> None:
    assert {kind for kind in Kind if isinstance(source(kind), Assets)} == ON_ASSETS
