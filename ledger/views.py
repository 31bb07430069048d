"""Committed state as readers see it, over the commit store or a snapshot of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ledger.gaps import Gaps
from ledger.layout import STATE, STATE_END, read_entry
from ledger.recent import Recent
from ledger.state import UNKNOWN, Entry, Span
from ledger.store import Snapshot

PINNED_PREFIX = "governance/contract/"
PINNED_MAX = 1_000
ENTRIES_CACHED_BYTES_MAX = 64 << 20
"""Of state entries that a reader keeps decoded: those used last."""
ENTRY_OVERHEAD_BYTES = 350
"""What an entry takes in memory beside its key and value."""
SCANNED_BYTES_MAX = 1_024
"""Longer values are read again by each scan."""
ANY_SIZE = 1 << 40
"""A scan is bounded by rows alone."""
LAST = "\U0010ffff"
"""Behind all that a key may go on with."""


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


def _weight(key: str, entry: Entry | None) -> int:
    return len(key) + ENTRY_OVERHEAD_BYTES + (0 if entry is None else len(entry.value))


class CachedState(StateView):
    """A reader whose entries stay decoded, at one moment: admission's from one block to the next."""

    def __init__(self, source: Snapshot, pinned: Mapping[str, Entry] = MappingProxyType({})) -> None:
        super().__init__(source, pinned)
        self._recent = Recent[str, Entry | None](ENTRIES_CACHED_BYTES_MAX, _weight)

    def get(self, key: str) -> Entry | None:
        entry = self._recent.find(key, UNKNOWN)
        if entry is UNKNOWN:
            entry = super().get(key)
            self._recent.keep(key, entry)
        return entry


class KeptState(CachedState):
    """Execution's reader, of one thread: it goes on from block to block, since it is told what each one changes."""

    def __init__(self, source: Snapshot) -> None:
        super().__init__(source)
        self._gaps = Gaps()

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        prefix.encode(), after.encode()  # as a store does, which refuses lone surrogates
        gaps, recent = self._gaps, self._recent
        place, end = prefix if after < prefix else after + "\0", prefix + LAST
        rows: list[tuple[str, Entry]] = []
        while len(rows) < limit and (place := gaps.end(place)) < end:
            entry = recent.find(place, None)
            if entry is not None:
                rows.append((place, entry))
                place += "\0"
                continue
            stop = min(end, gaps.next(place, end))
            found, left = self.near(place, stop, False, limit - len(rows), ANY_SIZE)
            for key, entry in found:
                if place < key:
                    gaps.add(place, key)
                if len(entry.value) <= SCANNED_BYTES_MAX:
                    recent.keep(key, entry)
                place = key + "\0"
            rows += found
            if left is None:
                if place < stop:
                    gaps.add(place, stop)
                place = stop
        return rows

    def note(self, changes: Mapping[str, Entry | None]) -> None:
        """What a block has changed, once it is in the store."""
        recent, gaps = self._recent, self._gaps
        for key, entry in changes.items():
            if entry is None:
                gaps.empty(key)
            elif recent.find(key, None) is None:
                gaps.fill(key)
            recent.keep(key, entry)
