"""Where a ledger keeps its data: files and a commit store, given to it, so that the simulator can give others.

One locked directory a node, stamped with format and chain. Store and chain files lie in it by generation: an
installed snapshot makes a new one, and the file ``current`` names the one in force, replaced by one rename.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.chain import ChainCorrupt
from ledger.genesis import Genesis
from ledger.store import CommitStore, open_store
from pbft.files import Files

FORMAT_VERSION = 1
STAMP = "format"
CURRENT = "current"
LOCK = "lock"
_STAMP = re.compile(rb"(wattquorum data [0-9]+\nchain [0-9a-f]{64}\n)(?:sum ([0-9a-f]{16})\n)?")


class DirectoryUnusable(Exception):
    """The data directory is locked, of another chain or format, or where no store can be; the message says which."""


@dataclass(frozen=True, slots=True)
class Storage:
    """``files``: the data directory. ``open_store`` opens or makes the commit store of a name, ``remove_store``
    deletes it, closed or never made. ``release`` ends the use of the directory. ``place``: its path, for people."""

    files: Files
    open_store: Callable[[str], CommitStore]
    remove_store: Callable[[str], None]
    release: Callable[[], None] = lambda: None
    place: str = "data"


def disk_storage(directory: Path, files: Files) -> Storage:
    """The real storage in ``directory``, locked for this process; ``files`` are those of the same directory."""
    _check_path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DirectoryUnusable(f"{directory} is in use by another process") from None

    def remove(name: str) -> None:
        shutil.rmtree(directory / name, ignore_errors=True)

    return Storage(files, lambda name: open_store(directory / name), remove, lock.close, str(directory))


def _check_path(directory: Path) -> None:
    """RocksDB takes paths as text."""
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        message = f"{str(directory)!a} is no path in UTF-8, which a node's store needs; choose another directory"
        raise DirectoryUnusable(message) from None


def check_stamp(files: Files, genesis: Genesis) -> None:
    """Stamp a new directory; ``DirectoryUnusable`` if it is another chain's or format's, ``ChainCorrupt`` if the stamp
    is damaged: nobody knows then what the data are."""
    text = f"wattquorum data {FORMAT_VERSION}\nchain {genesis.chain_id.hex()}\n".encode()
    expected = text + b"sum %s\n" % _sum(text)
    found = files.read(STAMP) if STAMP in files.names() else b""
    if found == expected:
        return
    # A crash while the stamp was made leaves its beginning, and perhaps zeros: there are no data yet. A stamp without
    # a sum is of an earlier version, and is completed.
    if not expected.startswith(found.rstrip(b"\0")):
        if not _is_whole(found):
            raise ChainCorrupt(f"{STAMP}: damaged: {found!r}")
        raise DirectoryUnusable(f"the directory holds another chain or format: {found.decode()!r}")
    if found:
        files.truncate(STAMP, 0)
    file = files.append(STAMP)
    file.write(expected)
    file.sync()
    file.close()
    files.sync_names()


def _sum(text: bytes) -> bytes:
    """Tells a damaged stamp from another chain's."""
    return sha256(text).hexdigest()[:16].encode()


def _is_whole(stamp: bytes) -> bool:
    parts = _STAMP.fullmatch(stamp)
    return parts is not None and parts[2] in (None, _sum(parts[1]))


# --------------------------------------------------------------------------------------------- generations


def state_name(generation: int) -> str:
    return f"state-{generation}" if generation else "state"


def chain_name(generation: int) -> str:
    return f"chain-{generation}" if generation else "chain"


def generation_of(files: Files) -> int:
    """The generation in force: 0 until a snapshot has been installed. ``ChainCorrupt`` if the file says nothing."""
    if CURRENT not in files.names():
        return 0
    text = files.read(CURRENT)
    if not text.strip().isdigit():
        raise ChainCorrupt(f"{CURRENT}: damaged: {text[:40]!r}")
    return int(text)


def put_in_force(files: Files, generation: int) -> None:
    """Name another generation as the one in force, by one durable rename."""
    fresh = CURRENT + ".new"
    if fresh in files.names():
        files.remove(fresh)
    file = files.append(fresh)
    file.write(b"%d\n" % generation)
    file.sync()
    file.close()
    files.rename(fresh, CURRENT)
    files.sync_names()


def remove_generation(storage: Storage, generation: int) -> None:
    storage.remove_store(state_name(generation))
    storage.files.below(chain_name(generation)).remove_all()


def set_aside(storage: Storage) -> None:
    """Give up data that cannot be used: an empty generation takes their place, and they stay beside it."""
    following = generation_of(storage.files) + 1
    remove_generation(storage, following)
    put_in_force(storage.files, following)
    if following >= 2:
        remove_generation(storage, following - 2)
    files = storage.files
    if STAMP in files.names() and not _is_whole(files.read(STAMP)):
        files.remove(STAMP)
        files.sync_names()
    storage.release()
