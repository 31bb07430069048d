"""A log an epoch: what is kept, what is forgotten, and how a lost log is told from one that never was."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from pbft.disk import DiskFiles
from pbft.epoch_logs import NEW_MARK, EpochLogs
from pbft.messages import PrePrepare
from pbft.records import Accepted, Record

RECORD = Accepted(PrePrepare(0, 1, sha256(b"batch").digest(), 0, bytes(64)), b"batch")


class Home:
    """A node's home directory; ``logs`` opens it anew, as a start of the process does."""

    def __init__(self, path: Path, *, new: bool) -> None:
        self.path = path
        if new:
            (path / NEW_MARK).touch()

    def logs(self) -> EpochLogs:
        return EpochLogs(DiskFiles(self.path / "wal"), DiskFiles(self.path))

    def epochs(self) -> list[int]:
        """The epochs that have a log."""
        return sorted({int(path.parent.name) for path in self.path.glob("wal/*/*.wal")})


def records_of(logs: EpochLogs, epoch: int) -> tuple[Record, ...]:
    wal = logs.open(epoch)
    wal.close()
    return wal.records


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, new=True)


def test_the_first_start_is_no_amnesia_and_removes_the_mark(home: Home) -> None:
    logs = home.logs()
    logs.open(0).close()
    assert not logs.amnesia
    assert not (home.path / NEW_MARK).exists()
    again = home.logs()
    again.open(0).close()
    assert not again.amnesia


def test_records_come_back_from_the_epochs_own_log(home: Home) -> None:
    wal = home.logs().open(0)
    wal.append([RECORD])
    wal.close()
    logs = home.logs()
    assert records_of(logs, 0) == (RECORD,)
    assert records_of(logs, 1) == ()
    assert not logs.amnesia


def test_the_log_of_the_epoch_before_stays_until_the_next_boundary(home: Home) -> None:
    logs = home.logs()
    for epoch in (0, 1, 2):
        logs.open(epoch).close()
    assert home.epochs() == [1, 2]
    logs.open(9).close()
    assert home.epochs() == [2, 9]


def test_going_back_over_a_boundary_finds_both_logs(home: Home) -> None:
    """The boundary's certificate was not durable: epoch 0 goes on, and its votes and those of epoch 1 are known."""
    wal = home.logs().open(0)
    wal.append([RECORD])
    wal.close()
    home.logs().open(1).close()
    logs = home.logs()
    assert records_of(logs, 0) == (RECORD,)
    logs.open(1).close()
    assert not logs.amnesia
    assert home.epochs() == [0, 1]


@pytest.mark.row(1)
def test_a_log_that_is_gone_is_amnesia(home: Home) -> None:
    home.logs().open(0).close()
    for path in home.path.glob("wal/00000000/*.wal"):
        path.unlink()
    logs = home.logs()
    logs.open(0).close()
    assert logs.amnesia


def test_an_epoch_whose_log_was_forgotten_is_amnesia(home: Home) -> None:
    """A node whose ledger was set aside stands at genesis again, and may have voted in the epochs since."""
    logs = home.logs()
    for epoch in (0, 1, 2, 3):
        logs.open(epoch).close()
    logs.open(0).close()
    assert logs.amnesia
    assert records_of(logs, 3) == ()
    assert home.epochs() == [0, 3]


def test_a_directory_without_note_and_mark_is_amnesia(tmp_path: Path) -> None:
    logs = Home(tmp_path, new=False).logs()
    logs.open(0).close()
    assert logs.amnesia


def test_a_damaged_note_is_amnesia(home: Home) -> None:
    home.logs().open(0).close()
    (home.path / "wal" / "logs").write_bytes(b"\xff")
    logs = home.logs()
    logs.open(0).close()
    assert logs.amnesia


@pytest.mark.row(18)
def test_a_corrupt_log_is_replaced_and_is_amnesia(home: Home) -> None:
    wal = home.logs().open(0)
    wal.append([RECORD])
    wal.append([RECORD])
    wal.close()
    (path,) = home.path.glob("wal/00000000/*.wal")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    logs = home.logs()
    assert records_of(logs, 0) == ()
    assert logs.amnesia


def test_amnesia_outlives_restarts_and_epochs_until_it_is_over(tmp_path: Path) -> None:
    home = Home(tmp_path, new=False)
    home.logs().open(0).close()
    logs = home.logs()
    logs.open(1).close()
    assert logs.amnesia
    logs.recovered()
    assert not home.logs().amnesia


def test_a_crash_before_the_mark_is_gone_is_no_amnesia(home: Home) -> None:
    home.logs().open(0).close()
    (home.path / NEW_MARK).touch()
    logs = home.logs()
    logs.open(0).close()
    assert not logs.amnesia


def test_a_crash_while_the_note_is_written_leaves_the_older_one_in_force(home: Home) -> None:
    home.logs().open(0).close()
    draft = home.path / "wal" / "logs.draft"
    draft.write_bytes(b"half a no")
    logs = home.logs()
    logs.open(1).close()
    assert not logs.amnesia
    assert home.epochs() == [0, 1]
    assert not draft.exists()
    again = home.logs()
    again.open(1).close()
    assert not again.amnesia
