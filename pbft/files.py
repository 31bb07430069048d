"""What the log and the chain need of a disk. The real one is ``pbft/disk.py``; the simulator has one that breaks."""

from __future__ import annotations

from typing import Protocol


class AppendFile(Protocol):
    """A file that grows. What was written is durable only after ``sync``."""

    @property
    def size(self) -> int: ...

    def write(self, data: bytes) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


class Files(Protocol):
    """The files of one directory, by plain name. Names are durable once ``sync_names`` returns."""

    def names(self, suffix: str = "") -> list[str]:
        """Existing files whose names end with ``suffix``, sorted."""

    def size(self, name: str) -> int: ...

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Up to ``length`` bytes from ``offset``; raises ``OSError``."""

    def append(self, name: str) -> AppendFile:
        """Open for appending; makes the file if there is none."""

    def truncate(self, name: str, size: int) -> None:
        """Cut and sync."""

    def remove(self, name: str) -> None: ...

    def rename(self, name: str, to: str) -> None:
        """Atomically put ``name`` in the place of ``to``."""

    def sync_names(self) -> None: ...

    def below(self, name: str) -> Files:
        """A directory in this one; made if there is none."""

    def remove_all(self) -> None:
        """Remove every file in this directory."""
