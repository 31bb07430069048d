"""A file of the embedded back end that rots, vanishes or is another's: it comes back, and never under a node."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.state import Entry, MemoryState, StateReader
from ledger.statedb import projector as projector_module
from ledger.statedb.documents import SavepointLost, StateDatabaseDamaged, StateDatabaseError, StateDatabaseUnusable
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.projector import Projector
from ledger.statedb.selector import parse_query
from ledger.values import encode_value

PATIENCE_S = 10.0
HEIGHT = 5
PAGE_BYTES = 4096
STATE = MemoryState(
    {f"market/k{n:05d}": Entry(1, n, encode_value({"type": "order", "text": "x" * 80})) for n in range(2_000)}
)
WHOLE = sorted(STATE.entries)


def snapshot() -> tuple[StateReader, int]:
    return STATE, HEIGHT


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole database, that nobody has open."""
    monkeypatch.setattr(projector_module, "CHECK_S", 0.05)
    monkeypatch.setattr(projector_module, "RETRY_S", 0.05)
    path = tmp_path / "documents.sqlite"
    with closing(EmbeddedDatabase(path)) as made:
        bring_up(made)
    with closing(sqlite3.connect(path)) as hand:
        hand.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def bring_up(database: EmbeddedDatabase) -> None:
    projector = Projector(database, snapshot, 100)
    projector.start()
    assert projector.wait_for(HEIGHT, PATIENCE_S), projector.progress()
    projector.stop()


def rot(path: Path, first_page: int = 20) -> None:
    """Every third page behind the first ones, of tables and indexes, is overwritten."""
    with path.open("r+b") as content:
        for place in range(first_page * PAGE_BYTES, path.stat().st_size, 3 * PAGE_BYTES):
            content.seek(place)
            content.write(b"\xa5" * PAGE_BYTES)


def zero_the_header(path: Path) -> None:
    with path.open("r+b") as content:
        content.write(b"\0" * 100)


@pytest.fixture
def node(file: Path) -> Iterator[tuple[EmbeddedDatabase, Projector]]:
    """Its database and projector, as a running node has them."""
    database = EmbeddedDatabase(file)
    projector = Projector(database, snapshot, 100)
    projector.start()
    assert projector.wait_for(HEIGHT, PATIENCE_S)
    yield database, projector
    projector.stop()
    database.close()


def until(holds: Callable[[], bool]) -> bool:
    """Nobody tells: ask for a while."""
    pause = threading.Event()
    return any(holds() or pause.wait(0.05) for _ in range(200))


def is_whole(file: Path) -> bool:
    """As somebody else sees it."""
    try:
        with closing(EmbeddedDatabase(file, remake=False)) as seen:
            return file.exists() and seen.height() == HEIGHT and seen.keys("", 3_000) == WHOLE
    except StateDatabaseError:
        return False


def test_rotten_pages_met_by_a_query_are_made_anew_by_the_node(file: Path) -> None:
    rot(file)
    database = EmbeddedDatabase(file)
    projector = Projector(database, snapshot, 100)
    projector.start()
    assert projector.wait_for(HEIGHT, PATIENCE_S), "the savepoint is good"
    with pytest.raises(SavepointLost, match="damaged"):
        database.find(parse_query({"v.text": "y"}, 10))
    assert until(lambda: projector.holds(HEIGHT) and is_whole(file))
    projector.stop()
    database.close()


def test_rotten_pages_met_by_a_rebuild_do_not_stop_it(file: Path) -> None:
    rot(file)
    with closing(EmbeddedDatabase(file)) as database:
        projector = Projector(database, snapshot, 100)
        projector.resync()
        projector.start()
        assert projector.wait_for(HEIGHT, PATIENCE_S), projector.progress()
        projector.stop()
        assert database.keys("", 3_000) == WHOLE


def test_a_value_that_is_no_json_is_damage_and_not_an_error_of_the_query(file: Path) -> None:
    with closing(sqlite3.connect(file)) as hand:
        hand.execute("DROP INDEX by_type")
        hand.execute("DROP INDEX by_interval")
        hand.execute("DROP INDEX by_status")
        hand.execute("UPDATE documents SET v = '{' WHERE key = 'market/k00007'")
        hand.commit()
    with closing(EmbeddedDatabase(file)) as database:
        for asked in ({"_id": "market/k00007"}, {"v.type": "order"}):
            with pytest.raises(SavepointLost):
                database.find(parse_query(asked, 10))
        bring_up(database)
        assert database.keys("", 3_000) == WHOLE


def test_a_file_removed_under_a_quiet_node_comes_back(node: tuple[EmbeddedDatabase, Projector], file: Path) -> None:
    database, projector = node
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        file.with_name(name).unlink(missing_ok=True)
    assert until(lambda: is_whole(file) and projector.holds(HEIGHT))
    assert database.keys("", 3_000) == WHOLE


def test_a_header_overwritten_under_a_quiet_node_is_noticed_and_told_by_others(
    node: tuple[EmbeddedDatabase, Projector], file: Path
) -> None:
    with closing(EmbeddedDatabase(file, remake=False)) as other:
        zero_the_header(file)
        assert until(lambda: is_whole(file) and node[1].holds(HEIGHT))
        assert other.height() == HEIGHT, "it sees the file that is there now"


def test_whoever_does_not_hold_the_lock_leaves_a_damaged_file_alone(file: Path) -> None:
    zero_the_header(file)
    before = (os.stat(file).st_ino, file.read_bytes())
    with closing(EmbeddedDatabase(file, remake=False)) as database:
        for ask in (database.height, database.forget_savepoint, lambda: database.audit("", 10)):
            with pytest.raises(StateDatabaseDamaged, match="wattq state rebuild"):
                ask()
    assert (os.stat(file).st_ino, file.read_bytes()) == before


def test_whoever_does_not_hold_the_lock_leaves_a_file_of_another_format_alone(file: Path) -> None:
    with closing(sqlite3.connect(file)) as hand:
        hand.execute("PRAGMA user_version = 99")
    before = os.stat(file).st_ino
    with closing(EmbeddedDatabase(file, remake=False)) as database, pytest.raises(StateDatabaseUnusable, match="99"):
        database.height()
    assert os.stat(file).st_ino == before
