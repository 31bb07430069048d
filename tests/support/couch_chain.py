"""A state that grows, its projector and its CouchDB: what the tests of faults play with."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from couch import Couch, basic

from ledger.state import Entry, MemoryState, StateReader
from ledger.statedb.audit import Audit, audit
from ledger.statedb.couchdb import CouchDatabase, Owner
from ledger.statedb.couchdb_client import Access
from ledger.statedb.documents import UNPROJECTED
from ledger.statedb.projector import Projector
from ledger.values import encode_value

OWNER = Owner("cd" * 32, "main", "node1")
PATIENCE_S = 30.0
DOCUMENTS = 300


class Chain:
    """A state that grows a block at a time, its projector, and its database."""

    def __init__(
        self,
        couch: Couch,
        url: str = "",
        lag_blocks_max: int = 1_000,
        lag_bytes_max: int = 1 << 26,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.couch = couch
        self.name = couch.fresh_name()
        self.entries: dict[str, Entry] = {"system/nonce/x": entry_of(0, 0)}
        self.entries |= {f"market/{number:04d}": entry_of(0, number) for number in range(DOCUMENTS)}
        self.height = 0
        access = Access(url or couch.url, couch.user, couch.password, request_timeout_s=1.5, tls=tls)
        self.database = CouchDatabase(access, self.name, OWNER)
        self.projector = Projector(self.database, self.snapshot, lag_blocks_max, lag_bytes_max)

    def snapshot(self) -> tuple[StateReader, int]:
        return MemoryState(self.entries), self.height

    def block(self, **values: int | str | None) -> None:
        self.height += 1
        changes = {
            f"market/{key}": None if value is None else entry_of(self.height, value) for key, value in values.items()
        }
        entries = dict(self.entries)
        for key, entry in changes.items():
            entries.pop(key, None) if entry is None else entries.update({key: entry})
        self.entries = entries
        self.projector.offer(self.height, changes)

    def blocks(self, count: int) -> None:
        """Blocks that change, add and delete."""
        for number in range(count):
            gone = None if number % 3 == 0 else number
            self.block(**{"0001": self.height, f"n{self.height}": number, f"{number % DOCUMENTS:04d}": gone})

    def wait(self) -> None:
        assert self.projector.wait_for(self.height, PATIENCE_S), self.projector.progress()

    def audit(self) -> Audit:
        return audit(self.database, self.snapshot, lambda _: None, lambda: None)

    def check(self) -> None:
        """Caught up, and not a document differs."""
        self.wait()
        found = self.audit()
        assert (found.drifted, found.behind, found.savepoint) == ({}, 0, self.height)
        assert found.documents == sum(not key.startswith(UNPROJECTED) for key in self.entries)

    def by_hand(self, method: str, path: str = "", change: Callable[[dict[str, Any]], Any] | None = None) -> Any:
        """What somebody with a password does to the database: a call, or a document read, changed and written. None for
        a database that is to be made and is there."""
        return asyncio.run(by_hand(self.couch, f"/{self.name}{path}", method, change))

    def empty_by_hand(self) -> None:
        """The database deleted and made again; once more where the projector was quicker and made it itself."""
        self.by_hand("DELETE")
        while not self.by_hand("PUT"):
            self.by_hand("DELETE")

    def close(self) -> None:
        self.projector.stop()
        self.database.close()


async def by_hand(couch: Couch, path: str, method: str, change: Callable[[dict[str, Any]], Any] | None) -> Any:
    async with aiohttp.ClientSession(headers=basic(couch.user, couch.password)) as session:
        while True:  # a projector that runs may write between reading and writing
            body = None
            if change is not None:
                async with session.get(couch.url + path) as answer:
                    body = await answer.json()
                change(body)
            async with session.request(method, couch.url + path, json=body) as answer:
                if answer.status == 412:
                    return None
                if answer.status != 409:
                    assert answer.status < 400, await answer.text()
                    return await answer.json(content_type=None)


def entry_of(height: int, value: Any) -> Entry:
    return Entry(height, 0, encode_value({"type": "order", "n": value}))
