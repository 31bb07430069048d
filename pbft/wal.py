"""The write-ahead log: records appended in segments, made durable in groups, before anything is sent.

A record is length, CRC-32 and bytes. A torn tail of the last segment is cut; damage elsewhere is ``WalCorrupt``
with file and offset. Whole segments are dropped once all their records lie below the stable checkpoint; each
new segment starts with the records that say which view we are in, so that no truncation can forget it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pbft.records import Entered, Left, Record, decode_record, encode_record, sequence_of

SEGMENT_BYTES_MAX = 16 << 20
RECORD_BYTES_MAX = 64 << 20
FORMAT_VERSION = 1
MAGIC = b"WQWAL" + bytes([FORMAT_VERSION])
_HEAD = struct.Struct(">II")


class WalCorrupt(Exception):
    """A record that is not what was written; the message names file and offset."""


class WriteAheadLog:
    """One directory's log. Not thread-safe: the driver calls it from one thread at a time."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._tops: dict[int, int] = {}
        self._left: Left | None = None
        self._entered: Entered | None = None
        self.records = self._read_all()
        numbers = self._numbers()
        self._number = numbers[-1] if numbers else 0
        self._file = None if not numbers else self._path(self._number).open("ab")
        if self._file is None:
            self._start_segment()

    def append(self, records: Sequence[Record]) -> None:
        """Write records and make them durable: one write, one fdatasync, however many. Blocks."""
        assert self._file is not None, "the log is open"
        if self._file.tell() > SEGMENT_BYTES_MAX:
            self._start_segment()
        self._write(records)

    def truncate_below(self, sequence: int) -> None:
        """Forget whole segments whose records are all for sequences up to ``sequence``."""
        if (
            self._tops.get(self._number, 0) > 0
            and self._file is not None
            and self._file.tell() > SEGMENT_BYTES_MAX // 4
        ):
            self._start_segment()
        for number in [known for known in sorted(self._tops) if known != self._number]:
            if self._tops[number] > sequence:
                break
            self._path(number).unlink()
            del self._tops[number]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    # ------------------------------------------------------------------------------------------- inside

    def _write(self, records: Iterable[Record]) -> None:
        assert self._file is not None, "the log is open"
        chunks = []
        for record in records:
            data = encode_record(record)
            chunks.append(_HEAD.pack(len(data), zlib.crc32(data)) + data)
            self._note(self._number, record)
        self._file.write(b"".join(chunks))
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def _note(self, number: int, record: Record) -> None:
        self._tops[number] = max(self._tops.get(number, 0), sequence_of(record) or 0)
        if isinstance(record, Left):
            self._left = record
        elif isinstance(record, Entered):
            self._entered = record

    def _start_segment(self) -> None:
        if self._file is not None:
            self._file.close()
        self._number += 1
        self._tops[self._number] = 0
        self._file = self._path(self._number).open("xb")
        self._file.write(MAGIC)
        self._write(self._view_records())
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _view_records(self) -> list[Record]:
        """The newest view that we entered, and a later one that we had left for."""
        entered, left = self._entered, self._left
        found: list[Record] = [] if entered is None else [entered]
        if left is not None and (entered is None or left.view_change.view > entered.new_view.view):
            found.append(left)
        return found

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}.wal"

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._directory.glob("*.wal"))

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
        path = self._path(number)
        data = path.read_bytes()
        if not data.startswith(MAGIC):
            if last and len(data) < len(MAGIC):
                path.write_bytes(MAGIC)
                return []
            raise WalCorrupt(f"{path}: not a log of format {FORMAT_VERSION}")
        records: list[Record] = []
        offset = len(MAGIC)
        while offset < len(data):
            end = _record_end(data, offset)
            if end is None:
                if not last or _has_whole_record_behind(data, offset):
                    raise WalCorrupt(f"{path}: damaged record at {offset}")
                os.truncate(path, offset)
                break
            records.append(_decoded(data[offset + _HEAD.size : end], path, offset))
            offset = end
        return records


def _record_end(data: bytes, offset: int) -> int | None:
    """Where the record at ``offset`` ends, or None if it is torn or damaged."""
    if offset + _HEAD.size > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, offset)
    end = offset + _HEAD.size + length
    if length > RECORD_BYTES_MAX or end > len(data) or zlib.crc32(data[offset + _HEAD.size : end]) != checksum:
        return None
    return int(end)


def _has_whole_record_behind(data: bytes, offset: int) -> bool:
    """Whether a damaged record is followed by a good one: then it is no torn tail."""
    if offset + _HEAD.size > len(data):
        return False
    length, _ = _HEAD.unpack_from(data, offset)
    behind = offset + _HEAD.size + length
    return behind < len(data) and _record_end(data, behind) is not None


def _decoded(data: bytes, path: Path, offset: int) -> Record:
    try:
        return decode_record(data)
    except msgspec.DecodeError as error:
        raise WalCorrupt(f"{path}: record at {offset}: {error}") from None
