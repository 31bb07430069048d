"""What differs between a state database and the state that it should show: each document, named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ledger.state import Entry, StateReader
from ledger.statedb.documents import UNPROJECTED, Document, Kept, StateDatabase, Stub, document_of

PAGE = 500
LOOKS = 4
"""How often a document that differs is looked at again, since a running node goes on writing."""


class Drift(StrEnum):
    MISSING = "missing"
    CHANGED = "changed"
    LEFT_OUT = "left out: the state database does not store it"
    UNKNOWN = "not in the state"


@dataclass(frozen=True, slots=True)
class Audit:
    """``drifted``: what is wrong with which key. ``behind``: documents that the database is yet to be given."""

    documents: int
    drifted: dict[str, Drift]
    behind: int
    height: int
    savepoint: int


Reopen = Callable[[], tuple[StateReader, int]]
"""The commit store as it is by now, and its height."""


def audit(database: StateDatabase, reopen: Reopen, told: Callable[[int], None], pause: Callable[[], None]) -> Audit:
    """Compare every document. ``told`` hears how many have been; ``pause`` passes between two looks."""
    reader, height = reopen()
    drifted: dict[str, Drift] = {}
    count = 0
    for key, wanted, found in _side_by_side(reader, database):
        count += 1
        if (drift := drift_of(wanted, found)) is not None:
            drifted[key] = drift
        if count % PAGE == 0:
            told(count)
    for _ in range(LOOKS):
        if not drifted:
            break
        pause()
        reader, height = reopen()
        drifted = _look_again(reader, database, list(drifted))
    savepoint = database.height()
    suspects = {key: reader.get(key) for key in drifted}
    later = [key for key, entry in suspects.items() if entry is not None and entry.height > savepoint]
    held = _held_of(database, later)
    late = {key for key in later if _is_behind(held.get(key, (False, None)), suspects[key])}
    named = {key: drift for key, drift in drifted.items() if key not in late}
    return Audit(count, named, len(late), height, savepoint)


Found = tuple[bool, Kept]
"""Whether there is something under the key, and what, if it is of the right shape."""


def drift_of(wanted: Document | None, found: Found) -> Drift | None:
    there, document = found
    if wanted is None:
        return Drift.UNKNOWN if there else None
    if not there:
        return Drift.MISSING
    if isinstance(document, Stub):
        return Drift.LEFT_OUT
    return None if document is not None and _told(document) == _told(wanted) else Drift.CHANGED


def _is_behind(found: Found, entry: Entry | None) -> bool:
    """Whether it may be the key's earlier version, or not be written yet.

    Whatever the savepoint says: what claims to be the state's own version, or has no shape of ours, no projector left.
    """
    there, document = found
    if not there or entry is None:
        return not there
    return isinstance(document, Document) and (document.height, document.index) < (entry.height, entry.index)


def _held_of(database: StateDatabase, keys: list[str]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for start in range(0, len(keys), PAGE):
        found |= {key: (True, held) for key, held in database.audit_keys(keys[start : start + PAGE]).items()}
    return found


def _told(document: Document) -> str:
    """JSON tells 1 from true, which Python's equality does not."""
    return json.dumps([document.key, document.height, document.index, document.value], sort_keys=True)


def _look_again(reader: StateReader, database: StateDatabase, keys: list[str]) -> dict[str, Drift]:
    drifted = {}
    for start in range(0, len(keys), PAGE):
        part = keys[start : start + PAGE]
        held = database.audit_keys(part)
        for key in part:
            if (drift := drift_of(wanted_of(key, reader.get(key)), (key in held, held.get(key)))) is not None:
                drifted[key] = drift
    return drifted


def wanted_of(key: str, entry: Entry | None) -> Document | None:
    return None if entry is None or key.startswith(UNPROJECTED) else document_of(key, entry)


def _side_by_side(reader: StateReader, database: StateDatabase) -> Iterator[tuple[str, Document | None, Found]]:
    """Both in the order of keys, each key once."""
    state, held = _entries(reader), _held(database)
    ours, theirs = next(state, None), next(held, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            yield ours[0], ours[1], (False, None)
            ours = next(state, None)
        elif ours is None or theirs[0] < ours[0]:
            yield theirs[0], None, (True, theirs[1])
            theirs = next(held, None)
        else:
            yield ours[0], ours[1], (True, theirs[1])
            ours, theirs = next(state, None), next(held, None)


def _entries(reader: StateReader) -> Iterator[tuple[str, Document]]:
    after = ""
    while page := reader.scan("", after, PAGE):
        after = page[-1][0]
        for key, entry in page:
            if (document := wanted_of(key, entry)) is not None:
                yield key, document


def _held(database: StateDatabase) -> Iterator[tuple[str, Kept]]:
    after = ""
    while page := database.audit(after, PAGE):
        after = page[-1][0]
        yield from page
