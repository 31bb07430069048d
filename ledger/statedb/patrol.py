"""Looks through the state database, a page at a time and round and round, for what somebody else made of it."""

from __future__ import annotations

from ledger.state import Entry, StateReader
from ledger.statedb.audit import Drift, drift_of, wanted_of
from ledger.statedb.documents import Document, StateDatabase

PATROL_S = 10.0
"""How often a page is looked at."""
PATROL_KEYS = 1_000
"""Documents in a page: a round of 100,000 takes a quarter of an hour, and a thousandth of a node's time."""


class Patrol:
    """One round after another, on the projector's thread."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self._after = ""

    def drifted(self, reader: StateReader, height: int) -> dict[str, Document | None]:
        """What is to be written again among the next keys. ``height``: the last block that the database holds whole;
        what the state has of later ones is on its way."""
        state = dict(reader.scan("", self._after, PATROL_KEYS))
        held = dict(self._database.audit(self._after, PATROL_KEYS))
        last = min((max(page) for page in (state, held) if len(page) == PATROL_KEYS), default="")
        self._after = last
        wrong: dict[str, Document | None] = {}
        for key in sorted(state.keys() | held.keys()):
            if last and key > last:
                break
            entry = state.get(key)
            wanted = wanted_of(key, entry)
            if not _is_later(entry, height) and drift_of(wanted, (key in held, held.get(key))) not in _FINE:
                wrong[key] = wanted
        return wrong


_FINE = (None, Drift.LEFT_OUT)


def _is_later(entry: Entry | None, height: int) -> bool:
    return entry is not None and entry.height > height
