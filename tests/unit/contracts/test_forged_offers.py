"""Write sets that a lying machine might return: offers on terms that nobody gave, and deadlines that no call set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from auctions import AuctionMarket, Order
from contract_market import INTERVAL_MS, PRICE, Market
from forgery import Outcome

from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import Violation

LISTING, ORDER, OFFER = "market/listing/", "market/order/", "offers/offer/"
DEADLINE = "system/deadline/"


@pytest.mark.parametrize(
    "fields",
    [
        {"seller": "sun"}, {"meter": "m-sun"}, {"zone": "y"}, {"lot_wh": 1}, {"imbalance_price": 1}, {"price": 1},
        {"interval": 1}, {"id": "x"}, {"energy_wh": 1},
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
    outcome = Outcome(market, "offers", "accept", market.accepting_args(offer, "bea"), "bea")
    assert outcome.verdict() is None
    outcome.change(OFFER, **fields)
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize(
    "fields",
    [
        {"meter": "m-sun"}, {"meter": "none"}, {"zone": "y"}, {"price": 10**9}, {"price": -PRICE}, {"interval": -4},
        {"collateral_price": 1}, {"product": "p"}, {"energy_wh": 10**9 + 1, "remaining_wh": 1},
        {"energy_wh": -100, "remaining_wh": -100},
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


@pytest.mark.parametrize(("bid_wh", "status"), [(60, "filled"), (100, "open")])
def test_what_has_something_left_is_open_and_nothing_else(market: Market, bid_wh: int, status: str) -> None:
    market.order("ask", "sol", 100, PRICE)
    outcome = Outcome(market, "market", "place_order", market.order_args("bid", "bea", bid_wh, PRICE), "bea")
    resting = next(key for key in outcome.keys(ORDER) if outcome.get(key)["owner"] == "sol")
    outcome.put(resting, {**outcome.get(resting), "status": status})
    assert outcome.verdict() == Violation.SIGNATURES


def test_what_is_closed_stays_as_it_is(market: Market) -> None:
    order, _ = market.order("ask", "sol", 100, PRICE)
    outcome = Outcome(market, "market", "cancel_order", {"order": order}, "sol")
    record = market.get(ORDER + order)
    market.chain.put(ORDER + order, {**record, "status": "filled"})
    assert outcome.verdict() == Violation.OVERSOLD


def met(market: Market, key: str, value: Any) -> Outcome:
    """A bid that finds an ask which may not trade, since ``key`` holds what it does."""
    market.order("ask", "sol", 100, PRICE)
    market.chain.put(key, value)
    return Outcome(market, "market", "place_order", market.order_args("bid", "bea", 100, PRICE), "bea")


@pytest.mark.parametrize(("count", "verdict"), [(99, Violation.SIGNATURES), (100, None)])
def test_an_ask_is_ended_as_full_once_its_meter_has_all_its_trades(
    market: Market, count: int, verdict: Violation | None
) -> None:
    key = f"settlement/count/m-sol/{market.interval:010d}"
    outcome = met(market, key, 100)
    market.chain.put(key, count)
    assert outcome.verdict() == verdict


@pytest.mark.parametrize(
    ("status", "suspended", "verdict"),
    [("barred", True, None), ("gone", True, Violation.SIGNATURES), ("barred", False, Violation.SIGNATURES)],
)
@pytest.mark.parametrize("who", ["registry/user/sol", "registry/meter/m-sol"])
def test_an_ask_is_barred_if_its_owner_or_its_meter_may_not_trade(
    market: Market, status: str, who: str, suspended: bool, verdict: Violation | None
) -> None:
    outcome = met(market, who, {**market.get(who), "suspended": True})
    resting = next(key for key in outcome.keys(ORDER) if outcome.get(key)["owner"] == "sol")
    outcome.put(resting, {**outcome.get(resting), "status": status})
    market.chain.put(who, {**market.get(who), "suspended": suspended})
    assert outcome.verdict() == verdict


def test_nobody_offers_once_the_gate_has_closed(market: Market) -> None:
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 100, PRICE), "sol")
    gate_ms = market.interval * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000
    outcome.call = replace(outcome.call, block_time_ms=gate_ms - 1)
    assert outcome.verdict() is None
    outcome.call = replace(outcome.call, block_time_ms=gate_ms)
    assert outcome.verdict() == Violation.LIMIT


@pytest.mark.parametrize("change", [None, {"id": "x"}])
def test_an_offer_is_never_removed_and_lies_under_its_name(market: Market, change: dict[str, Any] | None) -> None:
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 100, PRICE), "sol")
    key = outcome.keys(ORDER)[0]
    if change is None:
        outcome.view.writes[key] = None
    else:
        outcome.put(key, {**outcome.get(key), **change})
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize("fields", [{"product": "p"}, {"names": ["sol", "sun"]}, {"names": ["sun"]}])
def test_an_auctions_order_stands_for_all_its_keys_in_its_zones_product(fields: dict[str, Any]) -> None:
    market = AuctionMarket()
    for names in (None, ["sol", "sun"]):
        if names:
            policy = {"account": "sol", "keys": ["sol", "sun"], "threshold": 1}
            market.ok("credit", "set_policy", policy, "sol", "sun")
        entry = market.entry(Order("ask", "sol", 10, 5))
        outcome = Outcome(market, "auction", "place_order", entry, "sol")
        assert outcome.verdict() is None
        key = outcome.keys("auction/order/")[0]
        record = outcome.get(key)
        assert record.get("names") == names
        if {**record, **fields} == record:
            del record["names"]
            fields = {}
        outcome.put(key, {**record, **fields})
        assert outcome.verdict() == Violation.LIMIT


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
