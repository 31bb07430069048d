"""The lab's figures: what many runs came to, in a few numbers and one table.

What is kept of a run of the library is kept by scenario, so that one that is new, or has changed, is run alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from math import ceil
from pathlib import Path

import msgspec

from faults.verdict import Verdict


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


class Tally(msgspec.Struct, frozen=True):
    """One scenario's runs. ``holds``: everything must hold in them; else ``seen_to_break`` counts those that broke."""

    holds: bool
    as_expected: bool
    runs: int
    faults: int
    byzantine_runs: int
    asked: int
    acknowledged: int
    lost: int
    seen_to_break: int
    recovered_ms: tuple[int, ...]
    """Of the runs that recovered."""


def tally_of(verdict: Verdict) -> Tally:
    runs = verdict.runs
    return Tally(
        holds=verdict.outcome == "holds",
        as_expected=verdict.as_expected,
        runs=len(runs),
        faults=sum(run.faults for run in runs),
        byzantine_runs=sum(bool(run.liars) for run in runs),
        asked=sum(run.asked for run in runs),
        acknowledged=sum(run.acknowledged for run in runs),
        lost=sum(run.lost for run in runs),
        seen_to_break=verdict.seen,
        recovered_ms=tuple(run.recovered_ms for run in runs if run.recovered_ms is not None),
    )


def figures_of(verdicts: Sequence[Verdict]) -> Figures:
    return summed([tally_of(verdict) for verdict in verdicts])


def summed(tallies: Iterable[Tally]) -> Figures:
    """All of them together."""
    tallies = list(tallies)
    holding = [each for each in tallies if each.holds]
    breaking = [each for each in tallies if not each.holds]
    times = sorted(ms for each in holding for ms in each.recovered_ms)
    return Figures(
        scenarios=len(tallies),
        runs=sum(each.runs for each in tallies),
        faults=sum(each.faults for each in tallies),
        byzantine_runs=sum(each.byzantine_runs for each in tallies),
        asked=sum(each.asked for each in holding),
        acknowledged=sum(each.acknowledged for each in holding),
        lost=sum(each.lost for each in holding),
        recovered_ms_p50=percentile(times, 50),
        recovered_ms_p99=percentile(times, 99),
        unexpected=sum(not each.as_expected for each in tallies),
        seen_to_break=sum(each.seen_to_break for each in breaking),
        must_break=sum(each.runs for each in breaking),
    )


def percentile(ordered: Sequence[int], share: int) -> int:
    """The smallest value that at least ``share`` percent do not exceed; 0 of none."""
    return ordered[max(0, ceil(len(ordered) * share / 100) - 1)] if ordered else 0


class Record(msgspec.Struct, frozen=True):
    """What is kept of runs of the library, for docs/RELIABILITY.md."""

    target: str
    scenarios: dict[str, Tally]

    @property
    def figures(self) -> Figures:
        return summed(self.scenarios.values())


class OtherTarget(Exception):
    """Figures of two targets are not mixed."""


def begin_record(path: Path, target: str) -> Record:
    """What the file has; one that is not there is begun, so that a path that takes nothing is told before anything
    runs. ``OtherTarget``, ``OSError``, and ``msgspec.MsgspecError`` where the file has something else."""
    if not path.exists():
        write_record(path, Record(target, {}))
    record = read_record(path)
    if record.target != target:
        raise OtherTarget(f"these are figures of {record.target}, not of {target}")
    return record


def add_to_record(path: Path, verdict: Verdict) -> None:
    """The scenario's figures take their place among the others of a record that was begun."""
    record = read_record(path)
    write_record(path, Record(record.target, {**record.scenarios, verdict.scenario: tally_of(verdict)}))


def keep_in_record(path: Path, names: Collection[str]) -> None:
    """Drop what is not of the library any more."""
    record = read_record(path)
    kept = {name: each for name, each in record.scenarios.items() if name in names}
    write_record(path, Record(record.target, kept))


def write_record(path: Path, record: Record) -> None:
    """A line a scenario. The file is the old one or the new one, wherever an interrupt comes."""
    lines = [f'  "{name}": {msgspec.json.encode(each).decode()}' for name, each in sorted(record.scenarios.items())]
    told = ",\n".join(lines)
    new = path.with_name(path.name + ".part")
    new.write_text(f'{{\n "target": "{record.target}",\n "scenarios": {{\n{told}\n }}\n}}\n', "utf-8")
    new.replace(path)


def read_record(path: Path) -> Record:
    return msgspec.json.decode(path.read_bytes(), type=Record)
