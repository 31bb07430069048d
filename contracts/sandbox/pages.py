"""A worker's knowledge of committed state: stretches of the key space that it knows completely, the rest fetched.

An answer is a page: all entries from the missed key on, up to a bound. So a key that does not exist is known to be
absent, a range query can be answered here, and the changes of committed blocks keep both true: most blocks ask nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ledger.state import Entry

Fetch = Callable[[str], tuple[list[tuple[str, Entry]], bool]]
"""The entries from a key on, and whether nothing follows them."""

BYTES_MAX = 64 << 20
"""Keys and values held; beyond it everything is forgotten and fetched again as it is needed."""
ENTRY_BYTES = 200
"""What an entry costs beside its key and value."""
KEYS_MAX = 256
"""A stretch of more keys is cut in two."""


@dataclass(slots=True)
class Stretch:
    """All keys from ``low`` up to, not including, ``high`` (None: no end) are known, present ones in ``keys``."""

    low: str
    high: str | None
    keys: list[str]


class PagedState:
    """Implements ``StateReader``."""

    def __init__(self, fetch: Fetch, bytes_max: int = BYTES_MAX) -> None:
        self._fetch = fetch
        self._bytes_max = bytes_max
        self.clear()

    def clear(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._stretches: list[Stretch] = []
        self._lows: list[str] = []
        self._bytes = 0

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None and self._known(key) is None:
            self._learn(key)
            entry = self._entries.get(key)
        return entry

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        prefix.encode(), after.encode()  # as a store does, which refuses lone surrogates
        start = prefix if after < prefix else after + "\0"
        rows: list[tuple[str, Entry]] = []
        while len(rows) < limit and start.startswith(prefix):
            stretch = self._known(start) or self._learn(start)
            for key in stretch.keys[bisect_left(stretch.keys, start) :]:
                if len(rows) == limit or not key.startswith(prefix):
                    return rows
                rows.append((key, self._entries[key]))
            if stretch.high is None:
                break
            start = stretch.high
        return rows

    def apply(self, changes: Mapping[str, Entry | None]) -> None:
        """What a committed block changed. Of what is not known nothing needs to be."""
        for key, entry in changes.items():
            old = self._entries.get(key)
            if old is not None and entry is not None:
                self._entries[key] = entry
                self._bytes += len(entry.value) - len(old.value)
            elif old is not None or entry is not None:
                stretch = self._known(key)
                if stretch is not None:
                    self._change(stretch, key, old, entry)

    # ------------------------------------------------------------------------------------------- inside

    def _change(self, stretch: Stretch, key: str, old: Entry | None, entry: Entry | None) -> None:
        """A known key comes or goes."""
        if old is not None:
            self._bytes -= _cost(key, old)
            del self._entries[key]
            del stretch.keys[bisect_left(stretch.keys, key)]
        if entry is not None:
            self._bytes += _cost(key, entry)
            self._entries[key] = entry
            insort(stretch.keys, key)
            if len(stretch.keys) > KEYS_MAX:
                self._cut(stretch)

    def _known(self, key: str) -> Stretch | None:
        at = bisect_right(self._lows, key) - 1
        if at < 0:
            return None
        stretch = self._stretches[at]
        return stretch if stretch.high is None or key < stretch.high else None

    def _learn(self, key: str) -> Stretch:
        if self._bytes > self._bytes_max:
            self.clear()
        rows, whole = self._fetch(key)
        high = None if whole else rows[-1][0] + "\0"
        at = bisect_right(self._lows, key)
        if at < len(self._lows) and (high is None or high > self._lows[at]):
            high = self._lows[at]
            rows = [row for row in rows if row[0] < high]
        stretch = Stretch(key, high, [row[0] for row in rows])
        self._entries.update(rows)
        self._bytes += sum(_cost(*row) for row in rows)
        self._stretches.insert(at, stretch)
        self._lows.insert(at, key)
        return stretch

    def _cut(self, stretch: Stretch) -> None:
        middle = len(stretch.keys) // 2
        second = Stretch(stretch.keys[middle], stretch.high, stretch.keys[middle:])
        stretch.high, stretch.keys = second.low, stretch.keys[:middle]
        at = bisect_right(self._lows, second.low)
        self._stretches.insert(at, second)
        self._lows.insert(at, second.low)


def _cost(key: str, entry: Entry) -> int:
    return len(key) + len(entry.value) + ENTRY_BYTES
