"""`make coverage`: two figures, each against its own bar, and what is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import core_coverage


def report(lines: tuple[int, int], branches: tuple[int, int]) -> dict[str, Any]:
    """What coverage would write: (reached, total) of each; the files' parts as in its own reports."""
    totals = {
        "covered_lines": lines[0],
        "num_statements": lines[1],
        "covered_branches": branches[0],
        "num_branches": branches[1],
    }
    files = {
        "pbft/b.py": {"missing_lines": [3, 9], "missing_branches": [[8, -1]]},
        "pbft/a.py": {"missing_lines": [], "missing_branches": []},
    }
    return {"totals": totals, "files": files}


@pytest.mark.parametrize(
    ("lines", "branches", "code"),
    [
        ((98, 100), (95, 100), 0),
        ((97_999, 100_000), (95, 100), 1),
        ((98, 100), (94_999, 100_000), 1),
        ((0, 0), (0, 0), 1),
    ],
)
def test_each_figure_has_its_own_bar(
    lines: tuple[int, int],
    branches: tuple[int, int],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(core_coverage, "measure", lambda arguments, scratch: report(lines, branches))
    assert core_coverage.main([]) == code
    out = capsys.readouterr().out
    assert f"{lines[0]} of {lines[1]}" in out
    assert f"{branches[0]} of {branches[1]}" in out
    assert ("NOT REACHED" in out) == bool(code)
    assert "pbft/b.py: 3 9 8->-1\n" in out
    assert "pbft/a.py" not in out


def test_tests_that_fail_measure_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failed = subprocess.CompletedProcess[bytes]([], 5)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    assert core_coverage.main([]) == 5
    assert "lines" not in capsys.readouterr().out
