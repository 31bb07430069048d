"""The rule that ties each trade to what offers lose, alone: every term of every source, changed by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from auctions import AuctionMarket
from contract_market import PRICE, Market
from deadline_calls import worked_to, working
from forgery import Outcome

from contracts.rules.changes import Changes, Violation
from contracts.rules.fills import fills
from ledger.execution import Call
from ledger.state import TransactionView
from ledger.values import decode_value, encode_value

TRADE, OFFER = "settlement/trade/", "offers/offer/"
ZONES, FEE = {"sol": "roof", "bea": "street"}, 30_000


def zoned() -> Market:
    """A market with a grid fee from the seller's to the buyer's zone."""
    market = Market()
    for who, zone in ZONES.items():
        market.bind(f"m-{who}", who, zone=zone)
    market.chain.put("governance/grid_fee/roof/street", {"fee": FEE, "from_ms": 0, "before": 0})
    return market


def taking() -> Outcome:
    market = zoned()
    return Outcome(market, "market", "take_listing", market.taking_args(market.offer(), 300), "bea")


def bidding() -> Outcome:
    """A bid takes an ask that rests."""
    market = zoned()
    market.order("ask", "sol", 100, 200_000)
    return Outcome(market, "market", "place_order", market.order_args("bid", "bea", 100, 240_000), "bea")


def asking() -> Outcome:
    """An ask takes a bid that rests."""
    market = zoned()
    market.order("bid", "bea", 100, 240_000)
    return Outcome(market, "market", "place_order", market.order_args("ask", "sol", 100, 200_000), "sol")


def accepting(side: str) -> Outcome:
    market = zoned()
    owner, to = ("sol", "bea") if side == "ask" else ("bea", "sol")
    terms = {"side": side, "meter": f"m-{owner}", "interval": market.interval, "energy_wh": 9, "price": 200_000}
    offer = market.ok("offers", "propose", {"to": to, **terms}, owner)
    return Outcome(market, "offers", "accept", market.accepting_args(offer, to), to)


def clearing() -> Outcome:
    """One step of an auction that makes a trade, at a price of 6 with a grid fee of 1."""
    market = AuctionMarket(grid_fee=1)
    market.enter("ask", "sol", 10, 3)
    market.enter("bid", "bea", 10, 8)
    market.chain.time_ms = market.clear_ms
    made = False
    while not made:
        before = dict(market.chain.state.entries)
        market.chain.advance(0)
        made = bool(market.records(TRADE))
    after = market.chain.state.entries
    # Its price was fixed by a step before, in the same block.
    before |= {key: entry for key, entry in after.items() if key.startswith("auction/run/")}
    outcome = Outcome.__new__(Outcome)
    market.chain.state.entries = before
    market.chain.state._keys = None
    outcome.view = TransactionView(market.chain.state)
    for key, entry in after.items():
        if before.get(key) != entry and not key.startswith("system/"):
            outcome.view.writes[key] = entry.value
    outcome.call = Call("auction", "work", [], (), "", 1, market.clear_ms, 1, 0, "deadline")
    return outcome


def ruled(outcome: Outcome) -> Violation | None:
    return fills(outcome.call, Changes(outcome.view))


SOURCES: dict[str, Callable[[], Outcome]] = {
    "listing": taking, "bid": bidding, "ask": asking, "offer": lambda: accepting("ask"),
    "request": lambda: accepting("bid"), "auction": clearing,
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_what_the_contracts_trade_is_accepted(source: str) -> None:
    assert ruled(SOURCES[source]()) is None


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("name", ["price", "grid_fee", "imbalance_price"])
@pytest.mark.parametrize("source", ["listing", "bid", "ask", "offer", "request"])
def test_a_trade_is_on_the_terms_of_what_stood(source: str, name: str, by: int) -> None:
    outcome = SOURCES[source]()
    outcome.change(TRADE, **{name: by})
    assert ruled(outcome) == Violation.LIMIT


@pytest.mark.parametrize("source", ["listing", "bid", "ask", "offer", "request"])
def test_what_the_grid_gets_is_not_the_sellers(source: str) -> None:
    outcome = SOURCES[source]()
    outcome.change(TRADE, price=-1, grid_fee=-1)
    assert ruled(outcome) == Violation.LIMIT


@pytest.mark.parametrize("fields", [{"price": 3}, {"price": -3}, {"grid_fee": 3}, {"imbalance_price": 1}])
def test_an_auctions_trade_is_within_both_limits(fields: dict[str, int]) -> None:
    outcome = clearing()
    outcome.change(TRADE, **fields)
    assert ruled(outcome) == Violation.LIMIT


@pytest.mark.parametrize("fields", [{"id": "x"}, {"buyer": "bob"}, {"buyer_meter": "m-bob"}, {"meter": "m-sun"}])
@pytest.mark.parametrize("side", ["ask", "bid"])
def test_a_directed_offers_trade_is_the_one_that_it_names(side: str, fields: dict[str, Any]) -> None:
    outcome = accepting(side)
    outcome.change(TRADE, **fields)
    assert ruled(outcome) in (Violation.LIMIT, Violation.OVERSOLD)


@pytest.mark.parametrize("fields", [{"trade": "x"}, {"energy_wh": 1}, {"status": "declined"}, {"to": "bob"}])
@pytest.mark.parametrize("side", ["ask", "bid"])
def test_a_directed_offer_names_its_trade(side: str, fields: dict[str, Any]) -> None:
    outcome = accepting(side)
    outcome.change(OFFER, **fields)
    assert ruled(outcome) in (Violation.LIMIT, Violation.OVERSOLD)


@pytest.mark.parametrize("source", ["listing", "bid", "ask", "auction"])
def test_offers_lose_what_trades_take(source: str) -> None:
    outcome = SOURCES[source]()
    for key, data in outcome.view.writes.items():
        if key.startswith(("market/listing/", "market/order/", "auction/order/")):
            record = decode_value(data or b"")
            outcome.view.writes[key] = encode_value({**record, "remaining_wh": record["remaining_wh"] - 1})
    assert ruled(outcome) == Violation.OVERSOLD


@pytest.mark.parametrize("source", ["gift", "", "books"])
def test_every_trade_is_of_an_offer(source: str) -> None:
    outcome = bidding()
    outcome.change(TRADE, source=source)
    assert ruled(outcome) is not None


def test_offers_lose_nothing_without_a_trade() -> None:
    outcome = bidding()
    for key in outcome.keys(TRADE):
        del outcome.view.writes[key]
    assert ruled(outcome) == Violation.OVERSOLD


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_party_with_two_orders_trades_each_at_its_own_price(market: Market, side: str) -> None:
    """A buyer with a small dear bid and a large cheap one could pay the dear price for the large one's energy."""
    who, taker = ("bea", "sol") if side == "bid" else ("sol", "bea")
    dear, cheap = (5 * PRICE, PRICE) if side == "bid" else (PRICE, 5 * PRICE)
    market.order(side, who, 1, dear)
    market.order(side, who, 1_000, cheap)
    crossing = market.order_args("ask" if side == "bid" else "bid", taker, 1_001, PRICE if side == "bid" else 5 * PRICE)
    outcome = Outcome(market, "market", "place_order", crossing, taker)
    assert outcome.verdict() is None
    keys = sorted(outcome.keys("settlement/trade/"))
    first, second = (outcome.get(key) for key in keys)
    moved = {"bea": 0, "sol": 0}
    for key, trade, energy_wh in ((keys[0], first, second["energy_wh"]), (keys[1], second, first["energy_wh"])):
        for party, price in (("bea", trade["price"]), ("sol", trade["imbalance_price"])):
            moved[party] += energy_wh * price // 1_000 - trade["energy_wh"] * price // 1_000
        outcome.put(key, {**trade, "energy_wh": energy_wh})
        share = f"settlement/share/{trade['meter']}/{trade['interval']:010d}/{trade['id']}"
        outcome.put(share, [energy_wh, None, 0])
    for party, amount in moved.items():
        account = f"credit/account/{party}"
        known = decode_value(outcome.view.get(account) or b"")
        changed = {**known, "available": known["available"] - amount, "held": known["held"] + amount}
        outcome.put(account, changed)
    assert outcome.verdict() == Violation.OVERSOLD


def test_an_auction_fills_no_order_beyond_its_own_limit() -> None:
    market = AuctionMarket()
    market.enter("ask", "sol", 200, 400_000)
    market.enter("bid", "bea", 10, 1_000_000)
    low = market.enter("bid", "bea", 100, 100_000)
    market.chain.time_ms = market.clear_ms
    outcome = working(worked_to("fill", market))
    order = market.get(f"auction/order/{low}")
    outcome.put(f"auction/order/{low}", {**order, "remaining_wh": 0, "status": "filled"})
    (trade,) = outcome.keys("settlement/trade/")
    outcome.change(trade, energy_wh=100)
    ask = next(key for key in outcome.keys("auction/order/") if outcome.get(key)["side"] == "ask")
    outcome.change(ask, remaining_wh=-100)
    assert outcome.verdict() == Violation.LIMIT
