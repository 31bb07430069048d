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
    assert outcome.verdict() == Violation.OVERSOLD


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
    assert outcome.verdict() == Violation.LIMIT


@pytest.mark.parametrize(("stage", "verdict"), [("open", None), ("fill", Violation.LIMIT), ("done", Violation.LIMIT)])
def test_an_auctions_price_stays(stage: str, verdict: Violation | None) -> None:
    market = AuctionMarket()
    market.enter("ask", "sol", 10, 5)
    key = f"{RUN}{PRODUCT}/{market.interval:010d}"
    market.chain.put(key, {**market.get(key), "stage": stage, "price": 6})
    sealing = {"meter": "m-sol", "interval": market.interval, "commitment": "0" * 64}
    outcome = Outcome(market, "auction", "seal_order", sealing, "sol")
    outcome.change(RUN, price=1)
    assert outcome.verdict() == verdict
