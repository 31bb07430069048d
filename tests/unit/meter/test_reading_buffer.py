"""The reading buffer: durable, exact after a kill, bounded."""

from __future__ import annotations

import errno
import multiprocessing
import os
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from meter.buffer import ReadingBuffer
from meter.counters import Sample
from meter.errors import BufferCorrupt, BufferFull, BufferInUse
from meter.intervals import MeterState, Quality, Reading, begin


def reading(sequence: int, meter: str = "M") -> Reading:
    return Reading(meter, 1_000 + sequence, 0, sequence, 10 * sequence, 0, Quality.GOOD)


def state(sequence: int, meter: str = "M") -> MeterState:
    fresh = begin(meter, Sample(sequence * 900_000, sequence, 0))
    return MeterState(meter=meter, track=fresh.track, open=1_000 + sequence, sequence=sequence)


def fill(buffer: ReadingBuffer, count: int, start: int = 0) -> None:
    for sequence in range(start, start + count):
        buffer.append(state(sequence + 1), [reading(sequence)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "readings.buffer"


def test_what_was_appended_is_there_after_reopening(path: Path) -> None:
    buffer = ReadingBuffer(path)
    fill(buffer, 3)
    buffer.done([reading(1)])
    buffer.close()
    again = ReadingBuffer(path)
    assert again.pending() == [reading(0), reading(2)]
    assert again.state("M") == state(3)
    assert again.state("N") is None
    again.close()


def _append_and_die(path: Path) -> None:
    buffer = ReadingBuffer(path)
    fill(buffer, 5)
    os._exit(9)


def test_a_killed_process_loses_nothing_that_was_appended(path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_append_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    buffer = ReadingBuffer(path)
    assert buffer.pending() == [reading(sequence) for sequence in range(5)]
    buffer.close()


def test_a_buffer_is_one_processs_at_a_time(path: Path) -> None:
    """Two gateways on one buffer, by mistake, wrote over each other's readings; the lock outlives a compaction."""
    buffer = ReadingBuffer(path, bytes_max=2_000)
    for sequence in range(100):
        fill(buffer, 1, start=sequence)
        buffer.done([reading(sequence)])
        with pytest.raises(BufferInUse, match="in use by another process"):
            ReadingBuffer(path)
    buffer.close()
    again = ReadingBuffer(path)
    assert again.state("M") == state(100)
    again.close()


def test_every_torn_tail_is_cut_and_appending_goes_on(path: Path) -> None:
    buffer = ReadingBuffer(path)
    fill(buffer, 2)
    whole = buffer.size_bytes
    fill(buffer, 1, start=2)
    buffer.close()
    content = path.read_bytes()
    for length in range(whole, len(content)):
        path.write_bytes(content[:length])
        buffer = ReadingBuffer(path)
        assert (buffer.pending(), buffer.state("M"), buffer.size_bytes) == ([reading(0), reading(1)], state(2), whole)
        fill(buffer, 1, start=2)
        buffer.close()
        assert path.read_bytes() == content


def test_zeros_or_noise_after_the_end_are_a_torn_tail(path: Path) -> None:
    buffer = ReadingBuffer(path)
    fill(buffer, 2)
    buffer.close()
    content = path.read_bytes()
    for tail in (bytes(40), b"\xff" * 40, b"\x00\x00\x00\x05abcdefgh"):
        path.write_bytes(content + tail)
        buffer = ReadingBuffer(path)
        assert len(buffer.pending()) == 2
        buffer.close()
        assert path.read_bytes() == content


def test_damage_before_the_end_is_an_error_and_changes_nothing(path: Path) -> None:
    buffer = ReadingBuffer(path)
    fill(buffer, 1)
    first = buffer.size_bytes
    fill(buffer, 2, start=1)
    buffer.close()
    content = path.read_bytes()
    for offset in (8, 13, 20, first - 1):  # length, checksum, payload, its last byte
        bad = bytearray(content)
        bad[offset] ^= 0x40
        path.write_bytes(bad)
        with pytest.raises(BufferCorrupt, match="byte 8"):
            ReadingBuffer(path)
        assert path.read_bytes() == bytes(bad)


@pytest.mark.parametrize("record", [["closed", 1, 2], ["from a later release", 1, 2]])
def test_a_whole_record_that_is_none_of_ours_is_an_error_and_changes_nothing(path: Path, record: list[object]) -> None:
    """Its checksum is right, so that no crash tore it."""
    buffer = ReadingBuffer(path)
    buffer.close()
    payload = msgspec.msgpack.encode(record)
    content = path.read_bytes() + struct.pack(">II", len(payload), zlib.crc32(payload)) + payload
    path.write_bytes(content)
    with pytest.raises(BufferCorrupt, match="no record at byte 8"):
        ReadingBuffer(path)
    assert path.read_bytes() == content


def test_another_file_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("my diary")
    with pytest.raises(BufferCorrupt, match="not a reading buffer"):
        ReadingBuffer(path)
    assert path.read_text() == "my diary"


def test_a_torn_beginning(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"WQM")
    buffer = ReadingBuffer(path)
    fill(buffer, 1)
    buffer.close()
    buffer = ReadingBuffer(path)
    assert buffer.pending() == [reading(0)]
    buffer.close()


def test_a_full_buffer_refuses_and_keeps_what_it_has(path: Path) -> None:
    buffer = ReadingBuffer(path, bytes_max=2_048)
    with pytest.raises(BufferFull, match="2048 bytes"):
        fill(buffer, 1_000)
    kept = len(buffer.pending())
    assert 10 < kept < 200
    assert path.stat().st_size == buffer.size_bytes <= 2_048
    assert buffer.pending() == [reading(sequence) for sequence in range(kept)]
    assert buffer.state("M") == state(kept)
    buffer.done([reading(sequence) for sequence in range(kept - 1)])
    fill(buffer, 1, start=kept)
    buffer.close()
    buffer = ReadingBuffer(path, bytes_max=2_048)
    assert buffer.pending() == [reading(kept - 1), reading(kept)]
    assert buffer.state("M") == state(kept + 1)
    buffer.close()


def test_a_full_disk_is_a_full_buffer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended the gateway, and the node with it, where intervals could have stayed open until there was room."""
    buffer = ReadingBuffer(path)
    fill(buffer, 3)
    real = os.pwrite

    def full(file: int, data: bytes, offset: int) -> int:
        real(file, bytes(data[: len(data) // 2]), offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(BufferFull, match="No space left"):
        fill(buffer, 1, start=3)
    buffer.done([reading(0)])
    assert buffer.pending() == [reading(1), reading(2)]
    monkeypatch.setattr(os, "pwrite", real)
    fill(buffer, 1, start=3)
    buffer.close()
    again = ReadingBuffer(path)
    assert again.pending()[-3:] == [reading(1), reading(2), reading(3)]
    again.close()
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_it_lives_for_ever_in_bounded_space(path: Path) -> None:
    buffer = ReadingBuffer(path, bytes_max=4_096)
    for sequence in range(500):
        fill(buffer, 1, start=sequence)
        if sequence % 3 == 2:
            buffer.done(buffer.pending())
    assert path.stat().st_size <= 4_096
    assert buffer.state("M") == state(500)
    buffer.close()


def test_the_oldest_interval_comes_first_and_refusals_are_counted(path: Path) -> None:
    buffer = ReadingBuffer(path)
    buffer.append(state(6, "B"), [reading(5, "B"), reading(4, "B")])
    buffer.append(state(5, "A"), [reading(4, "A")])
    assert [(r.interval, r.meter) for r in buffer.pending()] == [(1004, "A"), (1004, "B"), (1005, "B")]
    buffer.done([reading(4, "B")], code="INTERVAL_CLOSED")
    assert buffer.refused == 1
    buffer.close()
