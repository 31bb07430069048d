"""Each function of the shipped market that people sign, in a market where it succeeds, with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from auctions import AuctionMarket, Order
from contract_market import INTERVAL_MS, PRICE, Market

SALT = "sixteen or more!"
Case = tuple[Market, str, str, dict[str, Any], tuple[str, ...]]
CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES[make.__name__] = make
    return make


def _market() -> Market:
    market = Market()
    market.chain.user("arb", "arbiter")
    market.chain.user("ann", "buyer")
    market.ok("registry", "set_arbiter", {"user": "arb"}, "op1", "op2")
    return market


@case
def post_listing() -> Case:
    market = _market()
    return market, "market", "post_listing", market.listing_args(), ("sol",)


@case
def take_listing() -> Case:
    market = _market()
    return market, "market", "take_listing", market.taking_args(market.offer(), 300), ("bea",)


@case
def cancel_listing() -> Case:
    market = _market()
    market.offer()
    return market, "market", "cancel_listing", {"listing": market.offer()}, ("sol",)


@case
def place_order() -> Case:
    market = _market()
    return market, "market", "place_order", market.order_args("ask", "sol", 100, PRICE), ("sol",)


@case
def match_order() -> Case:
    """A bid that takes an ask which rests."""
    market = _market()
    market.order("ask", "sol", 100, PRICE)
    return market, "market", "place_order", market.order_args("bid", "bea", 100, PRICE), ("bea",)


@case
def amend_order() -> Case:
    market = _market()
    order, _ = market.order("ask", "sol", 100, PRICE)
    return market, "market", "amend_order", {"order": order, "energy_wh": 50, "price": PRICE}, ("sol",)


@case
def cancel_order() -> Case:
    market = _market()
    order, _ = market.order("ask", "sol", 100, PRICE)
    return market, "market", "cancel_order", {"order": order}, ("sol",)


@case
def auction_place_order() -> Case:
    market = AuctionMarket()
    return market, "auction", "place_order", market.entry(Order("ask", "sol", 10, 5)), ("sol",)


@case
def auction_amend_order() -> Case:
    market = AuctionMarket()
    args = {"order": market.enter("ask", "sol", 10, 5), "energy_wh": 9, "price": 4}
    return market, "auction", "amend_order", args, ("sol",)


@case
def auction_cancel_order() -> Case:
    market = AuctionMarket()
    return market, "auction", "cancel_order", {"order": market.enter("ask", "sol", 10, 5)}, ("sol",)


def _sealing(market: AuctionMarket) -> dict[str, Any]:
    text = "/".join(["sol", "m-sol", str(market.interval), "ask", "10", "5", SALT])
    return {"meter": "m-sol", "interval": market.interval, "commitment": sha256(text.encode()).hexdigest()}


@case
def seal_order() -> Case:
    market = AuctionMarket()
    return market, "auction", "seal_order", _sealing(market), ("sol",)


@case
def reveal_order() -> Case:
    market = AuctionMarket()
    order = market.ok("auction", "seal_order", _sealing(market), "sol")
    market.chain.time_ms = market.entry_ms
    args = {"order": order, "side": "ask", "energy_wh": 10, "price": 5, "salt": SALT}
    return market, "auction", "reveal_order", args, ("sol",)


def _proposing(market: Market) -> dict[str, Any]:
    terms = {"meter": "m-sol", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    return {"to": "bea", "side": "ask", **terms}


@case
def propose() -> Case:
    market = _market()
    return market, "offers", "propose", _proposing(market), ("sol",)


@case
def counter() -> Case:
    market = _market()
    offer = market.ok("offers", "propose", _proposing(market), "sol")
    args = {"offer": offer, "meter": "m-bea", "energy_wh": 8, "price": PRICE}
    return market, "offers", "counter", args, ("bea",)


@case
def accept() -> Case:
    market = _market()
    offer = market.ok("offers", "propose", _proposing(market), "sol")
    return market, "offers", "accept", market.accepting_args(offer, "bea"), ("bea",)


@case
def agree() -> Case:
    market = _market()
    terms = {"interval": market.interval, "energy_wh": 9, "price": PRICE, "price_max": PRICE}
    return market, "offers", "agree", {"seller_meter": "m-sol", "buyer_meter": "m-bea", **terms}, ("sol", "bea")


@case
def decline() -> Case:
    market = _market()
    return market, "offers", "decline", {"offer": market.ok("offers", "propose", _proposing(market), "sol")}, ("bea",)


@case
def withdraw_offer() -> Case:
    market = _market()
    return market, "offers", "withdraw", {"offer": market.ok("offers", "propose", _proposing(market), "sol")}, ("sol",)


@case
def submit_readings() -> Case:
    market = _market()
    market.take(market.offer(), 300)
    market.to_end()
    return market, "settlement", "submit_readings", {"readings": [market.reading("sol", 200)]}, ("gate",)


def _proposed(*parts_wh: int) -> tuple[Market, list[str]]:
    market = _market()
    listing = market.offer()
    trades = [market.take(listing, part_wh) for part_wh in parts_wh]
    market.to_end()
    market.read("sol", sum(parts_wh) // 2)
    return market, trades


@case
def confirm() -> Case:
    market, (trade,) = _proposed(300)
    return market, "settlement", "confirm", {"trade": trade}, ("sol",)


@case
def confirm_many() -> Case:
    market, trades = _proposed(100, 200)
    return market, "settlement", "confirm_many", {"trades": trades}, ("sol",)


@case
def dispute() -> Case:
    market, (trade,) = _proposed(300)
    return market, "settlement", "dispute", {"trade": trade, "amount": 7, "reason": "x"}, ("bea",)


@case
def resolve() -> Case:
    market, (trade,) = _proposed(300)
    disputed = market.ok("settlement", "dispute", {"trade": trade, "amount": 7, "reason": ""}, "bea")
    return market, "settlement", "resolve", {"dispute_id": disputed, "paid": 3}, ("sol",)


@case
def decide_trade() -> Case:
    market, (trade,) = _proposed(300)
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    market.to(market.chain.time_ms + 200_000_000)
    return market, "settlement", "decide_trade", {"trade": trade}, ("arb",)


def _adjusted() -> tuple[Market, str]:
    market, (trade,) = _proposed(300)
    market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    market.read("sol", 200, sequence=2)
    return market, str(market.records("settlement/adjustment/")[0]["id"])


@case
def confirm_adjustments() -> Case:
    market, name = _adjusted()
    return market, "settlement", "confirm_adjustments", {"adjustments": [name]}, ("sol",)


@case
def decide_adjustment() -> Case:
    market, name = _adjusted()
    market.ok("settlement", "confirm_adjustments", {"adjustments": [name]}, "sol")
    market.to(market.chain.time_ms + 200_000_000)
    return market, "settlement", "decide_adjustment", {"adjustment": name}, ("arb",)


@case
def set_mandate() -> Case:
    return _market(), "settlement", "set_mandate", {"granted": True}, ("sol",)


@case
def deposit() -> Case:
    return _market(), "credit", "deposit", {"account": "bea", "amount": 7}, ("op1", "op2")


@case
def withdraw() -> Case:
    return _market(), "credit", "withdraw", {"account": "bea", "amount": 7}, ("op1", "op2")


@case
def transfer_money() -> Case:
    return _market(), "credit", "transfer", {"account": "bea", "to": "sol", "amount": 7}, ("bea",)


@case
def set_policy() -> Case:
    args = {"account": "bea", "keys": ["bea", "ann"], "threshold": 1}
    return _market(), "credit", "set_policy", args, ("bea", "ann")


@case
def end_policy() -> Case:
    market = _market()
    market.ok("credit", "set_policy", {"account": "bea", "keys": ["bea", "ann"], "threshold": 1}, "bea", "ann")
    return market, "credit", "set_policy", {"account": "bea", "keys": [], "threshold": 0}, ("bea", "ann")


def _minted() -> tuple[Market, str]:
    market = _market()
    market.to_end()
    market.read("sol", 1_000)
    return market, str(market.ok("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")[0])


@case
def mint() -> Case:
    market = _market()
    market.to_end()
    market.read("sol", 1_000)
    return market, "origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, ("sol",)


@case
def transfer_certificate() -> Case:
    market, name = _minted()
    return market, "origin", "transfer", {"certificate_id": name, "to": "bea", "energy_wh": 1_000}, ("sol",)


@case
def transfer_part() -> Case:
    market, name = _minted()
    return market, "origin", "transfer", {"certificate_id": name, "to": "bea", "energy_wh": 300}, ("sol",)


@case
def claim() -> Case:
    market, name = _minted()
    return market, "origin", "claim", {"certificate_id": name, "energy_wh": 300, "purpose": "Home"}, ("sol",)


@case
def bind_meter() -> Case:
    terms = {"meter": "m-new", "owner": "sol", "zone": "z", "capacity_w": 4_000, "gateway": "gate"}
    return _market(), "registry", "bind_meter", terms, ("op1",)


@case
def suspend() -> Case:
    return _market(), "registry", "suspend", {"user": "sol", "reason": "x"}, ("op1",)


@case
def resume() -> Case:
    market = _market()
    market.ok("registry", "suspend", {"user": "sol", "reason": "x"}, "op1")
    return market, "registry", "resume", {"user": "sol"}, ("op1",)


@case
def suspend_meter() -> Case:
    return _market(), "registry", "suspend_meter", {"meter": "m-sol", "reason": "x"}, ("op1",)


@case
def resume_meter() -> Case:
    market = _market()
    market.ok("registry", "suspend_meter", {"meter": "m-sol", "reason": "x"}, "op1")
    return market, "registry", "resume_meter", {"meter": "m-sol"}, ("op1",)


@case
def set_admission() -> Case:
    args = {"organisations": ["o"], "roles": ["buyer"], "zones": ["z"], "capacity_max_w": 1_000}
    return _market(), "registry", "set_admission", args, ("op1", "op2")


@case
def set_arbiter() -> Case:
    market = _market()
    market.chain.user("other", "arbiter")
    return market, "registry", "set_arbiter", {"user": "other"}, ("op1", "op2")


@case
def set_parameter() -> Case:
    return _market(), "governance", "set_parameter", {"name": "fee_permille", "value": 20}, ("op1", "op2")


@case
def set_grid_fee() -> Case:
    market = _market()
    args = {"from_zone": "z", "to_zone": "y", "fee": 5, "from_ms": market.chain.time_ms + 700 * INTERVAL_MS}
    return market, "governance", "set_grid_fee", args, ("op1", "op2")


@case
def set_product() -> Case:
    market = _market()
    args: dict[str, Any] = {"name": "p", "zones": ["z"], "mechanism": "auction", "grid_fee": 3, "ties": "time"}
    market.ok("governance", "set_product", {**args, "zones": ["y"]}, "op1", "op2")
    return market, "governance", "set_product", args, ("op1", "op2")
