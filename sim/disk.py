"""The simulated disk of one node: files and commit stores whose power can be cut within any operation.

A crash keeps what was synced. Of the rest it keeps, as chance has it: a beginning of what was written to a file
since (its end perhaps damaged), a beginning of the changes of names since, all batches of a store but some last ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from ledger.memory_store import MemoryStore
from ledger.storage import Storage
from pbft.epoch_logs import NEW_MARK
from sim.plan import Disks

LEDGER = "ledger"
LOGS = "wal"
STORE = "state"
"""The name of a ledger's first commit store."""


class PowerCut(BaseException):
    """The machine stops here. Not an ``Exception``: nothing but the world may catch it."""

    def __init__(self, place: int, operation: str) -> None:
        super().__init__(f"power cut at node {place}, {operation}")
        self.place = place


class SimDisk:
    """Everything of a node that outlives its crashes. ``operations`` counts what was done to it."""

    def __init__(self, place: int, chance: random.Random, weather: Disks) -> None:
        self.place = place
        self.weather = Disks()
        self.operations = 0
        self._chance = chance
        self._directories: dict[str, _Directory] = {}
        self._stores: dict[str, SimStore] = {}
        self._cut_at: int | None = None
        self._dead = False
        """Between a power cut and the crash that follows: whatever still runs does nothing to the disk."""
        home = self.directory("")
        home.append(NEW_MARK)
        home.sync_names()
        self.weather = weather

    # ------------------------------------------------------------------------------------------ its parts

    def directory(self, path: str) -> _Directory:
        """The directory at ``path``, made if there is none."""
        return self._directories.setdefault(path, _Directory(self, path))

    def storage(self) -> Storage:
        """What a ledger is given."""
        return Storage(self.directory(LEDGER), self._open_store, self._remove_store)

    def _open_store(self, name: str) -> SimStore:
        return self._stores.setdefault(name, SimStore(self))

    def _remove_store(self, name: str) -> None:
        self.operate(f"remove store {name}", lambda: self._stores.pop(name, None))

    def preload(self, pairs: Mapping[bytes, bytes | None]) -> None:
        """Begin with a store that holds genesis, as a node does that has started once before."""
        MemoryStore.write(self._open_store(STORE), pairs, sync=True)

    # --------------------------------------------------------------------------------------------- faults

    def cut_power_in(self, operations: int) -> None:
        """Stop within the operation with this number, counted from now."""
        self._cut_at = self.operations + operations

    def calm(self) -> None:
        """From now on nothing goes wrong by itself."""
        self.weather = Disks()
        self._cut_at = None

    def operate(self, name: str, apply: Callable[[], object]) -> None:
        """Do something to the disk: unless the power goes before, or it goes right after."""
        self.operations += 1
        if not self._goes():
            apply()
            return
        if not self._dead and self._chance.random() < 0.5:
            apply()
        self._dead = True
        raise PowerCut(self.place, name)

    def write(self, file: _File, data: bytes) -> None:
        """Append to a file; when the power goes, only a beginning."""
        self.operations += 1
        if not self._goes():
            file.data += data
            return
        if not self._dead:
            file.data += data[: self._chance.randrange(len(data) + 1)]
        self._dead = True
        raise PowerCut(self.place, "write")

    def _goes(self) -> bool:
        if self._dead:
            return True
        if self._cut_at is not None and self.operations >= self._cut_at:
            self._cut_at = None
            return True
        return self.weather.power_cut > 0 and self._chance.random() < self.weather.power_cut

    def crash(self) -> None:
        """Forget what was not synced, in part or whole."""
        self._cut_at, self._dead = None, False
        for directory in self._directories.values():
            directory.crash(self._chance, self.weather.torn)
        for store in self._stores.values():
            if store.unsynced and self._chance.random() < self.weather.torn:
                store.lose(self._chance.randrange(store.unsynced + 1))

    def rot(self, which: int) -> None:
        """Turn one bit of what is durable, the one that ``which`` names."""
        files = [
            directory.files[name] for _, directory in sorted(self._directories.items()) for name in directory.names()
        ]
        total = sum(len(file.data) for file in files)
        if not total:
            return
        position = which % total
        for file in files:
            if position < len(file.data):
                file.data[position] ^= 1 << which % 8
                return
            position -= len(file.data)

    def mark_as_new(self) -> None:
        """Say that nothing was ever written here but the key."""
        home = self.directory("")
        if NEW_MARK not in home.names():
            home.append(NEW_MARK).close()
            home.sync_names()

    def lose(self, part: str) -> None:
        """Forget a whole directory, with all below it, as an operator's mistake would."""
        for path, directory in self._directories.items():
            if path == part or path.startswith(part + "/"):
                directory.forget()
        if part == LEDGER:
            self._stores.clear()


class SimStore(MemoryStore):
    """A commit store that the power may leave with or without the batch that was being written."""

    def __init__(self, disk: SimDisk) -> None:
        super().__init__()
        self._disk = disk

    def write(self, batch: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        self._disk.operate("commit", partial(super().write, batch, sync=sync))


class _File:
    """A file's bytes; those up to ``synced`` are durable."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = 0


class _Appending:
    """Implements ``pbft.files.AppendFile``."""

    def __init__(self, disk: SimDisk, file: _File) -> None:
        self._disk = disk
        self._file = file

    @property
    def size(self) -> int:
        return len(self._file.data)

    def write(self, data: bytes) -> None:
        self._disk.write(self._file, data)

    def sync(self) -> None:
        self._disk.operate("sync", self._sync)

    def _sync(self) -> None:
        self._file.synced = len(self._file.data)

    def close(self) -> None:
        """Closing makes nothing durable."""


_Names: TypeAlias = dict[str, _File]


class _Directory:
    """Implements ``pbft.files.Files``. ``_pending``: changes of names that a crash may undo, from the last on."""

    def __init__(self, disk: SimDisk, path: str) -> None:
        self._disk = disk
        self._path = path
        self.files: _Names = {}
        self._durable: _Names = {}
        self._pending: list[Callable[[_Names], object]] = []

    def names(self, suffix: str = "") -> list[str]:
        return sorted(name for name in self.files if name.endswith(suffix))

    def size(self, name: str) -> int:
        return len(self._file(name).data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._file(name).data
        return bytes(data[offset:] if length is None else data[offset : offset + length])

    def append(self, name: str) -> _Appending:
        if name not in self.files:
            file = _File()
            self._change(f"make {name}", lambda names: names.update({name: file}))
        return _Appending(self._disk, self._file(name))

    def truncate(self, name: str, size: int) -> None:
        self._disk.operate(f"truncate {name}", lambda: self._truncate(self._file(name), size))

    def _truncate(self, file: _File, size: int) -> None:
        del file.data[size:]
        file.synced = len(file.data)

    def remove(self, name: str) -> None:
        self._file(name)
        self._change(f"remove {name}", lambda names: names.pop(name, None))

    def rename(self, name: str, to: str) -> None:
        file = self._file(name)
        self._change(f"rename {name}", lambda names: (names.pop(name, None), names.update({to: file})))

    def sync_names(self) -> None:
        self._disk.operate("sync names", self._sync_names)

    def _sync_names(self) -> None:
        self._durable = dict(self.files)
        self._pending.clear()

    def below(self, name: str) -> _Directory:
        return self._disk.directory(f"{self._path}/{name}" if self._path else name)

    def remove_all(self) -> None:
        for name in self.names():
            self.remove(name)
        self.sync_names()

    # ------------------------------------------------------------------------------------------- inside

    def _file(self, name: str) -> _File:
        file = self.files.get(name)
        if file is None:
            raise FileNotFoundError(f"{self._path}/{name}")
        return file

    def _change(self, what: str, change: Callable[[_Names], object]) -> None:
        def apply() -> None:
            change(self.files)
            self._pending.append(change)

        self._disk.operate(what, apply)

    def crash(self, chance: random.Random, torn: float) -> None:
        """Undo the last changes of names, as many as chance wants, and cut what was not synced of the files."""
        kept = len(self._pending) if chance.random() >= torn else chance.randrange(len(self._pending) + 1)
        names = dict(self._durable)
        for change in self._pending[:kept]:
            change(names)
        self.files = names
        self._sync_names()
        for name in self.names():
            _tear(names[name], chance, torn)

    def forget(self) -> None:
        self.files = {}
        self._sync_names()


def _tear(file: _File, chance: random.Random, torn: float) -> None:
    """Of what was not synced, a beginning stays, and its last bytes may be those of something else."""
    loose = len(file.data) - file.synced
    if not loose:
        return
    kept = chance.randrange(loose + 1) if chance.random() < torn else 0
    del file.data[file.synced + kept :]
    if kept and chance.random() < torn:
        damaged = min(kept, 1 + chance.randrange(32))
        file.data[-damaged:] = bytes(damaged)
    file.synced = len(file.data)
