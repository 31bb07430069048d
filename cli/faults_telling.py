"""What `wattq faults` prints of verdicts: a line a scenario, the sum, and one run expectation by expectation."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import typer
from rich.console import Console

from faults.figures import Figures, figures_of
from faults.simulated import SimTarget
from faults.verdict import Verdict

SHOWN_MAX = 6
"""Sentences about one scenario that did not come as expected."""


def tell(verdicts: Sequence[Verdict], called: dict[str, str], as_json: bool) -> None:
    """``called``: a scenario's name -> what it was asked for by, which may be a file."""
    figures = figures_of(verdicts)
    if as_json:
        tree = {"figures": msgspec.to_builtins(figures), "verdicts": msgspec.to_builtins(verdicts)}
        typer.echo(json.dumps(tree))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{'':5}{'verdict':<15}{'runs':>4} {'recovered':>10}  scenario", style="bold")
    for verdict in verdicts:
        console.print(_line(verdict))
    for verdict in verdicts:
        for seed, check in verdict.unmet[:SHOWN_MAX]:
            typer.echo(f"FAIL {verdict.scenario}, seed {seed}: {check.key}: {check.said}")
        if verdict.unmet:
            typer.echo(f"     {_again(verdict, called.get(verdict.scenario, verdict.scenario))}")
    typer.echo(_sum(figures))


def _again(verdict: Verdict, asked: str) -> str:
    """How to see it once more."""
    replay = f"wattq faults replay {asked} --seed {verdict.unmet[0][0]} --transcript"
    if verdict.runs[0].target == SimTarget.name:
        return f"again: {replay}"
    return f"whether the simulator shows it too, and exactly: {replay}"


def _line(verdict: Verdict) -> str:
    """Result, verdict, how many runs, the longest recovery, the name; below it what else there is to say."""
    result = "[green]ok  [/]" if verdict.as_expected else "[red]FAIL[/]"
    wanted = "magenta" if verdict.outcome == "breaks" else "red"
    safe = "[green]SAFE  [/]" if verdict.safe else f"[{wanted}]UNSAFE[/]"
    live = "[green]LIVE   [/]" if verdict.live else f"[{wanted}]STALLED[/]"
    recovered = "never" if verdict.recovered_ms is None else f"{verdict.recovered_ms:,} ms"
    notes = [f"node {node} lied: {', '.join(kinds)}" for node, kinds in verdict.convicted.items()]
    if verdict.outcome == "breaks":
        notes.insert(0, f"must break: seen in {verdict.seen} of {len(verdict.runs)} runs")
    lines = [f"{result} {safe} {live} {len(verdict.runs):>4} {recovered:>10}  {verdict.scenario}"]
    return "\n".join([*lines, *(f"{'':36}[dim]{note}[/]" for note in notes)])


def _sum(figures: Figures) -> str:
    unexpected = f"{figures.unexpected} NOT AS EXPECTED" if figures.unexpected else "all as expected"
    p50, p99 = figures.recovered_ms_p50, figures.recovered_ms_p99
    recovered = f", recovered in {p50:,} ms (p50), {p99:,} ms (p99)" if p99 else ""
    return (
        f"{figures.scenarios} scenarios, {figures.runs} runs, {unexpected}: {figures.faults:,} faults struck, "
        f"{figures.acknowledged:,} operations acknowledged, {figures.lost} lost{recovered}"
    )


def tell_run(verdict: Verdict) -> None:
    """One run: expectation by expectation, what broke, and who lied."""
    (run,) = verdict.runs
    never = run.recovered_ms is None
    recovered = "never recovered" if never else f"recovered {run.recovered_ms:,} ms after the faults' end"
    typer.echo(f"{run.scenario}, seed {run.seed}: {run.words}, {recovered}")
    trace = f", trace {run.trace[:16]}" if run.trace else ""
    typer.echo(
        f"  {run.blocks} blocks, {run.acknowledged} of {run.asked} operations acknowledged, {run.faults} faults, "
        f"{run.view_changes} view changes, {run.messages:,} messages{trace}"
    )
    for check in run.checks:
        typer.echo(f"  {'met    ' if check.met else 'NOT MET'} {check.key}: {check.said}")
    for violation in run.violations:
        typer.echo(f"  BROKEN  {violation}")
    for liar in run.liars:
        typer.echo(f"  LIED    node {liar.node}: {liar.of}, by evidence that {liar.holders} hold")
        for line in liar.said:
            typer.echo(f"          {line}")
    typer.echo("as expected" if verdict.as_expected else "NOT AS EXPECTED")
