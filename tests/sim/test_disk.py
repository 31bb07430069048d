"""The simulated disk keeps what was synced, loses some of the rest, and stops within any operation."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

import pytest

from pbft.epoch_logs import EpochLogs
from pbft.messages import PrePrepare
from pbft.records import Accepted
from pbft.wal import WalCorrupt, WriteAheadLog, _framed
from sim.disk import LEDGER, LOGS, PowerCut, SimDisk
from sim.plan import Disks

SEEDS = range(40)


def disk(seed: int, **weather: float) -> SimDisk:
    return SimDisk(0, random.Random(seed), Disks(**weather))  # type: ignore[arg-type]


def written(disk: SimDisk, synced: bytes, loose: bytes) -> None:
    file = disk.directory("x").append("f")
    disk.directory("x").sync_names()
    file.write(synced)
    file.sync()
    file.write(loose)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_keeps_what_was_synced_and_a_beginning_of_the_rest(seed: int) -> None:
    made = disk(seed, torn=0.5)
    written(made, b"synced", b"loose")
    made.crash()
    data = made.directory("x").read("f")
    assert data.startswith(b"synced")
    assert len(data) <= len(b"syncedloose")


def test_over_many_crashes_every_fate_of_the_loose_end_is_seen() -> None:
    fates = set()
    for seed in range(300):
        made = disk(seed, torn=0.5)
        written(made, b"synced", b"loose")
        made.crash()
        fates.add(made.directory("x").read("f"))
    assert b"synced" in fates, "all of it lost"
    assert b"syncedloose" in fates, "all of it kept"
    assert any(fate.startswith(b"synced\0") for fate in fates), "kept in length, not in content"


def test_a_name_that_was_not_synced_may_be_lost_with_its_file() -> None:
    fates = set()
    for seed in SEEDS:
        made = disk(seed, torn=1.0)
        made.directory("x").append("f").sync()
        made.crash()
        fates.add(tuple(made.directory("x").names()))
    assert fates == {(), ("f",)}


def test_a_rename_happens_wholly_or_not_at_all() -> None:
    fates = set()
    for seed in SEEDS:
        made = disk(seed, torn=1.0)
        directory = made.directory("x")
        for name in ("draft", "current"):
            file = directory.append(name)
            file.write(name.encode())
            file.sync()
        directory.sync_names()
        directory.rename("draft", "current")
        made.crash()
        fates.add(tuple((name, directory.read(name)) for name in directory.names()))
    assert fates == {(("current", b"draft"),), (("current", b"current"), ("draft", b"draft"))}


def test_the_power_is_cut_at_the_operation_asked_for_and_stays_cut_until_the_crash() -> None:
    made = disk(1)
    file = made.directory("x").append("f")
    made.cut_power_in(2)
    file.write(b"one")
    with pytest.raises(PowerCut):
        file.sync()
    before = made.directory("x").read("f")
    with pytest.raises(PowerCut):
        file.write(b"two")
    with pytest.raises(PowerCut):
        made.directory("x").remove("f")
    assert made.directory("x").read("f") == before
    made.crash()
    made.directory("x").append("g").write(b"again")


@pytest.mark.row(18)
@pytest.mark.parametrize("operation", range(1, 12))
def test_a_cut_at_any_operation_leaves_a_log_that_can_be_read(operation: int) -> None:
    for seed in SEEDS:
        made = disk(seed, torn=1.0)
        made.cut_power_in(operation)
        try:
            log = WriteAheadLog(made.directory(LOGS))
            for _ in range(4):
                log.append([])
        except PowerCut:
            made.crash()
        try:
            WriteAheadLog(made.directory(LOGS))
        except WalCorrupt as error:
            pytest.fail(f"seed {seed}: {error}")


VOTE = Accepted(PrePrepare(0, 1, sha256(b"batch").digest(), 0, bytes(64)), b"batch")
OPERATIONS_MAX = 40
"""On the disk, while a log is opened and another one replaced."""


def logs_of(disk: SimDisk) -> EpochLogs:
    return EpochLogs(disk.directory(LOGS), disk.directory(""))


def voted(seed: int) -> SimDisk:
    made = disk(seed, torn=0.5)
    logs_of(made).open(0).append([VOTE, VOTE])
    return made


def rotten(seed: int) -> SimDisk:
    """A record with another behind it is damaged."""
    made = voted(seed)
    made.directory(f"{LOGS}/00000000").files["00000001.wal"].data[20] ^= 1
    return made


def gone(seed: int) -> SimDisk:
    made = voted(seed)
    made.lose(f"{LOGS}/00000000")
    return made


def long_ago(seed: int) -> SimDisk:
    """Epoch 3 has begun, so that nobody keeps the log of epoch 0."""
    made = voted(seed)
    for epoch in (1, 2, 3):
        logs_of(made).open(epoch)
    return made


def half_removed(seed: int) -> SimDisk:
    """Likewise, and the power went while that log's segments were removed."""
    made = long_ago(seed)
    WriteAheadLog(made.directory(LOGS).below("00000000"))
    return made


@pytest.mark.row(18)
@pytest.mark.parametrize("damaged", [rotten, gone, long_ago, half_removed])
def test_a_power_cut_while_a_lost_log_is_replaced_leaves_the_loss_known(damaged: Callable[[int], SimDisk]) -> None:
    """It was forgotten with the new log in place: the replica voted again on what it had voted on."""
    for seed in SEEDS:
        for operation in range(1, OPERATIONS_MAX):
            made = damaged(seed)
            made.cut_power_in(operation)
            try:
                logs_of(made).open(0)
                break
            except PowerCut:
                made.crash()
            logs = logs_of(made)
            assert VOTE in logs.open(0).records or logs.amnesia, f"seed {seed}, operation {operation}"
        else:
            pytest.fail("there are more operations than that")


@pytest.mark.row(18)
def test_what_a_killed_process_had_not_synced_is_durable_once_it_is_acted_on() -> None:
    """The kernel still had it; the power goes after the next start has read it."""
    for seed in SEEDS:
        made = voted(seed)
        log = WriteAheadLog(made.directory(LOGS).below("00000000"))
        log._file.write(_framed([VOTE]))
        read = WriteAheadLog(made.directory(LOGS).below("00000000")).records
        made.crash()
        assert WriteAheadLog(made.directory(LOGS).below("00000000")).records == read


def test_a_store_loses_whole_batches_from_the_end() -> None:
    fates = set()
    for seed in SEEDS:
        made = disk(seed, torn=1.0)
        store = made.storage().open_store("state")
        store.write({b"a": b"1"}, sync=True)
        store.write({b"a": b"2", b"b": b"2"})
        store.write({b"b": None})
        made.crash()
        fates.add((store.get(b"a"), store.get(b"b")))
    assert fates == {(b"1", None), (b"2", b"2"), (b"2", None)}


def test_rot_turns_one_bit() -> None:
    made = disk(1)
    written(made, b"synced", b"")
    before = made.directory("x").read("f")
    made.rot(4 + 8 * 6)
    after = made.directory("x").read("f")
    assert sum(bin(a ^ b).count("1") for a, b in zip(before, after, strict=True)) == 1


def test_a_directory_is_lost_with_all_below_it_and_no_other() -> None:
    made = disk(1)
    for path in (LOGS, f"{LOGS}/00000000", LEDGER):
        made.directory(path).append("f")
        made.directory(path).sync_names()
    made.lose(LOGS)
    assert made.directory(LOGS).names() == made.directory(f"{LOGS}/00000000").names() == []
    assert made.directory(LEDGER).names() == ["f"]
