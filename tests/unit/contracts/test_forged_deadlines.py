"""Deadlines that a lying machine might set, leave out or aim elsewhere, and what it might have one do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from auctions import PRODUCT, AuctionMarket, Order
from contract_market import INTERVAL_MS
from deadline_calls import DEADLINES, clearing, entered, worked_to, working
from forgery import Outcome
from signed_calls import CASES, Case
from single_changes import others

from contracts.catalog import shipped_sources
from contracts.language import check
from contracts.validation import Violation

DEADLINE = "system/deadline/"


def signed(make: Callable[[], Case]) -> Outcome:
    market, contract, function, args, signers = make()
    return Outcome(market, contract, function, args, *signers)


def outcome_of(name: str) -> Outcome:
    outcome = DEADLINES[name]() if name in DEADLINES else signed(CASES[name])
    assert outcome.verdict() is None
    return outcome


@pytest.mark.parametrize("name", [*CASES, *DEADLINES])
@pytest.mark.parametrize("moved_ms", [-1, 1, 10**12])
def test_a_deadline_at_another_time_is_refused(name: str, moved_ms: int) -> None:
    outcome = outcome_of(name)
    lawful = dict(outcome.view.writes)
    for key in outcome.keys(DEADLINE):
        at_ms, _, rest = key[len(DEADLINE) :].partition("/")
        outcome.view.writes = {k: v for k, v in lawful.items() if k != key}
        outcome.view.writes[f"{DEADLINE}{int(at_ms) + moved_ms:015d}/{rest}"] = lawful[key]
        assert outcome.verdict() == Violation.DEADLINE


@pytest.mark.parametrize(
    ("contract", "function", "args"),
    [
        ("settlement", "close_metering", ["m-bea", 2_000_000]), ("settlement", "mark_overdue", ["x"]),
        ("auction", "clear", ["valley", 2_000_000]), ("auction", "rescue", ["valley", 2_000_000, 0]),
        ("market", "close_gate", [2_000_000]), ("offers", "close_gate", [2_000_000]), ("governance", "x", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [*CASES, *DEADLINES])
def test_no_call_sets_a_deadline_of_a_shipped_contract_that_nothing_needs(
    name: str, contract: str, function: str, args: list[object]
) -> None:
    """A listing could have somebody else's meter settled without a reading, before anything was delivered."""
    outcome = outcome_of(name)
    at = f"{0:015d}/{outcome.call.height:012d}/{outcome.call.index:05d}/999"
    outcome.put(DEADLINE + at, {"args": args, "contract": contract, "function": function})
    assert outcome.verdict() in (Violation.DEADLINE, Violation.NAMESPACE)


@pytest.mark.parametrize("name", DEADLINES)
def test_a_deadline_acts_within_its_arguments(name: str) -> None:
    """One of an interval could expire another's orders, one of a meter settle another's trades."""
    outcome = outcome_of(name)
    args = list(outcome.call.args)
    for at, value in enumerate(args):
        # Which step it is that is no longer the last one is all the same.
        for other in others(value) if (name, at) != ("rescue_of_what_goes_on", 2) else []:
            if type(other) is bool:  # none is set so
                continue
            outcome.call = replace(outcome.call, args=[*args[:at], other, *args[at + 1 :]])
            assert outcome.verdict() is not None, (at, other)


@pytest.mark.parametrize("name", DEADLINES)
def test_a_deadline_does_what_its_function_is_for(name: str) -> None:
    outcome = outcome_of(name)
    function = outcome.call.function
    for each in check(shipped_sources()[outcome.call.contract]).functions.values():
        if each.marker == "deadline" and each.name != function:
            outcome.call = replace(outcome.call, function=each.name)
            assert outcome.verdict() is not None, each.name


STAGES = ("open", "forfeit", "screen", "match", "mechanism", "level", "share", "fill", "rest", "done", "none")


@pytest.mark.parametrize("name", [name for name in DEADLINES if name.startswith(("clear", "work", "rescue"))])
def test_a_clearing_takes_its_stages_in_order(name: str) -> None:
    """It could skip to its end, and nobody's orders would be matched."""
    outcome = outcome_of(name)
    for key in outcome.keys("auction/run/"):
        run = outcome.get(key)
        for stage in STAGES:
            # A step may leave the rest of its stage to the next.
            if stage not in (run["stage"], outcome.market.get(key)["stage"]):
                outcome.put(key, {**run, "stage": stage})
                assert outcome.verdict() is not None, stage


def test_what_one_interval_forfeits_is_not_done_by_another() -> None:
    market = entered()
    market.interval += 1
    market.chain.time_ms = market.clear_ms
    outcome = working(worked_to("forfeit", market))
    assert outcome.keys("auction/sealed/")
    outcome.call = replace(outcome.call, args=[PRODUCT, market.interval - 1])
    assert outcome.verdict() is not None


def test_nothing_is_forfeited_before_the_clearing_is_at_it() -> None:
    market = entered()
    begun = clearing(market)
    begun.apply()
    forfeiting = working(market)
    for key in forfeiting.keys("auction/run/"):
        market.chain.put(key, {**market.get(key), "stage": "open"})
    assert forfeiting.verdict() is not None


def test_a_gate_closes_once_nothing_stands_there() -> None:
    outcome = DEADLINES["market_gate_in_part"]()
    interval = outcome.market.interval
    outcome.view.writes = {k: v for k, v in outcome.view.writes.items() if not k.startswith(DEADLINE)}
    outcome.put(f"market/gate/{interval:010d}", "closed")
    assert outcome.verdict() == Violation.DEADLINE


def test_the_first_order_of_an_auction_sets_its_clearing() -> None:
    """Without it the money of all that entered was held for ever."""
    market = AuctionMarket()
    outcome = Outcome(market, "auction", "place_order", market.entry(Order("bid", "bea", 10, 5)), "bea")
    del outcome.view.writes[outcome.keys(DEADLINE)[0]]
    assert outcome.verdict() == Violation.DEADLINE


@pytest.mark.parametrize("after_ms", [0, 8 * INTERVAL_MS])
def test_each_trade_of_an_interval_that_is_over_is_settled_in_the_end(after_ms: int) -> None:
    """An auction that a chain which stood still clears late trades after the meter's own deadline."""
    late = AuctionMarket()
    for _ in range(2):
        late.enter("ask", "sol", 10, 5)
        late.enter("bid", "bea", 10, 5)
    late.chain.time_ms = late.clear_ms
    worked_to("fill", late)
    late.chain.time_ms = (late.interval + 1) * INTERVAL_MS + after_ms - 1
    outcome = working(late)
    metering = [key for key in outcome.keys(DEADLINE) if outcome.get(key)["function"] == "close_metering"]
    assert len(metering) == len(outcome.keys("settlement/trade/")) == 2
    assert outcome.verdict() is None
    del outcome.view.writes[metering[0]]
    assert outcome.verdict() == Violation.DEADLINE
