"""A CA's directory as files of JSON lines that only grow, changed under one lock by any number of processes.

What has been read once is kept: a register of many thousand lines is read again only where it has grown. A last line
without its end was torn by a crash or is still being written: nobody was told of it, so it is not read, and is cut off
before the next one is written.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger("wattq.ca")


class AuthorityError(Exception):
    """The CA's directory is missing, exists already or is damaged; the message says which."""


class Folder:
    """``append`` and whatever must stay true between reading and appending belong inside ``locked``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        """Of each file, how many bytes have been read, and the lines in them."""

    def lines(self, name: str) -> list[dict[str, Any]]:
        """All lines of a file, oldest first, none if there is no file; ``AuthorityError`` if it is damaged."""
        path = self.directory / name
        if not path.exists():
            return []
        offset, known = self._read.get(name, (0, []))
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < offset:
                offset, known = 0, []
            file.seek(offset)
            data = whole_lines(file.read())
        try:
            fresh = [json.loads(line) for line in data.decode().splitlines()]
        except ValueError as error:
            raise AuthorityError(f"{path} is damaged: {error}") from None
        found = [*known, *fresh] if fresh else known
        self._read[name] = (offset + len(data), found)
        return found

    def append(self, name: str, line: dict[str, Any]) -> bytes:
        """Write a line and sync it; its bytes, without the line's end."""
        data = json.dumps(line, sort_keys=True).encode()
        with (self.directory / name).open("ab") as file:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return data

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for path in self.directory.glob("*.jsonl"):
                _cut_torn_tail(path)
            yield


def whole_lines(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _cut_torn_tail(path: Path) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) in (b"", b"\n"):
            return
        file.seek(0)
        whole = len(whole_lines(file.read()))
        log.warning("%s: cut a torn last line of %d bytes", path, size - whole)
        file.truncate(whole)
        os.fsync(file.fileno())
