"""A demo's place: a directory that no other demo touches while it runs."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from demo.ground import MARKER, claim
from demo.setting import (
    INTERVAL_S,
    LEAD_S_MIN,
    DemoError,
    Options,
    check_options,
    lead_intervals,
    plan_day,
)

TODAY = date(2026, 11, 26)


def test_a_running_demos_directory_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    with claim(place, True) as first:
        (place / "network").mkdir()
        with claim(place, True) as second:
            assert (first.directory, second.directory) == (place, tmp_path / "demo-2")
            with pytest.raises(DemoError, match="another running demo's"):
                claim(place, False)
        assert (place / "network").is_dir()


def test_an_ended_demos_leftovers_are_removed(tmp_path: Path) -> None:
    with claim(tmp_path / "demo", True) as ground:
        (ground.directory / "network" / "node1").mkdir(parents=True)
        (ground.directory / "network" / "node1" / "log").write_text("x")
        (ground.directory / "file").write_text("x")
        (ground.directory / ".old-left").mkdir()
    with claim(tmp_path / "demo", True) as ground:
        assert ground.directory == tmp_path / "demo"
        assert [entry.name for entry in ground.directory.iterdir()] == [MARKER]


def test_a_killed_demo_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom demo.ground import claim\n"
        "ground = claim(Path(sys.argv[1]), False)\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "demo")], check=False).returncode == -9
    assert (tmp_path / "demo" / MARKER).exists()
    claim(tmp_path / "demo", False).close()


def test_a_directory_that_is_no_demos_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(DemoError, match="not a demo's directory"):
        claim(tmp_path, True)
    with pytest.raises(DemoError, match="no directory"):
        claim(tmp_path / "mine", True)
    assert (tmp_path / "mine").read_text() == "x"


def test_the_clock_starts_where_the_intervals_start() -> None:
    whole, part = plan_day(Options(Path()), TODAY), plan_day(Options(Path(), intervals=16), TODAY)
    assert Options(Path(), intervals=16).played == range(40, 56)
    for day, first in ((whole, 0), (part, 40)):
        assert day.time_ms(first) - day.clock_start_ms == LEAD_S_MIN * INTERVAL_S * 1000


@pytest.mark.parametrize(
    ("seconds_per_interval", "process_start_s", "intervals"),
    [(1.0, 1.0, 22), (0.5, 1.0, 44), (1.0, 5.0, 45), (1.0, 500.0, 180), (900.0, 1.0, 3)],
)
def test_a_slow_machine_has_longer_to_start(
    seconds_per_interval: float, process_start_s: float, intervals: int
) -> None:
    assert lead_intervals(seconds_per_interval, process_start_s) == intervals


def test_the_primary_is_killed_in_an_interval_that_is_played() -> None:
    check_options(Options(Path(), intervals=16, kill_primary_at=40))
    with pytest.raises(DemoError, match="--kill-primary-at 39: the intervals played are 40 to 55"):
        check_options(Options(Path(), intervals=16, kill_primary_at=39))
