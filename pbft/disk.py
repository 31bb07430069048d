"""The real disk behind ``pbft.files.Files``: one directory, with fsync where durability is promised."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_sync_data = getattr(os, "fdatasync", os.fsync)
"""macOS has no fdatasync."""


class DiskFile:
    """An open file that grows."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab")
        self._size = path.stat().st_size

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)

    def sync(self) -> None:
        self._file.flush()
        _sync_data(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class DiskFiles:
    """Implements ``pbft.files.Files``; the directory is made if there is none."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def names(self, suffix: str = "") -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if path.name.endswith(suffix) and path.is_file())

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)

    def append(self, name: str) -> DiskFile:
        return DiskFile(self.path / name)

    def truncate(self, name: str, size: int) -> None:
        with (self.path / name).open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def rename(self, name: str, to: str) -> None:
        os.replace(self.path / name, self.path / to)

    def sync_names(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def below(self, name: str) -> DiskFiles:
        if not (self.path / name).is_dir():
            made = DiskFiles(self.path / name)
            self.sync_names()
            return made
        return DiskFiles(self.path / name)

    def remove_all(self) -> None:
        for name in self.names():
            self.remove(name)
        self.sync_names()
