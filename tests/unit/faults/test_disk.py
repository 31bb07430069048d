"""What a lab does to the files of a node's process."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
from pathlib import Path

import pytest

from faults.real.damage import begin_anew, copy, lose_ledger, lose_log, roll_back, rot
from faults.real.disk import POWER_CUT_CODE, DiskFault, LabDisk

PROGRAM = """
import sys
from pathlib import Path
from faults.real.disk import DiskFault, LabDisk
from pbft.disk import DiskFiles
disk = LabDisk(int(sys.argv[2]))
disk.install()
disk.put(DiskFault(cut_after=4, torn=float(sys.argv[3])))
file = DiskFiles(Path(sys.argv[1])).append("log")
file.write(b"a" * 100)
file.sync()
for _ in range(10):
    file.write(b"b" * 100)
"""


def test_a_full_disk_takes_nothing_and_a_failing_sync_says_so(tmp_path: Path) -> None:
    disk = LabDisk(1)
    file = disk.open(tmp_path / "log")
    disk.put(DiskFault(full=True))
    with pytest.raises(OSError, match=r"No space left") as caught:
        file.write(b"a")
    assert caught.value.errno == errno.ENOSPC
    disk.put(DiskFault(fsync_fails=True))
    file.write(b"a")
    with pytest.raises(OSError, match="error"):
        file.sync()
    disk.put(DiskFault())
    file.sync()
    file.close()
    assert (tmp_path / "log").read_bytes() == b"a"


@pytest.mark.parametrize("torn", ["0.0", "1.0"])
def test_when_power_goes_what_was_synced_stays(tmp_path: Path, torn: str) -> None:
    for seed in range(3):
        place = tmp_path / str(seed)
        ended = subprocess.run([sys.executable, "-c", PROGRAM, str(place), str(seed), torn], check=False)
        left = (place / "log").read_bytes()
        assert (ended.returncode, left[:100]) == (POWER_CUT_CODE, b"a" * 100)
        assert len(left) < 500
        if torn == "0.0":
            assert len(left) == 100


def data_in(home: Path) -> Path:
    data = home / "data"
    for name in ("wal/00000000/1.log", "chain/1.chain", "state/x.sst", "evidence/e.evidence"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(bytes(range(100)))
    (data / "format").write_bytes(b"stamp")
    return data


def contents(data: Path) -> dict[str, bytes]:
    return {str(path.relative_to(data)): path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}


def test_one_bit_of_log_and_chain_turns_and_turns_back(tmp_path: Path) -> None:
    data = data_in(tmp_path)
    before, chance = contents(data), random.Random(1)
    for which in [chance.randrange(10_000) for _ in range(20)]:
        rot(data, which)
        after = contents(data)
        (changed,) = [name for name in before if before[name] != after[name]]
        assert changed.startswith(("wal", "chain", "format"))
        rot(data, which)
        assert contents(data) == before
    assert rot(tmp_path / "nothing", 3) is None


def test_a_copy_takes_the_place_of_what_came_after_it(tmp_path: Path) -> None:
    data = data_in(tmp_path)
    before = contents(data)
    copy(tmp_path)
    lose_log(data)
    (data / "chain" / "another").write_bytes(b"block")
    roll_back(tmp_path)
    assert contents(data) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_losing_the_log_or_the_ledger_leaves_the_rest(tmp_path: Path) -> None:
    data = data_in(tmp_path)
    lose_log(data)
    assert "wal/00000000/1.log" not in contents(data)
    lose_ledger(data)
    assert list(contents(data)) == ["evidence/e.evidence"]
    begin_anew(tmp_path)
    assert not data.exists()
    assert (tmp_path / "node.new").exists()
