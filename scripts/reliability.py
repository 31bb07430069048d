"""Writes docs/RELIABILITY.md from the tests: which test answers for which row of the reliability table.

A test names its rows by ``@pytest.mark.row(n)``. `reliability.py` writes the file, `reliability.py --check` ends with 1
when the file is not what the tests say, or a row has no test.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults.figures import Figures, read_record
from faults.real.target import ProcessTarget
from faults.scenario import Scenario
from faults.shelf import library
from faults.simulated import SimTarget
from faults.target import Target, fitting

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "RELIABILITY.md"
FIGURES = ROOT / "bench" / "figures" / "faults.json"
REFRESH = "wattq faults run --all --seeds 10 --figures bench/figures/faults.json"
REAL_FIGURES = ROOT / "bench" / "figures" / "faults_processes.json"
UNRECORDED_MAX = 8
"""Scenarios that figures may lack, being newer than they are; the document names them."""
REAL_REFRESH = "wattq faults run --all --seeds 1 --target processes --figures bench/figures/faults_processes.json"
LONG = ("full", "soak")
"""Marks of tests that `make test` leaves out."""

ROWS: dict[int, tuple[str, str]] = {
    1: (
        "Primary equivocates; double votes; amnesia",
        "One digest a sequence, one vote a place; only liars are accused",
    ),
    2: ("A round of small mutations", "Agreement and validity; termination after healing"),
    3: ("Forged P-sets and NEW-VIEWs", "O follows from valid certificates alone; what committed survives every view"),
    4: ("NEW-VIEW names a batch nobody sent me", "Fetch by digest or abstain; never execute blind"),
    5: (
        "Checkpoint without proof; jump to the high watermark",
        "h moves by certificates only; nothing outside (h, h + L]",
    ),
    6: ("State transfer to a wrong root", "Only what leads to the certified root is installed; else another peer"),
    7: ("Replay; deduplication lost on restart or transfer", "A request takes effect once, ever"),
    8: (
        "Signatures stripped or reused",
        "Signed bytes bind chain, channel, epoch, kind, view, sequence, digest, sender",
    ),
    9: ("n other than 3f + 1", "Quorums meet in an honest replica, and can form, for every n"),
    10: ("Flood of signed messages", "What one sender leaves behind is bounded"),
    11: (
        "View-change storm; cold start",
        "Time-outs double, are capped, and start again on progress; everyone converges",
    ),
    12: ("Slow primary", "Throughput with f slow replicas keeps the stated share"),
    13: ("Censorship of one client", "A request that f + 1 know executes, or the view changes"),
    14: ("Faulty client; bad bytes", "Enters no batch, starts no view change, ends no node"),
    15: ("PBFT's read-only shortcut", "Reads are ordered or proven; they block no write"),
    16: ("Membership and certificates change", "By ordered transactions, from one height on, everywhere"),
    17: ("Clock skew", "No decision rests on a clock; block time grows and is bounded"),
    18: ("Crash at any write; torn log", "Persist before send; no conflicting vote after a restart"),
    19: ("Partitions of every kind; then healing", "A quorum goes on; everyone converges in bounded time"),
    20: ("What clients see", "Linearizable; nothing acknowledged is lost"),
    21: ("The harness itself", "The same seed gives the same trace; too many faults are seen; planted bugs are caught"),
}


@dataclass(slots=True)
class Cases:
    """How often one test function runs: in `make test`, and only in `make test-full` or `make soak`."""

    usual: int = 0
    long: int = 0


@dataclass(slots=True)
class Collector:
    """A pytest plugin that notes the rows of every collected test."""

    rows: dict[int, dict[str, Cases]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Cases)))
    unknown: list[str] = field(default_factory=list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            is_long = any(item.get_closest_marker(name) for name in LONG)
            for number in {number for mark in item.iter_markers("row") for number in mark.args}:
                if number not in ROWS:
                    self.unknown.append(f"{item.nodeid}: there is no row {number}")
                    continue
                cases = self.rows[number][item.nodeid.partition("[")[0]]
                cases.usual += not is_long
                cases.long += is_long


def collect() -> Collector:
    """Collect all tests without running one."""
    collector = Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", str(ROOT / "tests")],
            plugins=[collector],
        )
    if code != pytest.ExitCode.OK:
        sys.exit(f"reliability: the tests cannot be collected\n{output.getvalue()[-3_000:]}")
    return collector


def planted() -> list[str]:
    """The mutants' table."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from mutants.catalogue import MUTANTS

    return [f"| {mutant.name} | `{mutant.hunt.__name__}` | {mutant.seeds} |" for mutant in MUTANTS]


def lab(scenarios: dict[str, Scenario]) -> list[str]:
    """What the library's last recorded runs came to, and which scenario is about what."""
    rows = (f"| {name} | {', '.join(map(str, item.covers))} | {item.title} |" for name, item in scenarios.items())
    return [
        "## The fault-injection lab",
        "",
        f"What [the lab's](FAULTS.md) library came to in the simulator (`{REFRESH}`).",
        "Times are virtual, from the faults' end until all that clients had asked for, and one request more, has",
        "happened. It is looked every 100 ms, so that 200 ms is the least.",
        "",
        *figures_table(read_record(FIGURES).figures),
        *came_later(scenarios, FIGURES, SimTarget()),
        "",
        "And on [networks of real processes](FAULTS.md#on-real-processes), those scenarios that run there",
        f"(`{REAL_REFRESH}`,",
        "on a machine with two cores). Times are the scenario's, half of the wall's, from when the faults have ended",
        "and every node runs again; 100 ms is the least. Others kept the cores busy meanwhile, at a load average of",
        "5 to 32. Two runs of one scenario are left out, safe and alive: a node took so long to start again that the",
        "view had changed, so that nobody asked it for the second vote that convicts the primary. It lasts longer now.",
        "",
        *figures_table(read_record(REAL_FIGURES).figures),
        *came_later(scenarios, REAL_FIGURES, ProcessTarget()),
        "",
        "| Scenario | Rows | What goes wrong |",
        "|---|---|---|",
        *rows,
    ]


def came_later(scenarios: dict[str, Scenario], record: Path, target: Target) -> list[str]:
    """A sentence on what the figures do not have yet."""
    names = ", ".join(f"`{name}`" for name in _unrecorded(scenarios, record, target))
    return ["", f"Not in these figures yet, being newer: {names}."] if names else []


def _unrecorded(scenarios: dict[str, Scenario], record: Path, target: Target) -> list[str]:
    return sorted(fitting(scenarios, target).keys() - read_record(record).scenarios.keys())


def figures_table(figures: Figures) -> list[str]:
    """One target's."""
    shown = (
        ("scenarios", figures.scenarios),
        ("runs", figures.runs),
        ("faults that struck, power cuts included", figures.faults),
        ("runs in which somebody was convicted of a lie", figures.byzantine_runs),
        ("operations acknowledged, where everything must hold", figures.acknowledged),
        ("of these lost", figures.lost),
        ("ms to recover after the faults' end, p50", figures.recovered_ms_p50),
        ("ms to recover, p99", figures.recovered_ms_p99),
        ("runs with more liars than may be, and seen to break", f"{figures.seen_to_break} of {figures.must_break}"),
        ("scenarios that did not come as expected", figures.unexpected),
    )
    values = (f"| {name} | {value if isinstance(value, str) else f'{value:,}'} |" for name, value in shown)
    return ["| Figure | |", "|---|---|", *values]


def stale_figures(scenarios: dict[str, Scenario]) -> list[str]:
    """Whether the library has changed too much since its runs were recorded: hours of runs for one new scenario would
    keep people from writing any."""
    records: tuple[tuple[Path, Target, str], ...] = (
        (FIGURES, SimTarget(), REFRESH),
        (REAL_FIGURES, ProcessTarget(), REAL_REFRESH),
    )
    found = []
    for path, target, refresh in records:
        gone = sorted(read_record(path).scenarios.keys() - fitting(scenarios, target).keys())
        new = _unrecorded(scenarios, path, target)
        if gone or len(new) > UNRECORDED_MAX:
            found.append(f"{path.name} is not of this library ({', '.join(gone or new)}): run {refresh} --resume")
    return found


def text_of(collector: Collector) -> str:
    """The whole document."""
    scenarios = library()
    lines = [
        "# Reliability: scenario, invariant, tests",
        "",
        "Written by `scripts/reliability.py` from marks on the tests (`@pytest.mark.row(n)`); a test fails when stale.",
        "A case is one set of parameters, most often a seed; many cases play several scenarios.",
        "",
        "| Row | Scenario | Invariant | Tests | Cases in `make test` | Only in `make test-full` and `make soak` |",
        "|---|---|---|---|---|---|",
    ]
    for number, (scenario, invariant) in ROWS.items():
        tests = collector.rows[number].values()
        usual, long = sum(cases.usual for cases in tests), sum(cases.long for cases in tests)
        lines.append(f"| [{number}](#row-{number}) | {scenario} | {invariant} | {len(tests)} | {usual} | {long} |")
    lines += [
        "",
        "## Planted bugs",
        "",
        "Each is planted alone, and caught by the named scenario of `tests/support/mutants` within so many seeds; the",
        "same seed without the bug finds nothing.",
        "",
        "| Bug | Caught by | Seeds at most |",
        "|---|---|---|",
        *planted(),
        "",
        *lab(scenarios),
    ]
    for number, (scenario, _) in ROWS.items():
        lines += ["", f"## Row {number}", "", f"{scenario}.", ""]
        for name, cases in sorted(collector.rows[number].items()):
            path, _, function = name.partition("::")
            lines.append(f"- `{path}` {_sentence(function)}: {_times(cases)}")
        names = ", ".join(f"`{name}`" for name, item in scenarios.items() if number in item.covers)
        lines += ["", f"Scenarios of the lab: {names}."]
    return "\n".join(lines) + "\n"


def _sentence(function: str) -> str:
    return function.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def _times(cases: Cases) -> str:
    parts = [str(cases.usual)] if cases.usual else []
    parts += [f"{cases.long} long"] if cases.long else []
    return ", ".join(parts)


def main(arguments: list[str]) -> int:
    collector = collect()
    faults = [
        *collector.unknown,
        *stale_figures(library()),
        *(f"row {number} has no test" for number in ROWS if not collector.rows[number]),
    ]
    text = text_of(collector)
    if arguments == ["--check"]:
        if not TARGET.exists() or TARGET.read_text("utf-8") != text:
            faults.append("docs/RELIABILITY.md is stale: run .venv/bin/python scripts/reliability.py")
    elif arguments:
        faults.append("usage: reliability.py [--check]")
    else:
        TARGET.write_text(text, "utf-8")
    for fault in faults:
        print(f"reliability: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
