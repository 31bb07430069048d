"""The market of one interval without names: price levels and open listings, read from the contract's own keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from ledger.state import Entry, StateReader
from ledger.values import Value, decode_value
from sdk.methods import Book, IntervalRecord, Level, OpenListing

ROWS_MAX = 500
"""Orders a side, and listings, that one answer looks at: the best ones."""
PRODUCTS_MAX = 64
"""Products whose books one answer looks at."""
INTERVAL_DIGITS = 10
PRICE_MAX = 1_000_000_000
"""The market contract's greatest price: bids sort by what is missing to it."""


def read_book(reader: StateReader, interval: int, height: int) -> Book:
    """The best ``ROWS_MAX`` orders of each side, of all zones and products together, summed by price; and the
    interval's open listings. Prices are the orders' own: what the grid adds depends on who meets whom."""
    listings = [
        OpenListing(row[0], int(rest.split("/")[0]), *row[1:]) for rest, row in _offers(reader, interval, ROWS_MAX)
    ]
    return Book(
        interval=interval,
        height=height,
        bids=_levels(_orders(reader, "bid", interval)),
        asks=_levels(_orders(reader, "ask", interval)),
        listings=tuple(listings),
    )


def read_intervals(reader: StateReader, first: int, count: int) -> tuple[IntervalRecord, ...]:
    """The best prices of ``count`` intervals from ``first`` on."""
    return tuple(_best(reader, interval) for interval in range(first, first + count))


def _best(reader: StateReader, interval: int) -> IntervalRecord:
    bid, ask = _best_rank(reader, "bid", interval), _best_rank(reader, "ask", interval)
    listings = [int(rest.split("/")[0]) for rest, _ in _offers(reader, interval, 1)]
    return IntervalRecord(interval, None if bid is None else PRICE_MAX - bid, ask, listings[0] if listings else None)


def _best_rank(reader: StateReader, side: str, interval: int) -> int | None:
    tops = (decode_value(entry.value) for _, entry in _tops(reader, side, interval))
    return min((int(best.split("/")[0]) for top in tops for best in top.values()), default=None)


def _offers(reader: StateReader, interval: int, limit: int) -> Iterator[tuple[str, Value]]:
    """Listings' rows, cheapest first: what follows the interval in the key, and the value."""
    prefix = f"market/offer/{interval:0{INTERVAL_DIGITS}d}/"
    for key, entry in reader.scan(prefix, "", limit):
        yield key[len(prefix) :], decode_value(entry.value)


def _tops(reader: StateReader, side: str, interval: int) -> list[tuple[str, Entry]]:
    """By key, what names ``<rank>/<id>`` of the best order of each zone of a product, on one side."""
    return reader.scan(f"market/top/{side}/{interval:0{INTERVAL_DIGITS}d}/", "", PRODUCTS_MAX)


def _orders(reader: StateReader, side: str, interval: int) -> list[tuple[int, int]]:
    """(price, Wh) of a side's best orders, best first: keys are ``<side>/<interval>/<product>/<zone>/<rank>/<id>``, and
    the product's tops name the zones that have any."""
    start = f"{interval:0{INTERVAL_DIGITS}d}/"
    found: list[tuple[int, str]] = []
    for top, entry in _tops(reader, side, interval):
        product = top.rsplit("/", 1)[1]
        for zone in decode_value(entry.value):
            prefix = f"market/{side}/{start}{product}/{zone}/"
            keys = (key[len(prefix) :].split("/") for key, _ in reader.scan(prefix, "", ROWS_MAX))
            found.extend((int(rank), order) for rank, order in keys)
    best = sorted(found)[:ROWS_MAX]
    return [(PRICE_MAX - rank if side == "bid" else rank, _remaining_wh(reader, order)) for rank, order in best]


def _remaining_wh(reader: StateReader, order: str) -> int:
    entry = reader.get(f"market/order/{order}")
    assert entry is not None, "what stands in the book has an order"
    return int(decode_value(entry.value)["remaining_wh"])


def _levels(orders: list[tuple[int, int]]) -> tuple[Level, ...]:
    grouped = groupby(orders, key=lambda order: order[0])
    return tuple(Level(price, sum(energy for _, energy in level)) for price, level in grouped)
