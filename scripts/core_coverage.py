"""Measures what of the consensus core, every file of ``pbft/``, its tests reach: lines and branches, a bar for each.

`core_coverage.py [PYTEST-ARGUMENT...]`; exit 1 below a bar, pytest's own code if the tests fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.run_tests import ROOT, WORKERS

TESTS = ("tests/paper", "tests/unit/pbft", "tests/byzantine")
LINES_PERCENT_MIN = 98
BRANCHES_PERCENT_MIN = 95


@dataclass(frozen=True, slots=True)
class Figure:
    """How many of something were reached, and how many have to be."""

    name: str
    reached: int
    total: int
    percent_min: int

    @property
    def is_met(self) -> bool:
        """In whole numbers, so that no rounding lifts a figure over its bar. Nothing measured is not enough."""
        return self.total > 0 and 100 * self.reached >= self.percent_min * self.total

    def __str__(self) -> str:
        percent = 100 * self.reached / self.total if self.total else 0.0
        bar = f"at least {self.percent_min} %" + ("" if self.is_met else "  NOT REACHED")
        return f"{self.name:<9}{self.reached:>6} of {self.total:<6}{percent:6.2f} %  {bar}"


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Lines and branches of a report in coverage's JSON format."""
    totals = report["totals"]
    return [
        Figure("lines", totals["covered_lines"], totals["num_statements"], LINES_PERCENT_MIN),
        Figure("branches", totals["covered_branches"], totals["num_branches"], BRANCHES_PERCENT_MIN),
    ]


def missing(report: Mapping[str, Any]) -> Iterator[str]:
    """For each file that is not reached throughout: its lines, and its branches as from->to (negative: leaving)."""
    for path, file in sorted(report["files"].items()):
        lines = map(str, file["missing_lines"])
        branches = (f"{start}->{end}" for start, end in file["missing_branches"])
        parts = [*lines, *branches]
        if parts:
            yield f"{path}: {' '.join(parts)}"


def measure(arguments: list[str], scratch: Path) -> Mapping[str, Any] | int:
    """Run the tests; coverage's report, or pytest's exit code if they fail."""
    report = scratch / "report.json"
    command = [sys.executable, "-m", "pytest", "-q", "-n", WORKERS, "-m", "not full and not soak", *TESTS]
    command += ["--cov", "--cov-config=pyproject.toml", f"--cov-report=json:{report}", *arguments]
    environment = os.environ | {"COVERAGE_FILE": str(scratch / "data")}
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    return code or json.loads(report.read_text("utf-8"))


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        report = measure(arguments, Path(scratch))
    if isinstance(report, int):
        return report
    print(*missing(report), sep="\n")
    print("coverage of pbft/ by", *TESTS)
    found = figures(report)
    print(*found, sep="\n", flush=True)
    return 0 if all(figure.is_met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
