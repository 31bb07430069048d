"""Limit orders in a price-time book: priority, price, collateral, self-trades, cancelling, expiry."""

from __future__ import annotations

from typing import Any

import pytest
from contract_market import INTERVAL_MS, MACHINE, Market

from contracts.parameters import MARKET_PARAMETERS
from ledger.execution import MIGRATION_GAS_MAX, Call
from ledger.state import TransactionView
from ledger.values import decode_value

IMBALANCE = MARKET_PARAMETERS["imbalance_price"]
LOW, MID, HIGH = 100_000, 200_000, 300_000
SPENDABLE_GAS = 2_000_000


def status(market: Market, order: str) -> tuple[str, int]:
    record = market.get(f"market/order/{order}")
    return record["status"], record["remaining_wh"]


def test_an_order_that_meets_nobody_rests(market: Market) -> None:
    ask, _ = market.order("ask", "sol", 100, HIGH)
    bid, trades = market.order("bid", "bea", 100, LOW)
    assert (trades, status(market, ask), status(market, bid)) == ([], ("open", 100), ("open", 100))
    assert (market.held("sol"), market.held("bea")) == (100 * IMBALANCE // 1_000, 100 * LOW // 1_000)


@pytest.mark.parametrize("incoming", ["bid", "ask"])
def test_a_trade_is_at_the_resting_orders_price(market: Market, incoming: str) -> None:
    orders = [("ask", "sol", LOW), ("bid", "bea", HIGH)]
    resting, last = orders if incoming == "bid" else orders[::-1]
    market.order(resting[0], resting[1], 100, resting[2])
    _, (trade,) = market.order(last[0], last[1], 100, last[2])
    assert (trade["price"], trade["seller"], trade["buyer"], trade["meter"]) == (resting[2], "sol", "bea", "m-sol")
    assert trade["imbalance_price"] == IMBALANCE
    assert market.held("bea") == 100 * resting[2] // 1_000, "what the better price saves is given back"


@pytest.mark.parametrize("taken", ["book", "listing"])
def test_what_rounding_in_parts_saves_is_not_held_on(taken: str) -> None:
    market = Market({"imbalance_price": 333_333})
    if taken == "book":
        market.order("ask", "sol", 7, MID)
        market.order("bid", "bea", 3, MID)
    else:
        market.take(market.offer(energy_wh=7, lot_wh=1), 3)
    assert market.held("sol") == 3 * 333_333 // 1_000 + -(-4 * 333_333 // 1_000)


def test_the_best_price_comes_first_and_the_earliest_among_equals(market: Market) -> None:
    market.order("ask", "sol", 10, MID)
    market.order("ask", "sun", 20, LOW)
    market.order("ask", "sol", 30, LOW)
    market.order("ask", "sol", 40, HIGH)
    _, trades = market.order("bid", "bea", 65, MID)
    assert [(trade["energy_wh"], trade["price"]) for trade in trades] == [(20, LOW), (30, LOW), (10, MID)]


def test_the_highest_bid_comes_first_and_the_earliest_among_equals(market: Market) -> None:
    market.order("bid", "bea", 10, LOW)
    market.order("bid", "bob", 20, MID)
    market.order("bid", "bea", 30, HIGH)
    market.order("bid", "bea", 40, MID)
    ask, trades = market.order("ask", "sol", 95, MID)
    assert [(trade["energy_wh"], trade["price"]) for trade in trades] == [(30, HIGH), (20, MID), (40, MID)]
    assert status(market, ask) == ("open", 5)


def test_parts_keep_their_place_in_the_book(market: Market) -> None:
    first, _ = market.order("ask", "sol", 100, MID)
    market.order("ask", "sun", 100, MID)
    market.order("bid", "bea", 30, MID)
    _, (trade,) = market.order("bid", "bob", 70, MID)
    assert trade["seller"] == "sol"
    assert status(market, first) == ("filled", 0)


def test_intervals_have_books_of_their_own(market: Market) -> None:
    market.order("ask", "sol", 100, LOW)
    market.interval += 1
    assert market.order("bid", "bea", 100, HIGH)[1] == []


def test_orders_with_oneself_are_refused_whole(market: Market) -> None:
    market.order("ask", "sol", 10, LOW)
    market.order("ask", "sun", 10, MID)
    assert market.code("market", "place_order", market.order_args("bid", "sun", 20, MID), "sun") == "SELF_TRADE"
    market.order("bid", "sun", 10, MID)  # filled before it comes to that


@pytest.mark.parametrize(
    ("changed", "who", "code"),
    [
        ({"side": "buy"}, "bea", "SIDE_INVALID"), ({"energy_wh": 0}, "bea", "ENERGY_INVALID"),
        ({"energy_wh": -1}, "bea", "ENERGY_INVALID"), ({"energy_wh": 10**9 + 1}, "bea", "ENERGY_INVALID"),
        ({"price": 0}, "bea", "PRICE_INVALID"), ({"price": 10**9 + 1}, "bea", "PRICE_INVALID"),
        ({"interval": 7}, "bea", "INTERVAL_CLOSED"), ({"interval": 10**9}, "bea", "INTERVAL_TOO_FAR"),
        ({"meter": "m-sol"}, "bea", "NOT_YOUR_METER"), ({"meter": "none"}, "bea", "NOT_FOUND"),
        ({"side": "ask"}, "bea", "ROLE_REQUIRED"), ({"meter": "m-sol"}, "sol", "ROLE_REQUIRED"),
        ({"energy_wh": 10**8, "price": 10**8}, "bea", "INSUFFICIENT_FUNDS"), ({}, "nobody", "NOT_REGISTERED"),
        ({"price": 1 << 255}, "bea", "PRICE_INVALID"),
    ],
)  # fmt: skip
def test_bad_orders(market: Market, changed: dict[str, Any], who: str, code: str) -> None:
    args = {**market.order_args("bid", "bea", 100, MID), **changed}
    assert market.code("market", "place_order", args, who) == code


def test_cancelling_gives_back_what_the_rest_holds(market: Market) -> None:
    ask, _ = market.order("ask", "sol", 100, MID)
    bid, _ = market.order("bid", "bea", 40, MID)
    market.ok("market", "cancel_order", {"order": ask}, "sol")
    assert status(market, ask) == ("cancelled", 60)
    assert market.held("sol") == 40 * IMBALANCE // 1_000
    assert market.get(f"market/sold/m-sol/{market.interval:010d}") == 40
    assert market.order("bid", "bea", 60, MID)[1] == []
    for order, who, code in ((ask, "sol", "NOT_OPEN"), (bid, "bea", "NOT_OPEN"), (ask, "sun", "NOT_YOURS")):
        assert market.code("market", "cancel_order", {"order": order}, who) == code
    assert market.code("market", "cancel_order", {"order": "none"}, "sol") == "NOT_FOUND"


@pytest.mark.parametrize("count", [1, 40, 41, 90])
def test_orders_expire_when_the_gate_closes_however_many_they_are(market: Market, count: int) -> None:
    for _ in range(count):
        market.order("ask", "sol", 1, HIGH)
        market.order("bid", "bea", 1, LOW)
    market.offer()
    assert set(market.to_gate()) == {"OK"}
    assert {record["status"] for record in market.records("market/order/")} == {"expired"}
    assert (market.held("sol"), market.held("bea")) == (0, 0)
    assert [key for key, _ in market.chain.state.scan("system/deadline/", "", 9)] == []


def test_owners_of_expired_orders_are_told(market: Market) -> None:
    ask, _ = market.order("ask", "sol", 1, HIGH)
    ((_, events),) = market.chain.advance(4 * INTERVAL_MS)
    assert [(event.name, event.data) for event in events] == [
        ("expired", {"order": ask, "owner": "sol", "remaining_wh": 1, "reason": "GATE_CLOSED"})
    ]


@pytest.mark.parametrize("side", ["ask", "bid"])
def test_resting_orders_of_people_who_may_not_act_are_removed_not_matched(market: Market, side: str) -> None:
    resting, other = (("sol", "bea"), ("bea", "sol"))[side == "bid"]
    order, _ = market.order(side, resting, 100, MID)
    market.ok("registry", "suspend", {"user": resting, "reason": "x"}, "op1")
    _, trades = market.order("bid" if side == "ask" else "ask", other, 100, MID)
    assert trades == []
    assert status(market, order) == ("barred", 100)
    assert market.held(resting) == 0


def test_an_order_matches_fifty_and_never_leaves_the_book_crossed(market: Market) -> None:
    """Regression: what was left after 50 matches rested above asks that were still open, and the next ask, though
    dearer than those, was matched before them."""
    for _ in range(55):
        market.order("ask", "sol", 1, LOW)
    result = market.call("market", "place_order", market.order_args("bid", "bea", 60, MID), "bea")
    assert (result.code, len(result.value["trades"])) == ("OK", 50)
    assert result.gas_used < SPENDABLE_GAS
    assert status(market, result.value["order"]) == ("cancelled", 10)
    assert market.held("bea") == 50 * (LOW // 1_000)
    assert market.order("ask", "sun", 1, LOW)[1] == []


def test_an_order_that_fifty_fill_is_filled_and_one_that_fifty_cannot_rests(market: Market) -> None:
    for _ in range(50):
        market.order("ask", "sol", 1, LOW)
    order, trades = market.order("bid", "bea", 51, MID)
    assert (len(trades), status(market, order)) == (50, ("open", 1))


def test_a_meter_with_all_its_trades_made_does_not_jam_the_book(market: Market) -> None:
    """Regression: an ask of a meter that had a hundred trades made every bid that reached it fail."""
    listing = market.offer(lot_wh=1)
    for _ in range(100):
        market.take(listing, 1)
    full, _ = market.order("ask", "sol", 10, LOW)
    market.order("ask", "sun", 10, MID)
    _, trades = market.order("bid", "bob", 10, MID)
    assert [trade["seller"] for trade in trades] == ["sun"]
    assert status(market, full) == ("full", 10)


def test_the_gate_that_a_parameter_opened_again_closes_again() -> None:
    """Regression: after an interval's gate had closed, a smaller gate_closure_s let new orders in that nothing ever
    expired."""
    market = Market({"gate_closure_s": 3_600})
    market.interval += 1
    market.order("ask", "sol", 1, MID)
    market.to(market.interval * INTERVAL_MS - 3_600_000)
    market.ok("governance", "set_parameter", {"name": "gate_closure_s", "value": 60}, "op1", "op2")
    order, _ = market.order("ask", "sol", 1, MID)
    market.to(market.interval * INTERVAL_MS - 60_000)
    assert status(market, order) == ("expired", 1)
    assert market.held("sol") == 0


@pytest.mark.parametrize(("available", "code"), [(1, "INSUFFICIENT_FUNDS"), (2, "OK")])
@pytest.mark.parametrize("execution", ["limit", "ioc"])
def test_what_an_order_may_cost_is_rounded_up(market: Market, available: int, code: str, execution: str) -> None:
    """1 Wh at 1,500 may cost 1.5."""
    market.ok("credit", "withdraw", {"account": "bea", "amount": market.account("bea")[0] - available}, "op1", "op2")
    assert market.code("market", "place_order", market.order_args("bid", "bea", 1, 1_500, execution), "bea") == code


@pytest.mark.parametrize(("available", "code"), [(29_999, "INSUFFICIENT_FUNDS"), (30_000, "OK")])
def test_one_has_all_that_an_order_may_cost_though_less_is_held(market: Market, available: int, code: str) -> None:
    """100 Wh at 300,000 may cost 30,000; what is bought costs 6,000, and what is cancelled nothing."""
    market.order("ask", "sol", 60, LOW)
    market.ok("credit", "withdraw", {"account": "bea", "amount": market.account("bea")[0] - available}, "op1", "op2")
    assert market.code("market", "place_order", market.order_args("bid", "bea", 100, HIGH, "ioc"), "bea") == code
    if code == "OK":
        assert market.account("bea") == (24_000, 6_000)


def test_a_version_that_kept_both_sides_best_orders_together_gives_way(market: Market) -> None:
    ask, _ = market.order("ask", "sol", 10, MID)
    bid, _ = market.order("bid", "bea", 10, LOW)
    place = f"{market.interval:010d}/"
    sides = {side: market.get(f"market/top/{side}/{place}") for side in ("ask", "bid")}
    assert sides == {"ask": {"z": f"{MID:010d}/{ask}"}, "bid": {"z": f"{10**9 - LOW:010d}/{bid}"}}
    market.chain.state.apply({f"market/top/{side}/{place}": None for side in sides})
    market.chain.put(f"market/top/{place}", {"ask": {"z": [MID, ask]}, "bid": {"z": [LOW, bid]}})
    view = TransactionView(market.chain.state)
    result = MACHINE.run(Call("market", "migrate", [], (), "", MIGRATION_GAS_MAX, 0, 1, 0, "migrate"), view)
    assert result.code == "OK"
    assert {key: data and decode_value(data) for key, data in view.writes.items()} == {
        f"market/top/{place}": None, **{f"market/top/{side}/{place}": best for side, best in sides.items()},
    }  # fmt: skip


def test_fill_or_kill_beyond_the_bound_of_matches_says_so_and_up_to_it_fills(market: Market) -> None:
    for _ in range(51):
        market.order("ask", "sol", 10, 100_000)
    beyond = market.order_args("bid", "bea", 510, 100_000, "fok")
    assert market.code("market", "place_order", beyond, "bea") == "TOO_MANY_MATCHES"
    _, trades = market.order("bid", "bea", 500, 100_000, "fok")
    assert len(trades) == 50
