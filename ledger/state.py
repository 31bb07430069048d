"""The state interface: what execution reads, and the overlays of a block and of one transaction."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeAlias

import msgspec

_pack = msgspec.msgpack.Encoder().encode


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A key's encoded value and the version (height, index in block) that wrote it. Its packed form is the leaf."""

    height: int
    index: int
    value: bytes


Write: TypeAlias = tuple[str, int, bytes | None]
"""A key, the index in its block of what wrote it, and the encoded value, None for a deletion."""


class StateReader(Protocol):
    """Committed state, or a view of it."""

    def get(self, key: str) -> Entry | None: ...

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        """Up to ``limit`` entries whose keys start with ``prefix`` and are greater than ``after``, ascending."""


@dataclass(frozen=True, slots=True)
class RangeRead:
    """A range query and a digest of its answer, so that the validation module can ask again."""

    prefix: str
    after: str
    limit: int
    digest: bytes


class Overlay:
    """Changes on top of a reader: None marks a deleted key. ``writes``: all that was applied, in order."""

    def __init__(self, base: StateReader, changes: dict[str, Entry | None] | None = None) -> None:
        self.base = base
        self.changes: dict[str, Entry | None] = {} if changes is None else changes
        self.writes: list[Write] = []

    def get(self, key: str) -> Entry | None:
        if key in self.changes:
            return self.changes[key]
        return self.base.get(key)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        return merged_scan(self.base, self.changes, prefix, after, limit)

    def apply(self, writes: Mapping[str, bytes | None], height: int, index: int) -> None:
        """Take over a transaction's writes as version (height, index)."""
        for key, value in writes.items():
            self.changes[key] = None if value is None else Entry(height, index, value)
            self.writes.append((key, index, value))


def merged_scan(
    base: StateReader, changes: Mapping[str, Entry | None], prefix: str, after: str, limit: int
) -> list[tuple[str, Entry]]:
    """A scan of ``base`` as if ``changes`` had been applied."""
    own = sorted(key for key in changes if key.startswith(prefix) and key > after)
    hidden = sum(1 for key in own if changes[key] is None)
    found = [(key, entry) for key, entry in base.scan(prefix, after, limit + hidden + len(own)) if key not in changes]
    fresh = [(key, entry) for key in own if (entry := changes[key]) is not None]
    return sorted(found + fresh, key=lambda item: item[0])[:limit]


class TransactionView:
    """What one transaction sees and does. Records reads with versions, range queries with digests, and writes."""

    def __init__(self, base: StateReader) -> None:
        self.base = base
        self.reads: dict[str, tuple[int, int] | None] = {}
        self.ranges: list[RangeRead] = []
        self.writes: dict[str, bytes | None] = {}

    def get(self, key: str) -> bytes | None:
        if key in self.writes:
            return self.writes[key]
        entry = self.base.get(key)
        self.reads[key] = None if entry is None else (entry.height, entry.index)
        return None if entry is None else entry.value

    def put(self, key: str, value: bytes) -> None:
        self.writes[key] = value

    def delete(self, key: str) -> None:
        self.writes[key] = None

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        own = {
            key: None if value is None else Entry(0, 0, value)
            for key, value in self.writes.items()
            if key.startswith(prefix)
        }
        found = merged_scan(self.base, own, prefix, after, limit) if own else self.base.scan(prefix, after, limit)
        rows = [(key, entry.value) for key, entry in found]
        self.ranges.append(RangeRead(prefix, after, limit, digest_of(rows)))
        return rows


def digest_of(rows: list[tuple[str, bytes]]) -> bytes:
    """A digest of a range query's answer."""
    return sha256(_pack(rows)).digest()


class MemoryState:
    """A reader over a sorted dictionary: for tests, contract tools and the simulator."""

    def __init__(self, entries: Mapping[str, Entry] | None = None) -> None:
        self.entries: dict[str, Entry] = dict(entries or {})
        self._keys: list[str] | None = None

    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        if self._keys is None:
            self._keys = sorted(self.entries)
        start = bisect_right(self._keys, max(after, prefix)) if after >= prefix else bisect_right(self._keys, prefix)
        if after < prefix and prefix in self.entries:
            start -= 1
        rows: list[tuple[str, Entry]] = []
        for key in self._keys[start:]:
            if len(rows) == limit or not key.startswith(prefix):
                break
            rows.append((key, self.entries[key]))
        return rows

    def apply(self, changes: Mapping[str, Entry | None]) -> None:
        for key, entry in changes.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry
        self._keys = None
