"""`wattq demo`: one trading day on four nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.contracts import shipped_contracts
from cluster import ClusterError
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from demo.check import Recomputed
from demo.run import Engine, run_demo
from demo.setting import INTERVALS_A_DAY, DemoError, ExternalMeter, Options
from ledger.replay import replay
from sdk.configuration import ConfigurationError


def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself; exit 0 only if every check holds.")] = False,
    intervals: Annotated[
        int, typer.Option(min=4, max=INTERVALS_A_DAY, help="Quarter-hours to play.")
    ] = INTERVALS_A_DAY,
    seconds_per_interval: Annotated[float, typer.Option(min=0.2, max=900, help="Real seconds a quarter-hour.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seeds households and prices.")] = 1,
    kill_primary_at: Annotated[int | None, typer.Option(help="Kill -9 the primary at this interval.")] = None,
    profiles: Annotated[
        Path | None, typer.Option(exists=True, help="Play a CSV of profiles instead of BDEW's.")
    ] = None,
    meter: Annotated[
        str | None, typer.Option(help="A real meter for the first household: HOST:PORT:UNIT:PROFILE.")
    ] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where the demo lives.")] = Path(
        "wattquorum-demo"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Play a trading day: four nodes, six metered households, their agents, and a verdict.

    Example: wattq demo --once --kill-primary-at 40

    Exit codes: 0 every check holds, 1 a check failed, 2 the demo could not run, 130 interrupted.
    """
    options = Options(
        directory=directory.resolve(),
        once=once,
        intervals=intervals,
        seconds_per_interval=seconds_per_interval,
        seed=seed,
        kill_primary_at=kill_primary_at,
        profiles=profiles,
        meter=_external(meter),
        json=as_json,
    )
    console = Console(stderr=as_json)
    try:
        code = asyncio.run(run_demo(options, Engine(shipped_contracts(), recompute), console))
    except (DemoError, ClusterError, ConfigurationError) as error:
        typer.echo(f"wattq demo: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


def _external(text: str | None) -> ExternalMeter | None:
    if text is None:
        return None
    parts = text.rsplit(":", 3)
    if len(parts) != 4 or not parts[1].isdigit() or not parts[2].isdigit():
        raise typer.BadParameter("--meter takes HOST:PORT:UNIT:PROFILE, for example 192.168.1.20:502:1:sdm630")
    return ExternalMeter(parts[0], int(parts[1]), int(parts[2]), parts[3])


def recompute(home: Path, genesis: Path, height: int) -> Recomputed:
    """Execute a node's chain files anew from genesis, with the real machine, trusting nothing else in its directory."""
    replayed = replay(home / "data" / "chain", genesis, PythonMachine(), MarketValidator(), height)
    state: dict[str, Any] = replayed.values()
    return Recomputed(height, replayed.state_root.hex(), state, replayed.transactions)
