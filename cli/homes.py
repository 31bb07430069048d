"""Where a node's ledger lies, whichever of its directories somebody names: home, data directory or chain files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from ledger.chain import SUFFIX, ChainCorrupt
from ledger.genesis import GENESIS_FILE_NAME
from ledger.layout import CERTIFICATE, CERTIFIED, number, read_certificate
from ledger.opening import is_damage
from ledger.storage import STAMP, Storage, chain_name, disk_storage, generation_of, state_name
from ledger.store import Snapshot, open_to_read
from pbft.disk import DiskFiles
from pbft.messages import ExecutionCertificate

DATA = "data"
CHANNELS = "channels"
PROGRESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """``chain``: the files in force. ``data``: the data directory, if a node's home or data directory was named."""

    chain: Path
    data: Path | None

    @property
    def state(self) -> Path | None:
        """The commit store, if there is one."""
        if self.data is None:
            return None
        path = self.data / state_name(_generation(self.data))
        return path if path.is_dir() else None


def data_of(directory: Path) -> Path | None:
    """The data directory in a node's home, or the directory itself if it is one."""
    for data in (directory / DATA, directory):
        if (data / STAMP).is_file():
            return data
    return None


def place_of(directory: Path) -> Place | None:
    """Where the chain files of ``directory`` are; None if it holds none."""
    data = data_of(directory)
    chain = directory if data is None else data / chain_name(_generation(data))
    return Place(chain, data) if any(chain.glob("*" + SUFFIX)) else None


def _generation(data: Path) -> int:
    try:
        return generation_of(DiskFiles(data))
    except ChainCorrupt as error:
        raise ChainCorrupt(f"{data}/{error}") from None


def genesis_of(data: Path) -> Path:
    """Where the genesis file of a data directory is by default: beside the home, or, a channel's, in it."""
    place = data.resolve()
    if place.parent.name == CHANNELS:
        return place.parents[2] / CHANNELS / place.name / GENESIS_FILE_NAME
    return place.parents[1] / GENESIS_FILE_NAME


@contextmanager
def damage_told(command: str) -> Iterator[None]:
    """Ends a command with a sentence and exit code 1 where stored data are not what was written."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        typer.echo(f"{command}: the data are damaged: {error}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def locked(data: Path) -> Iterator[Storage]:
    """The storage in ``data``, which no node uses meanwhile; raises ``DirectoryUnusable``."""
    storage = disk_storage(data, DiskFiles(data))
    try:
        yield storage
    finally:
        storage.release()


@contextmanager
def held_certificates(place: Place) -> Iterator[Certificates | None]:
    """The certificates in the node's store as it is now, also while the node runs; None where there is no store."""
    state = place.state
    if state is None:
        yield None
        return
    with closing(open_to_read(state)) as store:
        yield Certificates(store.snapshot())


class Certificates:
    """What a store holds of certificates."""

    def __init__(self, store: Snapshot) -> None:
        self._store = store

    def at(self, height: int) -> ExecutionCertificate | None:
        record = self._store.get(CERTIFICATE + number(height))
        return None if record is None else read_certificate(record)

    @property
    def newest(self) -> int:
        record = self._store.get(CERTIFIED)
        return 0 if record is None else read_certificate(record).statement.height


def progress(what: str) -> Callable[[int], None]:
    """Tells on standard error, every few seconds, which block has been reached and how fast."""
    began = told = time.monotonic()
    first: int | None = None

    def tell(height: int) -> None:
        nonlocal told, first
        first = height - 1 if first is None else first
        now = time.monotonic()
        if now - told >= PROGRESS_S:
            told = now
            typer.echo(f"{what}: block {height}, {(height - first) / (now - began):.0f} blocks/s", file=sys.stderr)

    return tell
