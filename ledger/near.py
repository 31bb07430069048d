"""What lies beside a key of a store, up to a bound of rows and bytes: what a contract worker gets of the state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

Near: TypeAlias = "tuple[list[tuple[bytes, bytes]], bytes | None]"
"""Pairs, and the key at which they end: up to there are no others, and it is not among them. None: nothing follows."""


class NearReader(Protocol):
    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        """Pairs from ``low`` up to, not including, ``high``: from the first on, ascending, or ``down`` from the last,
        up to ``limit`` of them and ``bytes_max`` of values in all."""


def fitting(pairs: Iterable[tuple[bytes, bytes]], limit: int, bytes_max: int) -> Near:
    """As many of these pairs, between which there are no others, as ``NearReader.near`` tells."""
    rows: list[tuple[bytes, bytes]] = []
    for key, value in pairs:
        bytes_max -= len(value)
        if len(rows) == limit or bytes_max < 0:
            return rows, key
        rows.append((key, value))
    return rows, None


def near_before(
    source: NearReader,
    replaced: Mapping[bytes, bytes | None],
    low: bytes,
    high: bytes,
    down: bool,
    limit: int,
    bytes_max: int,
) -> Near:
    """``NearReader.near`` of a source as it was before some of its keys were replaced."""
    rows, end = source.near(low, high, down, limit, bytes_max)
    if end is not None:
        low, high = (end + b"\0", high) if down else (low, end)
    found = dict(rows) | {key: old for key, old in replaced.items() if low <= key < high}
    pairs = [(key, found[key]) for key in sorted(found, reverse=down)]
    told, first_left = fitting([(key, value) for key, value in pairs if value is not None], limit, bytes_max)
    return told, end if first_left is None else first_left
