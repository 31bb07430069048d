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
from pbft.wal import MAGIC, WalCorrupt, WriteAheadLog
from sim.disk import SimDisk
from sim.plan import Disks

RECORD = Accepted(PrePrepare(0, 1, b"d" * 32, 0, b"s" * 64), b"body")


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
