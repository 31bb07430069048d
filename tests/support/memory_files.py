"""Files in memory, with a fuse: after so many changes the power goes. What was synced stays, the rest is lost."""

from __future__ import annotations


class PowerCut(Exception):
    """The fuse has blown."""


class Fuse:
    """Counts changes of files and stores; blows before the one at ``blows_at``."""

    def __init__(self) -> None:
        self.changes = 0
        self.blows_at: int | None = None

    def spend(self) -> None:
        if self.blows_at is not None and self.changes >= self.blows_at:
            raise PowerCut
        self.changes += 1


class _File:
    def __init__(self) -> None:
        self.data = b""
        self.synced = b""


class MemoryFiles:
    """Implements ``pbft.files.Files``. A rename and a new name take effect at once and durably."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        self.fuse = Fuse() if fuse is None else fuse
        self._files: dict[str, _File] = {}
        self._below: dict[str, MemoryFiles] = {}

    def names(self, suffix: str = "") -> list[str]:
        return sorted(name for name in self._files if name.endswith(suffix))

    def size(self, name: str) -> int:
        return len(self._file(name).data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._file(name).data
        return data[offset:] if length is None else data[offset : offset + length]

    def append(self, name: str) -> _Append:
        if name not in self._files:
            self.fuse.spend()
        return _Append(self._files.setdefault(name, _File()), self.fuse)

    def truncate(self, name: str, size: int) -> None:
        self.fuse.spend()
        file = self._file(name)
        file.data = file.synced = file.data[:size]

    def remove(self, name: str) -> None:
        self.fuse.spend()
        self._file(name)
        del self._files[name]

    def rename(self, name: str, to: str) -> None:
        self.fuse.spend()
        file = self._file(name)
        del self._files[name]
        self._files[to] = file

    def sync_names(self) -> None:
        """Names are durable anyway."""

    def below(self, name: str) -> MemoryFiles:
        return self._below.setdefault(name, MemoryFiles(self.fuse))

    def remove_all(self) -> None:
        for name in self.names():
            self.remove(name)

    def lose_unsynced(self) -> None:
        """What a power cut does."""
        for file in self._files.values():
            file.data = file.synced
        for files in self._below.values():
            files.lose_unsynced()

    def _file(self, name: str) -> _File:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(name) from None


class _Append:
    def __init__(self, file: _File, fuse: Fuse) -> None:
        self._file = file
        self._fuse = fuse

    @property
    def size(self) -> int:
        return len(self._file.data)

    def write(self, data: bytes) -> None:
        self._fuse.spend()
        self._file.data += data

    def sync(self) -> None:
        self._fuse.spend()
        self._file.synced = self._file.data

    def close(self) -> None:
        """Nothing is buffered."""
