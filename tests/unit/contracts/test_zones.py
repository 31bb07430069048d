"""Zones, grid fees and products: who meets whom across zones, at what price, in which order; executions; amending."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import CAPACITY_W, INTERVAL_MS, Market

from contracts.parameters import MARKET_PARAMETERS

IMBALANCE = MARKET_PARAMETERS["imbalance_price"]
LOW, MID, HIGH = 100_000, 200_000, 300_000
FEE = 50_000
UNTRADED_MS = 673 * INTERVAL_MS
PEOPLE = {"sol": "north", "sun": "south", "bea": "north", "bob": "south"}


@pytest.fixture
def zones() -> Market:
    """Sol and Bea in the north, Sun and Bob in the south; between the zones the grid gets a fee."""
    market = Market()
    for who, zone in PEOPLE.items():
        market.bind(f"m-{who}", who, CAPACITY_W, zone)
    set_fee(market, "north", "south", FEE)
    set_fee(market, "south", "north", FEE)
    return market


def set_fee(market: Market, source: str, to: str, fee: int, from_ms: int = 0) -> None:
    args = {"from_zone": source, "to_zone": to, "fee": fee, "from_ms": from_ms}
    market.ok("governance", "set_grid_fee", args, "op1", "op2")


def product(**changed: Any) -> dict[str, Any]:
    terms = {"name": "valley", "zones": ["north"], "mechanism": "continuous", "grid_fee": 0, "ties": "time"}
    return {**terms, **changed}


def status(market: Market, order: str) -> tuple[str, int]:
    record = market.get(f"market/order/{order}")
    return record["status"], record["remaining_wh"]


# --------------------------------------------------------------------------------------------- grid fees


def test_at_a_resting_ask_the_buyer_pays_the_ask_and_the_fee(zones: Market) -> None:
    zones.order("ask", "sol", 1_000, MID)
    _, (trade,) = zones.order("bid", "bob", 1_000, MID + FEE)
    assert (trade["price"], trade["grid_fee"], trade["buyer_meter"]) == (MID + FEE, FEE, "m-bob")
    assert zones.held("bob") == MID + FEE


def test_at_a_resting_bid_the_buyer_pays_its_bid_and_the_seller_nets_it_less_the_fee(zones: Market) -> None:
    zones.order("bid", "bob", 1_000, HIGH)
    _, (trade,) = zones.order("ask", "sol", 1_000, MID)
    assert (trade["price"], trade["grid_fee"]) == (HIGH, FEE)


@pytest.mark.parametrize("first", ["ask", "bid"])
def test_a_bid_below_ask_and_fee_meets_nobody(zones: Market, first: str) -> None:
    orders = [("ask", "sol", MID), ("bid", "bob", MID + FEE - 1)]
    for side, who, price in orders if first == "ask" else orders[::-1]:
        assert zones.order(side, who, 10, price)[1] == []


def test_a_taking_pays_the_fee_to_the_takers_zone(zones: Market) -> None:
    listing = zones.offer("sol", price=MID)
    here, there = (zones.trade(zones.take(listing, 100, who)) for who in ("bea", "bob"))
    assert [(trade["price"], trade["grid_fee"]) for trade in (here, there)] == [(MID, 0), (MID + FEE, FEE)]


@pytest.mark.parametrize("who", ["bea", "bob"])
def test_a_fee_that_rises_before_a_taking_is_executed_takes_nobody_beyond_what_they_signed(
    zones: Market, who: str
) -> None:
    """A taking was signed for the price with the fee that had been read, and executed at any that had come since."""
    set_fee(zones, "north", "north", 5)
    args = zones.taking_args(zones.offer("sol", price=MID), 100, who)
    paid = args["price_max"]
    assert paid == (MID + FEE if who == "bob" else MID + 5)
    set_fee(zones, "north", PEOPLE[who], paid - MID + 1)
    assert zones.code("market", "take_listing", args, who) == "PRICE_ABOVE_LIMIT"
    trade = zones.trade(zones.ok("market", "take_listing", {**args, "price_max": paid + 1}, who))
    assert (trade["price"], zones.held(who)) == (paid + 1, 100 * (paid + 1) // 1_000)


def test_a_taking_is_at_the_listings_price_however_much_one_would_pay(zones: Market) -> None:
    args = zones.taking_args(zones.offer("sol", price=MID), 100, "bob")
    assert zones.trade(zones.ok("market", "take_listing", {**args, "price_max": 10**12}, "bob"))["price"] == MID + FEE


def test_priority_is_by_what_the_buyer_pays(zones: Market) -> None:
    """The dearer ask of one's own zone comes before a cheaper one that the grid fee makes dearer still."""
    zones.order("ask", "sun", 10, MID)
    zones.order("ask", "sol", 20, MID + FEE - 1)
    zones.order("ask", "sol", 30, MID + FEE)
    _, trades = zones.order("bid", "bea", 60, HIGH)
    paid = [(trade["seller"], trade["energy_wh"], trade["price"]) for trade in trades]
    assert paid == [("sol", 20, MID + FEE - 1), ("sun", 10, MID + FEE), ("sol", 30, MID + FEE)]


def test_time_decides_between_zones_that_cost_the_buyer_the_same(zones: Market) -> None:
    zones.order("ask", "sol", 10, MID + FEE)
    zones.order("ask", "sun", 10, MID)
    _, trades = zones.order("bid", "bea", 20, HIGH)
    assert [trade["seller"] for trade in trades] == ["sol", "sun"]


def test_an_ask_takes_the_highest_bid_that_covers_its_fee(zones: Market) -> None:
    zones.order("bid", "bob", 10, MID + FEE - 1)
    zones.order("bid", "bea", 10, MID)
    _, trades = zones.order("ask", "sol", 20, MID)
    assert [trade["buyer"] for trade in trades] == ["bea"]


def test_a_fee_within_a_zone_counts_too(zones: Market) -> None:
    set_fee(zones, "north", "north", 7)
    zones.order("ask", "sol", 10, MID)
    assert zones.order("bid", "bea", 10, MID + 6)[1] == []
    _, (trade,) = zones.order("bid", "bea", 10, MID + 7)
    assert (trade["price"], trade["grid_fee"]) == (MID + 7, 7)


def test_a_fee_holds_for_deliveries_from_its_time_on(zones: Market) -> None:
    set_fee(zones, "north", "south", FEE + 1, zones.interval * INTERVAL_MS)
    prices = []
    for interval in (zones.interval - 1, zones.interval):
        zones.interval = interval
        prices.append(zones.trade(zones.take(zones.offer("sol", price=MID), 100, "bob"))["price"])
    assert prices == [MID + FEE, MID + FEE + 1]


def test_a_fee_falls_only_where_nothing_is_traded_yet(zones: Market) -> None:
    soon_ms = zones.chain.time_ms + UNTRADED_MS
    args: dict[str, Any] = {"from_zone": "north", "to_zone": "south", "fee": FEE - 1, "from_ms": soon_ms}
    assert zones.code("governance", "set_grid_fee", args, "op1", "op2") == "FEE_TOO_SOON"
    args["from_ms"] = soon_ms + 2  # the next block's time is 2 ms later
    zones.ok("governance", "set_grid_fee", args, "op1", "op2")
    assert zones.code("governance", "set_grid_fee", {**args, "fee": FEE + 1}, "op1", "op2") == "CHANGE_PENDING"
    zones.order("ask", "sol", 10, MID)
    assert zones.order("bid", "bob", 10, MID + FEE - 1)[1] == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"fee": -1}, "FEE_INVALID"), ({"fee": 10**9 + 1}, "FEE_INVALID"), ({"from_ms": -1}, "FEE_INVALID"),
        ({"from_zone": ""}, "ZONE_INVALID"), ({"to_zone": "a/b"}, "ZONE_INVALID"),
        ({"to_zone": "x" * 65}, "ZONE_INVALID"),
    ],
)  # fmt: skip
def test_bad_grid_fees(market: Market, changed: dict[str, Any], code: str) -> None:
    args = {"from_zone": "north", "to_zone": "south", "fee": 1, "from_ms": 0, **changed}
    assert market.code("governance", "set_grid_fee", args, "op1", "op2") == code
    assert market.code("governance", "set_grid_fee", {**args, "fee": 1}, "op1") == "CONSENT_LACKING"


# ------------------------------------------------------------------------------------------------ products


def test_products_have_books_of_their_own(zones: Market) -> None:
    zones.ok("governance", "set_product", product(), "op1", "op2")
    zones.order("ask", "sun", 10, LOW)
    assert zones.order("bid", "bea", 10, HIGH)[1] == []
    zones.order("ask", "sol", 10, LOW)
    assert zones.get(f"market/top/bid/{zones.interval:010d}/valley") is None


@pytest.mark.parametrize("count", [40, 41, 90])
def test_a_closing_gate_leaves_no_best_order_of_however_many_products(count: int) -> None:
    """They are cleared forty a block: one that stayed would name an order that rests no longer, and whoever met it once
    the gate is open again would fail. Orders are withdrawn meanwhile with their best order cleared and not yet."""
    market = Market({"gate_closure_s": 3_600})
    market.interval += 1
    orders = []
    for number in range(count):
        zone = f"z{number:02d}"
        market.bind(f"m-{zone}", "sol", zone=zone)
        market.ok("governance", "set_product", product(name=f"p{number:02d}", zones=[zone]), "op1", "op2")
        terms = {**market.order_args("ask", zone, 10, MID), "price": MID + number}
        orders.append(market.ok("market", "place_order", terms, "sol")["order"])
    gate_ms = market.interval * INTERVAL_MS - 3_600_000
    assert [code for code, _ in market.chain.block(gate_ms - market.chain.time_ms)] == ["OK"]
    assert len(market.records("market/top/")) == count - 40
    for order in (orders[0], orders[-1]):
        market.ok("market", "cancel_order", {"order": order}, "sol")
    market.to(gate_ms)
    assert market.records("market/top/") == market.records("market/ask/") == []
    assert {status(market, order) for order in orders[1:-1]} == {("expired", 10)}
    assert market.held("sol") == 0
    market.ok("governance", "set_parameter", {"name": "gate_closure_s", "value": 60}, "op1", "op2")
    market.bind("m-bea", "bea", zone=f"z{count - 1:02d}")
    assert market.order("bid", "bea", 10, HIGH)[1] == []


def test_a_zone_that_trades_by_auction_has_no_continuous_book(zones: Market) -> None:
    zones.ok("governance", "set_product", product(mechanism="auction"), "op1", "op2")
    args = zones.order_args("bid", "bea", 10, HIGH)
    assert zones.code("market", "place_order", args, "bea") == "MECHANISM_DIFFERS"
    zones.order("bid", "bob", 10, HIGH)


def test_a_product_gives_its_zones_free(zones: Market) -> None:
    zones.ok("governance", "set_product", product(mechanism="auction"), "op1", "op2")
    zones.ok("governance", "set_product", product(zones=["south"]), "op1", "op2")
    assert zones.get("governance/zone/north") is None
    zones.order("bid", "bea", 10, HIGH)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": ""}, "NAME_INVALID"), ({"zones": ["a"] * 17}, "ZONE_INVALID"), ({"zones": [1]}, "ZONE_INVALID"),
        ({"zones": ["a", "a"]}, "ZONE_TAKEN"), ({"zones": ["taken"]}, "ZONE_TAKEN"),
        ({"mechanism": "lottery"}, "MECHANISM_UNKNOWN"), ({"grid_fee": -1}, "FEE_INVALID"),
        ({"ties": "chance"}, "TIES_INVALID"),
    ],
)  # fmt: skip
def test_bad_products(market: Market, changed: dict[str, Any], code: str) -> None:
    market.ok("governance", "set_product", product(name="other", zones=["taken"]), "op1", "op2")
    assert market.code("governance", "set_product", product(**changed), "op1", "op2") == code


def test_a_book_has_orders_of_at_most_sixteen_zones_a_side(market: Market) -> None:
    for number in range(17):
        market.bind(f"m{number}", "sol", 1_000, f"z{number}")
    common = {"side": "ask", "interval": market.interval, "energy_wh": 1, "price": MID, "execution": "limit"}
    for number in range(16):
        market.ok("market", "place_order", {**common, "meter": f"m{number}"}, "sol")
    args = {**common, "meter": "m16"}
    assert market.code("market", "place_order", args, "sol") == "TOO_MANY_ZONES"
    _, trades = market.order("bid", "bea", 16, MID)
    assert len(trades) == 16
    market.ok("market", "place_order", args, "sol")


# ------------------------------------------------------------------------------------ executions, amending


def test_an_ioc_order_never_rests(market: Market) -> None:
    market.order("ask", "sol", 40, MID)
    result = market.call("market", "place_order", market.order_args("bid", "bea", 100, MID, "ioc"), "bea")
    order = result.value["order"]
    assert (len(result.value["trades"]), status(market, order)) == (1, ("cancelled", 60))
    assert market.held("bea") == 40 * MID // 1_000
    notice = {"order": order, "owner": "bea", "remaining_wh": 60, "reason": "NOT_FILLED"}
    assert [event.data for event in result.events if event.name == "cancelled"] == [notice]
    assert market.order("ask", "sun", 10, MID)[1] == []


@pytest.mark.parametrize(("energy_wh", "code"), [(100, "OK"), (101, "NOT_FILLED")])
def test_a_fok_order_is_filled_whole_or_changes_nothing(market: Market, energy_wh: int, code: str) -> None:
    market.order("ask", "sol", 40, LOW)
    market.order("ask", "sun", 60, MID)
    assert market.code("market", "place_order", market.order_args("bid", "bea", energy_wh, MID, "fok"), "bea") == code


def test_an_execution_is_one_of_three(market: Market) -> None:
    args = market.order_args("bid", "bea", 1, MID, "gtc")
    assert market.code("market", "place_order", args, "bea") == "EXECUTION_INVALID"


def test_an_amended_order_queues_anew(market: Market) -> None:
    first, _ = market.order("ask", "sol", 10, MID)
    market.order("ask", "sun", 10, MID)
    amended = market.ok("market", "amend_order", {"order": first, "energy_wh": 5, "price": MID}, "sol")["order"]
    assert (status(market, first), status(market, amended)) == (("amended", 10), ("open", 5))
    _, trades = market.order("bid", "bea", 15, MID)
    assert [trade["seller"] for trade in trades] == ["sun", "sol"]
    assert market.held("sol") == 5 * IMBALANCE // 1_000
    assert market.get(f"market/sold/m-sol/{market.interval:010d}") == 5


def test_an_amended_price_may_match_at_once(market: Market) -> None:
    bid, _ = market.order("bid", "bea", 10, LOW)
    market.order("ask", "sol", 10, MID)
    made = market.ok("market", "amend_order", {"order": bid, "energy_wh": 10, "price": MID}, "bea")
    assert len(made["trades"]) == 1


@pytest.mark.parametrize(
    ("changed", "who", "code"),
    [
        ({"order": "none"}, "sol", "NOT_FOUND"), ({}, "sun", "NOT_YOURS"), ({"price": 0}, "sol", "PRICE_INVALID"),
        ({"energy_wh": 100_001}, "sol", "CAPACITY_EXCEEDED"),
    ],
)  # fmt: skip
def test_bad_amendments(market: Market, changed: dict[str, Any], who: str, code: str) -> None:
    order, _ = market.order("ask", "sol", 10, MID)
    assert market.code("market", "amend_order", {"order": order, "energy_wh": 5, "price": MID, **changed}, who) == code


def test_the_next_best_order_follows_one_that_is_withdrawn(market: Market) -> None:
    best, _ = market.order("ask", "sol", 10, LOW)
    market.order("ask", "sun", 10, MID)
    market.ok("market", "cancel_order", {"order": best}, "sol")
    _, (trade,) = market.order("bid", "bea", 10, HIGH)
    assert trade["seller"] == "sun"


def test_a_placement_reads_no_more_of_the_book_than_it_trades_with(market: Market) -> None:
    """The cost of a placement must not grow with what rests behind the best price."""
    used = []
    for depth in (1, 2, 60):
        while len(market.records("market/ask/")) < depth:
            market.order("ask", "sol", 10, MID)
        result = market.call("market", "place_order", market.order_args("bid", "bea", 1, MID), "bea")
        used.append(result.gas_used)
    assert abs(used[1] - used[2]) < 20, "but for the digits of what is counted"
