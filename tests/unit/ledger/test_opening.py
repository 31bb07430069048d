"""Opening damaged data: set aside, never deleted, and only for damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ca.keys import SigningKey
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.chain import ChainCorrupt
from ledger.genesis import Genesis, GenesisLimits, GenesisOrganisations, GenesisValidator
from ledger.opening import MARK, is_damage, marking_damage, open_ledger
from ledger.storage import DirectoryUnusable, Storage, disk_storage
from pbft.disk import DiskFiles

GENESIS = Genesis(
    network="test",
    channel="main",
    lab=False,
    time_ms=1,
    validators=tuple(GenesisValidator(f"n{i}", SigningKey.from_seed(bytes([i])).public_key) for i in range(4)),
    roots=(),
    users=(),
    parameters={},
    contracts={},
    limits=GenesisLimits(40_960, 500, 1_000_000, 100_000_000, 8, 16),
    organisations=GenesisOrganisations(("A",), 1),
)


def storage(path: Path) -> Callable[[], Storage]:
    return lambda: disk_storage(path, DiskFiles(path))


def test_a_path_that_no_store_can_have_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """RocksDB's binding takes text, and raised what nobody foresaw."""
    with pytest.raises(DirectoryUnusable, match="no path in UTF-8"):
        storage(tmp_path / os.fsdecode(b"n\xff"))()


def opened(path: Path) -> tuple[int, bool]:
    """Open and close; the height, and whether the data were damaged."""
    ledger, damaged = open_ledger(storage(path), GENESIS, PythonMachine(), MarketValidator())
    height = ledger.height
    ledger.close()
    return height, damaged


def test_sound_data_are_opened_as_they_are(tmp_path: Path) -> None:
    assert opened(tmp_path) == (0, False)
    assert opened(tmp_path) == (0, False)
    assert not (tmp_path / "current").exists()


def test_an_unreadable_store_is_set_aside_and_an_empty_ledger_takes_its_place(tmp_path: Path) -> None:
    opened(tmp_path)
    files = [path for path in (tmp_path / "state").iterdir() if path.name in ("CURRENT", "store.sqlite")]
    for path in files:
        path.write_bytes(b"nonsense")
    assert opened(tmp_path) == (0, True)
    assert [path.read_bytes() for path in files] == [b"nonsense"] * len(files), "still there to be looked at"
    assert opened(tmp_path) == (0, False)


def test_damage_that_shows_later_is_marked_for_the_next_start(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(ExceptionGroup), marking_damage(DiskFiles(tmp_path)):
        raise ExceptionGroup("tasks", [ValueError("another"), ExceptionGroup("more", [ChainCorrupt("block 3")])])
    assert (tmp_path / MARK).exists()
    assert opened(tmp_path) == (0, True)
    assert opened(tmp_path) == (0, False)


@pytest.mark.parametrize("marked", [False, True])
def test_nobody_guesses_which_data_are_in_force(tmp_path: Path, marked: bool) -> None:
    opened(tmp_path)
    if marked:
        (tmp_path / MARK).touch()
    (tmp_path / "current").write_bytes(b"\xff garbage")
    for _ in range(2):
        with pytest.raises(DirectoryUnusable, match=f"{tmp_path}/current: damaged: .*state-N.*peer's snapshot"):
            opened(tmp_path)
    (tmp_path / "current").write_text("0\n")
    assert opened(tmp_path) == (0, marked), "nothing was touched, and the lock let go"


def test_other_failures_leave_no_mark(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ours"), marking_damage(DiskFiles(tmp_path)):
        raise ValueError("ours")
    assert not (tmp_path / MARK).exists()


def test_a_directory_in_use_is_no_damage(tmp_path: Path) -> None:
    ledger, _ = open_ledger(storage(tmp_path), GENESIS, PythonMachine(), MarketValidator())
    with pytest.raises(DirectoryUnusable):
        opened(tmp_path)
    ledger.close()


@pytest.mark.parametrize(
    ("error", "damage"),
    [
        (ChainCorrupt("x"), True),
        (Exception("Corruption: block checksum mismatch"), True),
        (Exception("IO error: Resource temporarily unavailable"), False),
        (RuntimeError("Corruption of ours"), False),
        (AssertionError("x"), False),
        (MemoryError(), False),
    ],
)
def test_only_what_says_that_bytes_are_wrong_is_damage(error: Exception, damage: bool) -> None:
    assert is_damage(error) is damage
