"""`wattq sim`: the deterministic simulator."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Annotated

import typer
from rich.progress import track

from cli import sim_scale
from sim.catalogue import ADVERSARIES
from sim.plan import encode_plan
from sim.run import Verdict, run_seed

app = typer.Typer(
    help="Run the simulator.\n\nExit codes: 0 everything held, 1 a violation, 2 bad arguments.", no_args_is_help=True
)
CHOICES = ("mixed", *ADVERSARIES)


@app.callback()
def simulator() -> None:
    """Run the simulator."""


app.command("scale")(sim_scale.scale)


@app.command()
def run(
    seeds: Annotated[str, typer.Option(help="A..B, B included, or one seed.")] = "0..49",
    nodes: Annotated[int, typer.Option(min=4, max=13, help="Replicas.")] = 4,
    adversary: Annotated[str, typer.Option(help=", ".join(CHOICES))] = "mixed",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play seeds, each in a world of its own, and check them.

    Example: wattq sim run --seeds 0..199 --adversary equivocate
    """
    first, dots, last = seeds.partition("..")
    if not first.isdigit() or (dots and not last.isdigit()) or adversary not in CHOICES:
        typer.echo(f"wattq sim run: --seeds A..B, --adversary {'|'.join(CHOICES)}", err=True)
        raise typer.Exit(2)
    chosen = range(int(first), int(last or first) + 1)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        work = pool.map(partial(run_seed, nodes=nodes, adversary=adversary), chosen)
        verdicts = list(track(work, "seeds", total=len(chosen), disable=as_json, transient=True))
    _report(verdicts, nodes, adversary, as_json)
    if any(verdict.faults for verdict in verdicts):
        raise typer.Exit(1)


def _report(verdicts: list[Verdict], nodes: int, adversary: str, as_json: bool) -> None:
    bad = [verdict for verdict in verdicts if verdict.faults]
    if as_json:
        failed = [{"seed": v.plan.seed, "plan": encode_plan(v.plan), "faults": v.faults} for v in bad]
        typer.echo(json.dumps({"seeds": len(verdicts), "failed": failed}))
        return
    for verdict in bad:
        typer.echo(f"seed {verdict.plan.seed}: {encode_plan(verdict.plan)}")
        for fault in verdict.faults:
            typer.echo(f"  {fault}")
        typer.echo(f"  again: wattq sim run --seeds {verdict.plan.seed} --nodes {nodes} --adversary {adversary}")
    blocks = sum(verdict.height for verdict in verdicts)
    typer.echo(f"{len(verdicts)} seeds, {blocks} blocks, {len(bad)} failed")
