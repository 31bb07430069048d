"""Opening a ledger whose data may be damaged: what cannot be used is set aside, for a peer's snapshot to replace it.

Damage that shows only later ends the node, better down than wrong, and leaves a mark for the next start.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from ledger.books import Diverged
from ledger.chain import ChainCorrupt
from ledger.execution import Machine, Validator
from ledger.genesis import Genesis
from ledger.ledger import Ledger
from ledger.storage import DirectoryUnusable, Storage, generation_of, set_aside
from pbft.files import Files

MARK = "damaged"
CURRENT_LOST = (
    "It holds one number: N where state-N and chain-N are in force, 0 for state and chain. Write it again; or move "
    "these directories and the file away, and the node takes a peer's snapshot"
)
_DAMAGE = (ChainCorrupt, Diverged, msgspec.DecodeError, sqlite3.DatabaseError)
_ROCKS_DAMAGE = ("Corruption", "No such file or directory")
"""What RocksDB's errors say; the binding raises bare exceptions."""

log = logging.getLogger("wattq.ledger")


def open_ledger(
    storage: Callable[[], Storage], genesis: Genesis, machine: Machine, validator: Validator, history_blocks: int = 0
) -> tuple[Ledger, bool]:
    """The ledger, and whether it is an empty one in the place of damaged data. ``storage`` locks the directory;
    ``DirectoryUnusable`` if nobody can tell which of its data are in force."""
    locked = storage()
    try:
        generation_of(locked.files)
    except ChainCorrupt as error:
        locked.release()
        raise DirectoryUnusable(f"{locked.place}/{error}. {CURRENT_LOST}") from None
    marked = MARK in locked.files.names()
    if not marked:
        try:
            return Ledger(locked, genesis, machine, validator, history_blocks), False
        except Exception as error:
            if not is_damage(error):
                raise
            log.error("the data are damaged, and set aside: %s", error)
        locked = storage()
    set_aside(locked)
    if marked:
        locked.files.remove(MARK)
    return Ledger(storage(), genesis, machine, validator, history_blocks), True


@contextmanager
def marking_damage(files: Files) -> Iterator[None]:
    """Whatever ends the block because data are damaged leaves the mark in the data directory ``files``."""
    try:
        yield
    except Exception as error:
        if any(is_damage(part) for part in _parts(error)):
            file = files.append(MARK)
            file.sync()
            file.close()
            files.sync_names()
        raise


def is_damage(error: BaseException) -> bool:
    """Whether an error says that stored data are not what was written."""
    if isinstance(error, _DAMAGE):
        return True
    return type(error) is Exception and any(word in str(error) for word in _ROCKS_DAMAGE)


def _parts(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _parts(part)
    else:
        yield error
