"""The lab's figures: what many runs came to, in a few numbers and one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import msgspec

from faults.verdict import Run, Verdict


class Figures(msgspec.Struct, frozen=True):
    """Over all runs; times to recover and losses over those where everything must hold."""

    scenarios: int
    runs: int
    faults: int
    """Entries of timelines that happened, and power cuts by chance."""
    byzantine_runs: int
    """Runs in which honest nodes convicted somebody of a lie."""
    asked: int
    acknowledged: int
    lost: int
    recovered_ms_p50: int
    recovered_ms_p99: int
    unexpected: int
    """Scenarios that did not come as expected."""
    seen_to_break: int
    """Runs with more faults than may be, in which the lab saw what had to break."""
    must_break: int


def figures_of(verdicts: Sequence[Verdict]) -> Figures:
    runs = [run for verdict in verdicts for run in verdict.runs]
    holding = [run for verdict in verdicts if verdict.outcome == "holds" for run in verdict.runs]
    breaking = [verdict for verdict in verdicts if verdict.outcome == "breaks"]
    times = sorted(run.recovered_ms for run in holding if run.recovered_ms is not None)
    return Figures(
        scenarios=len(verdicts),
        runs=len(runs),
        faults=sum(run.faults for run in runs),
        byzantine_runs=sum(bool(run.liars) for run in runs),
        asked=sum(run.asked for run in holding),
        acknowledged=sum(run.acknowledged for run in holding),
        lost=sum(run.lost for run in holding),
        recovered_ms_p50=percentile(times, 50),
        recovered_ms_p99=percentile(times, 99),
        unexpected=sum(not verdict.as_expected for verdict in verdicts),
        seen_to_break=sum(verdict.seen for verdict in breaking),
        must_break=sum(len(verdict.runs) for verdict in breaking),
    )


def percentile(ordered: Sequence[int], share: int) -> int:
    """The smallest value that at least ``share`` percent do not exceed; 0 of none."""
    return ordered[max(0, ceil(len(ordered) * share / 100) - 1)] if ordered else 0


class Record(msgspec.Struct, frozen=True):
    """What is kept of a run of the library, for docs/RELIABILITY.md."""

    target: str
    figures: Figures
    runs: dict[str, int]
    """Of each scenario."""


def record_of(verdicts: Sequence[Verdict]) -> Record:
    runs: list[Run] = [run for verdict in verdicts for run in verdict.runs]
    target = runs[0].target if runs else ""
    return Record(target, figures_of(verdicts), {verdict.scenario: len(verdict.runs) for verdict in verdicts})


def write_record(path: Path, verdicts: Sequence[Verdict]) -> None:
    path.write_text(json.dumps(msgspec.to_builtins(record_of(verdicts)), indent=1) + "\n", "utf-8")


def read_record(path: Path) -> Record:
    return msgspec.json.decode(path.read_bytes(), type=Record)
