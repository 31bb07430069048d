"""docs/RELIABILITY.md says what the tests say, and no row of the reliability table is without a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from faults.shelf import library
from scripts import reliability

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_is_up_to_date_and_every_row_has_a_test() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reliability.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_row_without_a_test_and_a_mark_without_a_row_are_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reliability, "collect", lambda: reliability.Collector(unknown=["a test: there is no row 22"]))
    assert reliability.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "row 7 has no test" in said
    assert "there is no row 22" in said
    assert "stale" in said


def test_figures_of_another_library_are_stale() -> None:
    scenarios = library()
    assert reliability.stale_figures(scenarios) == []
    said = reliability.stale_figures({name: item for name, item in scenarios.items() if name != "bit-rot"})
    assert ["(bit-rot)" in each for each in said] == [True, True]
    assert reliability.REFRESH in said[0]
    assert reliability.REAL_REFRESH in said[1]
