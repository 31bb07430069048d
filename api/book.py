"""The market of one interval without names: price levels and open listings, read from the contract's own keys."""

from __future__ import annotations

from ledger.state import StateReader
from sdk.methods import Book

ROWS_MAX = 500
"""Orders a side, and listings, that one answer looks at: the best ones."""


def read_book(reader: StateReader, interval: int, height: int) -> Book:
    """The best ``ROWS_MAX`` orders of each side, summed by price, and the interval's open listings."""
    raise NotImplementedError
