"""A call that succeeded has done what its function is for."""

from __future__ import annotations

import pytest
from contract_market import PRICE, Market
from deadline_calls import DEADLINES
from forgery import Outcome
from lies import OtherState, verdict
from msgspec.structs import replace
from signed_calls import CASES

from contracts.catalog import shipped_sources
from contracts.language import check
from contracts.rules.effects import EFFECTS
from contracts.validation import Violation

AGAIN = {
    ("settlement", "submit_readings"), ("settlement", "confirm"), ("settlement", "confirm_many"),
    ("settlement", "confirm_adjustments"), ("origin", "mint"),
}  # fmt: skip
"""What can be said again, and then writes nothing."""
CHANNELS = {("channels", "create"), ("channels", "close")}
"""Each of which is a group of its own."""


@pytest.mark.parametrize("name", CASES)
def test_a_call_that_succeeded_has_done_something(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    outcome.view.writes = {}
    assert outcome.verdict() == (None if function == "mint" else Violation.SIGNATURES)


def test_each_function_that_people_call_has_its_effect() -> None:
    exported = {
        (name, each.name)
        for name, source in shipped_sources().items()
        for each in check(source).functions.values()
        if each.marker == "export"
    }
    known = {(contract, function) for contract, functions in EFFECTS.items() for function in functions}
    assert exported == known | AGAIN | CHANNELS


@pytest.mark.parametrize(
    "name", ["metering_without_a_reading", "metering_of_what_came_late", "overdue", "adjustment_overdue"]
)
def test_a_deadline_that_nobody_sets_again_has_done_its_work(name: str) -> None:
    """A trade that waited for a reading when the time to meter was over, waited for good."""
    outcome = DEADLINES[name]()
    assert outcome.verdict() is None
    outcome.view.writes = {}
    outcome.result = replace(outcome.result, events=())
    assert outcome.verdict() == Violation.DEADLINE


def test_money_that_is_sent_arrives() -> None:
    market, contract, function, args, signers = CASES["transfer_money"]()
    nothing = '    record["available"] += available\n', ""
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("credit", *nothing))
    assert found == Violation.PAYMENT


@pytest.mark.parametrize("name", ["decide_trade", "decide_adjustment"])
def test_an_account_is_opened_by_what_comes_in(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    nothing = "if available != 0 or held != 0:", "if True:"
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("credit", *nothing))
    assert found == Violation.MONEY


@pytest.mark.parametrize("name", ["confirm", "confirm_many", "confirm_adjustments"])
def test_who_signs_has_signed(name: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    unsigned = '        record[side + "_confirmed"] = True\n    return found', "        pass\n    return found"
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("settlement", *unsigned))
    assert found == Violation.SIGNATURES


def unmatched(state: OtherState) -> None:
    state.edit("market", "found = match(record, book)", 'found = {"trades": [], "held": 0, "stopped": False}')


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_book_never_stands_crossed(side: str) -> None:
    """An order that rested though it met another would have let the next one go before it."""
    market = Market()
    other = "ask" if side == "bid" else "bid"
    market.order(other, {"ask": "sol", "bid": "bea"}[other], 100, PRICE)
    who = {"ask": "sun", "bid": "bob"}[side]
    better = PRICE + 1 if side == "bid" else PRICE - 1
    for price, refused in ((better, Violation.LIMIT), (PRICE, Violation.LIMIT), (2 * PRICE - better, None)):
        call = ("market", "place_order", market.order_args(side, who, 100, price))
        assert verdict(market, call, (who,), unmatched) == refused


def test_the_grid_fee_keeps_two_zones_apart() -> None:
    market = Market()
    market.bind("m-bob", "bob", zone="y")
    market.ok("governance", "set_grid_fee", {"from_zone": "z", "to_zone": "y", "fee": 9, "from_ms": 0}, "op1", "op2")
    market.order("ask", "sol", 100, PRICE)
    for price, refused in ((PRICE + 9, Violation.LIMIT), (PRICE + 8, None)):
        call = ("market", "place_order", market.order_args("bid", "bob", 100, price))
        assert verdict(market, call, ("bob",), unmatched) == refused
