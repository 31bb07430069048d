"""Documents that somebody edits, removes or adds by hand come back by themselves, on both back ends."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from couch import Couch
from couch_chain import PATIENCE_S, Chain, entry_of

from ledger.state import Entry, MemoryState, StateReader
from ledger.statedb import patrol as patrol_module
from ledger.statedb import projector as projector_module
from ledger.statedb.audit import audit
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.patrol import Patrol
from ledger.statedb.projector import Projector

HEIGHT = 5
STATE = {f"market/{number:03d}": entry_of(1, number) for number in range(50)} | {"system/nonce/x": entry_of(1, 0)}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is followed by a page, and a page is short."""
    monkeypatch.setattr(projector_module, "CHECK_S", 0.05)
    monkeypatch.setattr(projector_module, "PATROL_S", 0.0)
    monkeypatch.setattr(patrol_module, "PATROL_KEYS", 7)


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it does not come back"
        time.sleep(0.02)


def test_what_is_done_to_a_couchdb_by_hand_is_undone(couch: Couch) -> None:
    chain = Chain(couch)
    try:
        chain.projector.start()
        chain.wait()
        chain.by_hand("PUT", "/market%2F0007", lambda body: body["v"].update(n=True))
        chain.by_hand("PUT", "/market%2F0008", lambda body: body.update(note="looks right"))
        chain.by_hand("PUT", "/market%2F0009", lambda body: body.update(_deleted=True))
        until(lambda: not chain.audit().drifted)
        chain.check()
    finally:
        chain.close()
        chain.by_hand("DELETE")


def snapshot() -> tuple[StateReader, int]:
    return MemoryState(STATE), HEIGHT


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    """The embedded one, with its projector running."""
    made = EmbeddedDatabase(tmp_path / "documents.sqlite")
    projector = Projector(made, snapshot, 100)
    projector.start()
    assert projector.wait_for(HEIGHT, PATIENCE_S)
    yield made
    projector.stop()
    made.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE documents SET v = json_set(v, '$.n', 999) WHERE key = 'market/007'",
        "DELETE FROM documents WHERE key IN ('market/000', 'market/023', 'market/049')",
        "UPDATE documents SET key = 'zzz/unknown' WHERE key = 'market/010'",
        "UPDATE documents SET key = 'a/unknown' WHERE key = 'market/010'",
    ],
)
def test_what_is_done_to_the_embedded_one_by_hand_is_undone(
    database: EmbeddedDatabase, tmp_path: Path, statement: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "documents.sqlite", timeout=10)) as hand:
        hand.execute(statement)
        hand.commit()
    until(lambda: not audit(database, snapshot, lambda _: None, lambda: None).drifted)


def test_a_round_sees_every_key_once_and_leaves_what_is_on_its_way(database: EmbeddedDatabase) -> None:
    entries: dict[str, Entry] = {**STATE, "market/003": entry_of(HEIGHT + 1, "later"), "market/0030": entry_of(2, 1)}
    patrol, found = Patrol(database), dict[str, object]()
    for _ in range(len(STATE) // 7 + 2):
        found |= patrol.drifted(MemoryState(entries), HEIGHT)
    assert set(found) == {"market/0030"}
