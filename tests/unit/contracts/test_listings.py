"""Listings and takings: whole or part, holds, capacity, cancelling, expiry, and every bad input."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import DEPOSIT, INTERVAL_MS, MACHINE, PRICE, Market

from contracts.parameters import MARKET_PARAMETERS
from ledger.execution import MIGRATION_GAS_MAX, Call
from ledger.state import TransactionView
from ledger.values import decode_value

IMBALANCE = MARKET_PARAMETERS["imbalance_price"]


def test_a_listing_holds_the_sellers_collateral_and_its_capacity(market: Market) -> None:
    listing = market.get("market/listing/" + market.offer())
    assert (listing["seller"], listing["remaining_wh"], listing["status"]) == ("sol", 1_000, "open")
    assert market.account("sol") == (DEPOSIT - IMBALANCE, IMBALANCE)
    assert market.get(f"market/sold/m-sol/{market.interval:010d}") == 1_000


@pytest.mark.parametrize("energy_wh", [100, 300, 1_000])
def test_a_taking_makes_a_trade_at_the_listings_price_and_holds_the_buyers_money(
    market: Market, energy_wh: int
) -> None:
    listing = market.offer()
    trade = market.trade(market.take(listing, energy_wh))
    assert {name: trade[name] for name in ("seller", "buyer", "price", "energy_wh", "meter", "source", "status")} == {
        "seller": "sol", "buyer": "bea", "price": PRICE, "energy_wh": energy_wh, "meter": "m-sol", "source": "listing",
        "status": "matched",
    }  # fmt: skip
    assert market.held("bea") == energy_wh * PRICE // 1_000
    record = market.get(f"market/listing/{listing}")
    assert record["remaining_wh"] == 1_000 - energy_wh
    assert record["status"] == ("taken" if energy_wh == 1_000 else "open")


def test_several_take_parts_until_nothing_is_left(market: Market) -> None:
    listing = market.offer(lot_wh=300)
    market.take(listing, 600, "bea")
    market.take(listing, 300, "bob")
    market.take(listing, 100, "bea")  # a rest smaller than a lot is taken whole
    assert market.get(f"market/listing/{listing}")["status"] == "taken"
    assert market.code("market", "take_listing", market.taking_args(listing, 1, "bob"), "bob") == "NOT_ENOUGH_LEFT"
    assert market.records("market/offer/") == []


@pytest.mark.parametrize(
    ("args", "who", "code"),
    [
        ({"energy_wh": 1_100}, "bea", "NOT_ENOUGH_LEFT"), ({"energy_wh": 150}, "bea", "LOT_MISMATCH"),
        ({"energy_wh": 0}, "bea", "ENERGY_INVALID"), ({"energy_wh": -100}, "bea", "ENERGY_INVALID"),
        ({"energy_wh": 1 << 255}, "bea", "NOT_ENOUGH_LEFT"), ({"energy_wh": 1 << 256}, "bea", "VALUE_INVALID"),
        ({"energy_wh": True}, "bea", "ARGUMENTS_INVALID"), ({"energy_wh": "100"}, "bea", "ARGUMENTS_INVALID"),
        ({"listing": "none"}, "bea", "NOT_FOUND"), ({"listing": ""}, "bea", "NOT_FOUND"),
        ({"listing": "a b"}, "bea", "KEY_INVALID"), ({"listing": "x" * 300}, "bea", "KEY_INVALID"),
        ({}, "sol", "SELF_TRADE"), ({"other": 1}, "bea", "ARGUMENTS_INVALID"),
        ({"meter": "m-bob"}, "bea", "NOT_YOUR_METER"), ({"meter": "none"}, "bea", "NOT_FOUND"),
        ({"price_max": PRICE - 1}, "bea", "PRICE_ABOVE_LIMIT"), ({"price_max": 0}, "bea", "PRICE_ABOVE_LIMIT"),
        ({"price_max": -PRICE}, "bea", "PRICE_ABOVE_LIMIT"), ({"price_max": "1"}, "bea", "ARGUMENTS_INVALID"),
        ({"price_max": None}, "bea", "ARGUMENTS_INVALID"), ({"price_max": True}, "bea", "ARGUMENTS_INVALID"),
    ],
)  # fmt: skip
def test_bad_takings(market: Market, args: dict[str, Any], who: str, code: str) -> None:
    listing = market.offer()
    assert market.code("market", "take_listing", {**market.taking_args(listing, 100, who), **args}, who) == code


def test_nobody_takes_what_they_cannot_pay(market: Market) -> None:
    market.ok("credit", "withdraw", {"account": "bea", "amount": DEPOSIT - 100 * PRICE // 1_000 + 1}, "op1", "op2")
    listing = market.offer()
    assert market.code("market", "take_listing", market.taking_args(listing, 100), "bea") == "INSUFFICIENT_FUNDS"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"energy_wh": 0}, "ENERGY_INVALID"), ({"energy_wh": -1}, "ENERGY_INVALID"),
        ({"energy_wh": 10**9 + 1}, "ENERGY_INVALID"), ({"price": 0}, "PRICE_INVALID"), ({"price": -5}, "PRICE_INVALID"),
        ({"price": 10**9 + 1}, "PRICE_INVALID"), ({"lot_wh": 0}, "LOT_MISMATCH"), ({"lot_wh": 1_001}, "LOT_MISMATCH"),
        ({"meter": "none"}, "NOT_FOUND"), ({"meter": "m-sun"}, "NOT_YOUR_METER"), ({"meter": "a b"}, "KEY_INVALID"),
        ({"energy_wh": 100_001, "lot_wh": 1}, "CAPACITY_EXCEEDED"), ({"interval": 0}, "INTERVAL_CLOSED"),
        ({"interval": -(10**12)}, "INTERVAL_CLOSED"), ({"interval": 10**12}, "INTERVAL_TOO_FAR"),
        ({"interval": 1 << 254}, "INTEGER_TOO_LARGE"), ({"energy_wh": 1 << 256}, "VALUE_INVALID"),
        ({"price": None}, "ARGUMENTS_INVALID"), ({"interval": "4"}, "ARGUMENTS_INVALID"),
    ],
)  # fmt: skip
def test_bad_listings(market: Market, changed: dict[str, Any], code: str) -> None:
    assert market.code("market", "post_listing", market.listing_args(**changed), "sol") == code


def test_listing_more_than_the_collateral_allows_is_refused(market: Market) -> None:
    market.ok("credit", "withdraw", {"account": "sol", "amount": DEPOSIT - IMBALANCE + 1}, "op1", "op2")
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "INSUFFICIENT_FUNDS"


def test_a_meter_cannot_sell_twice(market: Market) -> None:
    """Listings and asks of one meter and interval share its capacity: a quarter of an hour of its power."""
    market.offer(energy_wh=60_000)
    market.order("ask", "sol", 40_000, PRICE)
    assert market.code("market", "post_listing", market.listing_args(energy_wh=100), "sol") == "CAPACITY_EXCEEDED"
    assert market.code("market", "place_order", market.order_args("ask", "sol", 1, PRICE), "sol") == "CAPACITY_EXCEEDED"
    market.interval += 1
    market.offer(energy_wh=100_000)


def test_cancelling_gives_back_collateral_and_capacity_of_what_is_left(market: Market) -> None:
    listing = market.offer()
    market.take(listing, 400)
    market.ok("market", "cancel_listing", {"listing": listing}, "sol")
    assert market.held("sol") == 400 * IMBALANCE // 1_000
    assert market.get(f"market/sold/m-sol/{market.interval:010d}") == 400
    assert market.code("market", "take_listing", market.taking_args(listing, 100), "bea") == "NOT_ENOUGH_LEFT"


@pytest.mark.parametrize(
    ("who", "times", "listing", "code"),
    [("sun", 0, None, "NOT_YOURS"), ("sol", 1, None, "NOT_OPEN"), ("sol", 0, "none", "NOT_FOUND")],
)
def test_bad_cancellations(market: Market, who: str, times: int, listing: str | None, code: str) -> None:
    args = {"listing": market.offer()}
    for _ in range(times):
        market.ok("market", "cancel_listing", args, "sol")
    assert market.code("market", "cancel_listing", {"listing": listing or args["listing"]}, who) == code


def test_a_lowered_capacity_does_not_lock_an_offer_in(market: Market) -> None:
    """Regression: the validation module refused any write of what a meter sold beyond its new capacity, so offers
    could neither be cancelled nor expire, and their money stayed held for ever."""
    first, second = market.offer(energy_wh=50_000), market.offer(energy_wh=50_000)
    market.bind("m-sol", "sol", capacity_w=1_000)
    market.ok("market", "cancel_listing", {"listing": first}, "sol")
    assert market.to_gate() == ["OK"]
    assert market.get(f"market/listing/{second}")["status"] == "expired"
    assert market.held("sol") == 0


def test_what_is_not_taken_expires_when_the_gate_closes(market: Market) -> None:
    listing = market.offer()
    market.take(listing, 300)
    gate_ms = market.interval * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000
    assert market.to(gate_ms - 2) == []
    assert market.code("market", "take_listing", market.taking_args(listing, 100), "bea") == "OK"
    assert market.to(gate_ms) == ["OK"]
    record = market.get(f"market/listing/{listing}")
    assert (record["status"], record["remaining_wh"]) == ("expired", 600)
    assert market.held("sol") == 400 * IMBALANCE // 1_000
    assert market.code("market", "take_listing", market.taking_args(listing, 100), "bea") == "INTERVAL_CLOSED"
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "INTERVAL_CLOSED"


@pytest.mark.parametrize(("before_ms", "code"), [(1, "OK"), (0, "INTERVAL_CLOSED")])
def test_the_gate_closes_at_its_very_millisecond(market: Market, before_ms: int, code: str) -> None:
    gate_ms = market.interval * INTERVAL_MS - MARKET_PARAMETERS["gate_closure_s"] * 1_000
    market.chain.time_ms = gate_ms - before_ms - 1
    assert market.code("market", "post_listing", market.listing_args(), "sol") == code


def test_the_market_opens_a_week_ahead(market: Market) -> None:
    market.interval = market.chain.time_ms // INTERVAL_MS + 672
    market.offer()
    market.interval += 1
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "INTERVAL_TOO_FAR"


@pytest.mark.parametrize(
    ("bar", "code"),
    [("suspend", "SUSPENDED"), ("revoke", "CERTIFICATE_REVOKED"), ("expire", "CERTIFICATE_EXPIRED"),
     ("demote", "ROLE_REQUIRED"), ("early", "CERTIFICATE_NOT_YET_VALID")],
)  # fmt: skip
def test_nobody_takes_from_a_seller_who_may_no_longer_act(market: Market, bar: str, code: str) -> None:
    listing = market.offer()
    user = market.get("registry/user/sol")
    if bar == "suspend":
        market.ok("registry", "suspend", {"user": "sol", "reason": "x"}, "op1")
    elif bar == "revoke":
        market.ok("governance", "revoke", {"serial": user["serial"].upper(), "reason": "x"}, "op1", "op2")
    else:
        changes: dict[str, dict[str, Any]] = {
            "expire": {"not_after_ms": 1}, "demote": {"role": "buyer"}, "early": {"not_before_ms": 10**14},
        }  # fmt: skip
        market.chain.put("registry/user/sol", {**user, **changes[bar]})
    args = market.taking_args(listing, 100)
    assert market.code("market", "take_listing", args, "bea") == code
    if bar == "suspend":
        market.ok("registry", "resume", {"user": "sol"}, "op1")
        market.ok("market", "take_listing", args, "bea")


def test_a_meters_interval_has_at_most_a_hundred_trades(market: Market) -> None:
    listing = market.offer(lot_wh=1)
    for _ in range(100):
        market.take(listing, 1)
    assert market.code("market", "take_listing", market.taking_args(listing, 1), "bea") == "TOO_MANY_TRADES"


def test_nobody_uses_up_a_meters_trades_with_next_to_nothing() -> None:
    market = Market({"order_wh_min": 100})
    listing = market.offer(lot_wh=1)
    for energy_wh in (99, 101):
        # 101 would leave a rest that others could leave rests of.
        assert market.code("market", "take_listing", market.taking_args(listing, energy_wh), "bea") == "ENERGY_INVALID"
        posting = market.listing_args(energy_wh=energy_wh, lot_wh=1)
        assert market.code("market", "post_listing", posting, "sol") == "ENERGY_INVALID"
        dust = market.order_args("bid", "bea", energy_wh, PRICE, "limit")
        assert market.code("market", "place_order", dust, "bea") == "ENERGY_INVALID"
    market.take(listing, 100)
    market.ok("governance", "set_parameter", {"name": "order_wh_min", "value": 0}, "op1", "op2")
    market.take(listing, 801)
    market.ok("governance", "set_parameter", {"name": "order_wh_min", "value": 100}, "op1", "op2")
    market.take(listing, 99)  # all that is left
    offer = {"to": "bea", "side": "ask", "meter": "m-sol", "interval": market.interval, "energy_wh": 99, "price": PRICE}
    assert market.code("offers", "propose", offer, "sol") == "ENERGY_INVALID"


def test_the_least_energy_is_one_that_an_order_can_have(market: Market) -> None:
    change = {"name": "order_wh_min", "value": 10**9 + 1}
    assert market.code("governance", "set_parameter", change, "op1", "op2") == "PARAMETER_INVALID"
    market.ok("governance", "set_parameter", {**change, "value": 10**9}, "op1", "op2")
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "ENERGY_INVALID"


def test_a_network_founded_without_a_least_energy_gets_none_by_governances_upgrade(market: Market) -> None:
    migration = Call("governance", "migrate", [], (), "", MIGRATION_GAS_MAX, 0, 1, 0, "migrate")
    kept = TransactionView(market.chain.state)
    assert (MACHINE.run(migration, kept).code, kept.writes) == ("OK", {})
    place = "governance/parameter/order_wh_min"
    market.chain.state.apply({place: None})
    assert market.code("market", "post_listing", market.listing_args(), "sol") == "PARAMETER_UNKNOWN"
    view = TransactionView(market.chain.state)
    assert MACHINE.run(migration, view).code == "OK"
    assert {key: data and decode_value(data) for key, data in view.writes.items()} == {place: {"value": 1}}
    market.chain.put(place, {"value": 1})
    market.offer()
