"""The stamp of a data directory: made once, made again where a crash cut its making, and never guessed at."""

from __future__ import annotations

import random

import pytest

from ledger.chain import ChainCorrupt
from ledger.storage import STAMP, DirectoryUnusable, Storage, check_stamp, generation_of, set_aside
from sim.disk import SimDisk
from sim.plan import Disks, Plan
from sim.setting import stage_of

GENESIS = stage_of(Plan(0, "none")).genesis
OTHER = stage_of(Plan(0, "none", nodes=5)).genesis


@pytest.fixture
def storage() -> Storage:
    return SimDisk(0, random.Random(1), Disks()).storage()


def put(storage: Storage, data: bytes) -> None:
    if STAMP in storage.files.names():
        storage.files.remove(STAMP)
    file = storage.files.append(STAMP)
    file.write(data)
    file.sync()


def stamp(storage: Storage) -> bytes:
    check_stamp(storage.files, GENESIS)
    return storage.files.read(STAMP)


@pytest.mark.parametrize("kept", [0, 1, 20, 60])
@pytest.mark.parametrize("zeros", [0, 3])
def test_a_stamp_whose_making_a_crash_cut_is_made_again(storage: Storage, kept: int, zeros: int) -> None:
    whole = stamp(storage)
    put(storage, whole[:kept] + bytes(zeros))
    assert stamp(storage) == whole


def test_another_chains_directory_is_refused(storage: Storage) -> None:
    check_stamp(storage.files, OTHER)
    with pytest.raises(DirectoryUnusable):
        check_stamp(storage.files, GENESIS)


def test_any_turned_bit_of_a_stamp_means_damage_which_setting_aside_ends(storage: Storage) -> None:
    """A digit turned into another digit was taken for another chain's stamp: the node never started again."""
    whole = stamp(storage)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        put(storage, bytes(damaged))
        with pytest.raises(ChainCorrupt):
            check_stamp(storage.files, GENESIS)
    set_aside(storage)
    check_stamp(storage.files, GENESIS)
    assert generation_of(storage.files) == 1


def test_a_stamp_from_before_stamps_had_sums_is_completed(storage: Storage) -> None:
    whole = stamp(storage)
    put(storage, whole[: whole.index(b"sum")])
    assert stamp(storage) == whole


def test_another_chains_stamp_from_before_stamps_had_sums_is_refused(storage: Storage) -> None:
    check_stamp(storage.files, OTHER)
    others = storage.files.read(STAMP)
    put(storage, others[: others.index(b"sum")])
    with pytest.raises(DirectoryUnusable):
        check_stamp(storage.files, GENESIS)
