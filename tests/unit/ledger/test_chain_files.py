"""The chain files: what a crash tears is cut, what rots is found, and nothing that was synced is ever lost quietly."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from ledger import chain as chain_module
from ledger.blocks import Header, StoredBlock
from ledger.chain import MAGIC, ChainCorrupt, ChainFiles, read_blocks
from pbft.disk import DiskFiles
from pbft.messages import Statement

HEAD_BYTES = 8


def block_of(height: int, body: bytes = b"") -> StoredBlock:
    header = Header(bytes(32), "main", 0, height, bytes(32), height, bytes(32), bytes(32))
    return StoredBlock(
        header, body, 0, 0, 0, (), bytes(32), Statement(height, bytes(32), bytes(32), bytes(32), bytes(32))
    )


BLOCKS = [block_of(height, b"body %d" % height) for height in range(1, 5)]


def write(directory: Path, blocks: list[StoredBlock] = BLOCKS) -> tuple[Path, list[int]]:
    """The one segment's path, and where each record starts (and the file ends)."""
    files = ChainFiles(DiskFiles(directory))
    starts = [files.append(block).offset for block in blocks]
    files.close()
    path = directory / "00000001.chain"
    return path, [*starts, path.stat().st_size]


def opened(directory: Path) -> list[StoredBlock]:
    files = ChainFiles(DiskFiles(directory))
    try:
        return [block for _, block in files.after(None)]
    finally:
        files.close()


def test_blocks_come_back_in_order_and_by_place(tmp_path: Path) -> None:
    files = ChainFiles(DiskFiles(tmp_path))
    places = [files.append(block) for block in BLOCKS]
    assert [files.read(place) for place in places] == BLOCKS
    assert [block for _, block in files.after(places[1])] == BLOCKS[2:]
    assert list(read_blocks(tmp_path)) == BLOCKS
    files.close()
    assert opened(tmp_path) == BLOCKS


def test_a_tail_torn_at_any_byte_is_cut_and_written_anew(tmp_path: Path) -> None:
    path, starts = write(tmp_path)
    whole = path.read_bytes()
    for size in range(starts[-2], starts[-1]):
        path.write_bytes(whole[:size])
        assert opened(tmp_path) == BLOCKS[:-1]
        assert path.stat().st_size == starts[-2]
        files = ChainFiles(DiskFiles(tmp_path))
        files.append(BLOCKS[-1])
        files.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\x5a"])
def test_a_tail_whose_bytes_never_reached_the_disk_is_cut(tmp_path: Path, filler: bytes) -> None:
    """After power loss the file may have its length but not its data."""
    path, starts = write(tmp_path)
    whole = path.read_bytes()
    for size in range(starts[-2], starts[-1]):
        path.write_bytes(whole[:size] + filler * (starts[-1] - size))
        if path.read_bytes() != whole:
            assert opened(tmp_path) == BLOCKS[:-1]


def test_a_file_torn_in_its_first_bytes_starts_anew(tmp_path: Path) -> None:
    path, _ = write(tmp_path, [])
    for size in range(len(MAGIC)):
        path.write_bytes(MAGIC[:size])
        assert opened(tmp_path) == []
        assert path.read_bytes() == MAGIC


def test_a_flipped_bit_before_the_last_record_is_corruption_and_cuts_nothing(tmp_path: Path) -> None:
    path, starts = write(tmp_path)
    whole = path.read_bytes()
    for position in range(starts[-2]):
        for bit in (0, 7):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(ChainCorrupt, match=path.name):
                opened(tmp_path)
            assert path.read_bytes() == damaged


def test_a_damaged_length_in_the_middle_does_not_pass_for_a_torn_tail(tmp_path: Path) -> None:
    """Taken for one, it would cut off every block behind it."""
    path, starts = write(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[starts[1]] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ChainCorrupt, match=str(starts[1])):
        ChainFiles(DiskFiles(tmp_path))
    assert path.read_bytes() == damaged


def test_damage_found_while_reading_names_file_and_offset(tmp_path: Path) -> None:
    path, starts = write(tmp_path)
    files = ChainFiles(DiskFiles(tmp_path))
    places = [place for place, _ in files.after(None)]
    damaged = bytearray(path.read_bytes())
    damaged[starts[2] - 1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ChainCorrupt, match=f"{path.name}.* {starts[1]}"):
        files.read(places[1])
    assert files.read(places[2]) == BLOCKS[2]
    with pytest.raises(ChainCorrupt, match=str(starts[1])):
        list(read_blocks(tmp_path))
    files.close()


def test_a_missing_segment_is_corruption(tmp_path: Path) -> None:
    files = ChainFiles(DiskFiles(tmp_path))
    place = files.append(BLOCKS[0])
    (tmp_path / "00000001.chain").unlink()
    with pytest.raises(ChainCorrupt, match="00000001"):
        files.read(place)
    files.close()


def test_segments_roll_at_their_greatest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "SEGMENT_BYTES_MAX", 600)
    blocks = [block_of(height, bytes(150)) for height in range(1, 8)]
    files = ChainFiles(DiskFiles(tmp_path))
    places = [files.append(block) for block in blocks]
    assert [files.read(place) for place in places] == blocks
    files.close()
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert len(sizes) > 2
    assert max(sizes) <= 600
    assert opened(tmp_path) == blocks == list(read_blocks(tmp_path))
    files = ChainFiles(DiskFiles(tmp_path))
    assert [block for _, block in files.after(places[4])] == blocks[5:]
    files.close()


def test_a_block_larger_than_a_segment_has_one_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "SEGMENT_BYTES_MAX", 600)
    blocks = [block_of(1), block_of(2, bytes(2_000)), block_of(3)]
    write(tmp_path, blocks)
    assert opened(tmp_path) == blocks
    assert len(list(tmp_path.iterdir())) == 3


def test_a_torn_tail_is_cut_in_the_last_segment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "SEGMENT_BYTES_MAX", 600)
    write(tmp_path, [block_of(height, bytes(150)) for height in range(1, 8)])
    first = tmp_path / "00000001.chain"
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(ChainCorrupt, match=first.name):
        opened(tmp_path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    path.write_bytes(b"WQCHAIN\x02" + path.read_bytes()[len(MAGIC) :])
    with pytest.raises(ChainCorrupt, match="format"):
        ChainFiles(DiskFiles(tmp_path))


def test_an_impossible_length_is_not_allocated(tmp_path: Path) -> None:
    path, starts = write(tmp_path)
    files = ChainFiles(DiskFiles(tmp_path))
    damaged = bytearray(path.read_bytes())
    damaged[starts[0] : starts[0] + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(damaged)
    with pytest.raises(ChainCorrupt, match="length"):
        list(files.after(None))
    files.close()


def test_a_record_is_length_checksum_and_bytes(tmp_path: Path) -> None:
    """The documented format: other programs read it."""
    path, starts = write(tmp_path)
    record = path.read_bytes()[starts[0] : starts[1]]
    data = record[HEAD_BYTES:]
    assert record[:HEAD_BYTES] == len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big")
