"""Between two writes of the projector lies at least its interval: the blocks of that time are combined."""

from __future__ import annotations

from pathlib import Path

from ledger.state import Entry, MemoryState
from ledger.statedb.documents import Document
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.projector import Projector
from ledger.values import encode_value
from sdk.configuration import StateSection


class Counting(EmbeddedDatabase):
    """Counts how often the savepoint moves."""

    moves = 0

    def apply(self, changes: dict[str, Document | None], height: int, mark: str = "") -> None:
        self.moves += height > 0
        super().apply(changes, height, mark)


def test_blocks_within_the_interval_are_one_write(tmp_path: Path) -> None:
    database = Counting(tmp_path / "documents.sqlite")
    projector = Projector(database, lambda: (MemoryState({}), 0), 1_000, interval_s=0.3)
    projector.start()
    assert projector.wait_for(0, 10)
    for height in range(1, 51):
        projector.offer(height, {"market/x": Entry(height, 0, encode_value(height))})
    assert projector.wait_for(50, 10)
    assert database.moves <= 2
    assert database.get("market/x") == Document("market/x", 50, 0, 50)
    projector.stop()
    database.close()


def test_nothing_is_held_back_where_it_would_cost_latency() -> None:
    assert StateSection(backend="couchdb").lag_max[2] == 0.2
    assert StateSection(backend="embedded").lag_max[2] == 0
    assert StateSection(backend="couchdb", lag_blocks_max=0).lag_max[2] == 0
