"""The history of keys: the versions that later writes replaced, beside the state in the commit store.

A version is kept when a later one takes its place, under ``v/``, key, 0x00 and its height and index, both counted
down so that a scan finds the newest first: the history of a key and its value at a past height are range reads. A new
key costs nothing, and the newest version is the state's own entry. ``system/`` bookkeeping has no history.

A record begins with the height at which it was replaced. A deletion that took a value away is an empty record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.layout import HISTORY, KNOWN_FROM, STATE, number, pack, read_entry, read_height
from ledger.runner import pack_entry
from ledger.state import Entry, Write
from ledger.store import Snapshot

UNKEPT_PREFIX = "system/"
SWEEP_ROWS_MIN = 256
"""Versions looked at for each certificate, when old ones are dropped; more if more have been written since."""
SWEEP_ROWS_PER_ROW = 2
_HEIGHT_BYTES, _INDEX_BYTES = 8, 4
_HEIGHT_TOP, _INDEX_TOP = 2**64 - 1, 2**32 - 1


class HistoryUnknown(Exception):
    """A height before the one from which on this node knows the past, or a key whose past is not kept."""

    def __init__(self, known_from: int, message: str) -> None:
        super().__init__(message)
        self.known_from = known_from


@dataclass(frozen=True, slots=True)
class Version:
    """What a write left under a key: ``value`` is encoded, None for a deletion."""

    height: int
    index: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Past:
    """A page of a key's versions, newest first; ``more``: older ones follow."""

    versions: tuple[Version, ...]
    more: bool
    height: int
    known_from: int


# ------------------------------------------------------------------------------------------------ writing


def versions_of(height: int, writes: Iterable[Write], before: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    """The rows that a block adds. ``before``: the records of the state's entries that it changes."""
    rows: dict[bytes, bytes] = {}
    fresh: dict[str, Entry | None] = {}
    since = number(height)
    for key, index, value in writes:
        if key.startswith(UNKEPT_PREFIX):
            continue
        place = _prefix(key)
        old = _old(key, fresh, before)
        if old is not None:
            replaced, record = old
            rows[place + _counted_down(replaced.height, replaced.index)] = since + record
        own = place + _counted_down(height, index)
        if value is None:
            fresh[key] = None
            if old is not None:
                rows[own] = b""
        else:
            fresh[key] = Entry(height, index, value)
            rows.pop(own, None)
    return rows


def _old(
    key: str, fresh: Mapping[str, Entry | None], before: Mapping[bytes, bytes | None]
) -> tuple[Entry, bytes] | None:
    """The entry that a write replaces, and its record."""
    if key in fresh:
        entry = fresh[key]
        return None if entry is None else (entry, pack_entry(entry))
    record = before.get(STATE + key.encode())
    return None if record is None else (read_entry(record), record)


def _prefix(key: str) -> bytes:
    return HISTORY + key.encode() + b"\0"


def _counted_down(height: int, index: int) -> bytes:
    return number(_HEIGHT_TOP - height) + (_INDEX_TOP - index).to_bytes(_INDEX_BYTES, "big")


def _version_of(row_key: bytes) -> tuple[int, int]:
    height, index = row_key[-_HEIGHT_BYTES - _INDEX_BYTES : -_INDEX_BYTES], row_key[-_INDEX_BYTES:]
    return _HEIGHT_TOP - int.from_bytes(height, "big"), _INDEX_TOP - int.from_bytes(index, "big")


def _replaced_at(record: bytes) -> int:
    return int.from_bytes(record[:_HEIGHT_BYTES], "big")


def _is_gone_by(row_key: bytes, record: bytes, height: int) -> bool:
    """Whether a version says nothing of any moment after ``height``."""
    return (_replaced_at(record) if record else _version_of(row_key)[0]) <= height


class Sweep:
    """Drops versions that were replaced long ago, a bounded part of them at a time. For the execution thread."""

    def __init__(self, source: Snapshot, blocks: int) -> None:
        self._source = source
        self._blocks = blocks
        self._after = HISTORY
        self._written = 0

    def note(self, rows: int) -> None:
        """So many rows were added: as many more will be looked at, so that what is old never outgrows the rest."""
        self._written += rows

    def step(self, certified: int) -> dict[bytes, bytes | None]:
        """What to write with the certificate of a block; nothing while no block is old enough."""
        known_from = certified - self._blocks
        if not self._blocks or known_from <= known_from_of(self._source):
            return {}
        rows_max = SWEEP_ROWS_MIN + SWEEP_ROWS_PER_ROW * self._written
        rows = self._source.scan(HISTORY, self._after, rows_max)
        self._after = rows[-1][0] if len(rows) == rows_max else HISTORY
        self._written = 0
        batch: dict[bytes, bytes | None] = {key: None for key, record in rows if _is_gone_by(key, record, known_from)}
        batch[KNOWN_FROM] = pack(known_from)
        return batch


# ------------------------------------------------------------------------------------------------ reading


def known_from_of(source: Snapshot) -> int:
    """The height from which on the past is known: 0 for genesis, a snapshot's, or where old versions were dropped."""
    record = source.get(KNOWN_FROM)
    assert record is not None, "a ledger notes it when it is opened"
    return read_height(record)


def past_of(source: Snapshot, height: int, key: str, limit: int, before: tuple[int, int] | None = None) -> Past:
    """Versions of ``key``, newest first; ``before``: only those older than that (height, index).

    ``source`` is the store at one moment, ``height`` that of its last block.
    """
    known_from = _checked(source, key)
    prefix = _prefix(key)
    found: list[Version] = []
    record = source.get(STATE + key.encode())
    entry = None if record is None else read_entry(record)
    if entry is not None and (before is None or (entry.height, entry.index) < before):
        found.append(Version(entry.height, entry.index, entry.value))
    after = prefix if before is None else prefix + _counted_down(*before)
    for row_key, kept in source.scan(prefix, after, limit + 1):
        if _is_gone_by(row_key, kept, known_from):
            break
        value = read_entry(kept[_HEIGHT_BYTES:]).value if kept else None
        found.append(Version(*_version_of(row_key), value))
    return Past(tuple(found[:limit]), len(found) > limit, height, known_from)


def entry_at(source: Snapshot, key: str, height: int) -> Entry | None:
    """What stood under ``key`` after the block at ``height``, which ``source`` holds."""
    known_from = _checked(source, key)
    if height < known_from:
        raise HistoryUnknown(known_from, f"This node knows the past from block {known_from} on")
    record = source.get(STATE + key.encode())
    entry = None if record is None else read_entry(record)
    if entry is not None and entry.height <= height:
        return entry
    prefix = _prefix(key)
    rows = source.scan(prefix, prefix + number(_HEIGHT_TOP - height), 1)
    if not rows or _replaced_at(rows[0][1]) <= height:
        return None
    return read_entry(rows[0][1][_HEIGHT_BYTES:])


def _checked(source: Snapshot, key: str) -> int:
    known_from = known_from_of(source)
    if key.startswith(UNKEPT_PREFIX):
        raise HistoryUnknown(known_from, f"The past of keys below {UNKEPT_PREFIX} is not kept")
    return known_from
