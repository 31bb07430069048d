"""Rolling a ledger back to its last certified block, so that a mended engine can execute the same order again.

Each uncertified block's write left what it replaced beside it. Nothing is executed here: the engine that made the
blocks may be what is broken. Run again after a crash, it ends what it began.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from ledger.chain import ChainCorrupt, ChainFiles
from ledger.genesis import Genesis
from ledger.layout import (
    BASE,
    CERTIFIED,
    HEAD,
    ROLLBACKS,
    STATE,
    UNDO,
    number,
    pack,
    read_base,
    read_certificate,
    read_count,
    read_entry,
    read_head,
    read_undo,
)
from ledger.near import Near, near_before
from ledger.storage import Storage, chain_name, check_stamp, generation_of, state_name
from ledger.store import CommitStore, Snapshot
from pbft.messages import ExecutionCertificate


class CannotRollBack(Exception):
    """What the last blocks replaced is not all there; only a snapshot helps."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """From which height to which."""

    before: int
    after: int


def roll_back(storage: Storage, genesis: Genesis) -> RolledBack:
    """Undo every block above the newest certificate, in the store and then in the chain files. The node is stopped."""
    check_stamp(storage.files, genesis)
    generation = generation_of(storage.files)
    with closing(storage.open_store(state_name(generation))) as store:
        record = store.get(HEAD)
        if record is None:
            raise CannotRollBack("the commit store is empty")
        before, floor = read_head(record).height, _floor(store)
        if before < floor:
            raise CannotRollBack(f"the commit store ends at {before}, below its certificate at {floor}")
        _undo(store, before, floor)
        after = read_head(store.get(HEAD) or b"")
        try:
            chain = ChainFiles(storage.files.below(chain_name(generation)))
            last = max((block.header.height for _, block in chain.after(after.place)), default=before)
            chain.cut_behind(after.place)
        except ChainCorrupt as error:
            raise CannotRollBack(str(error)) from None
    return RolledBack(max(before, last), floor)


class Rewound:
    """A store's moment as it was before some of its keys were replaced."""

    def __init__(self, source: Snapshot, replaced: Mapping[bytes, bytes | None]) -> None:
        self._source = source
        self._replaced = replaced
        self._keys: list[bytes] | None = None

    def get(self, key: bytes) -> bytes | None:
        return self._replaced[key] if key in self._replaced else self._source.get(key)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        while True:
            rows = self._source.scan(prefix, after, limit)
            end = rows[-1][0] if len(rows) == limit else None
            found = dict(rows)
            for key in self._between(prefix, after, end):
                value = self._replaced[key]
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = value
            if found or end is None:
                return sorted(found.items())[:limit]
            after = end

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        return near_before(self._source, self._replaced, low, high, down, limit, bytes_max)

    def _between(self, prefix: bytes, after: bytes, end: bytes | None) -> Iterator[bytes]:
        """Replaced keys with this prefix behind ``after``, up to ``end``."""
        if self._keys is None:
            self._keys = sorted(self._replaced)
        for key in self._keys[bisect_left(self._keys, prefix) :]:
            if not key.startswith(prefix) or (end is not None and key > end):
                return
            if key > after:
                yield key


def certified_moment(source: Snapshot) -> tuple[ExecutionCertificate, Rewound] | None:
    """The newest certificate, and the store as it was after its block; None without one."""
    record = source.get(CERTIFIED)
    if record is None:
        return None
    certificate = read_certificate(record)
    replaced: dict[bytes, bytes | None] = {}
    for later in range(read_head(source.get(HEAD) or b"").height, certificate.statement.height, -1):
        undo = source.get(UNDO + number(later))
        if undo is None:
            return None
        replaced.update(read_undo(undo))
    return certificate, Rewound(source, replaced)


def writes_of(source: Snapshot, height: int) -> dict[str, bytes | None] | None:
    """What the block at ``height`` left under each key that it wrote, encoded, None for a deletion; None if that is not
    known any more: what a certified block replaced is not kept."""
    records = [source.get(UNDO + number(at)) for at in range(read_head(source.get(HEAD) or b"").height, height - 1, -1)]
    if not records or any(record is None for record in records):
        return None
    replaced: dict[bytes, bytes | None] = {}
    for record in records[:-1]:
        replaced.update(read_undo(record or b""))
    then, written = Rewound(source, replaced), read_undo(records[-1] or b"")
    found = {key: then.get(key) for key in written if key.startswith(STATE)}
    return {key[len(STATE) :].decode(): record and read_entry(record).value for key, record in found.items()}


def rollbacks_of(store: Snapshot) -> int:
    """How often blocks of a store were undone."""
    record = store.get(ROLLBACKS)
    return 0 if record is None else read_count(record)


def _floor(store: CommitStore) -> int:
    """The height of the newest certificate, or of the beginning."""
    certified, base = store.get(CERTIFIED), store.get(BASE)
    if certified is not None:
        return read_certificate(certified).statement.height
    return 0 if base is None else read_base(base).height


def _undo(store: CommitStore, before: int, floor: int) -> None:
    """Put back what the blocks above ``floor`` replaced, the last block first, in one durable write."""
    batch: dict[bytes, bytes | None] = {}
    for height in range(before, floor, -1):
        record = store.get(UNDO + number(height))
        if record is None:
            raise CannotRollBack(f"what block {height} replaced is not kept")
        batch.update(read_undo(record))
        batch[UNDO + number(height)] = None
    if batch:
        batch[ROLLBACKS] = pack(rollbacks_of(store) + 1)
        store.write(batch, sync=True)
