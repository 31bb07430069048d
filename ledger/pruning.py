"""Moving the oldest blocks of a stopped node aside: into an archive, segment by segment, never out of the world.

Order makes it safe: a segment is checked and durable in the archive before the store says, in one synced write, that
the ledger begins behind it, and only then does it leave the chain files. Run again after a crash, it ends what it
began.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ledger.blocks import Header
from ledger.chain import ChainCorrupt, ChainFiles
from ledger.genesis import Genesis
from ledger.layout import BASE, BLOCK, CERTIFICATE, CERTIFIED, Base, number, pack, read_base, read_certificate
from ledger.storage import Storage, chain_name, check_stamp, generation_of, state_name
from ledger.store import CommitStore
from pbft.files import Files

COPY_BYTES = 1 << 20
PLACES_MAX = 10_000
"""Places forgotten in one write."""
PARTIAL = ".part"
PROBE = "archive.probe"


class CannotPrune(Exception):
    """Nothing was changed; the message says why."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """``first_height``: the lowest block held now. ``archived``: the segments that were moved, in order."""

    first_height: int
    archived: tuple[str, ...]


def check_archive(data: Path, archive: Path) -> None:
    """Refuse an archive that lies in the data directory or holds its files by other names: pruning removes those."""
    held = {_identity(path) for path in (data, *data.rglob("*"))}
    inside = archive.resolve().is_relative_to(data.resolve())
    if inside or any(_identity(path) in held for path in (archive, *archive.glob("*")) if path.exists()):
        raise CannotPrune(f"{archive} is the node's own data directory or part of it: name a directory outside")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def prune(storage: Storage, genesis: Genesis, below: int, archive: Files) -> Pruned:
    """Move every segment that holds only blocks below ``below`` into ``archive``. The node is stopped."""
    check_stamp(storage.files, genesis)
    generation = generation_of(storage.files)
    files = storage.files.below(chain_name(generation))
    _check_apart(files, archive)
    with closing(storage.open_store(state_name(generation))) as store, closing(ChainFiles(files)) as chain:
        checkpoint = _newest_checkpoint(store, genesis.limits.checkpoint_interval_blocks)
        if below > checkpoint:
            raise CannotPrune(f"the newest certified checkpoint is at {checkpoint}: only blocks below it can go")
        base, starts = _base_height(store), chain.first_heights()
        _forget_places(store, base)
        moved = [(name, after - 1) for (name, _), (_, after) in pairwise(starts) if after <= below]
        if not moved:
            return Pruned(base + 1, ())
        last = moved[-1][1]
        headers = [_archived(chain, files, archive, name, end) for name, end in moved]
        if last > base:
            store.write({BASE: pack(Base(last, pack(headers[-1])))}, sync=True)
        _forget_places(store, last)
        for name, _ in moved:
            files.remove(name)
        files.sync_names()
    return Pruned(max(last, base) + 1, tuple(name for name, _ in moved))


def _check_apart(files: Files, archive: Files) -> None:
    """What appears in the archive must not appear among the chain files: then both are one directory, however named."""
    archive.append(PROBE).close()
    try:
        if PROBE in files.names():
            raise CannotPrune("the archive is the chain's own directory: name a directory outside the node's data")
    finally:
        archive.remove(PROBE)


def _newest_checkpoint(store: CommitStore, interval: int) -> int:
    """The newest one with a certificate of its own; 0 if there is none."""
    record = store.get(CERTIFIED)
    certified = 0 if record is None else read_certificate(record).statement.height
    heights = range(certified - certified % interval, 0, -interval)
    return next((height for height in heights if store.get(CERTIFICATE + number(height)) is not None), 0)


def _base_height(store: CommitStore) -> int:
    record = store.get(BASE)
    return 0 if record is None else read_base(record).height


def _archived(chain: ChainFiles, files: Files, archive: Files, name: str, end: int) -> Header:
    """Check a segment that ends with the block ``end``, and make it durable in the archive; the last block's header."""
    header: Header | None = None
    for block in chain.blocks_in(name):
        if header is not None and block.header.previous_hash != header.hash():
            raise ChainCorrupt(f"{name}: block {block.header.height} does not follow the one before")
        header = block.header
    if header is None or header.height != end:
        raise ChainCorrupt(f"{name}: does not end with block {end}")
    _copy(files, name, archive)
    return header


def _copy(files: Files, name: str, archive: Files) -> None:
    if name in archive.names():
        if not _same(files, archive, name):
            raise CannotPrune(f"the archive holds another {name}: give it a directory of its own")
        return
    if name + PARTIAL in archive.names():
        archive.remove(name + PARTIAL)
    file = archive.append(name + PARTIAL)
    for offset in range(0, files.size(name), COPY_BYTES):
        file.write(files.read(name, offset, COPY_BYTES))
    file.sync()
    file.close()
    archive.rename(name + PARTIAL, name)
    archive.sync_names()
    if not _same(files, archive, name):
        raise CannotPrune(f"the archive does not hold what was written to {name}")


def _same(files: Files, archive: Files, name: str) -> bool:
    size = files.size(name)
    pieces = range(0, size, COPY_BYTES)
    return archive.size(name) == size and all(
        files.read(name, offset, COPY_BYTES) == archive.read(name, offset, COPY_BYTES) for offset in pieces
    )


def _forget_places(store: CommitStore, last: int) -> None:
    """Forget where the blocks up to ``last`` were, durably: before their files go. By which height a transaction or a
    header's hash is found stays known."""
    end = BLOCK + number(last)
    while keys := [key for key, _ in store.scan(BLOCK, BLOCK, PLACES_MAX) if key <= end]:
        store.write(dict.fromkeys(keys), sync=True)
