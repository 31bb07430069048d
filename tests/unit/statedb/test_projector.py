"""The projector after a snapshot: what the state database holds is read anew, whatever its savepoint says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from ledger.state import Entry
from ledger.statedb.documents import Document, Page
from ledger.statedb.projector import Projector
from ledger.statedb.selector import Query
from ledger.values import encode_value


@dataclass
class Memory:
    """A state database in memory."""

    documents: dict[str, Document] = field(default_factory=dict)
    at: int = -1

    def height(self) -> int:
        return self.at

    def clear(self) -> None:
        self.documents, self.at = {}, -1

    def apply(self, changes: Mapping[str, Document | None], height: int) -> None:
        for key, document in changes.items():
            if document is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = document
        self.at = height if height >= 0 else self.at

    def get(self, key: str) -> Document | None:
        return self.documents.get(key)

    def keys(self, after: str, limit: int) -> list[str]:
        return sorted(key for key in self.documents if key > after)[:limit]

    def audit(self, after: str, limit: int) -> list[tuple[str, Document | None]]:
        return [(key, self.documents[key]) for key in self.keys(after, limit)]

    def audit_keys(self, keys: Sequence[str]) -> dict[str, Document | None]:
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
