"""Where a demo lives: a directory of its own, locked for as long as the demo runs, and a block of ports.

What an ended demo left in a directory is removed by the next one, however the earlier one ended: the lock ended with
it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from itertools import count
from pathlib import Path
from types import TracebackType

from demo.setting import DemoError

MARKER = ".wattquorum-demo"
OLD_PREFIX = ".old-"


class Ground:
    """A demo's directory. Nobody else's demo uses or removes it until ``close``, or until this process ends."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self._lock = lock

    def close(self) -> None:
        os.close(self._lock)

    def __enter__(self) -> Ground:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim(directory: Path, others_too: bool) -> Ground:
    """Lock ``directory`` and clear what an ended demo left there.

    One that a running demo has is passed over, for ``directory-2`` and so on, if ``others_too``; otherwise, and for
    a directory that is no demo's, ``DemoError``.
    """
    for number in count(1):
        place = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        lock = _locked(place)
        if lock is not None:
            _clear(place)
            return Ground(place, lock)
        if not others_too:
            raise DemoError(f"{place} is another running demo's; choose another with --directory")
    raise AssertionError("count() does not end")


def _locked(place: Path) -> int | None:
    """A descriptor that holds the lock of ``place``; None if another process has it."""
    marker = place / MARKER
    if place.exists() and not place.is_dir():
        raise DemoError(f"{place} is no directory; choose another with --directory")
    if place.exists() and any(place.iterdir()) and not marker.exists():
        raise DemoError(f"{place} exists and is not a demo's directory; choose another with --directory")
    place.mkdir(parents=True, exist_ok=True)
    lock = os.open(marker, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.write(lock, b"Made by `wattq demo`, locked while it runs; what is here is removed by the next one.\n")
    return lock


def _clear(place: Path) -> None:
    """Remove an ended demo's files; what its processes, still ending, may write goes out of the way first."""
    for number, entry in enumerate(sorted(place.iterdir())):
        if entry.name == MARKER:
            continue
        old = entry
        if not entry.name.startswith(OLD_PREFIX):
            old = entry.rename(place / f"{OLD_PREFIX}{os.getpid()}-{time.time_ns()}-{number}")
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
