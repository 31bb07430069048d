"""Calls of the shipped market beyond one of each function: with two signers, mandates, second signatures, other sides,
zones and executions, each in a market where it succeeds."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from auctions import AuctionMarket
from contract_market import PRICE, Market
from signed_calls import SALT, Case

MORE_CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    MORE_CASES[make.__name__] = make
    return make


def _market(mandates: tuple[str, ...] = (), policies: tuple[str, ...] = ()) -> Market:
    """``mandates``: who has granted one; ``policies``: whose account a second key signs for too."""
    market = Market()
    market.chain.user("arb", "arbiter")
    market.ok("registry", "set_arbiter", {"user": "arb"}, "op1", "op2")
    for who in mandates:
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    for who in policies:
        market.chain.user(f"{who}2", "prosumer")
        policy = {"account": who, "keys": [who, f"{who}2"], "threshold": 2}
        market.ok("credit", "set_policy", policy, who, f"{who}2")
    return market


@case
def list_with_a_policy() -> Case:
    market = _market(policies=("sol",))
    return market, "market", "post_listing", market.listing_args(), ("sol", "sol2")


@case
def take_with_a_policy() -> Case:
    market = _market(policies=("bea",))
    return market, "market", "take_listing", market.taking_args(market.offer(), 300), ("bea", "bea2")


@case
def take_with_mandates() -> Case:
    market = _market(mandates=("sol", "bea"))
    return market, "market", "take_listing", market.taking_args(market.offer(), 300), ("bea",)


@case
def take_the_last() -> Case:
    market = _market()
    listing = market.offer()
    market.take(listing, 700, "bob")
    return market, "market", "take_listing", market.taking_args(listing, 300), ("bea",)


@case
def take_from_another_zone() -> Case:
    market = _market()
    market.bind("m-far", "bea", zone="y")
    fee = {"from_zone": "z", "to_zone": "y", "fee": 5_000, "from_ms": market.chain.time_ms + 1}
    market.ok("governance", "set_grid_fee", fee, "op1", "op2")
    return market, "market", "take_listing", market.taking_args(market.offer(), 300, meter="m-far"), ("bea",)


@case
def bid_for_many_and_rest() -> Case:
    market = _market()
    for who, energy_wh, price in (("sol", 40, PRICE + 2), ("sun", 30, PRICE), ("sol", 20, PRICE + 1)):
        market.order("ask", who, energy_wh, price)
    return market, "market", "place_order", market.order_args("bid", "bea", 120, PRICE + 2), ("bea",)


@case
def ask_for_a_part_of_a_bid() -> Case:
    market = _market()
    market.order("bid", "bea", 101, PRICE + 3)
    market.order("bid", "bob", 50, PRICE)
    return market, "market", "place_order", market.order_args("ask", "sun", 33, PRICE), ("sun",)


@case
def immediate_or_cancel() -> Case:
    market = _market()
    market.order("ask", "sol", 40, PRICE)
    return market, "market", "place_order", market.order_args("bid", "bea", 100, PRICE, "ioc"), ("bea",)


@case
def fill_or_kill() -> Case:
    market = _market()
    market.order("ask", "sol", 140, PRICE)
    return market, "market", "place_order", market.order_args("bid", "bea", 100, PRICE, "fok"), ("bea",)


@case
def bid_with_a_policy() -> Case:
    market = _market(policies=("bea",))
    market.order("ask", "sol", 40, PRICE)
    return market, "market", "place_order", market.order_args("bid", "bea", 100, PRICE), ("bea", "bea2")


def _offered(side: str, market: Market, **changed: Any) -> str:
    who, to = ("sol", "bea") if side == "ask" else ("bea", "sol")
    terms = {"meter": f"m-{who}", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    return str(market.ok("offers", "propose", {"to": to, "side": side, **terms, **changed}, *market.signers(who)))


@case
def accept_a_bid() -> Case:
    market = _market()
    return market, "offers", "accept", market.accepting_args(_offered("bid", market), "sol"), ("sol",)


@case
def counter_a_bid() -> Case:
    market = _market()
    args = {"offer": _offered("bid", market), "meter": "m-sol", "energy_wh": 8, "price": PRICE + 9}
    return market, "offers", "counter", args, ("sol",)


@case
def accept_with_a_policy() -> Case:
    market = _market(policies=("bea",), mandates=("sol",))
    return market, "offers", "accept", market.accepting_args(_offered("ask", market), "bea"), ("bea", "bea2")


def _delivered(market: Market, export_wh: int, *parts_wh: int) -> tuple[Market, list[str]]:
    listing = market.offer()
    trades = [market.take(listing, part_wh) for part_wh in parts_wh]
    market.to_end()
    market.read("sol", export_wh)
    return market, trades


@case
def confirm_second() -> Case:
    market, (trade,) = _delivered(_market(), 300, 300)
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    return market, "settlement", "confirm", {"trade": trade}, ("bea",)


@case
def confirm_together_what_fell_short() -> Case:
    market, (trade,) = _delivered(_market(), 170, 300)
    return market, "settlement", "confirm", {"trade": trade}, ("bea", "sol")


@case
def confirm_with_a_policy() -> Case:
    market, (trade,) = _delivered(_market(policies=("bea",)), 300, 300)
    market.ok("settlement", "confirm", {"trade": trade}, "bea2", "sol")
    return market, "settlement", "confirm", {"trade": trade}, ("bea",)


@case
def confirm_many_second() -> Case:
    market, trades = _delivered(_market(), 250, 100, 200)
    market.ok("settlement", "confirm_many", {"trades": trades}, "sol")
    return market, "settlement", "confirm_many", {"trades": trades}, ("bea",)


@case
def read_with_mandates() -> Case:
    market = _market(mandates=("sol", "bea"))
    market.take(market.offer(), 300)
    market.to_end()
    return market, "settlement", "submit_readings", {"readings": [market.reading("sol", 200)]}, ("gate",)


@case
def read_for_many() -> Case:
    market = _market(mandates=("bea",))
    listing = market.offer()
    for who, energy_wh in (("bea", 300), ("bob", 200), ("bea", 100)):
        market.take(listing, energy_wh, who)
    market.to_end()
    return market, "settlement", "submit_readings", {"readings": [market.reading("sol", 420)]}, ("gate",)


def _settled(mandates: tuple[str, ...] = ()) -> tuple[Market, str]:
    market, (trade,) = _delivered(_market(mandates), 150, 300)
    if not mandates:
        market.ok("settlement", "confirm", {"trade": trade}, "sol", "bea")
    return market, trade


@case
def correct_what_is_settled() -> Case:
    market, _ = _settled()
    readings = [market.reading("sol", 200, sequence=2)]
    return market, "settlement", "submit_readings", {"readings": readings}, ("gate",)


@case
def correct_what_mandates_settled() -> Case:
    market, _ = _settled(("sol", "bea"))
    readings = [market.reading("sol", 200, sequence=2)]
    return market, "settlement", "submit_readings", {"readings": readings}, ("gate",)


@case
def correct_downwards_what_mandates_settled() -> Case:
    market, _ = _settled(("sol", "bea"))
    readings = [market.reading("sol", 90, sequence=2)]
    return market, "settlement", "submit_readings", {"readings": readings}, ("gate",)


@case
def confirm_an_adjustment_second() -> Case:
    market, _ = _settled()
    market.read("sol", 200, sequence=2)
    name = str(market.records("settlement/adjustment/")[0]["id"])
    market.ok("settlement", "confirm_adjustments", {"adjustments": [name]}, "sol")
    return market, "settlement", "confirm_adjustments", {"adjustments": [name]}, ("bea",)


@case
def dispute_as_the_seller() -> Case:
    market, (trade,) = _delivered(_market(), 170, 300)
    market.ok("settlement", "confirm", {"trade": trade}, "bea")
    return market, "settlement", "dispute", {"trade": trade, "amount": 11, "reason": "x"}, ("sol",)


@case
def resolve_together() -> Case:
    market, (trade,) = _delivered(_market(), 300, 300)
    market.ok("settlement", "confirm", {"trade": trade}, "sol")
    disputed = market.ok("settlement", "dispute", {"trade": trade, "amount": 7, "reason": ""}, "bea")
    market.ok("settlement", "resolve", {"dispute_id": disputed, "paid": 3}, "arb")
    return market, "settlement", "resolve", {"dispute_id": disputed, "paid": 3}, ("bea",)


@case
def transfer_with_a_policy() -> Case:
    market = _market(policies=("bea",))
    return market, "credit", "transfer", {"account": "bea", "to": "sol", "amount": 7}, ("bea2", "bea")


@case
def reveal_a_bid() -> Case:
    market = AuctionMarket()
    text = "/".join(["bea", "m-bea", str(market.interval), "bid", "10", "5", SALT])
    sealing = {"meter": "m-bea", "interval": market.interval, "commitment": sha256(text.encode()).hexdigest()}
    order = market.ok("auction", "seal_order", sealing, "bea")
    market.chain.time_ms = market.entry_ms
    args = {"order": order, "side": "bid", "energy_wh": 10, "price": 5, "salt": SALT}
    return market, "auction", "reveal_order", args, ("bea",)


@case
def claim_all() -> Case:
    market = _market()
    market.to_end()
    market.read("sol", 1_000)
    (name,) = market.ok("origin", "mint", {"meter": "m-sol", "intervals": [market.interval]}, "sol")
    return market, "origin", "claim", {"certificate_id": name, "energy_wh": 1_000, "purpose": "Home"}, ("sol",)
