"""Write sets that a lying machine might return: books that do not show what is open, auctions on other terms."""

from __future__ import annotations

from typing import Any

import pytest
from auctions import PRODUCT, AuctionMarket, Order
from contract_market import PRICE, Market
from forgery import Outcome
from signed_calls import CASES

from contracts.validation import Violation

ROWS = {
    "post_listing": "market/offer/", "take_listing": "market/offer/", "place_order": "market/ask/",
    "auction_place_order": "auction/ask/", "seal_order": "auction/unrevealed/", "propose": "offers/open/",
}  # fmt: skip


def judged(name: str) -> tuple[Outcome, str]:
    """A call that puts a row into a book, and the row's key."""
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    assert outcome.verdict() is None
    return outcome, outcome.keys(ROWS[name])[0]


@pytest.mark.parametrize("name", ROWS)
def test_what_is_open_stands_in_its_book(name: str) -> None:
    outcome, key = judged(name)
    row = outcome.view.writes.pop(key)
    assert outcome.verdict() in ((Violation.OVERSOLD,) if name != "take_listing" else (Violation.OVERSOLD, None))
    outcome.view.writes[key] = None
    assert outcome.verdict() == Violation.OVERSOLD
    outcome.view.writes[key] = row
    outcome.put(key, "other")
    assert outcome.verdict() in (Violation.OVERSOLD, Violation.SHAPE)


@pytest.mark.parametrize("name", ROWS)
def test_nothing_stands_in_a_book_that_is_not_open(name: str) -> None:
    outcome, key = judged(name)
    outcome.view.writes[key + "x"] = outcome.view.writes[key]
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize(("name", "prefix"), [("cancel_order", "market/ask/"), ("cancel_listing", "market/offer/"),
                                              ("auction_cancel_order", "auction/ask/"), ("decline", "offers/open/"),
                                              ("reveal_order", "auction/unrevealed/")])  # fmt: skip
def test_what_is_closed_stands_in_no_book(name: str, prefix: str) -> None:
    market, contract, function, args, signers = CASES[name]()
    outcome = Outcome(market, contract, function, args, *signers)
    (key,) = [key for key, data in outcome.view.writes.items() if key.startswith(prefix) and data is None]
    del outcome.view.writes[key]
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize("count", [0, 2, None])
def test_a_meters_trades_are_counted_as_they_are_made(market: Market, count: int | None) -> None:
    outcome = Outcome(market, "market", "take_listing", market.taking_args(market.offer(), 300), "bea")
    key = outcome.keys("settlement/count/")[0]
    if count is None:
        del outcome.view.writes[key]
    else:
        outcome.put(key, count)
    assert outcome.verdict() == Violation.OVERSOLD


def test_nobody_counts_trades_that_are_none(market: Market) -> None:
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sol", 9, PRICE), "sol")
    outcome.put(f"settlement/count/m-sol/{market.interval:010d}", 100)
    assert outcome.verdict() == Violation.OVERSOLD


RUN = "auction/run/"


@pytest.mark.parametrize(
    "fields",
    [{"clear_ms": 1}, {"entry_ms": -1}, {"grid_fee": 1}, {"mechanism": "other"}, {"ties": "pro rata"},
     {"product": "other"}, {"interval": 1}],
)  # fmt: skip
@pytest.mark.parametrize("known", [False, True])
def test_an_auctions_terms_are_its_products_and_never_change(fields: dict[str, Any], known: bool) -> None:
    market = AuctionMarket()
    if known:
        market.enter("ask", "sol", 10, 5)
    outcome = Outcome(market, "auction", "place_order", market.entry(Order("bid", "bea", 10, 5)), "bea")
    assert outcome.verdict() is None
    outcome.change(RUN, **fields)
    assert outcome.verdict() == Violation.AUCTION


@pytest.mark.parametrize("stage", ["fill", "done"])
def test_nobody_enters_an_auction_that_is_being_cleared(stage: str) -> None:
    market = AuctionMarket()
    market.enter("ask", "sol", 10, 5)
    key = f"{RUN}{PRODUCT}/{market.interval:010d}"
    market.chain.put(key, {**market.get(key), "stage": stage, "price": 6})
    sealing = {"meter": "m-sol", "interval": market.interval, "commitment": "0" * 64}
    assert Outcome(market, "auction", "seal_order", sealing, "sol").verdict() == Violation.AUCTION


@pytest.mark.parametrize(
    "fields",
    [
        {"order_wh_min": 10**9}, {"orders": 1}, {"stage": "rest"}, {"price": 1}, {"volume_wh": 1}, {"low": 1},
        {"high": 1}, {"welfare": 1}, {"trades": 1}, {"rationed": "bid"}, {"failed": "CLEARING_FAILED"},
    ],
)  # fmt: skip
def test_an_auction_opens_empty_and_on_the_parameters_in_force(fields: dict[str, Any]) -> None:
    """Whoever opened one could have every sealed order forfeited by a least energy of 10^9 Wh."""
    market = AuctionMarket()
    outcome = Outcome(market, "auction", "place_order", market.entry(Order("bid", "bea", 10, 5)), "bea")
    key = outcome.keys(RUN)[0]
    outcome.put(key, {**outcome.get(key), **fields, **({"orders": 2} if "orders" in fields else {})})
    assert outcome.verdict() == Violation.AUCTION


def test_an_order_whose_auction_does_not_count_it_is_refused() -> None:
    market = AuctionMarket()
    market.enter("ask", "sol", 10, 5)
    outcome = Outcome(market, "auction", "place_order", market.entry(Order("bid", "bea", 10, 5)), "bea")
    del outcome.view.writes[outcome.keys(RUN)[0]]
    assert outcome.verdict() == Violation.AUCTION


def fronts(market: Market, side: str) -> str:
    return f"market/top/{side}/{market.interval:010d}/"


def test_the_best_order_is_in_front(market: Market) -> None:
    """A row of none there had every order fail that crossed it."""
    market.order("ask", "sol", 100, PRICE + 1)
    outcome = Outcome(market, "market", "place_order", market.order_args("ask", "sun", 100, PRICE), "sun")
    assert outcome.verdict() is None
    key, order = outcome.keys(fronts(market, "ask"))[0], outcome.keys("market/order/")[0].rpartition("/")[2]
    for front in (f"{PRICE:010d}/{order}x", f"{PRICE - 1:010d}/{order}", "", f"{PRICE + 1:010d}/{order}"):
        outcome.put(key, {"z": front})
        assert outcome.verdict() == Violation.OVERSOLD
    del outcome.view.writes[key]
    assert outcome.verdict() == Violation.OVERSOLD


def test_what_follows_an_order_comes_to_the_front(market: Market) -> None:
    for price in (PRICE, PRICE + 1, PRICE + 2):
        market.order("ask", "sol", 100, price)
    rows = [key for key, _ in market.chain.state.scan(f"market/ask/{market.interval:010d}/", "", 9)]
    ends = ["/".join(key.split("/")[-2:]) for key in rows]
    outcome = Outcome(market, "market", "place_order", market.order_args("bid", "bea", 100, PRICE), "bea")
    key = outcome.keys(fronts(market, "ask"))[0]
    assert outcome.get(key) == {"z": ends[1]}
    for front in ({"z": ends[0]}, {"z": ends[2]}, {}, {"z": ends[1], "y": ends[2]}):
        outcome.put(key, front)
        assert outcome.verdict() == Violation.OVERSOLD
    outcome.view.writes[key] = None
    assert outcome.verdict() == Violation.OVERSOLD


@pytest.mark.parametrize(("contract", "prefix"), [("market", "market/gate/"), ("offers", "offers/gate/")])
def test_what_stands_has_an_open_gate(market: Market, contract: str, prefix: str) -> None:
    """Else nothing would end it."""
    offer = {"to": "bea", "side": "ask", "meter": "m-sol", "interval": market.interval, "energy_wh": 9, "price": PRICE}
    asked = ("market", "post_listing", market.listing_args()) if contract == "market" else ("offers", "propose", offer)
    outcome = Outcome(market, *asked, "sol")
    assert outcome.verdict() is None
    key = outcome.keys(prefix)[0]
    for writes in ({**outcome.view.writes, key: None}, {k: v for k, v in outcome.view.writes.items() if k != key}):
        outcome.view.writes = {k: v for k, v in writes.items() if not k.startswith("system/deadline/")}
        assert outcome.verdict() == Violation.OVERSOLD
