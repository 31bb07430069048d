"""Committed state as readers see it, over the commit store or a snapshot of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ledger.layout import STATE, STATE_END, read_entry
from ledger.state import Entry, Span
from ledger.store import Snapshot

PINNED_PREFIX = "governance/contract/"
PINNED_MAX = 1_000
ENTRIES_CACHED_MAX = 200_000
"""State entries that a reader keeps decoded; beyond it they are forgotten, and read again."""


class StateView:
    """Committed state at one moment, over a snapshot of the store; ``pinned`` entries are at hand, decoded."""

    def __init__(self, source: Snapshot, pinned: Mapping[str, Entry] = MappingProxyType({})) -> None:
        self._source = source
        self._pinned = pinned

    def get(self, key: str) -> Entry | None:
        entry = self._pinned.get(key)
        if entry is not None:
            return entry
        record = self._source.get(STATE + key.encode())
        return None if record is None else read_entry(record)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        rows = self._source.scan(STATE + prefix.encode(), STATE + after.encode(), limit)
        return [(key[len(STATE) :].decode(), read_entry(record)) for key, record in rows]

    def near(self, low: str, high: str | None, down: bool, limit: int, bytes_max: int) -> Span:
        end = STATE_END if high is None else STATE + high.encode()
        rows, stop = self._source.near(STATE + low.encode(), end, down, limit, bytes_max)
        entries = [(key[len(STATE) :].decode(), read_entry(record)) for key, record in rows]
        return entries, None if stop is None else stop[len(STATE) :].decode()


def pinned(source: Snapshot) -> dict[str, Entry]:
    """Contracts are read for every admission and are large: they are kept decoded."""
    return dict(StateView(source).scan(PINNED_PREFIX, "", PINNED_MAX))


class CachedState(StateView):
    """A reader whose entries stay decoded: execution's between blocks, since it is told what they change, and
    admission's from one block to the next."""

    def __init__(self, source: Snapshot, pinned: Mapping[str, Entry] = MappingProxyType({})) -> None:
        super().__init__(source, pinned)
        self._cache: dict[str, Entry | None] = {}

    def get(self, key: str) -> Entry | None:
        try:
            return self._cache[key]
        except KeyError:
            if len(self._cache) >= ENTRIES_CACHED_MAX:
                self._cache = {}
            entry = self._cache[key] = super().get(key)
            return entry

    def note(self, changes: Mapping[str, Entry | None]) -> None:
        self._cache.update(changes)
