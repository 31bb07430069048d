"""`wattq sim`: the deterministic simulator."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ca.signatures import remembering
from cli import sim_scale
from sim.campaign import Campaign, Failure, parse_nodes, parse_seeds, run_resumably, work
from sim.catalogue import ADVERSARIES, plan_of
from sim.diagram import diagram
from sim.golden import golden as golden_traces
from sim.plan import MIXED, Plan, decode_plan, encode_plan
from sim.run import Verdict, judge, run_plan
from sim.setting import stage_of
from sim.shrink import shrink
from sim.transcript import LINES, transcript
from sim.world import World

app = typer.Typer(
    help="Run the simulator.\n\nExit codes: 0 everything held, 1 a violation, 2 bad arguments.", no_args_is_help=True
)
CHOICES = (MIXED, *sorted(ADVERSARIES))
FIGURES = {
    "seeds": "seeds",
    "blocks": "blocks",
    "messages": "messages",
    "view changes": "view_changes",
    "states fetched": "transfers",
    "faults": "befallen",
    "failed": "violations",
}
"""What the summary says of each adversary and of all: the columns, and the fields of ``sim.campaign.Row``."""
SHOWN_MAX = 3
"""Failures that are shrunk and shown in full; the others are listed."""


@app.callback()
def simulator() -> None:
    """Run the simulator."""


app.command("scale")(sim_scale.scale)


@app.command()
def run(
    seeds: Annotated[str, typer.Option(help="A..B, B included, or one seed.")] = "0..49",
    nodes: Annotated[str, typer.Option(help="Replicas; several numbers, with commas, take turns.")] = "4",
    adversary: Annotated[str, typer.Option(help=", ".join(CHOICES))] = MIXED,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Processes.")] = 2,
    resume: Annotated[Path | None, typer.Option(help="A state file: goes on where it ended.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play seeds, each in a world of its own, and check them.

    Example: wattq sim run --seeds 0..199 --nodes 4,7 --adversary equivocate
    """
    campaign = _campaign(seeds, nodes, adversary)
    with _progress(as_json) as progress:
        task = progress.add_task("seeds", total=campaign.total, failed="")

        def tell(done: Campaign) -> None:
            failed = f"{done.failed} failed" if done.failed else ""
            progress.update(task, completed=done.done, failed=failed)

        if resume is not None:
            try:
                campaign = run_resumably(resume, campaign, jobs, tell)
            except (ValueError, OSError) as error:
                raise _bad_argument(f"--resume: {error}") from None
        else:
            for _ in work(campaign, jobs):
                tell(campaign)
    _report(campaign, as_json)
    if campaign.failed:
        raise typer.Exit(1)


@app.command()
def replay(
    what: Annotated[str, typer.Argument(help="A seed, a plan's file, or a plan as JSON.")],
    nodes: Annotated[int, typer.Option(min=4, max=31, help="Replicas, for a seed.")] = 4,
    adversary: Annotated[str, typer.Option(help="Of a seed: " + ", ".join(CHOICES))] = MIXED,
    show: Annotated[bool, typer.Option("--transcript", help="Print who sent what to whom.")] = False,
    lines: Annotated[int, typer.Option(min=1, help="How much of the transcript, from its end.")] = LINES,
    chatter: Annotated[bool, typer.Option("--all", help="Also status and forwarded requests.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Draw the exchange into this file.")] = None,
    from_ms: Annotated[int, typer.Option(min=0, help="Draw from here.")] = 0,
    to_ms: Annotated[int | None, typer.Option(help="Draw up to here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play one seed or plan again, and show what happened.

    Example: wattq sim replay 7 --adversary crash --svg seed7.svg --from-ms 0 --to-ms 300
    """
    if to_ms is not None and to_ms < from_ms:
        raise _bad_argument(f"--to-ms {to_ms} is before --from-ms {from_ms}")
    plan = _plan(what, nodes, adversary)
    with remembering():
        world = World(plan, stage_of(plan))
        if svg is not None:
            world.arrived = []
        verdict = judge(world)
    if svg is not None:
        with _usable_file():
            svg.write_text(diagram(world, from_ms, to_ms, chatter=chatter), encoding="utf-8")
    if as_json:
        found = {"plan": json.loads(encode_plan(plan)), "height": verdict.height, "view": verdict.view}
        found |= {"settled_ms": verdict.settled_ms, "trace": verdict.trace, "faults": verdict.faults}
        typer.echo(json.dumps(found))
    else:
        _tell_replay(world, verdict, transcript(world, lines, chatter=chatter) if show else "")
    if verdict.faults:
        raise typer.Exit(1)


def _tell_replay(world: World, verdict: Verdict, told: str) -> None:
    typer.echo(encode_plan(world.plan))
    if told:
        typer.echo(told)
    settled = "did not settle" if verdict.settled_ms is None else f"settled {verdict.settled_ms} ms after the faults"
    typer.echo(f"height {verdict.height}, view {verdict.view}, {settled}, trace {verdict.trace[:16]}")
    for fault in verdict.faults:
        typer.echo(f"VIOLATION {fault}")


@app.command()
def golden(
    write: Annotated[Path | None, typer.Option(help="Record them in this file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Compare with this file.")] = None,
) -> None:
    """The digests of some plays, which every machine and every Python must give alike, as JSON.

    Example: wattq sim golden --check tests/data/sim_golden.json
    """
    with _usable_file():
        known = None if check is None else json.loads(check.read_text("utf-8"))
    traces = golden_traces()
    text = json.dumps(traces, indent=1) + "\n"
    if write is not None:
        with _usable_file():
            write.write_text(text, encoding="utf-8")
    elif check is not None:
        if known != traces:
            typer.echo(f"{check} differs from what this machine gives")
            raise typer.Exit(1)
        typer.echo(f"{len(traces)} traces are as {check} has them")
    else:
        typer.echo(text, nl=False)


# ----------------------------------------------------------------------------------------------------- inside


def _bad_argument(message: str) -> typer.Exit:
    typer.echo(f"wattq sim: {message}", err=True)
    return typer.Exit(2)


@contextmanager
def _usable_file() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise _bad_argument(str(error)) from None


def _campaign(seeds: str, nodes: str, adversary: str) -> Campaign:
    try:
        first, last = parse_seeds(seeds)
    except ValueError:
        raise _bad_argument("--seeds takes A..B or one seed") from None
    try:
        counts = parse_nodes(nodes)
    except ValueError:
        raise _bad_argument("--nodes takes numbers from 4 to 31, with commas between") from None
    if adversary not in CHOICES:
        raise _bad_argument(f"--adversary takes one of {', '.join(CHOICES)}")
    return Campaign(first, last, counts, adversary)


def _plan(what: str, nodes: int, adversary: str) -> Plan:
    if what.isdigit():
        if adversary not in CHOICES:
            raise _bad_argument(f"--adversary takes one of {', '.join(CHOICES)}")
        return plan_of(int(what), nodes, adversary)
    try:
        return decode_plan(what if what.startswith("{") else Path(what).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise _bad_argument(f"{what[:60]}: not a seed, nor a plan: {error}") from None


def _progress(quiet: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    return Progress(*columns, transient=True, disable=quiet, console=Console(file=sys.stderr))


def _report(campaign: Campaign, as_json: bool) -> None:
    if as_json:
        tree: dict[str, Any] = msgspec.to_builtins(campaign)
        typer.echo(json.dumps(tree))
        return
    for failure in campaign.failures[:SHOWN_MAX]:
        _show(failure)
    for failure in campaign.failures[SHOWN_MAX:]:
        plan = failure.plan
        typer.echo(f"also seed {plan.seed} ({plan.adversary}, {plan.nodes} nodes): {failure.faults[0]}")
    rows = campaign.rows
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("adversary", no_wrap=True)
    for title in (*FIGURES, "ms to settle"):
        table.add_column(title, justify="right")
    for name in sorted(rows):
        table.add_row(name, *(str(getattr(rows[name], figure)) for figure in (*FIGURES.values(), "settled_ms_max")))
    Console().print(table)
    sums = [f"{sum(getattr(row, figure) for row in rows.values())} {title}" for title, figure in FIGURES.items()]
    typer.echo(f"{', '.join(sums)}; {campaign.cpu_ms / 1_000:.0f} s of processor time")


def _show(failure: Failure) -> None:
    """A failure: what it violates, the smallest plan that still does, how it came about and how to see it again."""
    plan = failure.plan
    typer.echo(f"seed {plan.seed} ({plan.adversary}, {plan.nodes} nodes)")
    for fault in failure.faults:
        typer.echo(f"  VIOLATION {fault}")
    small = shrink(run_plan(plan))
    typer.echo(f"  shrunk in {small.runs} runs, still: {small.verdict.faults[0]}")
    with remembering():
        world = World(small.plan, stage_of(small.plan))
        judge(world)
    typer.echo(transcript(world))
    typer.echo(f"  again:  wattq sim replay {plan.seed} --nodes {plan.nodes} --adversary {plan.adversary} --transcript")
    typer.echo(f"  shrunk: wattq sim replay '{encode_plan(small.plan)}' --transcript")
