"""The write-ahead log: torn tails are cut, damage is found, truncation forgets neither view nor silence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgspec
import pytest
from decoder import deepened

from pbft.disk import DiskFiles
from pbft.messages import NewView, PrePrepare, ViewChange
from pbft.records import Accepted, Cut, Entered, Left, Muted, Record, encode_record
from pbft.wal import END, MAGIC, SEGMENT_BYTES_MAX, WalCorrupt, WriteAheadLog

NAME = "00000001.wal"


def accepted(sequence: int, size: int = 10, body: bytes = b"x") -> Record:
    return Accepted(PrePrepare(0, sequence, bytes(32), 0, b"s" * 64), body * size)


def written(directory: Path, *records: Record) -> bytes:
    """A log's only segment with these records."""
    log = WriteAheadLog(DiskFiles(directory))
    log.append(records)
    log.close()
    return (directory / NAME).read_bytes()


def reopened(directory: Path) -> tuple[Record, ...]:
    log = WriteAheadLog(DiskFiles(directory))
    log.close()
    return log.records


def framed(data: bytes) -> bytes:
    """Bytes as a record is written: length, checksum, bytes, end mark."""
    return struct.pack(">II", len(data), zlib.crc32(data)) + data + END


def test_what_was_appended_is_read_again_in_order(tmp_path: Path) -> None:
    records = (accepted(1), accepted(2), Left(ViewChange(1, None, (), 0)), accepted(3))
    written(tmp_path, *records)
    assert reopened(tmp_path) == records


def test_a_tail_torn_at_any_byte_is_cut_and_appending_goes_on(tmp_path: Path) -> None:
    whole = len(written(tmp_path / "short", accepted(1)))
    data = written(tmp_path / "long", accepted(1), accepted(2))
    for end in range(whole, len(data)):
        home = tmp_path / f"cut{end}"
        home.mkdir()
        (home / NAME).write_bytes(data[:end])
        log = WriteAheadLog(DiskFiles(home))
        assert log.records == (accepted(1),)
        log.append([accepted(9)])
        log.close()
        assert reopened(home) == (accepted(1), accepted(9))


def test_a_tail_that_is_torn_behind_what_looks_like_an_end_mark_is_torn(tmp_path: Path) -> None:
    """Found by the soak: one torn tail in 256 ends in that byte by chance. It was taken for damage, and a replica that
    had lost nothing threw its log away and was mute."""
    whole = len(written(tmp_path / "short", accepted(1)))
    data = written(tmp_path / "long", accepted(1), accepted(2, 50, END))
    ends = [end for end in range(whole + 1, len(data)) if data[end - 1 : end] == END]
    assert len(ends) >= 50
    for end in ends:
        home = tmp_path / f"cut{end}"
        home.mkdir()
        (home / NAME).write_bytes(data[:end])
        assert reopened(home) == (accepted(1),)


@pytest.mark.parametrize("bit", range(32))
def test_a_bit_that_turns_in_the_last_record_s_length_is_damage(tmp_path: Path, bit: int) -> None:
    whole = len(written(tmp_path / "short", accepted(1)))
    data = bytearray(written(tmp_path / "long", accepted(1), accepted(2)))
    data[whole + bit // 8] ^= 1 << bit % 8
    (tmp_path / "long" / NAME).write_bytes(data)
    with pytest.raises(WalCorrupt, match="damaged record at"):
        reopened(tmp_path / "long")


@pytest.mark.parametrize("zeros", [1, 8, 9, 4096])
def test_zeros_where_data_was_never_written_are_a_torn_tail(tmp_path: Path, zeros: int) -> None:
    """Found by the simulator's disk: a file that had grown without its data ended in a record of length 0."""
    data = written(tmp_path, accepted(1))
    (tmp_path / NAME).write_bytes(data + bytes(zeros))
    assert reopened(tmp_path) == (accepted(1),)


def test_a_damaged_length_with_records_behind_is_no_torn_tail(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, accepted(1), accepted(2), accepted(3)))
    data[len(MAGIC)] = 0xFF
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(WalCorrupt, match="damaged record at"):
        reopened(tmp_path)


def test_a_turned_bit_in_the_middle_is_found(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, accepted(1), accepted(2)))
    data[len(MAGIC) + 20] ^= 1
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(WalCorrupt):
        reopened(tmp_path)


def test_truncation_keeps_the_view_that_we_are_in_and_until_when_we_are_mute(tmp_path: Path) -> None:
    entered = Entered(NewView(3, (), (), 3, b"s" * 64))
    left = Left(ViewChange(4, None, (), 0))
    log = WriteAheadLog(DiskFiles(tmp_path))
    log.append([Muted(None), entered, Muted(77), left, accepted(1, 5 << 20)])
    log.truncate_below(1)
    log.append([accepted(2, 5 << 20)])
    log.truncate_below(2)
    log.close()
    assert len(list(tmp_path.glob("*.wal"))) == 1
    assert reopened(tmp_path) == (Muted(77), entered, Cut(1), left, Cut(2))


def test_a_full_segment_is_followed_by_another_and_both_are_read(tmp_path: Path) -> None:
    records = [accepted(1, SEGMENT_BYTES_MAX), accepted(2), accepted(3)]
    log = WriteAheadLog(DiskFiles(tmp_path))
    for record in records:
        log.append([record])
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001.wal", "00000002.wal"]
    assert reopened(tmp_path) == tuple(records)


def test_truncation_keeps_every_segment_from_the_first_with_something_above_the_checkpoint(tmp_path: Path) -> None:
    """The third segment's records all lie below, and it stays: what follows a kept record may depend on it."""
    log = WriteAheadLog(DiskFiles(tmp_path))
    for sequence in (1, 7, 2, 3):
        log.append([accepted(sequence, SEGMENT_BYTES_MAX)])
    log.truncate_below(6)
    log.close()
    names = sorted(path.name for path in tmp_path.glob("*.wal"))
    assert names[:2] == ["00000002.wal", "00000003.wal"]
    kept = (accepted(7, SEGMENT_BYTES_MAX), *(accepted(s, SEGMENT_BYTES_MAX) for s in (2, 3)))
    assert reopened(tmp_path) == (*kept, Cut(1)), "what it forgot, it says"


@pytest.mark.parametrize(
    "content",
    [
        msgspec.msgpack.encode(("from a later release", 1)),
        b"\xa1\xff",
        b"\xc1",
        deepened(encode_record(Muted(3))),
    ],
)
def test_a_whole_record_that_is_none_of_ours_is_named_with_file_and_offset(tmp_path: Path, content: bytes) -> None:
    """Its checksum is right, so that no crash tore it: it must not be taken for a torn tail and cut."""
    data = written(tmp_path, accepted(1))
    (tmp_path / NAME).write_bytes(data + framed(content))
    with pytest.raises(WalCorrupt, match=rf"{NAME}: record at {len(data)}"):
        reopened(tmp_path)
    assert (tmp_path / NAME).read_bytes() == data + framed(content)


def test_a_torn_record_whose_content_looks_framed_is_still_a_torn_tail(tmp_path: Path) -> None:
    """A batch is clients' bytes: a right checksum inside it, without a record behind, does not make it damage."""
    data = written(tmp_path, accepted(1))
    torn = struct.pack(">II", 1_000, 0) + framed(b"a client's bytes") + b"more"
    (tmp_path / NAME).write_bytes(data + torn)
    assert reopened(tmp_path) == (accepted(1),)
    assert (tmp_path / NAME).read_bytes() == data
