"""What a lab does to the data of a node that is down: a bit turns, the log or the ledger is lost, all becomes old."""

from __future__ import annotations

import shutil
from pathlib import Path

from pbft.epoch_logs import NEW_MARK

LOG, EVIDENCE, LOCK = "wal", "evidence", "lock"
CHAIN, FILES = "chain", ("format", "current")
COPY = "data.copy"


def rot(data: Path, which: int) -> Path | None:
    """Turn one bit of the log and chain files, the one that ``which`` names, counted over all of them and round again;
    the file, or None if there is nothing that could rot. (The commit store finds damage by checksums of its own.)"""
    files = [path for path in sorted(data.rglob("*")) if path.is_file() and _may_rot(path.relative_to(data))]
    total = sum(path.stat().st_size for path in files)
    position = which % total if total else 0
    for path in files:
        size = path.stat().st_size
        if position < size:
            with path.open("r+b") as file:
                file.seek(position)
                (byte,) = file.read(1)
                file.seek(position)
                file.write(bytes([byte ^ 1 << which % 8]))
            return path
        position -= size
    return None


def _may_rot(path: Path) -> bool:
    top = path.parts[0]
    return top == LOG or top.startswith(CHAIN) or str(path) in FILES


def lose_log(data: Path) -> None:
    """As an operator's mistake would."""
    shutil.rmtree(data / LOG, ignore_errors=True)


def lose_ledger(data: Path) -> None:
    """Blocks, states and what says which are in force."""
    for path in data.iterdir() if data.exists() else ():
        if path.name in (LOG, EVIDENCE, LOCK):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def begin_anew(home: Path) -> None:
    """Forget everything, and say that nothing was ever here but the key."""
    shutil.rmtree(home / "data", ignore_errors=True)
    (home / NEW_MARK).touch()


def copy(home: Path) -> None:
    """What ``roll_back`` puts in the data's place."""
    shutil.rmtree(home / COPY, ignore_errors=True)
    shutil.copytree(home / "data", home / COPY)


def roll_back(home: Path) -> None:
    """As an operator does who restores a backup, or whoever wants a node to forget what it has signed."""
    shutil.rmtree(home / "data")
    (home / COPY).rename(home / "data")
