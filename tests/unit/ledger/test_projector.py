"""The projector: brings documents up behind the ledger, and says so when it cannot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgers import ALICE, envelope, open_ledger, run_block

from ledger.ledger import CommittedBlock, Ledger
from ledger.state import Entry, MemoryState, StateReader
from ledger.statedb import projector as projector_module
from ledger.statedb.documents import Document
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.projector import Projector
from ledger.values import decode_value, encode_value

PATIENCE_S = 10.0


class Slow(EmbeddedDatabase):
    """A back end that waits for ``gate`` before each write, and fails as long as ``broken``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.broken = 0
        self.writes: list[int] = []

    def apply(self, changes: dict[str, Document | None], height: int, mark: str = "") -> None:
        self.asked.set()
        assert self.gate.wait(PATIENCE_S)
        if self.broken:
            self.broken -= 1
            raise OSError("the back end is away")
        self.writes.append(height)
        super().apply(changes, height, mark)


class Chain:
    """A state that grows a block at a time, offered to a projector."""

    def __init__(self, database: Slow, lag_blocks_max: int = 100, lag_bytes_max: int = 1 << 20) -> None:
        self.state = MemoryState({"system/nonce/x": _entry(0, 0), "box/genesis": _entry(0, "here")})
        self.height = 0
        self.projector = Projector(database, self.snapshot, lag_blocks_max, lag_bytes_max)

    def snapshot(self) -> tuple[StateReader, int]:
        return MemoryState(self.state.entries), self.height

    def block(self, **values: Any) -> None:
        self.height += 1
        changes = {f"box/{key}": None if value is None else _entry(self.height, value) for key, value in values.items()}
        self.state.apply(changes)
        self.projector.offer(self.height, changes)


def _entry(height: int, value: Any) -> Entry:
    return Entry(height, 0, encode_value(value))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Slow]:
    opened = Slow(tmp_path / "documents.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def chain(database: Slow) -> Iterator[Chain]:
    made = Chain(database, lag_blocks_max=3)
    yield made
    database.gate.set()
    made.projector.stop()


def caught_up(chain: Chain, database: Slow) -> bool:
    """Whether every document is what the state holds, and nothing else is there."""
    if not chain.projector.wait_for(chain.height, PATIENCE_S):
        return False
    entries = {key: entry for key, entry in chain.state.entries.items() if not key.startswith("system/")}
    found = {key: database.get(key) for key in [*entries, "system/nonce/x", "box/gone"]}
    return {key: (document.height, document.value) for key, document in found.items() if document is not None} == {
        key: (entry.height, _value(entry)) for key, entry in entries.items()
    }


def _value(entry: Entry) -> Any:
    return decode_value(entry.value)


def test_a_new_database_is_read_from_the_commit_store(chain: Chain, database: Slow) -> None:
    assert chain.projector.lagging
    assert not chain.projector.wait_for(0, 0)
    chain.projector.start()
    assert caught_up(chain, database)
    assert (chain.projector.height, chain.projector.lagging) == (0, False)


def test_blocks_are_projected_as_they_come(chain: Chain, database: Slow) -> None:
    chain.projector.start()
    assert caught_up(chain, database)
    chain.block(a=1, gone=1)
    chain.block(a=2, gone=None)
    assert caught_up(chain, database)
    assert database.get("box/a") == Document("box/a", 2, 0, 2)


def test_changes_of_waiting_blocks_are_written_together(chain: Chain, database: Slow) -> None:
    chain.projector.start()
    assert caught_up(chain, database)
    database.gate.clear()
    database.asked.clear()
    chain.block(a=1)
    assert database.asked.wait(PATIENCE_S)
    chain.block(a=2)
    chain.block(a=3)
    database.gate.set()
    assert caught_up(chain, database)
    assert database.writes[-2:] == [1, 3]


def test_what_is_being_written_counts_at_the_bound_in_bytes_too(database: Slow) -> None:
    chain = Chain(database, lag_bytes_max=1_000)
    chain.projector.start()
    assert caught_up(chain, database)
    database.gate.clear()
    database.asked.clear()
    chain.block(a="x" * 700)
    assert database.asked.wait(PATIENCE_S)
    chain.block(b="x" * 200)
    lagging = [chain.projector.lagging]
    chain.block(c="x" * 200)
    assert [*lagging, chain.projector.lagging] == [False, True]
    database.gate.set()
    assert caught_up(chain, database)
    chain.projector.stop()


def test_at_the_lag_bound_everything_is_read_again_and_until_then_queries_wait(chain: Chain, database: Slow) -> None:
    chain.projector.start()
    assert caught_up(chain, database)
    database.gate.clear()
    database.asked.clear()
    chain.block(a=0)
    assert database.asked.wait(PATIENCE_S)
    for value in range(1, 3):
        chain.block(a=value)
    lagging = [chain.projector.lagging]
    chain.block(a=4)
    assert [*lagging, chain.projector.lagging] == [False, True]
    assert not chain.projector.wait_for(0, 0)
    database.gate.set()
    assert caught_up(chain, database)
    assert database.get("box/a") == Document("box/a", 4, 0, 4)


def test_queries_wait_while_everything_is_being_read(database: Slow) -> None:
    database.apply({"box/old": Document("box/old", 0, 0, "old")}, 7)
    chain = Chain(database)
    database.gate.clear()
    database.asked.clear()
    chain.projector.start()
    assert database.asked.wait(PATIENCE_S)
    assert database.get("box/old") is None
    assert chain.projector.lagging
    assert not chain.projector.wait_for(0, 0)
    database.gate.set()
    assert caught_up(chain, database)
    assert database.get("box/old") is None
    chain.projector.stop()


def test_a_back_end_that_fails_is_tried_again_and_loses_nothing(
    chain: Chain, database: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(projector_module, "RETRY_S", 0.001)
    chain.projector.start()
    assert caught_up(chain, database)
    with caplog.at_level(logging.ERROR):
        database.broken = 3
        chain.block(a=1)
        chain.block(b=2)
        assert caught_up(chain, database)
    assert "trying again" in caplog.text


def test_a_rebuild_cut_short_shows_and_is_done_again(database: Slow) -> None:
    database.apply({"box/part": Document("box/part", 1, 0, 1)}, -1)
    chain = Chain(database)
    chain.projector.start()
    assert caught_up(chain, database)
    assert database.get("box/part") is None
    chain.projector.stop()


def test_a_database_at_the_ledgers_height_is_not_read_again(database: Slow) -> None:
    chain = Chain(database)
    database.apply({"box/genesis": Document("box/genesis", 0, 0, "here")}, 0)
    database.writes.clear()
    chain.projector.start()
    assert chain.projector.wait_for(0, PATIENCE_S)
    assert database.writes == []
    chain.projector.stop()


def test_behind_a_real_ledger_documents_are_the_state(tmp_path: Path, database: Slow) -> None:
    ledger: Ledger = open_ledger(tmp_path / "ledger")
    projector = Projector(database, ledger.snapshot, 100)

    def offer(block: CommittedBlock) -> None:
        projector.offer(block.height, block.changes)

    ledger.on_commit.append(offer)
    run_block(ledger, envelope(nonce=0))
    projector.start()
    for nonce in range(1, 20):
        run_block(ledger, envelope(ALICE, nonce=nonce, args={"key": f"k{nonce % 5}", "value": nonce}))
    assert projector.wait_for(ledger.height, PATIENCE_S)
    for key, entry in ledger.reader().scan("", "", 1_000):
        document = database.get(key)
        if key.startswith("system/"):
            assert document is None
        else:
            assert document is not None
            assert (document.height, document.index, document.value) == (entry.height, entry.index, _value(entry))
    projector.stop()
    ledger.close()
