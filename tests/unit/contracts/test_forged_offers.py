"""Write sets that a lying machine might return: offers on terms that nobody gave, and deadlines that no call set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from contract_market import PRICE, Market
from forgery import Outcome

from contracts.validation import Violation

LISTING, ORDER, OFFER = "market/listing/", "market/order/", "offers/offer/"
DEADLINE = "system/deadline/"


@pytest.mark.parametrize(
    "fields",
    [
        {"seller": "sun"}, {"meter": "m-sun"}, {"zone": "y"}, {"lot_wh": 1}, {"imbalance_price": 1}, {"price": 1},
        {"interval": 1}, {"id": "x"}, {"note": "x"}, {"energy_wh": 1}, {"type": "order"},
    ],
)  # fmt: skip
def test_what_a_listing_says_stays(market: Market, fields: dict[str, Any]) -> None:
    """A taking could give the listing to another seller, or have its seller pay another imbalance price."""
    outcome = Outcome(market, "market", "take_listing", market.taking_args(market.offer(), 300), "bea")
    assert outcome.verdict() is None
    outcome.change(LISTING, **fields)
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize("fields", [{"to": "sun"}, {"collateral_price": 1}, {"proposed_tx": "x"}, {"answers": "x"}])
def test_what_a_directed_offer_says_stays(market: Market, fields: dict[str, Any]) -> None:
    args = {"to": "bea", "side": "ask", "meter": "m-sol", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    offer = market.ok("offers", "propose", args, "sol")
    outcome = Outcome(market, "offers", "accept", {"offer": offer, "meter": "m-bea"}, "bea")
    assert outcome.verdict() is None
    outcome.change(OFFER, **fields)
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize(
    "fields",
    [
        {"meter": "m-sun"}, {"meter": "none"}, {"zone": "y"}, {"price": 10**9}, {"price": -PRICE}, {"interval": -4},
        {"collateral_price": 1}, {"product": "p"}, {"energy_wh": 10**9, "remaining_wh": 10**9},
    ],
)  # fmt: skip
def test_an_offer_is_of_its_owners_meter_on_sound_terms(market: Market, fields: dict[str, Any]) -> None:
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 100, PRICE), "sol")
    assert outcome.verdict() is None
    outcome.change(ORDER, **fields)
    assert outcome.verdict() == Violation.LIMIT


def test_an_offer_is_not_of_a_suspended_meter(market: Market) -> None:
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 100, PRICE), "sol")
    market.ok("registry", "suspend_meter", {"meter": "m-sol", "reason": "x"}, "op1")
    assert outcome.verdict() == Violation.LIMIT


@pytest.mark.parametrize("status", ["cancelled", "amended", "withdrawn", "expired", "full", "barred", "gone"])
def test_nobody_elses_order_is_ended(market: Market, status: str) -> None:
    """Any call to the market could cancel everybody's orders."""
    order, _ = market.order("ask", "sol", 100, PRICE)
    outcome = Outcome(market, "market", "cancel_order", {"order": order}, "sol")
    outcome.change(ORDER, status=status)
    outcome.call = replace(outcome.call, signers=("sun",))
    assert outcome.verdict() == Violation.SIGNATURES


def test_what_has_something_left_is_not_filled(market: Market) -> None:
    market.order("ask", "sol", 100, PRICE)
    outcome = Outcome(market, "market", "place_order", market.order_args("bid", "bea", 60, PRICE), "bea")
    resting = next(key for key in outcome.keys(ORDER) if outcome.get(key)["owner"] == "sol")
    outcome.put(resting, {**outcome.get(resting), "status": "filled"})
    assert outcome.verdict() == Violation.SIGNATURES


# --------------------------------------------------------------------------------------------- deadlines


def scheduling(market: Market) -> tuple[Outcome, str]:
    """A call that sets a deadline, and the deadline's key."""
    outcome = Outcome(market, "market", "post_listing", market.listing_args(), "sol")
    assert outcome.verdict() is None
    return outcome, outcome.keys(DEADLINE)[0]


@pytest.mark.parametrize(
    "key",
    [
        "!", "1/x", "000000000000001/x", "{at}/000000000001/00000/000", "{at}/{height}/00001/000",
        "{at}/{height}/00000/00", "{at}/{height}/00000/0000", "-00000000000001/{height}/00000/001",
        "{at}/{height}/00000/00\u0661",
    ],
)  # fmt: skip
def test_a_deadline_is_of_the_call_that_set_it(market: Market, key: str) -> None:
    """A key that no block can read raised in the next block, before it was removed: the chain would have stood."""
    outcome, real = scheduling(market)
    parts = real[len(DEADLINE) :].split("/")
    outcome.view.put(DEADLINE + key.format(at=parts[0], height=parts[1]), outcome.view.writes[real] or b"")
    assert outcome.verdict() == Violation.NAMESPACE


@pytest.mark.parametrize(
    "told",
    [
        1, None, [1], {}, {"contract": 1, "function": 2, "args": 3},
        {"contract": "market", "function": "close_gate", "args": {"interval": 1}},
        {"contract": "market", "function": "close_gate"}, {"contract": "market", "function": None, "args": []},
        {"contract": "market", "function": "close_gate", "args": [], "more": 1},
        {"contract": "governance", "function": "close_gate", "args": []},
        {"contract": "auction", "function": "clear", "args": []}, {"contract": "none", "function": "f", "args": []},
    ],
)  # fmt: skip
def test_a_deadline_is_whole_and_calls_whom_the_call_may_write_for(market: Market, told: Any) -> None:
    outcome, key = scheduling(market)
    outcome.put(key[:-3] + "001", told)
    assert outcome.verdict() == Violation.NAMESPACE


@pytest.mark.parametrize("data", [b"\xff\x00", b"", None])
def test_a_deadline_can_be_read(market: Market, data: bytes | None) -> None:
    outcome, key = scheduling(market)
    outcome.view.writes[key[:-3] + "001"] = data
    assert outcome.verdict() in (Violation.NAMESPACE, Violation.SHAPE)


def test_a_deadline_that_stands_is_not_written_over(market: Market) -> None:
    outcome, key = scheduling(market)
    market.chain.put(key, {"contract": "market", "function": "close_gate", "args": [1]})
    assert outcome.verdict() == Violation.NAMESPACE
