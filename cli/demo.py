"""`wattq demo`: one trading day on four nodes."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.contracts import shipped_contracts
from cluster import ClusterError
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from demo.check import Damaged, Recomputed
from demo.couchdb import CouchServerError
from demo.profiles import ProfilesError
from demo.run import Engine, run_demo
from demo.setting import INTERVALS_A_DAY, NODES, DemoError, ExternalMeter, Options
from ledger.replay import ChainInvalid, replay
from meter.errors import MeterError
from meter.units import parse_unit
from sdk.configuration import ConfigurationError
from sdk.errors import SdkError
from sdk.ports import NoFreePorts

DIRECTORY = Path("wattquorum-demo")
UNABLE = (
    DemoError, CouchServerError, NoFreePorts, ProfilesError, ClusterError, ConfigurationError, SdkError, OSError,
)  # fmt: skip


class StateChoice(StrEnum):
    EMBEDDED = "embedded"
    COUCHDB = "couchdb"


def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself; exit 0 only if every check holds.")] = False,
    intervals: Annotated[
        int, typer.Option(min=4, max=INTERVALS_A_DAY, help="Quarter-hours to play, round mid-day.")
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
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help=f"Where the demo lives; {DIRECTORY}, or a free one beside.")
    ] = None,
    state: Annotated[StateChoice, typer.Option(help="What queries read.")] = StateChoice.EMBEDDED,
    couchdb_url: Annotated[
        list[str] | None,
        typer.Option(help="With --state couchdb: once, or once a node; else it starts some."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Play a trading day: four nodes, six metered households, their agents, and a verdict.

    Example: wattq demo --once --kill-primary-at 40

    Exit codes: 0 every check holds, 1 a check failed, 2 the demo could not run, 130 interrupted.
    """
    options = Options(
        directory=(directory or DIRECTORY).resolve(),
        once=once,
        intervals=intervals,
        seconds_per_interval=seconds_per_interval,
        seed=seed,
        kill_primary_at=kill_primary_at,
        profiles=profiles,
        meter=_external(meter),
        json=as_json,
        beside_others=directory is None,
        state=state,
        couchdb_urls=_couchdb_urls(state, couchdb_url or []),
    )
    console = Console(stderr=as_json)
    try:
        code = asyncio.run(run_demo(options, Engine(shipped_contracts(), recompute), console))
    except UNABLE as error:
        typer.echo(f"wattq demo: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


def _couchdb_urls(state: StateChoice, given: list[str]) -> tuple[str, ...]:
    if given and state is StateChoice.EMBEDDED:
        raise typer.BadParameter("--couchdb-url goes with --state couchdb")
    if len(given) not in (0, 1, NODES):
        raise typer.BadParameter(f"--couchdb-url is given once, or once for each of the {NODES} nodes")
    return tuple(given * NODES if len(given) == 1 else given)


def _external(text: str | None) -> ExternalMeter | None:
    if text is None:
        return None
    try:
        unit = parse_unit(text)
    except MeterError as error:
        raise typer.BadParameter(
            f"--meter {error}; it takes HOST:PORT:UNIT:PROFILE, for example 192.168.1.20:502:1:sdm630"
        ) from None
    profile = text.rpartition(":")[2]
    if profile.endswith(".toml"):  # a node has another working directory
        profile = str(Path(profile).resolve())
    return ExternalMeter(unit.host, unit.port, unit.unit, profile)


def recompute(home: Path, genesis: Path, height: int) -> Recomputed | Damaged:
    """Execute a node's chain files anew from genesis, with the real machine, trusting nothing else in its directory."""
    try:
        replayed = replay(home / "data" / "chain", genesis, PythonMachine(), MarketValidator(), height)
    except ChainInvalid as error:
        return Damaged(f"INVALID at {error}")
    except OSError as error:
        return Damaged(f"INVALID, its files cannot be read: {error}")
    return Recomputed(height, replayed.state_root.hex(), replayed.values(), replayed.transactions)
