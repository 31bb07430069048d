"""The call auction: volume, price, shares and money against an exhaustive oracle; the literature's examples; sealed
orders; what may go wrong."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from auctions import PRODUCT, AuctionMarket, Order, expected
from contract_market import CAPACITY_W, DEPOSIT, INTERVAL_MS, MACHINE, START_INTERVAL, Market
from deadline_calls import entered, rescuing, worked_to
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.catalog import shipped_sources
from contracts.parameters import MARKET_PARAMETERS
from contracts.rules.terms import PRICE_MAX, TRADES_MAX
from contracts.validation import MarketValidator, Violation
from ledger import execution
from ledger.execution import Call, Event
from ledger.state import TransactionView
from ledger.values import decode_value, encode_value

IMBALANCE, TIER = MARKET_PARAMETERS["imbalance_price"], MARKET_PARAMETERS["sealed_tier"]
SALT = "a salt of some length"
MCAFEE = (Path(__file__).resolve().parents[3] / "examples" / "contracts" / "mcafee.py").read_text(encoding="ascii")
LOT = 1_000
LANES = 4
"""Steps of a clearing in a block."""

SIDES = {"bid": ("bea", "bob"), "ask": ("sol", "sun")}
ORDERS = st.lists(
    st.builds(
        lambda side, who, energy_wh, price: Order(side, SIDES[side][who], energy_wh, price),
        st.sampled_from(("bid", "ask")),
        st.integers(0, 1),
        st.integers(1, 9),
        st.integers(1, 12),
    ),
    max_size=14,
)


def outcome(orders: list[Order], fee: int = 0, ties: str = "time") -> tuple[AuctionMarket, dict[str, Any], list[str]]:
    market = AuctionMarket(grid_fee=fee, ties=ties)
    ids = [market.enter(o.side, o.who, o.energy_wh, o.price) for o in orders]
    if not orders:
        market.enter("bid", "bea", 1, 1)
    return market, market.cleared(), ids


@settings(max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(ORDERS, st.integers(0, 3), st.sampled_from(("time", "pro rata")))
@example([Order("bid", "bea", 3, 5), Order("ask", "sol", 2, 5), Order("ask", "sun", 2, 5)], 0, "pro rata")
def test_an_auction_does_what_exhaustion_says(orders: list[Order], fee: int, ties: str) -> None:
    market, result, ids = outcome(orders, fee, ties)
    wanted = expected(orders, fee, ties)
    assert (result["volume_wh"], result["low"], result["high"], result["price"]) == (
        wanted.volume_wh, wanted.low, wanted.high, wanted.price
    )  # fmt: skip
    assert tuple(market.matched(order) for order in ids) == wanted.shares
    trades = market.records("settlement/trade/")
    assert sum(trade["energy_wh"] for trade in trades) == wanted.volume_wh
    assert {(trade["price"], trade["grid_fee"]) for trade in trades} <= {(wanted.price, fee)}
    for who in ("bea", "bob", "sol", "sun"):
        bought = sum(t["energy_wh"] * t["price"] // 1_000 for t in trades if t["buyer"] == who)
        sold = sum(t["energy_wh"] * IMBALANCE // 1_000 for t in trades if t["seller"] == who)
        assert market.held(who) == bought + sold
    for who in ("sol", "sun"):
        sold = sum(t["energy_wh"] for t in trades if t["seller"] == who)
        assert (market.get(f"market/sold/m-{who}/{market.interval:010d}") or 0) == sold
    assert market.money() == 4 * DEPOSIT


# ------------------------------------------------------------------------------- examples from the literature


def test_quartierstroms_price_is_15_375_and_the_seller_nets_9_375() -> None:
    """Ask 4, grid fee 6, bid 20.75: the mean of 10 and 20.75."""
    market, result, _ = outcome([Order("ask", "sol", LOT, 4_000), Order("bid", "bea", LOT, 20_750)], 6_000)
    (trade,) = market.records("settlement/trade/")
    assert (result["price"], trade["price"] - trade["grid_fee"]) == (15_375, 9_375)


def test_the_volume_is_25_where_a_peer_clears_20() -> None:
    """Asks of 10 at 10, 10 at 20 and 10 at 30; bids of 20 at 35 and 5 at 30: the last 5 trade as well."""
    asks = [Order("ask", "sol", 10, price) for price in (10, 20, 30)]
    _, result, _ = outcome([*asks, Order("bid", "bea", 20, 35), Order("bid", "bob", 5, 30)])
    assert (result["volume_wh"], result["price"]) == (25, 30)


def test_the_uniform_price_textbook_case() -> None:
    """Bids 10, 8, 6, 4 and asks 1, 3, 5, 7, a unit each: three trade, any price from 5 to 6 clears, k = 1/2 is 5.5."""
    bids = [Order("bid", "bea", LOT, price * 1_000) for price in (10, 8, 6, 4)]
    asks = [Order("ask", "sol", LOT, price * 1_000) for price in (1, 3, 5, 7)]
    _, result, _ = outcome(bids + asks)
    assert (result["volume_wh"], result["low"], result["high"], result["price"]) == (3_000, 5_000, 6_000, 5_500)
    assert result["welfare"] == (9 + 5 + 1) * 1_000


HARRIS = (
    ("bea", "bid", 3, 20_000), ("sam", "ask", 2, 20_100), ("ben", "bid", 2, 20_000), ("ray", "ask", 1, 19_800),
    ("stu", "ask", 5, 20_200), ("bif", "bid", 4, 10**9), ("pat", "bid", 2, 20_100), ("sue", "ask", 6, 20_000),
    ("bud", "bid", 7, 10**9),
)  # fmt: skip
"""Harris, Trading and Exchanges (2003), chapter 6; orders at the market are at the highest price. Some names differ."""


def with_traders(market: Market, zone: str) -> None:
    for who, side, _, _ in HARRIS:
        market.chain.user(who, "buyer" if side == "bid" else "seller")
        market.ok("credit", "deposit", {"account": who, "amount": 10**13}, "op1", "op2")
        market.bind(f"m-{who}", who, zone=zone)


def test_harris_2003_continuously(market: Market) -> None:
    with_traders(market, "z")
    made = []
    for who, side, lots, price in HARRIS:
        _, trades = market.order(side, who, lots * LOT, price, "ioc" if price == 10**9 else "limit")
        made += [(each["seller"], each["buyer"], each["energy_wh"] // LOT, each["price"]) for each in trades]
    assert made == [
        ("ray", "bea", 1, 20_000), ("sam", "bif", 2, 20_100), ("stu", "bif", 2, 20_200), ("sue", "pat", 2, 20_100),
        ("sue", "bea", 2, 20_000), ("sue", "ben", 2, 20_000), ("stu", "bud", 3, 20_200),
    ]  # fmt: skip


def test_harris_2003_at_one_price() -> None:
    market = AuctionMarket()
    with_traders(market, PRODUCT)
    orders = {who: market.enter(side, who, lots * LOT, price) for who, side, lots, price in HARRIS}
    result = market.cleared()
    assert (result["price"], result["volume_wh"]) == (20_200, 11 * LOT)
    filled = {who: market.matched(order) // LOT for who, order in orders.items()}
    assert filled == {"bif": 4, "bud": 7, "ray": 1, "sue": 6, "sam": 2, "stu": 2, "bea": 0, "ben": 0, "pat": 0}


@pytest.mark.parametrize(
    ("bids", "asks"), [((9, 7, 6, 2), (1, 4, 5, 8)), ((5, 5, 5), (5,)), ((30, 12), (3, 10, 11, 29)), ((8,), (2, 3))]
)
def test_any_price_from_the_m_plus_first_to_the_mth_clears(bids: tuple[int, ...], asks: tuple[int, ...]) -> None:
    """Wurman, Walsh and Wellman, Decision Support Systems 24 (1998): M sellers of a unit each, all offers in order."""
    sides = [("bid", "bea", price) for price in bids] + [("ask", "sol", price) for price in asks]
    _, result, _ = outcome([Order(side, who, LOT, price) for side, who, price in sides])
    ranked = sorted(bids + asks, reverse=True)
    assert (result["low"], result["high"]) == (ranked[len(asks)], ranked[len(asks) - 1])


def test_an_order_matched_in_part_pins_the_price() -> None:
    _, result, _ = outcome([Order("bid", "bea", 10, 9), Order("ask", "sol", 4, 2)])
    assert (result["volume_wh"], result["price"]) == (4, 9)
    _, result, _ = outcome([Order("bid", "bea", 4, 9), Order("ask", "sol", 10, 2)])
    assert (result["volume_wh"], result["price"]) == (4, 2)


def test_the_middle_is_floored_and_trades_without_gain_are_made() -> None:
    assert outcome([Order("bid", "bea", 5, 8), Order("ask", "sol", 5, 5)])[1]["price"] == 6
    assert outcome([Order("bid", "bea", 5, 7), Order("ask", "sol", 5, 7)])[1]["volume_wh"] == 5


@pytest.mark.parametrize(("ties", "shares"), [("time", [7, 3, 0]), ("pro rata", [5, 3, 2])])
def test_ties_at_the_margin(ties: str, shares: list[int]) -> None:
    """Bids of 7, 5 and 3 at one price for 10: floors of 4 2/3, 3 1/3 and 2, and what is left over to the earliest."""
    orders = [Order("bid", "bea", 7, 5), Order("bid", "bob", 5, 5), Order("bid", "bea", 3, 5)]
    market, _, ids = outcome([*orders, Order("ask", "sol", 10, 1)], ties=ties)
    assert [market.matched(order) for order in ids[:3]] == shares


@pytest.mark.parametrize(
    ("bids", "asks", "price", "seller_price", "count"),
    [
        # b = 9 8 7 4, s = 2 3 4 5: k = 3, (4 + 5) / 2 = 4.5 lies in [4, 7], so all three trade at it.
        ((9, 8, 7, 4), (2, 3, 4, 5), 4_500, 4_500, 3),
        # b = 9 8 7 1, s = 2 3 4 5: (1 + 5) / 2 = 3 lies below s3 = 4: two trade, buyers pay b3 = 7, sellers get s3 = 4.
        ((9, 8, 7, 1), (2, 3, 4, 5), 7_000, 4_000, 2),
        # Nobody after the last pair: it is given up.
        ((9, 8), (2, 3), 8_000, 3_000, 1),
        ((2,), (3,), 0, 0, 0),
    ],
)
def test_mcafee_1992(bids: tuple[int, ...], asks: tuple[int, ...], price: int, seller_price: int, count: int) -> None:
    market = AuctionMarket("mcafee", contracts={"mcafee": MCAFEE})
    for value in bids:
        market.enter("bid", "bea", LOT, value * 1_000)
    for value in asks:
        market.enter("ask", "sol", LOT, value * 1_000)
    result = market.cleared()
    trades = market.records("settlement/trade/")
    assert (result["price"], result["seller_price"], len(trades)) == (price, seller_price, count)
    assert {(trade["price"], trade["price"] - trade["grid_fee"]) for trade in trades} <= {(price, seller_price)}


def test_mcafees_mean_is_compared_as_it_is() -> None:
    """Regression: it was rounded down before; 5.5 is above what the second bid pays, so that one pair trades."""
    market = AuctionMarket("mcafee", contracts={"mcafee": MCAFEE})
    for side, who, prices in (("bid", "bea", (10, 5, 4)), ("ask", "sol", (1, 3, 7))):
        for price in prices:
            market.enter(side, who, LOT, price)
    result = market.cleared()
    assert (result["price"], result["seller_price"], result["trades"]) == (5, 3, 1)


# --------------------------------------------------------------------------------------------- entering


@pytest.mark.parametrize(
    ("changed", "who", "code"),
    [
        ({"side": "both"}, "bea", "SIDE_INVALID"), ({"energy_wh": 0}, "bea", "ENERGY_INVALID"),
        ({"price": 0}, "bea", "PRICE_INVALID"), ({"interval": 7}, "bea", "AUCTION_CLOSED"),
        ({"interval": 10**9}, "bea", "INTERVAL_TOO_FAR"), ({"meter": "m-sol"}, "bea", "NOT_YOUR_METER"),
        ({"meter": "none"}, "bea", "NOT_FOUND"), ({"meter": "m-sol"}, "sol", "ROLE_REQUIRED"),
        ({"energy_wh": 10**9, "price": 10**9}, "bea", "INSUFFICIENT_FUNDS"),
        ({"side": "ask", "meter": "m-sol", "energy_wh": 100_001}, "sol", "CAPACITY_EXCEEDED"),
    ],
)  # fmt: skip
def test_bad_orders(changed: dict[str, Any], who: str, code: str) -> None:
    market = AuctionMarket()
    args = {**market.entry(Order("bid", "bea", 10, 5)), **changed}
    assert market.code("auction", "place_order", args, who) == code


def test_a_zone_that_trades_continuously_has_no_auction() -> None:
    market = AuctionMarket()
    market.bind("m-bea", "bea", CAPACITY_W, "elsewhere")
    args = market.entry(Order("bid", "bea", 10, 5))
    assert market.code("auction", "place_order", args, "bea") == "MECHANISM_DIFFERS"


def test_an_auction_keeps_the_least_energy_of_its_first_order() -> None:
    market = AuctionMarket(parameters={"order_wh_min": 5})
    assert market.code("auction", "place_order", market.entry(Order("bid", "bea", 4, 5)), "bea") == "ENERGY_INVALID"
    kept = market.enter("bid", "bea", 5, 5)
    market.ok("governance", "set_parameter", {"name": "order_wh_min", "value": 50}, "op1", "op2")
    market.enter("bid", "bob", 5, 5)
    amend = {"order": kept, "energy_wh": 6, "price": 5}
    assert market.code("auction", "amend_order", amend, "bea") == "ENERGY_INVALID"
    market.ok("auction", "amend_order", {**amend, "energy_wh": 10}, "bea")


def test_nobody_stands_on_both_sides() -> None:
    market = AuctionMarket()
    bid = market.enter("bid", "sun", 10, 5)
    ask = market.entry(Order("ask", "sun", 10, 5))
    assert market.code("auction", "place_order", ask, "sun") == "SELF_TRADE"
    market.ok("auction", "cancel_order", {"order": bid}, "sun")
    market.ok("auction", "place_order", ask, "sun")


@pytest.mark.parametrize(
    ("keys", "threshold", "others"),
    [
        (["bea"], 1, None), (["sun", "bea"], 1, None), (["bea", "ann"], 2, ["bea", "ann"]), (["bea", "ann"], 2, None),
        (["bea", "ann"], 2, ["bea", "bob"]), (["sun", "ann", "bob"], 2, ["bea", "ann", "bob"]),
    ],
)  # fmt: skip
def test_nobody_stands_on_both_sides_by_a_policy(keys: list[str], threshold: int, others: list[str] | None) -> None:
    market = AuctionMarket()
    market.chain.user("ann", "buyer")
    args = {"account": "sun", "keys": keys, "threshold": threshold}
    market.ok("credit", "set_policy", args, *dict.fromkeys(["sun", *keys]))
    if others is not None:
        market.ok("credit", "set_policy", {**args, "account": "bea", "keys": others}, *others)
    ask, bid = (market.entry(Order(side, who, 10, 5)) for side, who in (("ask", "sun"), ("bid", "bea")))
    entered = market.ok("auction", "place_order", ask, *market.signers("sun"))
    assert market.code("auction", "place_order", bid, *market.signers("bea")) == "SELF_TRADE"
    market.ok("auction", "cancel_order", {"order": entered}, "sun")
    market.ok("auction", "place_order", bid, *market.signers("bea"))
    assert market.code("auction", "place_order", ask, *market.signers("sun")) == "SELF_TRADE"
    market.cleared()


@pytest.mark.parametrize("first", ["ask", "bid"])
def test_who_gives_up_a_policy_meanwhile_does_not_stand_on_both_sides(first: str) -> None:
    """Its own account was not among its names while others signed for it: a trade with itself failed the clearing, and
    nobody's orders were traded."""
    market = AuctionMarket()
    market.chain.user("ann", "buyer")
    market.enter("ask", "sol", 10, 5)
    market.enter("bid", "bea", 10, 9)
    args = {"account": "sun", "keys": ["ann"], "threshold": 1}
    market.ok("credit", "set_policy", args, "sun", "ann")
    market.ok("auction", "place_order", market.entry(Order(first, "sun", 1, 7)), "sun", "ann")
    market.ok("credit", "set_policy", {**args, "keys": [], "threshold": 0}, "sun", "ann")
    other = market.entry(Order("bid" if first == "ask" else "ask", "sun", 1, 7))
    assert market.code("auction", "place_order", other, "sun") == "SELF_TRADE"
    assert market.cleared()["volume_wh"] >= 10


@pytest.mark.parametrize("late_ms", [1_000, MARKET_PARAMETERS["metering_deadline_s"] * 1_000])
def test_what_an_auction_trades_after_its_interval_was_read_is_settled(late_ms: int) -> None:
    """A chain that had stood still took a reading before the clearing was through, and what was traded then waited for
    a reading for ever, its money on hold."""
    market = AuctionMarket()
    for who in ("sol", "sun"):
        market.enter("ask", who, 10, 5)
        market.enter("bid", "bea", 10, 9)
    market.chain.block((market.interval + 1) * INTERVAL_MS + late_ms - market.chain.time_ms)
    assert market.result()["stage"] == "forfeit"
    market.read("sol", export_wh=8)
    assert {code for code, _ in market.chain.advance(0)} == {"OK"}
    assert {code for code, _ in market.chain.advance(MARKET_PARAMETERS["metering_deadline_s"] * 1_000)} <= {"OK"}
    trades = {trade["seller"]: trade for trade in market.records("settlement/trade/")}
    assert {who: (trade["status"], trade["delivered_wh"]) for who, trade in trades.items()} == {
        "sol": ("proposed", 8), "sun": ("proposed", 0)
    }  # fmt: skip


def test_cancelling_and_amending_give_back_and_queue_anew() -> None:
    market = AuctionMarket()
    first, second = market.enter("ask", "sol", 10, 5), market.enter("ask", "sun", 10, 5)
    amended = market.ok("auction", "amend_order", {"order": first, "energy_wh": 8, "price": 5}, "sol")
    gone = market.enter("bid", "bob", 7, 9)
    market.ok("auction", "cancel_order", {"order": gone}, "bob")
    assert (market.held("bob"), market.held("sol")) == (0, 8 * IMBALANCE // 1_000)
    market.enter("bid", "bea", 12, 5)
    for order, who, code in ((first, "sol", "NOT_OPEN"), (second, "sol", "NOT_YOURS"), ("none", "sol", "NOT_FOUND")):
        assert market.code("auction", "cancel_order", {"order": order}, who) == code
    assert market.result()["orders"] == 3
    market.cleared()
    assert (market.matched(second), market.matched(amended)) == (10, 2)


def test_nothing_enters_or_leaves_once_orders_are_revealed() -> None:
    market = AuctionMarket()
    order = market.enter("bid", "bea", 10, 5)
    market.chain.time_ms = market.entry_ms - 1
    for function, args in (
        ("place_order", market.entry(Order("bid", "bea", 1, 1))), ("cancel_order", {"order": order}),
        ("amend_order", {"order": order, "energy_wh": 1, "price": 1}),
        ("seal_order", {"meter": "m-bea", "interval": market.interval, "commitment": "0" * 64}),
    ):  # fmt: skip
        assert market.code("auction", function, args, "bea") == "AUCTION_CLOSED"


def test_an_auction_has_as_many_orders_as_it_can_clear() -> None:
    market = AuctionMarket()
    market.enter("bid", "bea", 1, 1)
    key = f"auction/run/{PRODUCT}/{market.interval:010d}"
    market.chain.put(key, {**market.get(key), "orders": 20_000})
    assert market.code("auction", "place_order", market.entry(Order("bid", "bea", 1, 1)), "bea") == "TOO_MANY_ORDERS"


def test_no_order_is_free_and_one_party_cannot_fill_an_auction() -> None:
    """400 bids of 1 Wh at 999 held nothing, and left no place for anybody else."""
    market = AuctionMarket(mechanism="mcafee", contracts={"mcafee": MCAFEE})
    market.chain.user("poor", "buyer")
    market.bind("m-poor", "poor", zone=PRODUCT)
    poor = market.entry(Order("bid", "poor", 1, 999))
    assert market.code("auction", "place_order", poor, "poor") == "INSUFFICIENT_FUNDS"
    market.ok("credit", "deposit", {"account": "poor", "amount": 1_000}, "op1", "op2")
    for _ in range(20):
        market.enter("bid", "poor", 1, 999)
    assert market.account("poor") == (980, 20)
    assert market.code("auction", "place_order", poor, "poor") == "TOO_MANY_ORDERS"
    market.enter("bid", "bea", 10, 5)
    market.cleared()
    assert market.account("poor") == (1_000, 0)


def test_orders_of_people_who_may_not_act_are_left_out_before_the_price_is_found() -> None:
    market = AuctionMarket()
    barred = market.enter("bid", "bob", 10, 100)
    market.enter("bid", "bea", 10, 10)
    market.enter("ask", "sol", 10, 6)
    market.ok("registry", "suspend", {"user": "bob", "reason": "x"}, "op1")
    result = market.cleared()
    assert (result["price"], market.get(f"auction/order/{barred}")["status"]) == (8, "barred")
    assert market.held("bob") == 0


@pytest.mark.parametrize("who", ["bob", "sun"])
def test_orders_of_suspended_meters_are_left_out_too(who: str) -> None:
    market = AuctionMarket()
    orders = {"bob": market.enter("bid", "bob", 10, 100), "sun": market.enter("ask", "sun", 10, 1)}
    market.enter("bid", "bea", 5, 10)
    market.enter("ask", "sol", 5, 6)
    market.ok("registry", "suspend_meter", {"meter": f"m-{who}", "reason": "x"}, "op1")
    market.chain.time_ms = market.clear_ms
    told = [event for _, events in market.chain.advance(0) for event in events if event.name == "barred"]
    assert [(event.data["order"], event.data["reason"]) for event in told] == [(orders[who], "METER_SUSPENDED")]
    assert market.result()["stage"] == "done"
    assert (market.matched(orders[who]), market.held(who)) == (0, 0)


@pytest.mark.parametrize("who", ["bob", "sun"])
def test_orders_of_a_meters_earlier_owner_are_left_out_too(who: str) -> None:
    market = AuctionMarket()
    orders = {"bob": market.enter("bid", "bob", 10, 100), "sun": market.enter("ask", "sun", 10, 1)}
    market.chain.user("new", "prosumer")
    market.bind(f"m-{who}", "new", zone=PRODUCT)
    market.chain.time_ms = market.clear_ms
    told = [event for _, events in market.chain.advance(0) for event in events if event.name == "barred"]
    assert [(event.data["order"], event.data["reason"]) for event in told] == [(orders[who], "METER_REBOUND")]
    assert market.result()["stage"] == "done"
    assert (market.matched(orders[who]), market.held(who)) == (0, 0)


def test_a_meter_with_all_its_trades_made_sells_no_more() -> None:
    market = AuctionMarket()
    for _ in range(103):
        market.enter("bid", "bea", 1, 9)
    big, small = market.enter("ask", "sol", 103, 1), market.enter("ask", "sun", 3, 2)
    found = market.cleared()
    assert (found["volume_wh"], found["low"]) == (103, 2), "the next ask sells the rest, at its price or more"
    assert (market.matched(big), market.matched(small)) == (100, 3)
    assert market.get(f"auction/order/{big}")["status"] == "full"


def test_others_sell_what_a_meter_with_all_its_trades_made_cannot() -> None:
    """Regression: what it could not sell was published as traded, and nobody else sold it."""
    market = AuctionMarket()
    for _ in range(103):
        market.enter("bid", "bea", 1, 9)
    big, small = market.enter("ask", "sol", 102, 1), market.enter("ask", "sun", 3, 1)
    assert market.cleared()["volume_wh"] == 103
    assert (market.matched(big), market.matched(small)) == (100, 3)


def test_an_auction_of_many_small_orders_clears_whatever_a_step_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a step of the match was 3,000 orders, however dear. With long names it ran out of gas, nothing ever
    tried again, and everybody's money stayed on hold. Here with less gas and fewer orders, which is quicker."""
    monkeypatch.setattr(execution, "DEADLINE_GAS_MAX", 600_000)
    market, pairs, people = AuctionMarket(), 1_000, {"ask": "s" * 64, "bid": "b" * 64}
    for side, who in people.items():
        market.chain.user(who, "seller" if side == "ask" else "buyer")
        market.ok("credit", "deposit", {"account": who, "amount": 10**9}, "op1", "op2")
        market.bind(side, who, CAPACITY_W, PRODUCT)
    for number in range(pairs):
        for side, price in (("ask", 1_000 + number), ("bid", 400_000 + number)):
            order = {"side": side, "meter": side, "interval": market.interval, "energy_wh": 1, "price": price}
            market.ok("auction", "place_order", order, people[side])
    assert market.cleared()["trades"] == 100


def test_a_clearing_that_fails_gives_back_what_orders_hold() -> None:
    market = AuctionMarket()
    market.enter("bid", "bea", LOT, 9)
    ask = market.enter("ask", "sol", LOT, 3)
    (key,) = [key for key, _ in market.chain.state.scan(f"auction/ask/{PRODUCT}/", "", 9)]
    assert key.endswith(ask)
    market.chain.put(key, ["damaged", "sol", "m-sol"])
    assert "TYPE_MISMATCH" in market.to(market.clear_ms)
    assert market.result()["stage"] == "match"
    for minute in range(1, 4):
        market.to(market.clear_ms + 60_000 * minute)
    assert market.result()["stage"] == "done"
    assert {order["status"] for order in market.records("auction/order/")} == {"expired"}
    assert (market.held("bea"), market.held("sol")) == (0, 0)
    market.to(market.clear_ms + 60_000 * 5)
    assert market.chain.state.scan("system/deadline/", "", 1) == []


def test_an_auction_that_trades_nothing_has_no_price() -> None:
    """One whose trades failed published the price that they would have had, with a volume of 0."""
    market = AuctionMarket()
    market.enter("bid", "bea", LOT, 9)
    market.enter("ask", "sol", LOT, 3)
    account = market.get("credit/account/bea")
    market.chain.put("credit/account/bea", {**account, "held": 0})
    told = [event for minute in range(4) for event in advanced(market, market.clear_ms + 60_000 * minute)]
    (cleared,) = [event.data for event in told if event.name == "cleared"]
    assert {cleared[name] for name in ("price", "volume_wh", "low", "high", "welfare")} == {0}
    assert market.result()["failed"] == "CLEARING_FAILED"


@pytest.mark.parametrize("stage", ["match", "level", "share"])
def test_an_auction_whose_walk_fails_has_no_volume(stage: str) -> None:
    """Regression: its result told the volume, welfare and price that the walk had found so far, and no trades."""
    market = worked_to(stage, entered("pro rata"))
    key = f"auction/run/{PRODUCT}/{market.interval:010d}"
    market.chain.put(key, {**market.get(key), "volume_wh": 70, "welfare": 9})
    rescuing(market).apply()
    found = market.result()
    names = ("price", "seller_price", "low", "high", "volume_wh", "welfare", "trades")
    assert [found[name] for name in names] == [0] * len(names)
    assert (found["stage"], found["failed"]) == ("rest", "CLEARING_FAILED")


def advanced(market: AuctionMarket, at_ms: int) -> list[Event]:
    return [event for _, events in market.chain.advance(at_ms - market.chain.time_ms) for event in events]


def test_the_unmatched_are_told_why() -> None:
    market = AuctionMarket()
    order = market.enter("bid", "bea", 10, 5)
    market.chain.time_ms = market.clear_ms
    told = [event for _, events in market.chain.advance(0) for event in events if event.name == "expired"]
    assert [event.data for event in told] == [
        {"order": order, "owner": "bea", "remaining_wh": 10, "reason": "UNMATCHED"}
    ]


# ------------------------------------------------------------------------------------------- sealed orders


def seal(market: AuctionMarket, order: Order, salt: str = SALT) -> str:
    terms = [order.who, f"m-{order.who}", market.interval, order.side, order.energy_wh, order.price, salt]
    commitment = sha256("/".join(map(str, terms)).encode()).hexdigest()
    args = {"meter": f"m-{order.who}", "interval": market.interval, "commitment": commitment}
    return str(market.ok("auction", "seal_order", args, order.who))


def revealing(sealed: str, order: Order, salt: str = SALT) -> dict[str, Any]:
    return {"order": sealed, "side": order.side, "energy_wh": order.energy_wh, "price": order.price, "salt": salt}


def test_a_sealed_order_keeps_its_time_and_shows_nothing_until_it_is_revealed() -> None:
    market = AuctionMarket()
    order = Order("bid", "bea", 10, 7)
    sealed = seal(market, order)
    assert market.held("bea") == TIER
    later = market.enter("bid", "bob", 10, 7)
    market.enter("ask", "sol", 10, 1)
    market.chain.time_ms = market.entry_ms
    market.ok("auction", "reveal_order", revealing(sealed, order), "bea")
    assert market.held("bea") == 1, "its worth, rounded up"
    market.cleared()
    assert (market.matched(sealed), market.matched(later)) == (10, 0)


def test_an_order_that_is_not_revealed_forfeits_its_tier() -> None:
    market = AuctionMarket()
    sealed = seal(market, Order("bid", "bea", 10, 7))
    market.cleared()
    assert market.get(f"auction/sealed/{sealed}")["status"] == "forfeited"
    assert (market.account("bea"), market.account("balancing")) == ((DEPOSIT - TIER, 0), (TIER, 0))


@pytest.mark.parametrize(
    ("function", "args", "code"),
    [("suspend", {"user": "bea"}, "SUSPENDED"), ("suspend_meter", {"meter": "m-bea"}, "METER_SUSPENDED")],
)
def test_who_may_not_reveal_forfeits_the_tier_too(function: str, args: dict[str, Any], code: str) -> None:
    market = AuctionMarket()
    order = Order("bid", "bea", 10, 7)
    sealed = seal(market, order)
    market.ok("registry", function, {**args, "reason": "x"}, "op1")
    market.chain.time_ms = market.entry_ms
    assert market.code("auction", "reveal_order", revealing(sealed, order), "bea") == code
    market.cleared()
    assert (market.account("bea"), market.account("balancing")) == ((DEPOSIT - TIER, 0), (TIER, 0))


@pytest.mark.parametrize(
    ("at", "changed", "who", "code"),
    [
        ("early", {}, "bea", "NOT_REVEALING"), ("late", {}, "bea", "NOT_REVEALING"),
        ("now", {}, "bob", "NOT_YOURS"), ("now", {"price": 8}, "bea", "COMMITMENT_MISMATCH"),
        ("now", {"side": "ask"}, "bea", "COMMITMENT_MISMATCH"), ("now", {"order": "none"}, "bea", "NOT_FOUND"),
        ("now", {"salt": "short"}, "bea", "SALT_INVALID"),
    ],
)  # fmt: skip
def test_bad_reveals(at: str, changed: dict[str, Any], who: str, code: str) -> None:
    market = AuctionMarket()
    order = Order("bid", "bea", 10, 7)
    args = {**revealing(seal(market, order), order), **changed}
    market.chain.time_ms = {"early": market.entry_ms - 2, "now": market.entry_ms, "late": market.clear_ms - 1}[at]
    assert market.code("auction", "reveal_order", args, who) == code


@pytest.mark.parametrize(("name", "value"), [("gate_closure_s", 600), ("reveal_s", 0)])
def test_a_changed_parameter_does_not_keep_a_sealed_order_from_being_revealed(name: str, value: int) -> None:
    """Times are fixed with the auction's opening."""
    market = AuctionMarket()
    order = Order("bid", "bea", 10, 7)
    sealed = seal(market, order)
    market.ok("governance", "set_parameter", {"name": name, "value": value}, "op1", "op2")
    market.to(market.entry_ms)
    market.ok("auction", "reveal_order", revealing(sealed, order), "bea")
    market.cleared()
    assert market.get(f"auction/sealed/{sealed}")["status"] == "revealed"
    assert market.account("bea") == (DEPOSIT, 0)


def test_nothing_is_sealed_that_could_never_be_revealed() -> None:
    market = AuctionMarket(parameters={"reveal_s": 0})
    args = {"meter": "m-bea", "interval": market.interval, "commitment": "0" * 64}
    assert market.code("auction", "seal_order", args, "bea") == "NOT_REVEALING"


def test_one_party_cannot_fill_an_auction_with_sealed_orders() -> None:
    """They counted for the auction alone, so that one party could keep all others out of it for the tier."""
    market = AuctionMarket("mcafee", contracts={"mcafee": MCAFEE})
    order = Order("bid", "bea", 10, 7)
    sealed = [seal(market, order) for _ in range(20)]
    args = {"meter": "m-bea", "interval": market.interval, "commitment": "0" * 64}
    assert market.code("auction", "seal_order", args, "bea") == "TOO_MANY_ORDERS"
    assert market.code("auction", "place_order", market.entry(order), "bea") == "TOO_MANY_ORDERS"
    market.enter("ask", "sol", 10, 3)
    market.chain.time_ms = market.entry_ms
    for each in sealed[:19]:
        market.ok("auction", "reveal_order", revealing(each, order), "bea")
    market.cleared()


def test_an_order_is_revealed_once() -> None:
    market = AuctionMarket()
    order = Order("bid", "bea", 10, 7)
    args = revealing(seal(market, order), order)
    market.chain.time_ms = market.entry_ms
    market.ok("auction", "reveal_order", args, "bea")
    assert market.code("auction", "reveal_order", args, "bea") == "NOT_SEALED"


def test_a_copied_commitment_is_of_no_use() -> None:
    """The hash names its signer: a replica that repeats somebody's commitment can never reveal it."""
    market = AuctionMarket()
    order = Order("bid", "bea", 10, 7)
    commitment = market.get(f"auction/sealed/{seal(market, order)}")["commitment"]
    args = {"meter": "m-bob", "interval": market.interval, "commitment": commitment}
    copied = market.ok("auction", "seal_order", args, "bob")
    market.chain.time_ms = market.entry_ms
    assert market.code("auction", "reveal_order", revealing(copied, order), "bob") == "COMMITMENT_MISMATCH"


@pytest.mark.parametrize("commitment", ["", "0" * 63, "G" * 64, "A" * 64])
def test_a_commitment_is_a_digest(commitment: str) -> None:
    market = AuctionMarket()
    args = {"meter": "m-bea", "interval": market.interval, "commitment": commitment}
    assert market.code("auction", "seal_order", args, "bea") == "COMMITMENT_INVALID"


# --------------------------------------------------------------------- what the validation module makes of lies


def verdict(market: AuctionMarket, call: Call, prefix: str, changed: dict[str, int]) -> str | None:
    """Of a call whose one written record below ``prefix`` is changed."""
    view = TransactionView(market.chain.state)
    result = MACHINE.run(call, view)
    assert result.code == "OK", result
    (key,) = [key for key in view.writes if key.startswith(prefix)]
    record = decode_value(view.writes[key] or b"")
    view.put(key, encode_value({**record, **{name: record[name] + value for name, value in changed.items()}}))
    return MarketValidator().check(call, result, view)


@pytest.mark.parametrize(
    ("changed", "violation"),
    [
        ({}, None), ({"price": 4}, Violation.LIMIT), ({"grid_fee": 4}, Violation.LIMIT),
        ({"energy_wh": 1}, Violation.OVERSOLD),
    ],
)  # fmt: skip
def test_a_forged_clearing_is_rejected(changed: dict[str, int], violation: str | None) -> None:
    market = AuctionMarket()
    market.enter("bid", "bea", LOT, 9)
    market.enter("ask", "sol", LOT, 3)
    market.chain.time_ms = market.clear_ms
    for _ in range(2):
        market.chain.block(1)
    assert market.result()["stage"] == "fill"
    now_ms, height = market.chain.time_ms + 1, market.chain.height + 1
    call = Call("auction", "work", [PRODUCT, market.interval], (), "", 2_000_000, now_ms, height, 0, "deadline")
    assert verdict(market, call, "settlement/trade/", changed) == violation


@pytest.mark.parametrize(
    ("changed", "violation"), [({}, None), ({"price": 1, "collateral_price": 1}, Violation.SEALED)]
)
def test_a_sealed_order_cannot_become_another(changed: dict[str, int], violation: str | None) -> None:
    market = AuctionMarket()
    order = Order("bid", "bea", 1, 7)
    args = revealing(seal(market, order), order)
    now_ms, height = market.entry_ms, market.chain.height + 1
    call = Call("auction", "reveal_order", args, ("bea",), "", 2_000_000, now_ms, height, 0, "transaction")
    assert verdict(market, call, "auction/order/", changed) == violation


# ------------------------------------------------------------------------------- a mechanism that misbehaves

BAD = {
    "beyond a limit": 'return {"price": 9, "bids": [[bids[0][0], 1]], "asks": [[asks[0][0], 1]]}',
    "below an ask": 'return {"price": 1, "bids": [[bids[0][0], 1]], "asks": [[asks[0][0], 1]]}',
    "more bought than sold": 'return {"price": 4, "bids": [[bids[0][0], 2]], "asks": [[asks[0][0], 1]]}',
    "more than was ordered": 'return {"price": 4, "bids": [[bids[0][0], 9]], "asks": [[asks[0][0], 9]]}',
    "twice": 'return {"price": 4, "bids": [[bids[0][0], 1], [bids[0][0], 1]], "asks": [[asks[0][0], 2]]}',
    "negative": 'return {"price": 4, "bids": [[bids[0][0], 0 - 1]], "asks": [[asks[0][0], 0 - 1]]}',
    "a stranger's": 'return {"price": 4, "bids": [["none", 1]], "asks": [[asks[0][0], 1]]}',
    "sellers paid more": 'return {"price": 4, "seller_price": 5, "bids": [], "asks": []}',
    "no price": 'return {"price": "4", "seller_price": 4, "bids": [], "asks": []}',
    "fails": 'fail("BROKEN", "It cannot.")\n    return {}',
    "no shares": 'return {"price": 1000000000000000000000000000, "bids": {}, "asks": ""}',
    "no answer": "return 7",
    "no end": "while True:\n        fee += 0\n    return 7",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_mechanism_cannot_break_money_or_energy(body: str) -> None:
    source = f'"""Wrong."""\n\n\n@view\ndef clear(bids: list, asks: list, fee: int):\n    {body}\n'
    market = AuctionMarket("wrong", contracts={"wrong": source})
    market.enter("bid", "bea", 2, 5)
    market.enter("ask", "sol", 2, 3)
    codes = market.to(market.clear_ms)
    for minute in range(1, 4):
        codes += market.to(market.clear_ms + 60_000 * minute)
    assert not [code for code in codes if code.startswith("VALIDATION_")]
    assert market.result()["stage"] == "done"
    assert {order["status"] for order in market.records("auction/order/")} == {"expired"}
    assert (market.records("settlement/trade/"), market.held("bea"), market.held("sol")) == ([], 0, 0)


def test_a_mechanism_may_serve_whom_it_likes() -> None:
    source = (
        '"""The last come first."""\n\n\n@view\ndef clear(bids: list, asks: list, fee: int):\n'
        '    last = bids[len(bids) - 1]\n    return {"price": 4, "bids": [[last[0], 1]], "asks": [[asks[0][0], 1]]}\n'
    )
    market = AuctionMarket("last", contracts={"last": source})
    first, last = market.enter("bid", "bea", 2, 9), market.enter("bid", "bob", 2, 5)
    market.enter("ask", "sol", 2, 3)
    assert market.cleared()["volume_wh"] == 1
    assert (market.matched(first), market.matched(last)) == (0, 1)


def test_a_sealed_orders_meter_may_move_to_another_zone_before_it_is_revealed() -> None:
    market = AuctionMarket()
    order = Order("ask", "sol", 10, 5)
    sealed = seal(market, order)
    market.bind("m-sol", "sol", CAPACITY_W, "elsewhere")
    market.chain.time_ms = market.entry_ms
    market.ok("auction", "reveal_order", revealing(sealed, order), "sol")


@pytest.mark.parametrize("interval", [-1, 0, START_INTERVAL])
@pytest.mark.parametrize("function", ["place_order", "seal_order"])
def test_nobody_enters_the_auction_of_an_interval_that_has_begun(function: str, interval: int) -> None:
    """One below 0 ended as a fault of the contract's types."""
    market = AuctionMarket()
    args: dict[str, Any] = {**market.entry(Order("ask", "sol", 10, 5)), "interval": interval}
    if function == "seal_order":
        args = {"meter": "m-sol", "interval": interval, "commitment": "0" * 64}
    assert market.code("auction", function, args, "sol") == "AUCTION_CLOSED"


def test_an_auction_from_before_there_was_a_least_energy_is_cleared() -> None:
    """Regression: the validation module would have none without one, and its only deadline was used up."""
    market = AuctionMarket()
    market.enter("ask", "sol", 10, 5)
    market.enter("bid", "bea", 10, 7)
    key = f"auction/run/{PRODUCT}/{market.interval:010d}"
    market.chain.put(key, {name: value for name, value in market.get(key).items() if name != "order_wh_min"})
    market.cleared()
    assert (market.result()["stage"], market.result()["volume_wh"]) == ("done", 10)


@pytest.mark.parametrize("ties", ["time", "pro rata"])
def test_an_ask_that_a_hundred_trades_cannot_sell_keeps_nobody_else_from_selling(ties: str) -> None:
    """Regression: what such a meter could not sell was part of the volume and set the price: a cheap ask and a hundred
    bids of next to nothing, of one person's, and all others went away empty."""
    market = AuctionMarket(ties=ties)
    market.enter("ask", "sun", 10_000, 1)
    for _ in range(100):
        market.enter("bid", "bob", 1, 900)
    market.enter("ask", "sol", 500, 100)
    taken = market.enter("bid", "bea", 500, 300)
    market.cleared()
    result = market.result()
    assert (result["price"], result["volume_wh"], result["trades"]) == (200, 600, 101)
    assert market.matched(taken) == 500
    assert market.chain.state.scan(f"auction/side/{PRODUCT}/", "", 1) == [], "the counts are forgotten"


@pytest.mark.parametrize(
    ("meters", "best_wh", "expected"),
    [
        (("m-sun", "m-sol", "m-tom"), 0, {"m-sun": 1_000, "m-sol": 2_825, "m-tom": 1_275}),
        (("m-tom", "m-sun", "m-sol"), 1_250, {"m-tom": 2_830, "m-sun": 995, "m-sol": 1_275}),
    ],
    ids=["those after it", "those before it"],
)
def test_what_an_ask_cannot_sell_pro_rata_others_at_its_price_may(
    meters: tuple[str, ...], best_wh: int, expected: dict[str, int]
) -> None:
    """Regression: it took half of the volume, sold a hundred bids' of it, and the rest went to nobody."""
    market = AuctionMarket(ties="pro rata")
    market.bind("m-tom", "sol", CAPACITY_W, PRODUCT)
    asks = {}
    for meter in meters:
        terms = {"side": "ask", "meter": meter, "interval": market.interval, "energy_wh": 3_000, "price": 100}
        if meter == "m-sun":
            terms["energy_wh"] = 6_000
        asks[meter] = market.ok("auction", "place_order", terms, "sun" if meter == "m-sun" else "sol")
    if best_wh:
        market.enter("bid", "bea", best_wh, 950)
    for _ in range(110):
        market.enter("bid", "bob", 10, 900)
    market.enter("bid", "bea", 4_000 - best_wh, 300)
    market.cleared()
    assert {meter: market.matched(ask) for meter, ask in asks.items()} == expected
    assert market.result()["volume_wh"] == 5_100


NEAR_FULL = st.lists(st.sampled_from([0, 97, 98, 99, 100]), min_size=1, max_size=3)
SMALL_ORDERS = st.lists(
    st.tuples(st.sampled_from(["bid", "ask"]), st.integers(0, 2), st.integers(1, 50), st.integers(9, 11)),
    min_size=2,
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(NEAR_FULL, SMALL_ORDERS, st.sampled_from(["time", "pro rata"]), st.sampled_from([1, 3, 100]))
@example([97], [("ask", 0, 50, 10), *[("bid", 0, 1, 10)] * 3, ("bid", 0, 30, 10)], "pro rata", 100)
def test_nothing_is_left_that_both_sides_would_trade(
    counts: list[int], entered: list[tuple[str, int, int, int]], ties: str, fills: int
) -> None:
    """Regression: bids of next to nothing at the last price counted as trades in the walk and got no part of what was
    shared, and what others would have bought and sold at the price was left."""
    source = shipped_sources()["auction"].replace("FILLS_MAX = 100", f"FILLS_MAX = {fills}")
    market = AuctionMarket(ties=ties, contracts={"auction": source})
    for number, count in enumerate(counts):
        market.bind(f"m-{number}", "sol", CAPACITY_W, PRODUCT)
        market.chain.put(f"settlement/count/m-{number}/{market.interval:010d}", count)
    orders = []
    for side, number, energy_wh, price in entered:
        meter, who = ("m-bea", "bea") if side == "bid" else (f"m-{number % len(counts)}", "sol")
        terms = {"side": side, "meter": meter, "interval": market.interval, "energy_wh": energy_wh, "price": price}
        orders.append(str(market.ok("auction", "place_order", terms, who)))
    result = market.cleared()
    found = [market.get(f"auction/order/{order}") for order in orders]
    made = Counter(trade["meter"] for trade in market.records("settlement/trade/"))
    bids = [order["price"] for order in found if order["side"] == "bid" and order["remaining_wh"]]
    free = {f"m-{number}" for number, count in enumerate(counts) if count + made[f"m-{number}"] < TRADES_MAX}
    asks = [order["price"] for order in found if order["meter"] in free and order["remaining_wh"]]
    best_bid, best_ask = max(bids, default=0), min(asks, default=PRICE_MAX)
    price = result["price"] or (best_bid + best_ask) // 2
    assert not best_ask <= price <= best_bid


def test_pro_rata_gives_whole_multiples_of_the_least_energy() -> None:
    """Regression: parts of a Wh or two of many bids used up a meter's hundred trades."""
    market = AuctionMarket(ties="pro rata", parameters={"order_wh_min": 10})
    bids = [market.enter("bid", who, energy_wh, 100) for who, energy_wh in (("bea", 50), ("bob", 40), ("bea", 30))]
    market.enter("ask", "sol", 60, 50)
    market.cleared()
    assert [market.matched(bid) for bid in bids] == [30, 20, 10]


def test_a_step_of_the_walk_meets_so_many_meters_and_no_more() -> None:
    """Regression: it wrote the counts of all that it had met once its gas was used up; two thousand meters were more
    than that paid for, and their auction ended without trades."""
    source = shipped_sources()["auction"].replace("COUNTED_MAX = 500", "COUNTED_MAX = 1")
    market = AuctionMarket(contracts={"auction": source})
    for number in range(8):
        market.bind(f"m-{number}", "sol", zone=PRODUCT)
        terms = {"side": "ask", "meter": f"m-{number}", "interval": market.interval, "energy_wh": 10, "price": 5}
        market.ok("auction", "place_order", terms, "sol")
    market.enter("bid", "bea", 80, 7)
    market.chain.time_ms = market.clear_ms
    counted, below = [], f"auction/side/{PRODUCT}/{market.interval:010d}/trades/"
    while market.result()["stage"] in ("open", "forfeit", "screen", "match"):
        market.chain.block(0)
        counted.append(len(market.chain.state.scan(below, "", 100)))
    assert all(after - before <= LANES for before, after in pairwise([0, *counted])), counted
    market.cleared()
    assert (market.result()["volume_wh"], market.result()["trades"]) == (80, 8)
