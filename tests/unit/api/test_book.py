"""The book that everybody sees is the one that the market contract keeps."""

from __future__ import annotations

from contract_market import CAPACITY_W, Market

from api.book import read_book, read_intervals
from api.terms import read_terms
from contracts.parameters import MARKET_PARAMETERS


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
    listings = [(row.listing, row.price, row.remaining_wh, row.lot_wh, row.zone) for row in book.listings]
    assert listings == [(listing, 250, 50, 10, "z")]
    best, empty = read_intervals(market.chain.state, market.interval, 2)
    assert (best.interval, best.bid, best.ask, best.listing) == (market.interval, 100, 200, 250)
    assert (empty.bid, empty.ask, empty.listing) == (None, None, None)


def test_terms_are_those_that_the_contracts_use() -> None:
    market = Market()
    product = {"name": "valley", "zones": ["south"], "mechanism": "auction", "grid_fee": 3, "ties": "pro rata"}
    market.ok("governance", "set_product", product, "op1", "op2")
    fee = {"from_zone": "north", "to_zone": "south", "fee": 35_000, "from_ms": 0}
    market.ok("governance", "set_grid_fee", fee, "op1", "op2")
    market.ok("governance", "set_parameter", {"name": "imbalance_price", "value": 123}, "op1", "op2")
    terms = read_terms(market.chain.state, 9)
    assert terms.parameters == {**MARKET_PARAMETERS, "imbalance_price": 123}
    assert [(f.from_zone, f.to_zone, f.fee, f.from_ms, f.before) for f in terms.grid_fees] == [
        ("north", "south", 35_000, 0, 0)
    ]
    assert [(p.name, p.zones, p.mechanism, p.grid_fee, p.ties) for p in terms.products] == [
        ("valley", ("south",), "auction", 3, "pro rata")
    ]
    assert (terms.organisations, terms.threshold) == (("organisation of op1", "organisation of op2"), 2)
