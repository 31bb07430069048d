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
        data = path.read_bytes()
        if len(data) <= len(MAGIC) and MAGIC.startswith(data.rstrip(b"\0")):
            path.write_bytes(MAGIC)
            return len(MAGIC)
        _check_magic(path, data[: len(MAGIC)])
        offset = len(MAGIC)
        while (end := _record_end(data, offset)) is not None:
            offset = end
        if offset < len(data):
            _check_torn(path, data, offset)
            with path.open("r+b") as file:
                file.truncate(offset)
                os.fsync(file.fileno())
        return offset


def read_blocks(directory: Path) -> Iterator[StoredBlock]:
    """All blocks of a directory's files, in order, also while a node appends; ``ChainCorrupt`` where it ends badly."""
    for path in sorted(directory.glob("*.chain")):
        for _, block in _read_segment(path):
            yield block


def _read_segment(path: Path) -> Iterator[tuple[int, StoredBlock]]:
    with path.open("rb") as file:
        _check_magic(path, file.read(len(MAGIC)))
        offset = len(MAGIC)
        while head := file.read(_HEAD.size):
            data = _read_record(head, file.read, path, offset)
            yield offset, decode_block(data)
            offset += _HEAD.size + len(data)


def _check_magic(path: Path, magic: bytes) -> None:
    if magic != MAGIC:
        raise ChainCorrupt(f"{path}: not a chain file of format {FORMAT_VERSION}")


def _record_end(data: bytes, offset: int) -> int | None:
    """Where the record at ``offset`` ends, or None if it is torn or damaged. An empty one is unwritten zeros."""
    if offset + _HEAD.size > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, offset)
    end = int(offset + _HEAD.size + length)
    if not length or end > len(data) or zlib.crc32(data[offset + _HEAD.size : end]) != checksum:
        return None
    return end


def _check_torn(path: Path, data: bytes, offset: int) -> None:
    """``ChainCorrupt`` if a block lies anywhere behind the bad record: its length may be what is damaged."""
    if any(_is_block(data, behind) for behind in range(offset + 1, len(data) - _HEAD.size)):
        raise ChainCorrupt(f"{path}: damaged record at {offset}, with whole ones behind it")


def _is_block(data: bytes, offset: int) -> bool:
    end = _record_end(data, offset)
    if end is None:
        return False
    try:
        decode_block(data[offset + _HEAD.size : end])
    except msgspec.DecodeError:
        return False
    return True


def _read_record(head: bytes, read: Callable[[int], bytes], path: Path, offset: int) -> bytes:
    if len(head) < _HEAD.size:
        raise ChainCorrupt(f"{path}: torn record at {offset}")
    length, checksum = _HEAD.unpack(head)
    if not 0 < length <= RECORD_BYTES_MAX:
        raise ChainCorrupt(f"{path}: impossible length at {offset}")
    data = read(length)
    if len(data) != length or zlib.crc32(data) != checksum:
        raise ChainCorrupt(f"{path}: damaged record at {offset}")
    return data
