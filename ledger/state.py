"""The state interface: what execution reads, and the overlays of a block and of one transaction."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec

_pack = msgspec.msgpack.Encoder().encode


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A key's encoded value and the version (height, index in block) that wrote it. Its packed form is the leaf."""

    height: int
    index: int
    value: bytes


Write: TypeAlias = tuple[str, int, bytes | None]
"""A key, the index in its block of what wrote it, and the encoded value, None for a deletion."""


UNKNOWN = Entry(-1, -1, b"")
"""Stands for what a reader has to be asked for."""


class StateReader(Protocol):
    """Committed state, or a view of it."""

    def get(self, key: str) -> Entry | None: ...

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        """Up to ``limit`` entries whose keys start with ``prefix`` and are greater than ``after``, ascending."""


Span: TypeAlias = "tuple[list[tuple[str, Entry]], str | None]"
"""Entries, and the key at which they end: up to there are no others, and it is not among them. None: no end."""


@runtime_checkable
class CommittedReader(StateReader, Protocol):
    """Committed state, of which pages go to a contract worker."""

    def near(self, low: str, high: str | None, down: bool, limit: int, bytes_max: int) -> Span:
        """Entries from ``low`` up to, not including, ``high`` (None: no end): from the first on, ascending, or ``down``
        from the last, up to ``limit`` of them and about ``bytes_max`` of values in all."""


Version: TypeAlias = tuple[int, int]
"""The height, and the index in its block, of what wrote a key."""
Rows: TypeAlias = "Sequence[tuple[str, Entry]]"

INSORT_MAX = 32
"""New keys that are put in their places one by one; sorting anew is quicker for more."""
PASSED_A_ROW = 8
MORE_ROWS_MAX = 64
"""A scan reads at a time as many rows as it lacks, and one more for every ``PASSED_A_ROW`` that it has passed, up to so
many more: those to be passed may be many, and few should be read that nobody has paid for."""

Passed: TypeAlias = "Callable[[int, int], None]"
"""Told by a scan on its way of rows that it reads and does not answer with, since they were deleted or written anew or
new ones come before them: how many, and the bytes that they hold below. Whoever has had enough raises."""


def unpaid(rows: int, size_bytes: int) -> None:
    """What a scan that nobody pays for does with what it passes."""


class RangeRead:
    """A range query and a digest of its answer, so that it can be asked again: keys and versions, without own writes.

    The digest is made when somebody asks for it: most transactions are executed where their reads cannot be wrong.
    """

    __slots__ = ("_digest", "_rows", "after", "limit", "prefix")

    def __init__(self, prefix: str, after: str, limit: int, rows: Rows = (), digest: bytes = b"") -> None:
        self.prefix, self.after, self.limit = prefix, after, limit
        self._rows, self._digest = rows, digest

    @property
    def digest(self) -> bytes:
        if not self._digest:
            self._digest, self._rows = digest_of(self._rows), ()
        return self._digest


def digest_of(rows: Rows) -> bytes:
    """A digest of a range query's answer. A version says what a key held as well as its value does."""
    return sha256(_pack([(key, entry.height, entry.index) for key, entry in rows])).digest()


class _Sorted:
    """Changed keys that begin with ``root``, in order. ``seen``: so many of the changes were looked at."""

    __slots__ = ("keys", "root", "seen")

    def __init__(self, root: str) -> None:
        self.root = root
        self.seen = 0
        self.keys: list[str] = []

    def add(self, fresh: list[str]) -> None:
        if len(fresh) <= INSORT_MAX:
            for key in fresh:
                insort(self.keys, key)
        else:
            self.keys += fresh
            self.keys.sort()


class Layer:
    """The keys of changes, to which keys are added only, in order below what somebody scans.

    Keys are kept by the root of what is scanned, its first two parts as `market/ask/`, so that a scan puts few in
    order. Whoever comes after ``ROOTS_MAX`` roots shares the order of all keys, that of ''.
    """

    __slots__ = ("_changes", "_sorted")

    ROOTS_MAX = 8
    """Each one looks through all changes."""

    def __init__(self, changes: dict[str, Any]) -> None:
        self._changes = changes
        self._sorted: dict[str, _Sorted] = {}

    def keys(self, prefix: str = "") -> list[str]:
        """Changed keys, ascending: at least those with the prefix."""
        root = prefix[: prefix.find("/", prefix.find("/") + 1) + 1]
        below = self._sorted.get(root) or self._begun(root)
        more = len(self._changes) - below.seen
        if more:
            below.seen += more
            root = below.root
            below.add([key for key in islice(reversed(self._changes), more) if key.startswith(root)])
        return below.keys

    def _begun(self, root: str) -> _Sorted:
        if len(self._sorted) >= self.ROOTS_MAX:
            root = ""
        return self._sorted.setdefault(root, _Sorted(root))


class Overlay:
    """Changes on top of a reader, which stays as it is: None marks a deleted key. ``writes``: all that was applied, in
    order."""

    def __init__(self, base: StateReader, changes: dict[str, Entry | None] | None = None) -> None:
        self.base = base
        self.changes: dict[str, Entry | None] = {} if changes is None else changes
        self._known = dict(self.changes)
        """What a key holds, so that ``base`` is asked once for each."""
        self._layer = Layer(self.changes)
        self.writes: list[Write] = []

    def get(self, key: str) -> Entry | None:
        entry = self._known.get(key, UNKNOWN)
        return self.fetch(key) if entry is UNKNOWN else entry

    def fetch(self, key: str) -> Entry | None:
        """What ``get`` finds that did not know it."""
        entry = self._known[key] = self.base.get(key)
        return entry

    def finder(self) -> Callable[[str, Entry], Entry | None]:
        """What is known of a key, or else what is given: the quick part of ``get``."""
        return self._known.get

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        return self.walk(prefix, after, limit, unpaid)

    def walk(self, prefix: str, after: str, limit: int, passed: Passed) -> list[tuple[str, Entry]]:
        """A scan that tells what it passes: the same here and wherever else a block has the same changes."""
        keys = self._layer.keys(prefix)
        return merged_scan(self.base, keys, self.changes.__getitem__, prefix, after, limit, passed)

    def apply(self, writes: Mapping[str, bytes | None], height: int, index: int) -> None:
        """Take over a transaction's writes as version (height, index)."""
        for key, value in writes.items():
            self.changes[key] = self._known[key] = None if value is None else Entry(height, index, value)
            self.writes.append((key, index, value))


def merged_scan(
    base: StateReader,
    keys: list[str],
    entry_of: Callable[[str], Entry | None],
    prefix: str,
    after: str,
    limit: int,
    passed: Passed,
    asked: list[RangeRead] | None = None,
) -> list[tuple[str, Entry]]:
    """A scan of ``base`` as if changes had been applied: their ``keys``, ascending, and what each became.

    ``asked`` takes note of every query to ``base``: one more where rows of a page turn out to be deleted.
    """
    at = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
    found: list[tuple[str, Entry]] = []
    gone = 0
    while len(found) < limit:
        lacking = limit - len(found)
        wanted = lacking + min(gone // PASSED_A_ROW, MORE_ROWS_MAX)
        page = walked(base, prefix, after, wanted, passed)
        if asked is not None:
            asked.append(RangeRead(prefix, after, wanted, page))
        last = page[-1][0] if len(page) == wanted else None
        changed: dict[str, Entry | None] = {}
        own = 0
        while at < len(keys) and own < lacking and keys[at].startswith(prefix) and (last is None or keys[at] <= last):
            entry = changed[keys[at]] = entry_of(keys[at])
            at += 1
            if entry is None:
                passed(1, 0)
            else:
                own += 1
        if not changed and wanted == lacking:
            return found + page
        left = [row for row in page if row[0] not in changed]
        gone += len(page) - len(left)
        rows = sorted(left + [(key, entry) for key, entry in changed.items() if entry is not None]) if own else left
        found += rows[:lacking]
        in_vain = [len(entry.value) for key, entry in page if key in changed]
        in_vain += [len(entry.value) for key, entry in rows[lacking:] if key not in changed]
        if in_vain:
            passed(len(in_vain), sum(in_vain))
        if last is None:
            break
        after = last
    return found


def walked(base: StateReader, prefix: str, after: str, limit: int, passed: Passed) -> list[tuple[str, Entry]]:
    """A scan that tells what it passes, if it passes anything: committed state holds no deleted rows."""
    return base.walk(prefix, after, limit, passed) if type(base) is Overlay else base.scan(prefix, after, limit)


class TooMuch(Exception):
    """More was asked again than can have been paid for."""


class TransactionView:
    """What one transaction sees and does. Records reads with versions, range queries with digests, and writes."""

    __slots__ = ("_fetch", "_find", "_layer", "base", "ranges", "reads", "writes")

    def __init__(self, base: StateReader) -> None:
        self.base = base
        self._find, self._fetch = (base.finder(), base.fetch) if type(base) is Overlay else (_nothing, base.get)
        self.reads: dict[str, Version | None] = {}
        self.ranges: list[RangeRead] = []
        self.writes: dict[str, bytes | None] = {}
        self._layer: Layer | None = None

    def is_true(self, rows_max: int, bytes_max: int) -> bool:
        """Whether ``base`` answers every read and range query as is written here, perhaps by somebody else, and the
        queries by reading ``rows_max`` rows and ``bytes_max`` of their values at most, and little more to find out."""
        find, fetch = self._find, self._fetch
        for key, version in self.reads.items():
            entry = find(key, UNKNOWN)
            if entry is UNKNOWN:
                entry = fetch(key)
            if version != (None if entry is None else (entry.height, entry.index)):
                return False

        def passed(rows: int, size_bytes: int) -> None:
            nonlocal rows_max, bytes_max
            rows_max -= rows
            bytes_max -= size_bytes
            if rows_max < 0 or bytes_max < 0:
                raise TooMuch

        try:
            for asked in self.ranges:
                rows = walked(self.base, asked.prefix, asked.after, asked.limit, passed)
                passed(len(rows), sum([len(entry.value) for _, entry in rows]))
                if digest_of(rows) != asked.digest:
                    return False
        except TooMuch:
            return False
        return True

    def get(self, key: str) -> bytes | None:
        writes = self.writes
        if key in writes:
            return writes[key]
        entry = self._find(key, UNKNOWN)
        if entry is UNKNOWN:
            entry = self._fetch(key)
        if entry is None:
            self.reads[key] = None
            return None
        self.reads[key] = (entry.height, entry.index)
        return entry.value

    def put(self, key: str, value: bytes) -> None:
        self.writes[key] = value

    def delete(self, key: str) -> None:
        self.writes[key] = None

    def scan(self, prefix: str, after: str, limit: int, passed: Passed = unpaid) -> list[tuple[str, bytes]]:
        """``passed``: told of rows that this transaction or its block changed, and that the scan passes."""
        rows = merged_scan(self.base, self._keys(prefix), self._own, prefix, after, limit, passed, self.ranges)
        return [(key, entry.value) for key, entry in rows]

    def _keys(self, prefix: str) -> list[str]:
        """Written keys, ascending, those with ``prefix`` at least: few are looked through, many are kept in order."""
        if len(self.writes) <= INSORT_MAX:
            return sorted([key for key in self.writes if key.startswith(prefix)])
        if self._layer is None:
            self._layer = Layer(self.writes)
        return self._layer.keys(prefix)

    def _own(self, key: str) -> Entry | None:
        value = self.writes[key]
        return None if value is None else Entry(0, 0, value)


def _nothing(key: str, otherwise: Entry) -> Entry:
    return otherwise


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
        at = bisect_right(self._keys, after) if after >= prefix else bisect_left(self._keys, prefix)
        rows: list[tuple[str, Entry]] = []
        for key in self._keys[at : at + limit]:
            if not key.startswith(prefix):
                break
            rows.append((key, self.entries[key]))
        return rows

    def near(self, low: str, high: str | None, down: bool, limit: int, bytes_max: int) -> Span:
        keys = self._keys = sorted(self.entries) if self._keys is None else self._keys
        first, behind = bisect_left(keys, low), len(keys) if high is None else bisect_left(keys, high)
        rows: list[tuple[str, Entry]] = []
        for at in range(behind - 1, first - 1, -1) if down else range(first, behind):
            entry = self.entries[keys[at]]
            bytes_max -= len(entry.value)
            if len(rows) == limit or bytes_max < 0:
                return rows, keys[at]
            rows.append((keys[at], entry))
        return rows, None

    def apply(self, changes: Mapping[str, Entry | None]) -> None:
        for key, entry in changes.items():
            known = key in self.entries
            if entry is not None:
                self.entries[key] = entry
                if not known and self._keys is not None:
                    insort(self._keys, key)
            elif known:
                del self.entries[key]
                if self._keys is not None:
                    del self._keys[bisect_left(self._keys, key)]
