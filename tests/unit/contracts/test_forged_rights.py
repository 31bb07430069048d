"""Whose turn, whose meter, whose number it is: what a machine gets through that runs other contracts than there are."""

from __future__ import annotations

from typing import Any

import pytest
from auctions import AuctionMarket, Order
from contract_market import PRICE, Market
from lies import OtherState, verdict
from signed_calls import CASES

from contracts.validation import Violation

EARLIEST = {
    "market": ("return pad(block_height(), 12)", "return pad(0, 12)"),
    "auction": ("return pad(block_height(), 12)", "return pad(0, 12)"),
    "offers": ('"id": pad(block_height(), 12)', '"id": pad(0, 12)'),
}
MAKERS = [
    "post_listing", "take_listing", "place_order", "match_order", "amend_order", "auction_place_order",
    "auction_amend_order", "seal_order", "propose", "counter", "agree",
]  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_made_is_called_by_when_it_is_made(name: str) -> None:
    """An order, or a trade, that called itself the first one went before all of its price, or was delivered to before
    all others of its meter; one that is called like nothing else ended the auction that it was in."""
    market, contract, function, args, signers = CASES[name]()
    called = (contract, function, args)
    assert verdict(market, called, signers) is None
    assert verdict(market, called, signers, lambda state: state.edit(contract, *EARLIEST[contract])) is not None


@pytest.mark.parametrize("number", ['"-001"', '"-00"', '"-0000"', '""'])
def test_trades_of_a_call_are_numbered_from_nothing(number: str) -> None:
    market, contract, function, args, signers = CASES["take_listing"]()
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("market", '"-000"', number))
    assert found == Violation.DELIVERY


# --------------------------------------------------------------------------------------------------- meters


def offered(side: str, meter: str, owner: str, to: str) -> tuple[Market, str]:
    market = Market()
    args = {"to": to, "side": side, "meter": meter, "interval": market.interval, "energy_wh": 300, "price": PRICE}
    return market, market.ok("offers", "propose", args, owner)


def test_nobody_sells_what_another_meters() -> None:
    """Who accepted a bid with somebody else's meter was paid for what that one delivered."""
    market, offer = offered("bid", "m-bea", "bea", "sol")
    call = ("offers", "accept", {"offer": offer, "meter": "m-sun", "price_limit": PRICE})
    assert verdict(market, call, ("sol",), owns("m-sun", "sol")) == Violation.LIMIT


@pytest.mark.parametrize("how", ["accept", "agree", "take_listing"])
def test_nobody_buys_for_the_meter_of_another(how: str) -> None:
    """It may lie where the grid fee is less."""
    market, offer = offered("ask", "m-sol", "sol", "bea")
    agreed = {"seller_meter": "m-sol", "buyer_meter": "m-bob", "interval": market.interval, "energy_wh": 300}
    calls: dict[str, tuple[tuple[str, str, dict[str, Any]], tuple[str, ...]]] = {
        "accept": (("offers", "accept", {"offer": offer, "meter": "m-bob", "price_limit": PRICE}), ("bea",)),
        "agree": (("offers", "agree", {**agreed, "price": PRICE, "price_max": PRICE}), ("sol", "bea")),
        "take_listing": (
            ("market", "take_listing", {**market.taking_args(market.offer(), 300), "meter": "m-bob"}),
            ("bea",),
        ),
    }
    call, signers = calls[how]
    assert verdict(market, call, signers, owns("m-bob", "bea")) == Violation.LIMIT


def owns(meter: str, owner: str) -> Any:
    return lambda state: state.change(f"registry/meter/{meter}", owner=owner)


def test_orders_of_one_product_alone_trade_with_each_other() -> None:
    market = Market()
    market.bind("m-bea", "bea", zone="y")
    for name, zone in (("p", "z"), ("q", "y")):
        args = {"name": name, "zones": [zone], "mechanism": "continuous", "grid_fee": 0, "ties": "time"}
        market.ok("governance", "set_product", args, "op1", "op2")
    market.order("ask", "sol", 100, PRICE)
    call = ("market", "place_order", market.order_args("bid", "bea", 100, PRICE))

    def other_book(state: OtherState) -> None:
        state.edit("market", 'book = pad(interval, 10) + "/" + product', 'book = pad(interval, 10) + "/p"')

    assert verdict(market, call, ("bea",), other_book) == Violation.LIMIT


def test_a_meter_makes_a_hundred_trades_in_an_interval() -> None:
    """By one more its readings were refused for good."""
    market = Market()
    listing = market.offer(energy_wh=200, lot_wh=1)
    for _ in range(100):
        market.take(listing, 1)
    call = ("market", "take_listing", market.taking_args(listing, 1, "bob"))
    found = verdict(
        market, call, ("bob",), lambda state: state.edit("settlement", "TRADES_MAX = 100", "TRADES_MAX = 101")
    )
    assert found == Violation.OVERSOLD


# ------------------------------------------------------------------------------------------- nothing left out


def test_what_is_amended_does_not_stay_open_too() -> None:
    """Its owner bought both."""
    market = Market()
    order, _ = market.order("bid", "bea", 1_000, PRICE)
    call = ("market", "amend_order", {"order": order, "energy_wh": 1_000, "price": PRICE + 1})
    remove = 'remove_order(record, "amended", "AMENDED")', "pass"
    assert verdict(market, call, ("bea",), lambda state: state.edit("market", *remove)) == Violation.SIGNATURES
    auction = AuctionMarket()
    order = auction.enter("bid", "bea", 1_000, PRICE)
    call = ("auction", "amend_order", {"order": order, "energy_wh": 1_000, "price": PRICE + 1})
    assert verdict(auction, call, ("bea",)) is None
    args = auction.entry(Order("bid", "bea", 1_000, PRICE + 1))
    ran = ("auction", "place_order", args)
    assert verdict(auction, ran, ("bea",), said=("amend_order", call[2])) == Violation.SIGNATURES


def test_what_is_amended_does_not_only_end() -> None:
    market = Market()
    order, _ = market.order("bid", "bea", 1_000, PRICE)
    call = ("market", "amend_order", {"order": order, "energy_wh": 500, "price": PRICE})

    def only_ended(state: OtherState) -> None:
        source = 'return enter_order(record["side"], record["meter"], record["interval"], energy_wh, price, "limit")'
        state.edit("market", source, "return None")

    assert verdict(market, call, ("bea",), only_ended) == Violation.SIGNATURES


def test_what_is_amended_stands_as_a_limit_order() -> None:
    market = Market()
    order, _ = market.order("bid", "bea", 1_000, PRICE)
    call = ("market", "amend_order", {"order": order, "energy_wh": 500, "price": PRICE})
    ioc = 'energy_wh, price, "limit")\n\n\n@export("seller", "buyer", "prosumer")\ndef cancel', "limit", "ioc"

    def cancelled(state: OtherState) -> None:
        state.edit("market", ioc[0], ioc[0].replace(*ioc[1:]))

    assert verdict(market, call, ("bea",), cancelled) == Violation.STANDING


def test_what_is_countered_does_not_stay_open_too() -> None:
    """Both were accepted."""
    market, contract, function, args, signers = CASES["counter"]()
    end = 'end_offer(record, "countered", "COUNTERED")', "pass"
    found = verdict(market, (contract, function, args), signers, lambda state: state.edit("offers", *end))
    assert found == Violation.SIGNATURES


def test_of_what_a_gateway_signs_nothing_is_left_out() -> None:
    """The later readings alone kept the earlier ones from being taken at all."""
    market = Market()
    first = market.interval
    market.take(market.offer(lot_wh=1), 300)
    market.interval = first + 1
    market.take(market.offer(lot_wh=1), 300)
    market.interval = first + 2
    market.to_end()
    readings = [market.reading("sol", 300, sequence=n + 1, interval=first + n) for n in range(2)]
    ran = ("settlement", "submit_readings", {"readings": readings[1:]})
    said = ("submit_readings", {"readings": readings})
    assert verdict(market, ran, ("gate",)) is None
    assert verdict(market, ran, ("gate",), said=said) == Violation.SIGNATURES
    market.ok("settlement", "submit_readings", {"readings": readings[:1]}, "gate")
    assert verdict(market, ran, ("gate",), said=said) is None, "what is held already need not be told again"


def test_a_mandate_signs_what_is_metered() -> None:
    market = Market()
    for who in ("sol", "bea"):
        market.ok("settlement", "set_mandate", {"granted": True}, who)
    market.take(market.offer(lot_wh=1), 300)
    market.to_end()
    call = ("settlement", "submit_readings", {"readings": [market.reading("sol", 300)]})
    unsigned = 'trade["seller_confirmed"] = read and trade["seller_mandate"]', 'trade["seller_confirmed"] = False'
    assert verdict(market, call, ("gate",)) is None
    assert verdict(market, call, ("gate",), lambda state: state.edit("settlement", *unsigned)) == Violation.SIGNATURES


@pytest.mark.parametrize(
    ("keys", "threshold"), [(["bea", "bea", "ann"], 1), (["bea", "ann"], 0), (["bea", "ann"], 3), ([], 1)]
)
def test_a_policy_names_different_keys_and_as_many_as_it_takes(keys: list[str], threshold: int) -> None:
    market = Market()
    market.chain.user("ann", "buyer")
    call = ("credit", "set_policy", {"account": "bea", "keys": keys, "threshold": threshold})

    def any_policy(state: OtherState) -> None:
        state.edit("credit", "sound = len(keys) <= KEYS_MAX", "sound = True or len(keys) <= KEYS_MAX")
        state.edit("credit", "is_str(key) and key not in seen", "is_str(key)")
        state.edit("credit", "    need_signatures(policy)\n    put", "    put")

    assert verdict(market, call, ("bea", "ann"), any_policy) == Violation.SIGNATURES
