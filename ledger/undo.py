"""Rolling a ledger back to its last certified block, so that a mended engine can execute the same order again.

Each uncertified block's write left what it replaced beside it. Nothing is executed here: the engine that made the
blocks may be what is broken. Run again after a crash, it ends what it began.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from ledger.chain import ChainCorrupt, ChainFiles
from ledger.genesis import Genesis
from ledger.layout import (
    BASE,
    CERTIFIED,
    HEAD,
    ROLLBACKS,
    UNDO,
    number,
    pack,
    read_base,
    read_certificate,
    read_count,
    read_head,
    read_undo,
)
from ledger.storage import Storage, chain_name, check_stamp, generation_of, state_name
from ledger.store import CommitStore, Snapshot


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
