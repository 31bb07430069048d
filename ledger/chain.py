"""The chain files: blocks appended to segments, each record with length and checksum, synced before the commit.

A torn tail (the crash hit the last append) is cut when the files are opened. A damaged record elsewhere raises
``ChainCorrupt`` with file and offset, and is never served.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ledger.blocks import StoredBlock, decode_block, encode_block

SEGMENT_BYTES_MAX = 64 << 20
RECORD_BYTES_MAX = 64 << 20
FORMAT_VERSION = 1
MAGIC = b"WQCHAIN" + bytes([FORMAT_VERSION])
_HEAD = struct.Struct(">II")


class ChainCorrupt(Exception):
    """A record that is not what was written; the message names file and offset."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a block's record starts."""

    segment: int
    offset: int


class ChainFiles:
    """The segments of one data directory. One writer; readers on any thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock = threading.Lock()
        segments = self._segments()
        if not segments:
            self._start_segment(1)
            segments = [1]
        self._segment = segments[-1]
        self._end = self._cut_torn_tail(self._segment)
        self._file = self._path(self._segment).open("r+b")
        self._file.seek(self._end)

    def append(self, block: StoredBlock) -> Place:
        """Write and sync a block; where it is."""
        data = encode_block(block)
        record = _HEAD.pack(len(data), zlib.crc32(data)) + data
        if self._end > len(MAGIC) and self._end + len(record) > SEGMENT_BYTES_MAX:
            self._roll()
        place = Place(self._segment, self._end)
        self._file.write(record)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._end += len(record)
        return place

    def read(self, place: Place) -> StoredBlock:
        """The block at ``place``; ``ChainCorrupt`` if its bytes are not what was written."""
        path = self._path(place.segment)
        try:
            with path.open("rb") as file:
                file.seek(place.offset)
                data = _read_record(file.read(_HEAD.size), file.read, path, place.offset)
        except OSError as error:
            raise ChainCorrupt(f"{path}: {error}") from None
        return decode_block(data)

    def after(self, place: Place | None) -> Iterator[tuple[Place, StoredBlock]]:
        """Blocks behind ``place`` (None: all), in order."""
        for segment in self._segments():
            if place is not None and segment < place.segment:
                continue
            for found in self._records(segment):
                if place is None or (found[0].segment, found[0].offset) > (place.segment, place.offset):
                    yield found

    def close(self) -> None:
        self._file.close()

    # ------------------------------------------------------------------------------------------- inside

    def _path(self, segment: int) -> Path:
        return self._directory / f"{segment:08d}.chain"

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._directory.glob("*.chain"))

    def _start_segment(self, segment: int) -> None:
        with self._path(segment).open("xb") as file:
            file.write(MAGIC)
            file.flush()
            os.fsync(file.fileno())
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _roll(self) -> None:
        self._file.close()
        self._segment += 1
        self._start_segment(self._segment)
        self._file = self._path(self._segment).open("r+b")
        self._end = self._file.seek(0, os.SEEK_END)

    def _records(self, segment: int) -> Iterator[tuple[Place, StoredBlock]]:
        for offset, block in _read_segment(self._path(segment)):
            yield Place(segment, offset), block

    def _cut_torn_tail(self, segment: int) -> int:
        """Truncate the last segment behind its last whole record, if what follows is one torn record."""
        path = self._path(segment)
        size = path.stat().st_size
        if size < len(MAGIC):
            path.write_bytes(MAGIC)
            return len(MAGIC)
        end = len(MAGIC)
        with path.open("r+b") as file:
            file.seek(end)
            while head := file.read(_HEAD.size):
                if not _is_whole(head, file.read, size - end):
                    file.truncate(end)
                    os.fsync(file.fileno())
                    break
                end = file.tell()
        return end


def read_blocks(directory: Path) -> Iterator[StoredBlock]:
    """All blocks of a directory's files, in order, also while a node appends; ``ChainCorrupt`` where it ends badly."""
    for path in sorted(directory.glob("*.chain")):
        for _, block in _read_segment(path):
            yield block


def _read_segment(path: Path) -> Iterator[tuple[int, StoredBlock]]:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ChainCorrupt(f"{path}: not a chain file of format {FORMAT_VERSION}")
        offset = len(MAGIC)
        while head := file.read(_HEAD.size):
            data = _read_record(head, file.read, path, offset)
            yield offset, decode_block(data)
            offset += _HEAD.size + len(data)


def _is_whole(head: bytes, read: Callable[[int], bytes], left: int) -> bool:
    if len(head) < _HEAD.size:
        return False
    length, checksum = _HEAD.unpack(head)
    if length > left - _HEAD.size:
        return False
    data = read(length)
    if zlib.crc32(data) != checksum:
        if length < left - _HEAD.size:
            raise ChainCorrupt("a damaged record has further records behind it")
        return False
    return True


def _read_record(head: bytes, read: Callable[[int], bytes], path: Path, offset: int) -> bytes:
    if len(head) < _HEAD.size:
        raise ChainCorrupt(f"{path}: torn record at {offset}")
    length, checksum = _HEAD.unpack(head)
    if length > RECORD_BYTES_MAX:
        raise ChainCorrupt(f"{path}: impossible length at {offset}")
    data = read(length)
    if len(data) != length or zlib.crc32(data) != checksum:
        raise ChainCorrupt(f"{path}: damaged record at {offset}")
    return data
