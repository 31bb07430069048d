"""The CA's audit log: what was done, when and by whom, each entry with the hash of the one before it.

Nobody can change, drop or slip in an entry without changing every hash after it. A log that was cut at its end is still
a whole one, so the hash of its newest entry is worth noting down elsewhere: ``check`` takes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ca.folder import AuthorityError, Folder, whole_lines

FILE = "audit.jsonl"
LINE_BYTES_MAX = 16_384
GENESIS = "0" * 64
"""What stands for the hash before the first entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``hash`` is the SHA-256 (hex) of the entry's line; ``previous`` is the hash of the one before."""

    number: int
    time_ms: int
    what: str
    by: str
    facts: dict[str, Any]
    previous: str
    hash: str


class AuditLog:
    """The log of one CA. Writing belongs under the folder's lock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._path = folder.directory / FILE

    def note(self, time_ms: int, what: str, by: str, **facts: str | int) -> None:
        """Write an entry, before what it tells of takes effect."""
        last = self._last()
        number, previous = (0, GENESIS) if last is None else (last.number + 1, last.hash)
        line = {"number": number, "time_ms": time_ms, "what": what, "by": by, "facts": facts, "previous": previous}
        assert len(json.dumps(line)) < LINE_BYTES_MAX, "whatever is noted is bounded where it comes from"
        self._folder.append(FILE, line)

    def check(self, known_hash: str = "") -> list[Entry]:
        """All entries, oldest first. ``AuthorityError`` if the chain is broken, or no entry has ``known_hash``."""
        entries = list(self._entries())
        previous = GENESIS
        for place, entry in enumerate(entries):
            if (entry.number, entry.previous) != (place, previous):
                raise AuthorityError(f"{self._path}: entry {place} does not follow the one before it")
            previous = entry.hash
        if known_hash and known_hash not in {entry.hash for entry in entries}:
            raise AuthorityError(f"{self._path}: no entry has the hash {known_hash}: the log was cut or written anew")
        return entries

    def _entries(self) -> Iterator[Entry]:
        if self._path.exists():
            yield from map(self._entry, whole_lines(self._path.read_bytes()).splitlines())

    def _last(self) -> Entry | None:
        """The newest entry, without reading the others."""
        if not self._path.exists() or not (size := self._path.stat().st_size):
            return None
        with self._path.open("rb") as file:
            file.seek(max(0, size - LINE_BYTES_MAX))
            return self._entry(file.read().splitlines()[-1])

    def _entry(self, line: bytes) -> Entry:
        try:
            return Entry(**json.loads(line), hash=sha256(line).hexdigest())
        except (ValueError, TypeError) as error:
            raise AuthorityError(f"{self._path} is damaged: {error}") from None
