"""The market of one interval without names: price levels and open listings, read from the contract's own keys."""

from __future__ import annotations

from itertools import groupby

from ledger.state import StateReader
from ledger.values import Value, decode_value
from sdk.methods import Book, Level, OpenListing

ROWS_MAX = 500
"""Orders a side, and listings, that one answer looks at: the best ones."""
INTERVAL_DIGITS = 10
PRICE_MAX = 1_000_000_000
"""The market contract's greatest price: bids sort by what is missing to it."""


def read_book(reader: StateReader, interval: int, height: int) -> Book:
    """The best ``ROWS_MAX`` orders of each side, summed by price, and the interval's open listings."""
    listings = [OpenListing(row[0], price, row[1], row[2]) for price, row in _rows(reader, "offer", interval)]
    return Book(
        interval=interval,
        height=height,
        bids=_levels([(PRICE_MAX - rank, row[2]) for rank, row in _rows(reader, "bid", interval)]),
        asks=_levels([(price, row[2]) for price, row in _rows(reader, "ask", interval)]),
        listings=tuple(listings),
    )


def _rows(reader: StateReader, kind: str, interval: int) -> list[tuple[int, Value]]:
    """(rank in the key, value) of the best rows: keys are ``<kind>/<interval>/<rank>/<id>``."""
    prefix = f"market/{kind}/{interval:0{INTERVAL_DIGITS}d}/"
    found = reader.scan(prefix, "", ROWS_MAX)
    return [(int(key[len(prefix) :].split("/", 1)[0]), decode_value(entry.value)) for key, entry in found]


def _levels(orders: list[tuple[int, int]]) -> tuple[Level, ...]:
    grouped = groupby(orders, key=lambda order: order[0])
    return tuple(Level(price, sum(energy for _, energy in level)) for price, level in grouped)
