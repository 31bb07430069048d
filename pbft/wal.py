"""The write-ahead log: records appended in segments, made durable in groups, before anything is sent.

A record is length, CRC-32, bytes and an end mark. A torn tail of the last segment is cut; damage is ``WalCorrupt`` with
file and offset, in the last record too: what was synced may have been sent. The two are told apart by what a crash
leaves, a beginning or bytes never written, and damage does not. Whole segments are dropped once all their records lie
below the stable checkpoint, and not before the log says so; each new segment starts with the records that say which
view we are in and how far the log is cut, so that no truncation can forget it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import get_args

import msgspec

from pbft.files import AppendFile, Files
from pbft.messages import DECODE_ERRORS
from pbft.records import Cut, Entered, Left, Muted, Record, decode_record, encode_record, sequence_of
from pbft.torn import has_record_behind

SEGMENT_BYTES_MAX = 16 << 20
RECORD_BYTES_MAX = 64 << 20
FORMAT_VERSION = 4
MAGIC = b"WQWAL" + bytes([FORMAT_VERSION])
UNMARKED = b"WQWAL" + bytes([3])
"""Of segments from before records had end marks: read, never appended to."""
END = b"\xe5"
SECTOR_BYTES, UNWRITTEN_BYTES_MIN = 512, 64
"""So many zeros in one sector are bytes that a crash kept from being written."""
SUFFIX = ".wal"
_HEAD = struct.Struct(">II")
_TAGS = [msgspec.msgpack.encode(kind.__struct_config__.tag) for kind in get_args(Record)]
_BEGINNING = re.compile(b"[\x90-\x9f](?:" + b"|".join(map(re.escape, _TAGS)) + b")")
"""How a record's content starts: an array whose first item is the record's kind."""


class WalCorrupt(Exception):
    """A record that is not what was written; the message names file and offset."""


class WriteAheadLog:
    """One directory's log. Not thread-safe: the driver calls it from one thread at a time."""

    def __init__(self, files: Files, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self._files = files
        self._segment_bytes_max = segment_bytes_max
        self._tops: dict[int, int] = {}
        self._left: Left | None = None
        self._entered: Entered | None = None
        self._muted: Muted | None = None
        self._cut = Cut(0)
        self.records = self._read_all()
        numbers = self._numbers()
        self._number = numbers[-1] if numbers else 0
        self._file: AppendFile = self._reopened() if numbers else self._new_segment()

    def append(self, records: Sequence[Record]) -> None:
        """Write records and make them durable: one write, one sync, however many. Blocks."""
        if self._file.size > self._segment_bytes_max:
            self._roll()
        self._write(records)

    def truncate_below(self, sequence: int) -> None:
        """Forget whole segments whose records are all for sequences up to ``sequence``."""
        if self._tops.get(self._number, 0) > 0 and self._file.size > self._segment_bytes_max // 4:
            self._roll()
        gone = list(takewhile(lambda known: self._tops[known] <= sequence, sorted(self._tops.keys() - {self._number})))
        below = max((self._tops[number] for number in gone), default=0)
        if below > self._cut.below:
            self._write([Cut(below)])
        for number in gone:
            self._files.remove(_name(number))
            del self._tops[number]

    def close(self) -> None:
        self._file.close()

    # ------------------------------------------------------------------------------------------- inside

    def _write(self, records: Iterable[Record]) -> None:
        for record in records:
            self._note(self._number, record)
        self._file.write(_framed(records))
        self._file.sync()

    def _note(self, number: int, record: Record) -> None:
        self._tops[number] = max(self._tops.get(number, 0), sequence_of(record) or 0)
        if isinstance(record, Left):
            self._left = record
        elif isinstance(record, Entered):
            self._entered = record
        elif isinstance(record, Muted):
            self._muted = record
        elif isinstance(record, Cut):
            self._cut = record

    def _roll(self) -> None:
        self._file.close()
        self._file = self._new_segment()

    def _new_segment(self) -> AppendFile:
        self._number += 1
        self._tops[self._number] = 0
        file = self._files.append(_name(self._number))
        self._files.sync_names()
        file.write(MAGIC + _framed(self._view_records()))
        file.sync()
        return file

    def _reopened(self) -> AppendFile:
        """The last segment. What a killed process wrote there without syncing it was read, and is acted on."""
        name = _name(self._number)
        if self._files.read(name, 0, len(MAGIC)) == UNMARKED:
            return self._new_segment()
        file = self._files.append(name)
        self._files.sync_names()
        file.sync()
        return file

    def _view_records(self) -> list[Record]:
        """Until when we are mute, the newest view that we entered, a later one that we had left for, and how far the
        log is cut."""
        entered, left = self._entered, self._left
        found: list[Record] = [record for record in (self._muted, entered) if record is not None]
        if self._cut.below:
            found.append(self._cut)
        if left is not None and (entered is None or left.view_change.view > entered.new_view.view):
            found.append(left)
        return found

    def _numbers(self) -> list[int]:
        return sorted(int(name.removesuffix(SUFFIX)) for name in self._files.names(SUFFIX))

    def _read_all(self) -> tuple[Record, ...]:
        numbers = self._numbers()
        records: list[Record] = []
        for number in numbers:
            self._tops[number] = 0
            for record in self._read(number, last=number == numbers[-1]):
                self._note(number, record)
                records.append(record)
        return tuple(records)

    def _read(self, number: int, *, last: bool) -> list[Record]:
        name = _name(number)
        data = self._files.read(name)
        mark = len(END) if data.startswith(MAGIC) else 0
        if not data.startswith((MAGIC, UNMARKED)):
            if last and _is_torn_beginning(data):
                self._begin_again(name)
                return []
            raise WalCorrupt(f"{name}: not a log of format {FORMAT_VERSION}")
        records: list[Record] = []
        offset = len(MAGIC)
        while offset < len(data):
            end = _record_end(data, offset, mark)
            if end is None:
                is_torn = last and (not mark or _is_unfinished(data, offset))
                if not is_torn or has_record_behind(data, offset, _BEGINNING, _is_content):
                    raise WalCorrupt(f"{name}: damaged record at {offset}")
                self._files.truncate(name, offset)
                break
            records.append(_decoded(data[offset + _HEAD.size : end - mark], name, offset))
            offset = end
        return records

    def _begin_again(self, name: str) -> None:
        """A segment whose very beginning the crash cut off."""
        self._files.truncate(name, 0)
        file = self._files.append(name)
        file.write(MAGIC)
        file.sync()
        file.close()


def _name(number: int) -> str:
    return f"{number:08d}{SUFFIX}"


def _framed(records: Iterable[Record]) -> bytes:
    chunks = []
    for record in records:
        data = encode_record(record)
        chunks.append(_HEAD.pack(len(data), zlib.crc32(data)) + data + END)
    return b"".join(chunks)


def _is_torn_beginning(data: bytes) -> bool:
    """Whether a crash hit the making of this segment: a part of its first bytes was written, the rest are zeros."""
    written = data.rstrip(b"\0")
    return len(written) < len(MAGIC) and MAGIC.startswith(written)


def _record_end(data: bytes, offset: int, mark: int) -> int | None:
    """Where the record at ``offset`` ends, its end mark of so many bytes included, or None if it is torn or damaged. An
    empty one is unwritten zeros."""
    if offset + _HEAD.size > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, offset)
    end = offset + _HEAD.size + length
    if not 0 < length <= RECORD_BYTES_MAX or end + mark > len(data):
        return None
    return int(end) + mark if zlib.crc32(data[offset + _HEAD.size : end]) == checksum else None


def _is_unfinished(data: bytes, offset: int) -> bool:
    """Whether a crash ended the writing of what begins at ``offset``: the last end mark is not there, a sector was
    never written, or the record goes on behind the end. A mark that is damaged alone belongs to a whole record, which
    nobody asks about; a whole record whose length is damaged has its checksum's content up to the last mark."""
    if not data.endswith(END) or len(data) < offset + _HEAD.size:
        return True
    length, checksum = _HEAD.unpack_from(data, offset)
    content = data[offset + _HEAD.size : -len(END)]
    if length > len(content) and zlib.crc32(content) != checksum:
        return True
    first = offset - offset % SECTOR_BYTES
    sectors = (data[max(at, offset) : at + SECTOR_BYTES] for at in range(first, len(data), SECTOR_BYTES))
    return any(len(sector) >= UNWRITTEN_BYTES_MIN and not any(sector) for sector in sectors)


def _is_content(data: bytes) -> bool:
    try:
        decode_record(data)
    except DECODE_ERRORS:
        return False
    return True


def _decoded(data: bytes, name: str, offset: int) -> Record:
    try:
        return decode_record(data)
    except DECODE_ERRORS as error:
        raise WalCorrupt(f"{name}: record at {offset}: {error}") from None
