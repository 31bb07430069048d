"""The book that everybody sees is the one that the market contract keeps."""

from __future__ import annotations

from contract_market import CAPACITY_W, Market

from api.book import read_book


def test_levels_and_listings_of_all_zones_and_products() -> None:
    """Regression: the book was read from keys without zones, and every row of it would have been misread."""
    market = Market()
    market.bind("m-sun", "sun", CAPACITY_W, "south")
    terms = {"name": "valley", "zones": ["south"], "mechanism": "continuous", "grid_fee": 0, "ties": "time"}
    market.ok("governance", "set_product", terms, "op1", "op2")
    market.order("ask", "sol", 30, 300)
    market.order("ask", "sun", 20, 300)
    market.order("ask", "sol", 10, 200)
    market.order("bid", "bea", 4, 200)
    market.order("bid", "bob", 7, 100)
    listing = market.offer(energy_wh=50, price=250, lot_wh=10)
    book = read_book(market.chain.state, market.interval, 9)
    assert [(level.price, level.energy_wh) for level in book.asks] == [(200, 6), (300, 50)]
    assert [(level.price, level.energy_wh) for level in book.bids] == [(100, 7)]
    assert [(row.listing, row.price, row.remaining_wh, row.lot_wh) for row in book.listings] == [(listing, 250, 50, 10)]
