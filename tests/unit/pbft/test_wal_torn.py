"""What a crash may leave of a log's end is cut; what no crash leaves is damage."""

from __future__ import annotations

import random

import pytest

from pbft.messages import PrePrepare
from pbft.records import Accepted
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
