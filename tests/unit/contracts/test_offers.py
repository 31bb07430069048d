"""Directed offers: proposed to one named party, countered, accepted with both signatures, turned down, expired."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import CAPACITY_W, DEPOSIT, INTERVAL_MS, MACHINE, Market

from contracts.parameters import MARKET_PARAMETERS
from contracts.validation import MarketValidator, Violation
from ledger.execution import Call
from ledger.state import TransactionView
from ledger.values import decode_value, encode_value

IMBALANCE = MARKET_PARAMETERS["imbalance_price"]
PRICE, FEE = 200_000, 50_000
ZONES = {"sol": "north", "sun": "south", "bea": "south", "bob": "north"}


@pytest.fixture
def zones() -> Market:
    """Bea lives where the grid charges for what Sol delivers."""
    market = Market()
    for who, zone in ZONES.items():
        market.bind(f"m-{who}", who, CAPACITY_W, zone)
    fee = {"from_zone": "north", "to_zone": "south", "fee": FEE, "from_ms": 0}
    market.ok("governance", "set_grid_fee", fee, "op1", "op2")
    return market


def proposal(market: Market, side: str = "ask", who: str = "sol", to: str = "bea", **changed: Any) -> dict[str, Any]:
    terms = {"interval": market.interval, "energy_wh": 1_000, "price": PRICE}
    return {"to": to, "side": side, "meter": f"m-{who}", **terms, **changed}


def propose(market: Market, side: str = "ask", who: str = "sol", to: str = "bea", **changed: Any) -> str:
    return str(market.ok("offers", "propose", proposal(market, side, who, to, **changed), who))


def accept(market: Market, offer: str, who: str) -> dict[str, Any]:
    return market.trade(market.ok("offers", "accept", market.accepting_args(offer, who), who))


def offer_of(market: Market, offer: str) -> dict[str, Any]:
    return dict(market.get(f"offers/offer/{offer}"))


def sold(market: Market, who: str) -> int:
    return market.get(f"market/sold/m-{who}/{market.interval:010d}") or 0


def test_an_accepted_ask_pays_the_seller_its_price_and_names_both_signatures(zones: Market) -> None:
    offer = propose(zones)
    assert (zones.held("sol"), sold(zones, "sol")) == (IMBALANCE, 1_000)
    trade = accept(zones, offer, "bea")
    terms = {name: trade[name] for name in ("seller", "buyer", "meter", "buyer_meter", "price", "grid_fee", "source")}
    assert terms == {
        "seller": "sol", "buyer": "bea", "meter": "m-sol", "buyer_meter": "m-bea", "price": PRICE + FEE,
        "grid_fee": FEE, "source": "offer",
    }  # fmt: skip
    record = offer_of(zones, offer)
    assert (record["status"], record["trade"], record["remaining_wh"]) == ("accepted", trade["id"], 0)
    assert record["proposed_tx"] != record["accepted_tx"]
    assert (zones.held("bea"), sold(zones, "sol")) == (PRICE + FEE, 1_000)


def test_an_accepted_bid_costs_the_buyer_its_price_and_takes_the_sellers_capacity(zones: Market) -> None:
    offer = propose(zones, "bid", "bea", "sol")
    assert (zones.held("bea"), sold(zones, "sol")) == (PRICE, 0)
    trade = accept(zones, offer, "sol")
    assert (trade["price"], trade["grid_fee"], trade["seller"], trade["meter"]) == (PRICE, FEE, "sol", "m-sol")
    assert (zones.held("bea"), zones.held("sol"), sold(zones, "sol")) == (PRICE, IMBALANCE, 1_000)


def test_offers_go_back_and_forth_until_one_is_accepted(zones: Market) -> None:
    first = propose(zones)
    second = zones.ok("offers", "counter", {"offer": first, "meter": "m-bea", "energy_wh": 800, "price": 1}, "bea")
    assert (zones.held("sol"), sold(zones, "sol")) == (0, 0)
    third = zones.ok("offers", "counter", {"offer": second, "meter": "m-sol", "energy_wh": 900, "price": 2}, "sol")
    states = [offer_of(zones, offer)["status"] for offer in (first, second, third)]
    assert states == ["countered", "countered", "open"]
    assert [offer_of(zones, offer)["answers"] for offer in (second, third)] == [first, second]
    trade = accept(zones, third, "bea")
    assert (trade["energy_wh"], trade["price"]) == (900, 2 + FEE)


def test_both_signatures_on_one_envelope_make_a_trade_at_once(zones: Market) -> None:
    args = {
        "seller_meter": "m-sol", "buyer_meter": "m-bea", "interval": zones.interval, "energy_wh": 500, "price": PRICE,
        "price_max": PRICE + FEE,
    }  # fmt: skip
    for signers in (("sol",), ("bea",), ("sol", "bob")):
        assert zones.code("offers", "agree", args, *signers) == "BOTH_SIGN"
    for signers in (("sol", "bea"), ("bea", "sol")):
        trade = zones.trade(zones.ok("offers", "agree", args, *signers))
        assert (trade["seller"], trade["buyer"], trade["price"], trade["source"]) == (
            "sol",
            "bea",
            PRICE + FEE,
            "offer",
        )
    assert {offer["status"] for offer in zones.records("offers/offer/")} == {"accepted"}
    assert all(offer["proposed_tx"] == offer["accepted_tx"] for offer in zones.records("offers/offer/"))


@pytest.mark.parametrize(
    ("function", "who", "state"), [("decline", "bea", "declined"), ("withdraw", "sol", "withdrawn")]
)
def test_what_is_turned_down_or_taken_back_is_free_again(zones: Market, function: str, who: str, state: str) -> None:
    offer = propose(zones)
    result = zones.call("offers", function, {"offer": offer}, who)
    assert offer_of(zones, offer)["status"] == state
    assert (zones.held("sol"), sold(zones, "sol")) == (0, 0)
    assert [(event.name, event.data["to"]) for event in result.events] == [(state, "bea")]
    assert zones.code("offers", "accept", zones.accepting_args(offer, "bea"), "bea") == "NOT_OPEN"


@pytest.mark.parametrize("count", [1, 40, 45])
def test_open_offers_expire_when_the_gate_closes(zones: Market, count: int) -> None:
    for number in range(count):
        propose(zones, energy_wh=1, price=number + 1)
    assert set(zones.to_gate()) == {"OK"}
    assert {offer["status"] for offer in zones.records("offers/offer/")} == {"expired"}
    assert (zones.held("sol"), sold(zones, "sol"), zones.records("offers/open/")) == (0, 0, [])
    assert zones.records("offers/count/") == []


@pytest.mark.parametrize(
    ("function", "who", "code"),
    [
        ("accept", "bob", "NOT_FOR_YOU"), ("accept", "sol", "NOT_FOR_YOU"), ("decline", "sol", "NOT_FOR_YOU"),
        ("withdraw", "bea", "NOT_FOR_YOU"), ("counter", "bob", "NOT_FOR_YOU"),
    ],
)  # fmt: skip
def test_only_the_named_party_answers_and_only_the_proposer_withdraws(
    zones: Market, function: str, who: str, code: str
) -> None:
    args: dict[str, Any] = {"offer": propose(zones)}
    if function in ("accept", "counter"):
        args["meter"] = f"m-{who}"
    if function == "accept":
        args["price_limit"] = PRICE + FEE
    if function == "counter":
        args |= {"energy_wh": 1, "price": 1}
    assert zones.code("offers", function, args, who) == code
    assert zones.code("offers", function, {**args, "offer": "none"}, who) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("changed", "who", "code"),
    [
        ({"to": "sol"}, "sol", "SELF_TRADE"), ({"to": "sun", "side": "bid"}, "sol", "ROLE_REQUIRED"),
        ({"to": "nobody"}, "sol", "NOT_REGISTERED"), ({"side": "both"}, "sol", "SIDE_INVALID"),
        ({"energy_wh": 0}, "sol", "ENERGY_INVALID"), ({"price": 0}, "sol", "PRICE_INVALID"),
        ({"interval": 7}, "sol", "INTERVAL_CLOSED"), ({"interval": 10**9}, "sol", "INTERVAL_TOO_FAR"),
        ({"meter": "m-sun"}, "sol", "NOT_YOUR_METER"), ({"energy_wh": 100_001}, "sol", "CAPACITY_EXCEEDED"),
        ({"to": "gate"}, "sol", "ROLE_REQUIRED"),
    ],
)  # fmt: skip
def test_bad_proposals(zones: Market, changed: dict[str, Any], who: str, code: str) -> None:
    assert zones.code("offers", "propose", {**proposal(zones), **changed}, who) == code


def test_bad_acceptances(zones: Market) -> None:
    offer = propose(zones)
    assert zones.code("offers", "accept", zones.accepting_args(offer, "bob"), "bea") == "NOT_YOUR_METER"
    zones.ok("registry", "suspend", {"user": "sol", "reason": "x"}, "op1")
    assert zones.code("offers", "accept", zones.accepting_args(offer, "bea"), "bea") == "SUSPENDED"
    zones.ok("registry", "resume", {"user": "sol"}, "op1")
    zones.ok("credit", "withdraw", {"account": "bea", "amount": DEPOSIT - PRICE - FEE + 1}, "op1", "op2")
    assert zones.code("offers", "accept", zones.accepting_args(offer, "bea"), "bea") == "INSUFFICIENT_FUNDS"
    low = propose(zones, "bid", "bob", "sun", price=1)
    zones.ok(
        "governance", "set_grid_fee", {"from_zone": "south", "to_zone": "north", "fee": 2, "from_ms": 0}, "op1", "op2"
    )
    assert zones.code("offers", "accept", zones.accepting_args(low, "sun"), "sun") == "PRICE_BELOW_FEE"
    zones.chain.time_ms = zones.interval * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000
    assert zones.code("offers", "accept", zones.accepting_args(low, "sun"), "sun") == "INTERVAL_CLOSED"


def fee_to(market: Market, fee: int, source: str = "north", to: str = "south") -> None:
    args = {"from_zone": source, "to_zone": to, "fee": fee, "from_ms": 0}
    market.ok("governance", "set_grid_fee", args, "op1", "op2")


@pytest.mark.parametrize(
    ("side", "who", "to", "code", "traded"),
    [("ask", "sol", "bea", "PRICE_ABOVE_LIMIT", PRICE + FEE + 1), ("bid", "bea", "sol", "PRICE_BELOW_LIMIT", PRICE)],
)
def test_a_fee_that_rises_before_an_acceptance_is_executed_binds_nobody_beyond_what_they_signed(
    zones: Market, side: str, who: str, to: str, code: str, traded: int
) -> None:
    """Who accepted signed for no price, paid whatever fee had come since, or got what it left."""
    offer = propose(zones, side, who, to)
    args = zones.accepting_args(offer, to)
    assert args["price_limit"] == (PRICE + FEE if side == "ask" else PRICE - FEE)
    fee_to(zones, FEE + 1)
    assert zones.code("offers", "accept", args, to) == code
    assert offer_of(zones, offer)["status"] == "open"
    trade = zones.trade(zones.ok("offers", "accept", zones.accepting_args(offer, to), to))
    assert (trade["price"], trade["grid_fee"]) == (traded, FEE + 1)


def test_who_accepts_a_counter_offer_signs_its_limit_too(zones: Market) -> None:
    """Who counters has signed for its own price: a buyer's with the grid fee, so that the fee is the seller's risk."""
    first = propose(zones)
    offer = zones.ok("offers", "counter", {"offer": first, "meter": "m-bea", "energy_wh": 800, "price": PRICE}, "bea")
    args = zones.accepting_args(offer, "sol")
    fee_to(zones, FEE + 1)
    assert zones.code("offers", "accept", args, "sol") == "PRICE_BELOW_LIMIT"
    trade = zones.trade(zones.ok("offers", "accept", {**args, "price_limit": 0}, "sol"))
    assert (trade["price"], trade["grid_fee"]) == (PRICE, FEE + 1)


def test_an_agreement_is_no_dearer_than_its_buyer_signed(zones: Market) -> None:
    terms = {"interval": zones.interval, "energy_wh": 500, "price": PRICE, "price_max": PRICE + FEE}
    args = {"seller_meter": "m-sol", "buyer_meter": "m-bea", **terms}
    fee_to(zones, FEE + 1)
    assert zones.code("offers", "agree", args, "sol", "bea") == "PRICE_ABOVE_LIMIT"
    zones.ok("offers", "agree", {**args, "price_max": PRICE + FEE + 1}, "sol", "bea")


def test_a_party_has_at_most_two_hundred_open_offers_in_an_interval(zones: Market) -> None:
    zones.chain.put(f"offers/count/{zones.interval:010d}/sol", 200)
    assert zones.code("offers", "propose", proposal(zones), "sol") == "TOO_MANY_OFFERS"


# --------------------------------------------------------------------- what the validation module makes of lies


def accepted(market: Market, *signers: str, **changed: Any) -> str | None:
    """The verdict on an acceptance of Sol's ask by Bea, signed so, its trade changed so."""
    offer = propose(market)
    view = TransactionView(market.chain.state)
    chain = market.chain
    args = market.accepting_args(offer, "bea")
    call = Call(
        "offers", "accept", args, ("bea",), "", 2_000_000, chain.time_ms + 1, chain.height + 1, 0, "transaction"
    )
    result = MACHINE.run(call, view)
    assert result.code == "OK"
    for key in [key for key in view.writes if key.startswith("settlement/trade/")]:
        trade = decode_value(view.writes[key] or b"")
        for name, value in changed.items():
            trade[name] += value
        view.put(key, encode_value(trade))
    signed = Call("offers", "accept", args, signers, "", 1, call.block_time_ms, call.height, 0, "transaction")
    return MarketValidator().check(signed, result, view)


@pytest.mark.parametrize(
    ("signers", "changed", "verdict"),
    [
        (("bea",), {}, None), (("sol",), {}, Violation.SIGNATURES), ((), {}, Violation.SIGNATURES),
        (("bea",), {"grid_fee": 1}, Violation.LIMIT), (("bea",), {"price": -1}, Violation.LIMIT),
    ],
)  # fmt: skip
def test_nobody_is_bound_without_a_signature_or_beyond_their_price(
    zones: Market, signers: tuple[str, ...], changed: dict[str, Any], verdict: str | None
) -> None:
    assert accepted(zones, *signers, **changed) == verdict
