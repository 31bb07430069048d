"""The chain files: blocks appended to segments, each record with length and checksum, synced before the commit.

A torn tail (the crash hit the last append) is cut when the files are opened. A damaged record elsewhere raises
``ChainCorrupt`` with file and offset, and is never served.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from ledger.blocks import StoredBlock, decode_block, encode_block
from pbft.files import AppendFile, Files
from pbft.messages import DECODE_ERRORS
from pbft.torn import has_record_behind

SEGMENT_BYTES_MAX = 64 << 20
RECORD_BYTES_MAX = 64 << 20
WINDOW_BYTES = 1 << 20
"""How much of a segment is read at a time."""
FORMAT_VERSION = 1
MAGIC = b"WQCHAIN" + bytes([FORMAT_VERSION])
SUFFIX = ".chain"
_HEAD = struct.Struct(">II")
_BEGINNING = re.compile(rb"[\x90-\x9f]{2}\xc4")
"""How a block's bytes start: an array whose first item is the header, whose own first item is bytes."""

Read: TypeAlias = Callable[[int, int], bytes]
"""``read(offset, length)`` of one segment; fewer bytes at its end."""


class ChainCorrupt(Exception):
    """A record that is not what was written; the message names file and offset."""


class ChainTorn(ChainCorrupt):
    """The last record is cut short: a node is writing it, or the power went, or the file was truncated."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a block's record starts."""

    segment: int
    offset: int


class ChainFiles:
    """The segments of one data directory. One writer; readers on any thread."""

    def __init__(self, files: Files) -> None:
        self._files = files
        segments = self._segments()
        self._segment = segments[-1] if segments else 1
        if segments:
            self._cut_torn_tail(self._segment)
        self._file = self._open(self._segment)

    def append(self, block: StoredBlock) -> Place:
        """Write and sync a block; where it is."""
        data = encode_block(block)
        record = _HEAD.pack(len(data), zlib.crc32(data)) + data
        if self._file.size > len(MAGIC) and self._file.size + len(record) > SEGMENT_BYTES_MAX:
            self._file.close()
            self._segment += 1
            self._file = self._open(self._segment)
        place = Place(self._segment, self._file.size)
        self._file.write(record)
        self._file.sync()
        return place

    def read(self, place: Place) -> StoredBlock:
        """The block at ``place``; ``ChainCorrupt`` if its bytes are not what was written."""
        name = _name(place.segment)
        try:
            return _read_record(self._reader(name), place.offset, name)[0]
        except OSError as error:
            raise ChainCorrupt(f"{name}: {error}") from None

    def after(self, place: Place | None) -> Iterator[tuple[Place, StoredBlock]]:
        """Blocks behind ``place`` (None: all), in order."""
        for segment in self._segments():
            if place is not None and segment < place.segment:
                continue
            name = _name(segment)
            for offset, block in _read_segment(self._reader(name), name):
                if place is None or (segment, offset) > (place.segment, place.offset):
                    yield Place(segment, offset), block

    def first_heights(self) -> list[tuple[str, int]]:
        """The segments that hold blocks, in order, each with the height of its first."""
        names = [_name(segment) for segment in self._segments()]
        held = [name for name in names if self._files.size(name) > len(MAGIC)]
        return [(name, _read_record(self._reader(name), len(MAGIC), name)[0].header.height) for name in held]

    def blocks_in(self, name: str) -> Iterator[StoredBlock]:
        """The blocks of one segment, in order."""
        for _, block in _read_segment(self._reader(name), name):
            yield block

    def cut_behind(self, place: Place | None) -> None:
        """Forget every block behind ``place`` (None: all), durably. The files are closed afterwards."""
        self._file.close()
        kept, end = (1, len(MAGIC)) if place is None else (place.segment, self._end_of(place))
        for segment in reversed(self._segments()):
            if segment > kept:
                self._files.remove(_name(segment))
        self._files.sync_names()
        if kept in self._segments():
            self._files.truncate(_name(kept), end)

    def close(self) -> None:
        self._file.close()

    # ------------------------------------------------------------------------------------------- inside

    def _segments(self) -> list[int]:
        return sorted(int(name.removesuffix(SUFFIX)) for name in self._files.names(SUFFIX))

    def _reader(self, name: str) -> Read:
        return lambda offset, length: self._files.read(name, offset, length)

    def _open(self, segment: int) -> AppendFile:
        """Open a segment for appending; a new one gets its beginning. All of it is durable: what a killed process wrote
        without syncing it is read again, and certificates may come to depend on it."""
        file = self._files.append(_name(segment))
        self._files.sync_names()
        if not file.size:
            file.write(MAGIC)
        file.sync()
        return file

    def _end_of(self, place: Place) -> int:
        name = _name(place.segment)
        return _read_record(self._reader(name), place.offset, name)[1]

    def _cut_torn_tail(self, segment: int) -> None:
        """Truncate the last segment behind its last whole record, if what follows is one torn record."""
        name = _name(segment)
        data = self._files.read(name)
        if len(data) <= len(MAGIC) and MAGIC.startswith(data.rstrip(b"\0")):
            self._files.truncate(name, 0)
            return
        _check_magic(name, data[: len(MAGIC)])
        offset = len(MAGIC)
        while (end := _record_end(data, offset)) is not None:
            offset = end
        if offset < len(data):
            _check_torn(name, data, offset)
            self._files.truncate(name, offset)


def read_blocks(directory: Path) -> Iterator[StoredBlock]:
    """All blocks of a directory's files, in order, also while a node appends; ``ChainCorrupt`` where it ends badly,
    ``ChainTorn`` if it is the last record that is cut short."""
    paths = sorted(directory.glob("*" + SUFFIX))
    for path in paths:
        try:
            yield from _blocks_of_file(path)
        except ChainTorn as error:
            if path == paths[-1]:
                raise
            raise ChainCorrupt(str(error)) from None


def _blocks_of_file(path: Path) -> Iterator[StoredBlock]:
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        for _, block in _read_segment(read, str(path)):
            yield block


def read_block(directory: Path, place: Place) -> StoredBlock:
    """One block of a directory's files, also while a node appends; ``ChainCorrupt`` if it is not what was written."""
    path = directory / _name(place.segment)

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    try:
        with path.open("rb") as file:
            return _read_record(read, place.offset, str(path))[0]
    except OSError as error:
        raise ChainCorrupt(str(error)) from None


def _name(segment: int) -> str:
    return f"{segment:08d}{SUFFIX}"


def _windowed(read: Read) -> Read:
    """Reads of small pieces in ascending order, from larger ones."""
    start, window = 0, b""

    def piece(offset: int, length: int) -> bytes:
        nonlocal start, window
        if not start <= offset <= offset + length <= start + len(window):
            start, window = offset, read(offset, max(length, WINDOW_BYTES))
        return window[offset - start : offset - start + length]

    return piece


def _read_segment(read: Read, name: str) -> Iterator[tuple[int, StoredBlock]]:
    read = _windowed(read)
    _check_magic(name, read(0, len(MAGIC)))
    offset = len(MAGIC)
    while read(offset, 1):
        block, end = _read_record(read, offset, name)
        yield offset, block
        offset = end


def _check_magic(name: str, magic: bytes) -> None:
    if magic != MAGIC:
        raise ChainCorrupt(f"{name}: not a chain file of format {FORMAT_VERSION}")


def _record_end(data: bytes, offset: int) -> int | None:
    """Where the record at ``offset`` ends, or None if it is torn or damaged. An empty one is unwritten zeros."""
    if offset + _HEAD.size > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, offset)
    end = int(offset + _HEAD.size + length)
    if not length or end > len(data) or zlib.crc32(data[offset + _HEAD.size : end]) != checksum:
        return None
    return end


def _check_torn(name: str, data: bytes, offset: int) -> None:
    """``ChainCorrupt`` if a block lies anywhere behind the bad record: its length may be what is damaged."""
    if has_record_behind(data, offset, _BEGINNING, _is_block):
        raise ChainCorrupt(f"{name}: damaged record at {offset}, with whole ones behind it")


def _is_block(data: bytes) -> bool:
    try:
        decode_block(data)
    except DECODE_ERRORS:
        return False
    return True


def _read_record(read: Read, offset: int, name: str) -> tuple[StoredBlock, int]:
    """The block at ``offset``, and where its record ends."""
    head = read(offset, _HEAD.size)
    if len(head) < _HEAD.size:
        raise ChainTorn(f"{name}: torn record at {offset}")
    length, checksum = _HEAD.unpack(head)
    if not 0 < length <= RECORD_BYTES_MAX:
        raise ChainCorrupt(f"{name}: impossible length at {offset}")
    data = read(offset + _HEAD.size, length)
    if len(data) != length:
        raise ChainTorn(f"{name}: torn record at {offset}")
    if zlib.crc32(data) != checksum:
        raise ChainCorrupt(f"{name}: damaged record at {offset}")
    try:
        return decode_block(data), offset + _HEAD.size + int(length)
    except DECODE_ERRORS as error:
        raise ChainCorrupt(f"{name}: record at {offset}: {error}") from None
