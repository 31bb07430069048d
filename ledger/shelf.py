"""Snapshots kept for others: the store as it was at the last certified checkpoints, cut into chunk files when asked.

Cutting takes a pass over the whole state and is done once for a while, in the thread of whoever asks first; the
execution thread only notes checkpoints here and never waits.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ledger.books import Books
from ledger.cutting import cut_chunks, read_chunk, top_of
from ledger.genesis import Genesis
from ledger.snapshots import parts_of
from ledger.store import Snapshot
from ledger.tree import decode_branch
from pbft.files import Files
from pbft.messages import Manifest

SNAPSHOTS_KEPT = 2
FRESH_CHECKPOINTS = 8
"""A snapshot is good enough to be offered while it lies at most so many checkpoints behind."""
LIFETIME_CHECKPOINTS_MIN = 8
"""One on a full shelf gives way only if the newest lies so far behind: whoever asks cannot clear it at will, nor have
us cut again and again, which takes a pass over the whole state."""
CANDIDATES_MAX = 16
"""Checkpoints noted that have no certificate yet."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    manifest: Manifest
    files: Files


class Shelf:
    """``note`` and ``clear`` belong to the execution thread, the rest to any."""

    def __init__(self, files: Files, genesis: Genesis) -> None:
        self._slots = [files.below(f"snapshot-{slot}") for slot in range(SNAPSHOTS_KEPT)]
        for slot in self._slots:
            slot.remove_all()
        self._interval = genesis.limits.checkpoint_interval_blocks
        self._patience = FRESH_CHECKPOINTS * self._interval
        self._depth = genesis.limits.snapshot_depth
        self._lock = threading.Lock()
        self._cutting = threading.Lock()
        self._candidates: dict[int, Snapshot] = {}
        self._prepared: list[_Prepared] = []

    def note(self, books: Books) -> None:
        """A block has been committed or certified: keep the store's moment if it is a checkpoint."""
        height = books.head.height
        with self._lock:
            if height and height % self._interval == 0 and height not in self._candidates:
                self._candidates[height] = books.store.snapshot()
            certified = [each for each in sorted(self._candidates) if each <= books.certified_height]
            surplus = certified[:-SNAPSHOTS_KEPT] + sorted(self._candidates)[:-CANDIDATES_MAX]
            for each in surplus:
                self._candidates.pop(each, None)

    def clear(self) -> None:
        """Other books have taken the place of those noted."""
        with self._lock:
            self._candidates = {}
            self._prepared = []

    def manifest(self, books: Books, height_min: int) -> Manifest | None:
        """The newest snapshot at or above ``height_min``, cut if need be. Blocks."""
        with self._cutting:
            ready = self._prepared[-1].manifest if self._prepared else None
            if ready is None or ready.height < max(height_min, books.head.height - self._patience):
                newest = self._newest(books)
                if newest is not None and newest >= height_min:
                    ready = self._cut(books, newest) or ready
            return ready if ready is not None and ready.height >= height_min else None

    def chunk(self, books: Books, height: int, index: int) -> bytes | None:
        """A chunk's data; None if there is no such snapshot or chunk (any more). Blocks."""
        if self._find(height) is None:
            with self._cutting:
                if self._find(height) is None and books.certificate(height) is not None:
                    self._cut(books, height)
        prepared = self._find(height)
        if prepared is None or not 0 <= index < prepared.manifest.chunks:
            return None
        try:
            data = read_chunk(prepared.files, index)
        except OSError:
            return None
        # Its slot may have been given to another snapshot meanwhile.
        return data if prepared in self._prepared else None

    # ------------------------------------------------------------------------------------------- inside

    def _find(self, height: int) -> _Prepared | None:
        return next((each for each in self._prepared if each.manifest.height == height), None)

    def _newest(self, books: Books) -> int | None:
        """The newest certified checkpoint that can be cut."""
        with self._lock:
            heights = sorted(self._candidates, reverse=True)
        return next((height for height in heights if books.certificate(height) is not None), None)

    def _cut(self, books: Books, height: int) -> Manifest | None:
        """Cut the checkpoint at ``height`` into chunks; None if it is not at hand, or the shelf is full."""
        with self._lock:
            source = self._candidates.get(height)
        found = self._find(height)
        if found is not None or source is None or not self._has_room(books.head.height):
            return None if found is None else found.manifest
        certificate = books.certificate(height)
        if certificate is None or not books.agrees(certificate):
            return None
        branches = top_of(source, self._depth)
        decoded = [(path, decode_branch(record)) for path, record in branches]
        parts = parts_of(certificate.statement.state_root, self._depth, decoded)
        files = self._free_slot()
        cut_chunks(source, parts, files)
        manifest = Manifest(
            certificate=certificate,
            header=books.header(height),
            depth=self._depth,
            branches=tuple(branches),
            boundaries=books.boundaries(certificate.epoch),
            chunks=len(parts),
        )
        self._prepared = sorted([*self._prepared, _Prepared(manifest, files)], key=lambda each: each.manifest.height)
        return manifest

    def _has_room(self, head: int) -> bool:
        newest = self._prepared[-1].manifest.height if self._prepared else 0
        return len(self._prepared) < SNAPSHOTS_KEPT or head - newest >= LIFETIME_CHECKPOINTS_MIN * self._interval

    def _free_slot(self) -> Files:
        """A slot's files, emptied; its snapshot, the oldest, is on the shelf no longer."""
        if len(self._prepared) == SNAPSHOTS_KEPT:
            self._prepared = self._prepared[1:]
        taken = [each.files for each in self._prepared]
        files = next(slot for slot in self._slots if slot not in taken)
        files.remove_all()
        return files
