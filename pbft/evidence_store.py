"""Evidence on disk: ``<sha256>.evidence``, each with the boundaries that lead from genesis to its epoch's validators.

So a file convicts by itself, with the genesis file alone. Files are written once, atomically, up to a number for
each validator of an epoch, who is convicted by then, and up to a number in all, so that none takes others' room.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import msgspec

from pbft.evidence import Evidence, EvidenceKind, encode_evidence

EVIDENCE_MAX = 1_000
LIES_MAX = 16
"""Pieces of proof against one validator of one epoch."""
COMPLAINTS_MAX = 1
"""Complaints about one primary of one epoch: its next epochs' blacklist takes one report."""
EVIDENCE_BYTES_MAX = 64 << 20
SUFFIX = ".evidence"
VERSION = 1
Whose: TypeAlias = tuple[int, int, bool]
"""Epoch, accused, and whether complaints are all there is."""
UNREADABLE: Whose = (-1, -1, False)


class StoredEvidence(msgspec.Struct, frozen=True, array_like=True):
    """A file's content. ``boundaries``, encoded, lead from genesis to the epoch of the evidence."""

    version: int
    evidence: Evidence
    boundaries: tuple[bytes, ...]


class EvidenceUnreadable(Exception):
    """Bytes that are no evidence file."""


class EvidenceStore:
    """One directory of evidence. ``boundaries`` gives those up to an epoch. Blocks; one thread at a time."""

    def __init__(self, directory: Path, boundaries: Callable[[int], tuple[bytes, ...]]) -> None:
        self._directory = directory
        self._boundaries = boundaries
        self._kept: Counter[Whose] | None = None
        """How many files there are of whom; read when the first evidence is to be kept."""

    def keep(self, evidence: Evidence) -> bool:
        """Write it down; False if it is there already, or there is no room."""
        self._directory.mkdir(parents=True, exist_ok=True)
        kept = self._count() if self._kept is None else self._kept
        whose = _whose(evidence)
        path = self._directory / f"{sha256(encode_evidence(evidence)).hexdigest()}{SUFFIX}"
        room = COMPLAINTS_MAX if evidence.kind is EvidenceKind.COMPLAINTS else LIES_MAX
        if kept[whose] >= room or kept.total() >= EVIDENCE_MAX or path.exists():
            return False
        stored = StoredEvidence(VERSION, evidence, self._boundaries(evidence.scope.epoch))
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            file.write(msgspec.msgpack.encode(stored))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        kept[whose] += 1
        return True

    def _count(self) -> Counter[Whose]:
        kept = self._kept = Counter()
        for path in self.files():
            try:
                kept[_whose(read_evidence(path).evidence)] += 1
            except EvidenceUnreadable:
                kept[UNREADABLE] += 1
        return kept

    def files(self) -> list[Path]:
        """Every file, oldest first."""
        return sorted(self._directory.glob(f"*{SUFFIX}"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _whose(evidence: Evidence) -> Whose:
    return evidence.scope.epoch, evidence.accused, evidence.kind is EvidenceKind.COMPLAINTS


def read_evidence(path: Path) -> StoredEvidence:
    """A file's content, unverified; ``EvidenceUnreadable`` if it is none."""
    try:
        if path.stat().st_size > EVIDENCE_BYTES_MAX:
            raise EvidenceUnreadable(f"{path}: more than {EVIDENCE_BYTES_MAX} bytes")
        stored = msgspec.msgpack.decode(path.read_bytes(), type=StoredEvidence)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceUnreadable(f"{path}: no evidence: {error}") from None
    if stored.version != VERSION:
        raise EvidenceUnreadable(f"{path}: version {stored.version}; this release knows only {VERSION}")
    return stored
