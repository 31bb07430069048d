"""A worker's knowledge of committed state: stretches of the key space that it knows completely, the rest fetched.

An answer is a page: all entries round the missed key, up to a bound, and between which keys there are no others. So a
key that does not exist is known to be absent with all of its gap, a range query can be answered here, and the changes
of committed blocks keep both true: most blocks ask nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.sandbox.ordered import Ordered
from contracts.sandbox.protocol import PAGE_ROWS_MAX, Miss, Page, places
from ledger.state import Entry

Fetch = Callable[[Miss], Page]

BYTES_MAX = 64 << 20
"""What is held, with what Python needs for it; beyond it everything is forgotten and fetched again as it is needed."""
ENTRY_BYTES = 400
"""What an entry takes beside its key and value: objects of its own, and a place in a dictionary and two lists."""
STRETCH_BYTES = 400
"""What a stretch takes beside its two ends."""
KEYS_MAX = 256
"""A stretch of more keys is cut in two; neighbours of fewer are made one."""
PAGE_ROWS_MIN = 4
ROWS_A_READ = 2
CREDIT_ROWS_MAX = 4_096
"""Pages are as large as reads have found their rows of use: each read brings ``ROWS_A_READ`` rows of credit, each place
in a page takes one. Reads here and there over a large state get ``PAGE_ROWS_MIN``, those in order whole pages, and no
pattern that somebody thinks of gets more than both a read. At first there is credit for the largest pages."""


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
        self._credit_rows = CREDIT_ROWS_MAX
        self.clear()

    def clear(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._stretches: dict[str, Stretch] = {}
        """By their lows, which do not overlap."""
        self._lows = Ordered()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """What is held, as it is reckoned."""
        return self._bytes

    def get(self, key: str) -> Entry | None:
        self._credit_rows += ROWS_A_READ
        entry = self._entries.get(key)
        if entry is None and self._known(key) is None:
            self._learn(key, PAGE_ROWS_MIN)
            entry = self._entries.get(key)
        return entry

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        prefix.encode(), after.encode()  # as a store does, which refuses lone surrogates
        start = prefix if after < prefix else after + "\0"
        rows: list[tuple[str, Entry]] = []
        while len(rows) < limit and start.startswith(prefix):
            stretch = self._known(start) or self._learn(start, limit - len(rows), start)
            for key in stretch.keys[bisect_left(stretch.keys, start) :]:
                if len(rows) == limit or not key.startswith(prefix):
                    return rows
                self._credit_rows += ROWS_A_READ
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
        if self._bytes > self._bytes_max:
            self.clear()

    # ------------------------------------------------------------------------------------------- inside

    def _change(self, stretch: Stretch, key: str, old: Entry | None, entry: Entry | None) -> None:
        """A known key comes or goes."""
        if old is not None:
            self._bytes -= _entry_bytes(key, old)
            del self._entries[key]
            del stretch.keys[bisect_left(stretch.keys, key)]
        if entry is not None:
            self._bytes += _entry_bytes(key, entry)
            self._entries[key] = entry
            insort(stretch.keys, key)
            if len(stretch.keys) > KEYS_MAX:
                self._cut(stretch)

    def _known(self, key: str) -> Stretch | None:
        low = self._lows.last(key)
        if low is None:
            return None
        stretch = self._stretches[low]
        return stretch if stretch.high is None or key < stretch.high else None

    def _learn(self, key: str, wanted_rows: int, least: str = "") -> Stretch:
        """Fetch what is round a key that is not known, or from ``least`` on."""
        if self._bytes > self._bytes_max:
            self.clear()
        before, high = self._lows.last(key), self._lows.next(key)
        left = None if before is None else self._stretches[before]
        low = least if left is None or left.high is None else max(least, left.high)
        credit_rows = min(self._credit_rows, CREDIT_ROWS_MAX)
        page = self._fetch(Miss(key, low, high, min(max(wanted_rows, credit_rows), PAGE_ROWS_MAX)))
        self._credit_rows = max(0, credit_rows - places(page.rows))
        self._entries.update(page.rows)
        self._bytes += sum([_entry_bytes(*row) for row in page.rows])
        stretch = self._add(Stretch(page.low, page.high, [row[0] for row in page.rows]))
        if high is not None:
            self._join(stretch, self._stretches[high])
        return stretch if left is None else self._join(left, stretch)

    def _cut(self, stretch: Stretch) -> None:
        middle = len(stretch.keys) // 2
        second = Stretch(stretch.keys[middle], stretch.high, stretch.keys[middle:])
        self._bytes -= _stretch_bytes(stretch)
        stretch.high, stretch.keys = second.low, stretch.keys[:middle]
        self._bytes += _stretch_bytes(stretch)
        self._add(second)

    def _add(self, stretch: Stretch) -> Stretch:
        self._stretches[stretch.low] = stretch
        self._lows.add(stretch.low)
        self._bytes += _stretch_bytes(stretch)
        return stretch

    def _join(self, left: Stretch, right: Stretch) -> Stretch:
        """Make one of them if they are neighbours and have few keys; where the keys of ``right`` are now."""
        if left.high != right.low or len(left.keys) + len(right.keys) > KEYS_MAX:
            return right
        self._bytes -= _stretch_bytes(left) + _stretch_bytes(right)
        del self._stretches[right.low]
        self._lows.remove(right.low)
        left.high = right.high
        left.keys += right.keys
        self._bytes += _stretch_bytes(left)
        return left


def _entry_bytes(key: str, entry: Entry) -> int:
    return len(key) + len(entry.value) + ENTRY_BYTES


def _stretch_bytes(stretch: Stretch) -> int:
    return len(stretch.low) + len(stretch.high or "") + STRETCH_BYTES
