"""Indexes that a store may lack because it was made before they were kept: filled from the chain files, once."""

from __future__ import annotations

import logging

from ledger.chain import ChainFiles
from ledger.layout import BLOCK, HASH, HASHED, pack, read_place
from ledger.store import CommitStore

BLOCKS_AT_ONCE = 1_000

log = logging.getLogger("wattq.ledger")


def index_hashes(store: CommitStore, chain: ChainFiles) -> None:
    """Have every block held be found by the hash of its header. Begun again after a crash; blocks of later are not its
    business."""
    if store.get(HASHED) is not None:
        return
    after, count = BLOCK, 0
    while rows := store.scan(BLOCK, after, BLOCKS_AT_ONCE):
        headers = [chain.read(read_place(place)).header for _, place in rows]
        store.write({HASH + header.hash(): pack(header.height) for header in headers})
        after, count = rows[-1][0], count + len(rows)
    store.write({HASHED: pack(count)}, sync=True)
    if count:
        log.info("%d blocks are found by their hashes now", count)
