"""What a crash may leave of a log's end is cut; what no crash leaves is damage."""

from __future__ import annotations

import random
import struct
import zlib
from types import SimpleNamespace

import pytest

from pbft import torn
from pbft.messages import NewView, PreparedCertificate, PrePrepare, ViewChange
from pbft.records import Accepted, Entered, Left, Muted, Prepared, encode_record
from pbft.wal import MAGIC, SECTOR_BYTES, UNMARKED, WalCorrupt, WriteAheadLog
from sim.disk import SimDisk
from sim.plan import Disks

RECORD = Accepted(PrePrepare(0, 1, b"d" * 32, 0, b"s" * 64), b"body")
LONG = Accepted(PrePrepare(0, 2, b"d" * 32, 0, b"s" * 64), b"x" * 4 * SECTOR_BYTES)


def log_of(data: bytes) -> WriteAheadLog:
    files = SimDisk(0, random.Random(1), Disks()).directory("wal")
    file = files.append("00000001.wal")
    file.write(data)
    file.sync()
    return WriteAheadLog(files)


def written() -> bytes:
    files = SimDisk(0, random.Random(1), Disks()).directory("wal")
    WriteAheadLog(files).append([RECORD])
    return files.read("00000001.wal")


@pytest.mark.parametrize("zeros", [1, 8, 40])
def test_unwritten_zeros_behind_the_last_record_are_cut(zeros: int) -> None:
    assert log_of(written() + bytes(zeros)).records == (RECORD,)


@pytest.mark.parametrize("kept", range(len(MAGIC)))
@pytest.mark.parametrize("zeros", [0, 1, 30])
def test_a_first_segment_whose_making_a_crash_cut_begins_again(kept: int, zeros: int) -> None:
    log = log_of(MAGIC[:kept] + bytes(zeros))
    assert log.records == ()
    log.append([RECORD])


def test_a_record_torn_in_the_middle_is_cut() -> None:
    data = written()
    for cut in range(len(MAGIC), len(data)):
        assert log_of(data[:cut]).records == ()


def test_a_first_byte_that_turned_is_damage() -> None:
    data = bytearray(written())
    data[0] ^= 1
    with pytest.raises(WalCorrupt):
        log_of(bytes(data))


def test_a_tail_full_of_beginnings_of_records_is_told_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: each place that could begin a record was hashed to its end. A tail of 16 MB took for ever."""
    hashed: list[int] = []

    def crc32(data: bytes) -> int:
        hashed.append(len(data))
        return zlib.crc32(data)

    monkeypatch.setattr(torn, "zlib", SimpleNamespace(crc32=crc32))
    content = encode_record(RECORD)
    piece = struct.pack(">II", 100_000, 0) + content[:10]
    data = written() + struct.pack(">II", 1 << 20, 0) + piece * 20_000
    with pytest.raises(WalCorrupt, match="damaged record"):
        log_of(data)
    assert 0 < sum(hashed) <= torn.HASHED_TIMES_MAX * len(data)
    few = written() + struct.pack(">II", 1 << 20, 0) + piece * 20
    assert log_of(few).records == (RECORD,)


def test_every_kind_of_record_behind_a_damaged_one_is_found() -> None:
    for record in (RECORD, Prepared(PreparedCertificate(RECORD.pre_prepare, ())), Left(ViewChange(1, None, (), 0)),
                   Entered(NewView(1, (), (), 1)), Muted(None), Muted(9)):  # fmt: skip
        files = SimDisk(0, random.Random(1), Disks()).directory("wal")
        WriteAheadLog(files).append([RECORD, record])
        data = bytearray(files.read("00000001.wal"))
        data[len(MAGIC)] = 0xFF
        with pytest.raises(WalCorrupt, match="damaged record"):
            log_of(bytes(data))


def test_any_turned_bit_of_the_last_record_is_damage_or_does_no_harm() -> None:
    """What was synced was sent, perhaps: a last record with a turned bit was cut as if it were torn, and an honest
    primary proposed another batch in the same place (seed 20472 of the soak)."""
    data = written()
    for bit in range(8 * len(MAGIC), 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        if bit // 8 == len(data) - 1:
            assert log_of(bytes(damaged)).records == (RECORD,), "a damaged end mark"
        else:
            with pytest.raises(WalCorrupt):
                log_of(bytes(damaged))


@pytest.mark.parametrize("unwritten", [0, 1, 3])
def test_a_sector_that_was_never_written_is_a_torn_tail(unwritten: int) -> None:
    """The others of the same write may have been: the order is the disk's."""
    files = SimDisk(0, random.Random(1), Disks()).directory("wal")
    log = WriteAheadLog(files)
    log.append([RECORD])
    begin = files.size("00000001.wal")
    log.append([LONG])
    data = bytearray(files.read("00000001.wal"))
    first = begin // SECTOR_BYTES * SECTOR_BYTES + unwritten * SECTOR_BYTES
    begin = max(begin, first)
    data[begin : first + SECTOR_BYTES] = bytes(first + SECTOR_BYTES - begin)
    assert log_of(bytes(data)).records == (RECORD,)


def test_a_segment_without_end_marks_is_read_and_not_appended_to() -> None:
    """A log of before: the record after it goes to a segment of its own."""
    content = encode_record(RECORD)
    old = struct.pack(">II", len(content), zlib.crc32(content)) + content
    files = SimDisk(0, random.Random(1), Disks()).directory("wal")
    file = files.append("00000001.wal")
    file.write(UNMARKED + old + old[:20])
    file.sync()
    log = WriteAheadLog(files)
    assert log.records == (RECORD,)
    log.append([LONG])
    assert WriteAheadLog(files).records == (RECORD, LONG)
    assert files.read("00000001.wal") == UNMARKED + old
