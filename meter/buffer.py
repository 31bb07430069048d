"""The reading buffer: what was read and not yet vouched for by the chain, on disk.

An append-only file of records, each ``length (4 bytes, big-endian), CRC-32 (4), msgpack``. A record that closes
intervals holds their readings and the meter's state together and is synced before any of them is submitted, so a
crash neither loses nor doubles energy. A record that says "done" is not synced: losing it costs one repeat, which
the chain recognises by meter, epoch and sequence. A torn last record is cut; a damaged one before it is an error.
At ``bytes_max``, after dropping what is done, or on a full disk, new records are refused (``BufferFull``): the gateway
then leaves its intervals open, and their energy stays in the meters' own counters until there is room. The file beside
it that ends with ``.lock`` is locked while the buffer is open: two processes would write over each other's readings.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from meter.errors import BufferCorrupt, BufferFull, BufferInUse
from meter.intervals import MeterState, Reading
from sdk.errors import UNREADABLE

MAGIC = b"WQMETER1"
HEAD_BYTES = 8
RECORD_BYTES_MAX = 1 << 20
RECORD_READINGS_MAX = 1_000
ARRAY_OF_3 = 0x93
"""The first byte of every record in msgpack: a tag and two fields."""
BYTES_MAX = 16 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""A full disk, and a quota that is used up."""

Key = tuple[str, int, int]
"""Meter, epoch, sequence: what tells readings apart."""


class Closed(msgspec.Struct, frozen=True, array_like=True, tag="closed"):
    """Intervals of one meter closed together, and where that leaves it."""

    state: MeterState
    readings: tuple[Reading, ...]


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """Readings that the chain holds (``code`` empty), or has refused for good with ``code``."""

    keys: tuple[Key, ...]
    code: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Closed | Done] = msgspec.msgpack.Decoder(Closed | Done)


def key_of(reading: Reading) -> Key:
    return (reading.meter, reading.epoch, reading.sequence)


class ReadingBuffer:
    """Open with a path; ``close`` when done. Its methods block on the disk and may be called from any thread.
    ``BufferInUse`` while another one is open on that path.

    ``refused`` counts the readings that the chain has refused for good since the file was begun or compacted.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._states: dict[str, MeterState] = {}
        self._pending: dict[Key, Reading] = {}
        self._compact_now = True
        self.refused = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._turn = _locked(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._size = self._replay()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._lock:
            os.close(self._file)
            os.close(self._turn)

    @property
    def size_bytes(self) -> int:
        return self._size

    def state(self, meter: str) -> MeterState | None:
        """The meter's state at its last closed interval."""
        with self._lock:
            return self._states.get(meter)

    def pending(self) -> list[Reading]:
        """Readings that the chain does not hold yet, the oldest interval first."""
        with self._lock:
            return sorted(self._pending.values(), key=lambda reading: (reading.interval, *key_of(reading)))

    def append(self, state: MeterState, readings: Sequence[Reading]) -> None:
        """Keep readings and state, durably; ``BufferFull`` keeps neither."""
        with self._lock:
            self._write(Closed(state, tuple(readings)))
            os.fsync(self._file)

    def done(self, readings: Sequence[Reading], code: str = "") -> None:
        """Forget readings: the chain holds them, or refused them with ``code``."""
        with self._lock:
            record = Done(tuple(key_of(reading) for reading in readings), code)
            self._apply(record)
            try:
                self._append(_frame(record))
            except BufferFull:
                # What is kept no longer has these readings, so the record is not needed. Where the disk is full too,
                # it is missed: that costs one repeat after a restart.
                with contextlib.suppress(BufferFull):
                    self._compact()

    # ------------------------------------------------------------------------------------------ the file

    def _write(self, record: Closed) -> None:
        frame = _frame(record)
        try:
            self._append(frame)
        except BufferFull:
            if self._compact_now:
                self._compact()
            self._append(frame)
        self._apply(record)

    def _append(self, frame: bytes) -> None:
        if self._size + len(frame) > self._bytes_max:
            waiting = len(self._pending)
            raise BufferFull(f"{self._path}: {self._bytes_max} bytes reached with {waiting} readings waiting")
        with _room_for(self._path):
            _write_all(self._file, frame, self._size)
        self._size += len(frame)

    def _apply(self, record: Closed | Done) -> None:
        self._compact_now = True
        if isinstance(record, Closed):
            self._states[record.state.meter] = record.state
            self._pending.update((key_of(reading), reading) for reading in record.readings)
            return
        for key in record.keys:
            self._pending.pop(key, None)
        self.refused += len(record.keys) if record.code else 0

    def _compact(self) -> None:
        """Replace the file by one with the states and the waiting readings only, atomically."""
        waiting: dict[str, list[Reading]] = {meter: [] for meter in self._states}
        for reading in self._pending.values():
            waiting[reading.meter].append(reading)
        content = MAGIC
        for meter, state in self._states.items():
            readings = waiting[meter]
            for start in range(0, max(len(readings), 1), RECORD_READINGS_MAX):
                content += _frame(Closed(state, tuple(readings[start : start + RECORD_READINGS_MAX])))
        aside = self._path.with_name(self._path.name + ".new")
        with _room_for(self._path):
            fresh = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with _room_for(self._path):
                _write_all(fresh, content, 0)
                os.fsync(fresh)
            os.replace(aside, self._path)
        except BaseException:
            os.close(fresh)
            aside.unlink()
            raise
        _sync_directory(self._path.parent)
        os.close(self._file)
        self._file, self._size = fresh, len(content)
        self._compact_now = False

    def _replay(self) -> int:
        """Read everything, cut a torn tail; returns the size."""
        content = self._path.read_bytes()
        if not MAGIC.startswith(content[: len(MAGIC)]):
            raise BufferCorrupt(f"{self._path}: not a reading buffer")
        if len(content) < len(MAGIC):
            os.ftruncate(self._file, 0)
            _write_all(self._file, MAGIC, 0)
            os.fsync(self._file)
            _sync_directory(self._path.parent)
            return len(MAGIC)
        offset = len(MAGIC)
        while offset < len(content):
            end = offset + HEAD_BYTES + int.from_bytes(content[offset : offset + 4], "big")
            payload = _unframe(content, offset, end)
            if payload is None:
                if not _is_torn(content, offset):
                    raise BufferCorrupt(f"{self._path}: damaged record at byte {offset}")
                os.ftruncate(self._file, offset)
                os.fsync(self._file)
                break
            try:
                self._apply(_decoder.decode(payload))
            except UNREADABLE as error:
                raise BufferCorrupt(f"{self._path}: no record at byte {offset}: {error}") from None
            offset = end
        return offset


def _frame(record: Closed | Done) -> bytes:
    payload = _encode(record)
    assert len(payload) <= RECORD_BYTES_MAX, "a record is one meter's readings"
    return len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload


def _unframe(content: bytes, offset: int, end: int) -> bytes | None:
    """The record between ``offset`` and ``end``, encoded, or None if it is not whole."""
    payload = content[offset + HEAD_BYTES : end]
    checksum = int.from_bytes(content[offset + 4 : offset + HEAD_BYTES], "big")
    if not payload or end > len(content) or payload[0] != ARRAY_OF_3 or zlib.crc32(payload) != checksum:
        return None
    return payload


def _is_torn(content: bytes, offset: int) -> bool:
    """Whether no whole record follows the one that is not whole: then it was the last that the crash hit."""
    for start in range(offset + 1, len(content) - HEAD_BYTES):
        length = int.from_bytes(content[start : start + 4], "big")
        if 0 < length <= RECORD_BYTES_MAX and _unframe(content, start, start + HEAD_BYTES + length) is not None:
            return False
    return True


@contextlib.contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """A disk without room is ``BufferFull``. What was half written stands behind the end, and is written over."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise BufferFull(f"{path}: {error.strerror}") from None


def _locked(path: Path) -> int:
    """A lock of its own, since the buffer's file is replaced when it is compacted."""
    turn = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(turn)
        raise BufferInUse(f"{path} is in use by another process") from None
    return turn


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
