"""The projector after a snapshot and a roll back, and when the node ends.

What is in the state database is never taken for more than it is, and no commit waits for it when nobody can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from governed import GENESIS, OPERATORS, MemoryDisk, Network

from ledger.ledger import Ledger
from ledger.state import Entry
from ledger.statedb import projector as projector_module
from ledger.statedb.audit import Drift, audit
from ledger.statedb.documents import Document, Kept, Page, SavepointLost, StateDatabaseAway, nobody
from ledger.statedb.projector import Pauses, Projector
from ledger.statedb.selector import Query
from ledger.storage import set_aside
from ledger.undo import roll_back
from ledger.values import encode_value

PATIENCE_S = 10.0


@dataclass
class Memory:
    """A state database in memory."""

    documents: dict[str, Document] = field(default_factory=dict)
    at: int = -1
    name: str = ""
    away: bool = False
    cut_short: bool = False
    """It takes documents, and is away before it moves the savepoint."""
    lost: bool = False
    applied: int = 0

    def __post_init__(self) -> None:
        self.on_lost: Callable[[], None] = nobody
        self.left_out: dict[str, str] = {}

    def height(self) -> int:
        return self.at

    def clear(self) -> None:
        self.documents, self.at, self.name = {}, -1, ""

    def check(self) -> None:
        if self.lost:
            raise SavepointLost("somebody else")

    def mark(self) -> str:
        return self.name

    def apply(self, changes: Mapping[str, Document | None], height: int, mark: str = "") -> None:
        self.applied += 1
        if self.away:
            raise StateDatabaseAway("away")
        self.check()
        for key, document in changes.items():
            if document is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = document
        if self.cut_short:
            raise StateDatabaseAway("away")
        if height >= 0:
            self.at, self.name = height, mark

    def get(self, key: str) -> Document | None:
        return self.documents.get(key)

    def keys(self, after: str, limit: int) -> list[str]:
        return sorted(key for key in self.documents if key > after)[:limit]

    def audit(self, after: str, limit: int) -> list[tuple[str, Kept]]:
        return [(key, self.documents[key]) for key in self.keys(after, limit)]

    def audit_keys(self, keys: Sequence[str]) -> dict[str, Kept]:
        return {key: self.documents[key] for key in keys if key in self.documents}

    def forget_savepoint(self) -> None:
        self.at = -1

    def find(self, query: Query) -> Page:
        raise AssertionError("nobody asks")

    def close(self) -> None:
        pass


@dataclass
class Store:
    """A commit store's moment, and a reader of it."""

    entries: dict[str, Entry] = field(default_factory=dict)
    height: int = 0

    def put(self, height: int, **values: int) -> None:
        self.height = height
        self.entries = {f"market/{k}": Entry(height, 0, encode_value({"value": v})) for k, v in values.items()}

    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        return sorted((k, e) for k, e in self.entries.items() if k > after)[:limit]


@dataclass
class Projected:
    store: Store
    database: Memory
    projector: Projector

    def values(self) -> dict[str, object]:
        return {key: document.value for key, document in self.database.documents.items()}


@pytest.fixture
def projected() -> Iterator[Projected]:
    store, database = Store(), Memory()
    store.put(8, a=1)
    made = Projected(store, database, Projector(database, lambda: (store, store.height), 100))
    made.projector.start()
    assert made.projector.wait_for(8, 10)
    yield made
    made.projector.stop()


def test_another_state_at_a_later_height_takes_the_place_of_the_old_one(projected: Projected) -> None:
    projected.store.put(16, b=2)
    projected.projector.resync()
    assert projected.projector.wait_for(16, 10)
    assert projected.values() == {"market/b": {"value": 2}}


def test_another_state_at_the_same_height_does_too(projected: Projected) -> None:
    projected.store.put(8, b=2)
    projected.projector.resync()
    assert projected.projector.wait_for(8, 10)
    assert projected.values() == {"market/b": {"value": 2}}


# ------------------------------------------------------------------------------------- what was undone meanwhile


def brought_up(database: Memory, ledger: Ledger) -> None:
    """A node starts, and its projector catches up."""
    projector = projector_of(database, ledger)
    assert projector.wait_for(ledger.height, PATIENCE_S)
    projector.stop()


def projector_of(database: Memory, ledger: Ledger) -> Projector:
    made = Projector(database, ledger.snapshot, 100, mark_at=ledger.mark)
    made.start()
    return made


def drifted(database: Memory, ledger: Ledger) -> dict[str, str]:
    return dict(audit(database, ledger.snapshot, lambda _: None, lambda: None).drifted)


def with_undone_blocks(database: Memory, *, cut_short: bool) -> Network:
    """A ledger whose blocks above 5 are undone after their changes went into the database."""
    network = Network()
    network.run_to(5)
    projector = projector_of(database, network.ledger)
    assert projector.wait_for(5, PATIENCE_S)
    network.ledger.on_commit.append(lambda block: projector.offer(block.height, block.changes))
    database.cut_short = cut_short
    act = network.envelope(OPERATORS[:2], "governance", "set_parameter", {"name": "skip_blocks", "value": 77})
    network.block(act, certified=False)
    network.block(certified=False)
    held = threading.Event()
    while database.documents["governance/parameter/skip_blocks"].height != 6:
        held.wait(0.01)
    assert cut_short or projector.wait_for(7, PATIENCE_S)
    projector.stop()
    database.cut_short = False
    network.ledger.close()
    roll_back(network.disk.storage(), GENESIS)
    network.reopen()
    return network


@pytest.mark.parametrize("cut_short", [False, True], ids=["whole", "cut short before the savepoint"])
def test_no_document_of_an_undone_block_stays_however_long_the_database_was_away(cut_short: bool) -> None:
    database = Memory()
    network = with_undone_blocks(database, cut_short=cut_short)
    network.run_to(20)  # the database is away, and the node ends before it comes back
    assert database.at == (5 if cut_short else 7)
    brought_up(database, network.ledger)
    assert drifted(database, network.ledger) == {}
    network.ledger.close()


def test_what_nobody_undid_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    database, network = Memory(), Network()
    network.run_to(5)
    brought_up(database, network.ledger)
    network.run_to(9)
    monkeypatch.setattr(database, "clear", lambda: pytest.fail("it was whole up to block 5"))
    brought_up(database, network.ledger)
    assert drifted(database, network.ledger) == {}
    network.ledger.close()


def test_data_that_were_replaced_or_undone_have_another_mark_at_the_same_height() -> None:
    network = Network()
    network.run_to(7)
    mark = network.ledger.mark(7) or ""
    assert (mark, network.ledger.mark(8)) == (network.ledger.mark(5), None), "block 8 is to come, the others are empty"
    disk: MemoryDisk = network.disk
    network.ledger.close()
    set_aside(disk.storage())
    network.reopen()
    network.run_to(7)
    replaced = network.ledger.mark(7) or ""
    assert replaced.rpartition(".")[2] == mark.rpartition(".")[2] != "", "the same state"
    network.block(certified=False)
    network.ledger.close()
    roll_back(network.disk.storage(), GENESIS)
    network.reopen()
    assert len({mark, replaced, network.ledger.mark(7)}) == 3
    network.ledger.close()


# --------------------------------------------------------------------------------------------- a node that ends


def test_a_commit_that_waits_for_a_database_lets_go_when_the_node_ends(tmp_path: Path) -> None:
    store, database = Store(), Memory()
    store.put(1, a=1)
    projector = Projector(database, lambda: (store, store.height), 0)
    projector.start()
    assert projector.wait_for(1, PATIENCE_S)
    database.away = True
    committing = threading.Thread(target=projector.offer, args=(2, {}))
    committing.start()
    committing.join(0.2)
    assert committing.is_alive(), "a bound of no blocks makes each commit wait"
    projector.end()
    committing.join(PATIENCE_S)
    assert not committing.is_alive()
    projector.stop()


@pytest.mark.parametrize("savepoint", [0, -1], ids=["rolled back", "removed"])
def test_an_edited_savepoint_hides_no_edited_document(projected: Projected, savepoint: int) -> None:
    edited = Document("market/a", 8, 0, {"value": -1})
    projected.database.documents["market/a"] = edited
    projected.database.at = savepoint
    found = audit(projected.database, lambda: (projected.store, 8), lambda _: None, lambda: None)
    assert (found.drifted, found.behind) == ({"market/a": Drift.CHANGED}, 0)


# ------------------------------------------------------------------------------------------- a quiet ledger


def at_rest() -> tuple[Projector, Checked]:
    """A projector that has brought up block 8, after which none comes, and its database."""
    store, database = Store(), Checked()
    store.put(8, a=1)
    projector = Projector(database, lambda: (store, store.height), 100)
    projector.start()
    assert projector.wait_for(8, PATIENCE_S)
    return projector, database


def test_a_savepoint_lost_without_a_block_is_noticed_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector_module, "CHECK_S", 0.05)
    projector, database = at_rest()
    database.clear()
    assert until(lambda: database.at == 8), "no block comes"
    assert until(lambda: projector.progress().fault == "" and not projector.lagging)
    projector.stop()


def test_a_reader_that_finds_something_gone_has_the_projector_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector_module, "CHECK_S", 3_600.0)
    monkeypatch.setattr(projector_module, "RETRY_S", 0.0)
    projector, database = at_rest()
    assert until(lambda: database.checks > 0)
    database.clear()
    database.on_lost()
    assert until(lambda: database.at == 8)
    projector.stop()


def test_a_savepoint_that_is_always_lost_is_not_tried_without_a_pause(projected: Projected) -> None:
    database = projected.database
    database.lost = True
    before = database.applied
    projected.projector.offer(9, {})
    threading.Event().wait(0.3)
    assert database.applied - before <= 3, "the first at once, then as for one that is away"


def test_a_loss_after_a_while_is_acted_upon_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0, 100.0, 101.0])
    monkeypatch.setattr(projector_module, "RETRY_S_MAX", 0.8)
    pauses = Pauses()
    waits = [pauses._after_loss(next(clock)) for _ in range(6)]
    assert waits == [0.0, 0.5, 0.8, 0.8, 0.0, 0.5]


class Checked(Memory):
    """It is looked at."""

    checks = 0
    left_at: int | None = None

    def height(self) -> int:
        self.left_at = self.at
        return self.at

    def check(self) -> None:
        self.checks += 1
        if self.left_at is not None and self.at != self.left_at:
            raise SavepointLost("somebody removed it")

    def apply(self, changes: Mapping[str, Document | None], height: int, mark: str = "") -> None:
        super().apply(changes, height, mark)
        self.left_at = self.at


def until(holds: Callable[[], bool]) -> bool:
    """Nobody tells: ask for a while."""
    pause = threading.Event()
    return any(holds() or pause.wait(0.02) for _ in range(500))
