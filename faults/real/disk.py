"""What a lab does to a node's log and chain files: slow syncs, a full disk, syncs that fail, and power that goes.

A node's process that is killed keeps what it had given to the system; one whose power goes loses what was not synced.
Here that is cut off the files, or damaged, in the moment in which the process ends. The commit store, which is
written without sync and brought forward from the chain files, keeps what it has.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
import weakref
from pathlib import Path

import msgspec

from pbft import disk

POWER_CUT_CODE = 75
"""With this a node ends whose power goes."""
FSYNC_MS_MAX = 60_000


class DiskFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What disk operations meet. ``power_cut``: at each, the chance that the power goes; ``cut_after``: it goes at the
    next but so many. ``torn``: how often a part of what was not synced stays, and how often it is damaged."""

    fsync_ms_max: int = 0
    full: bool = False
    fsync_fails: bool = False
    power_cut: float = 0.0
    cut_after: int | None = None
    torn: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.fsync_ms_max <= FSYNC_MS_MAX:
            raise ValueError(f"fsync_ms_max is from 0 to {FSYNC_MS_MAX:,} ms")
        for name in ("power_cut", "torn"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1")


SOUND = DiskFault()


class LabDisk:
    """Every file of this process that grows; ``put`` says what befalls it from now on."""

    def __init__(self, seed: int) -> None:
        self.fault = SOUND
        self._left: int | None = None
        self._chance = random.Random(f"disk/{seed}")
        self._lock = threading.Lock()
        self._files: weakref.WeakSet[LabFile] = weakref.WeakSet()

    def install(self) -> None:
        """Have the files that this process opens from now on be ours."""
        setattr(disk, "DiskFile", self.open)  # noqa: B010  # a class's name, for mypy

    def open(self, path: Path) -> LabFile:
        file = LabFile(path, self)
        self._files.add(file)
        return file

    def put(self, fault: DiskFault) -> None:
        """This from now on."""
        with self._lock:
            self.fault, self._left = fault, fault.cut_after

    def write(self, file: LabFile, data: bytes) -> bytes:
        """What of it reaches the disk; ``OSError`` where there is no room."""
        if self._goes():
            file.write_through(data[: self._chance.randrange(len(data) + 1)])
            self._power_off()
        if self.fault.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.path))
        return data

    def sync(self, file: LabFile) -> None:
        """Before a sync; ``OSError`` if it fails."""
        fault = self.fault
        if fault.fsync_ms_max:
            time.sleep(self._chance.random() * fault.fsync_ms_max / 1000)
        if self._goes():
            self._power_off()
        if fault.fsync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file.path))

    def _goes(self) -> bool:
        with self._lock:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    return True
            return self.fault.power_cut > 0 and self._chance.random() < self.fault.power_cut

    def _power_off(self) -> None:
        """The process is gone, and with it, more or less, what no sync had reached."""
        with self._lock:  # whatever still writes waits for ever
            for file in list(self._files):
                file.lose(self._chance, self.fault.torn)
            os._exit(POWER_CUT_CODE)


class LabFile(disk.DiskFile):
    """A file that grows, on a disk that a lab breaks."""

    def __init__(self, path: Path, breaking: LabDisk) -> None:
        super().__init__(path)
        self.path, self._breaking = path, breaking
        self._synced = self.size

    def write(self, data: bytes) -> None:
        super().write(self._breaking.write(self, data))

    def write_through(self, data: bytes) -> None:
        """Past the process's own buffer."""
        super().write(data)
        self._file.flush()

    def sync(self) -> None:
        self._breaking.sync(self)
        size = self.size
        super().sync()
        self._synced = size

    def lose(self, chance: random.Random, torn: float) -> None:
        """What was not synced, in part or whole; what stays may be damaged."""
        try:
            size = os.stat(self.path).st_size
        except OSError:
            return  # removed meanwhile
        if size <= self._synced:
            return
        kept = chance.randrange(size - self._synced + 1) if chance.random() < torn else 0
        with self.path.open("r+b") as file:
            file.truncate(self._synced + kept)
            if kept and chance.random() < torn:
                file.seek(self._synced + chance.randrange(kept))
                file.write(bytes([chance.randrange(256)]))
