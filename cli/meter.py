"""`wattq meter`: read a meter once, find SunSpec devices, replace a meter, or play simulated ones."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from pymodbus.client import AsyncModbusTcpClient

from cli.gateway import until_signal
from cli.replacement import replace
from meter import discovery
from meter.counters import Sample
from meter.curves import Curve, load_curves
from meter.errors import LineDown, MeterError, ProfileError
from meter.intervals import INTERVAL_MS
from meter.reader import UnitReader
from meter.simulation import MeterServer, Plan, PlannedMeter, servers_of
from meter.simulator import Fault
from meter.strict import load_json
from meter.units import UNIT_MAX, parse_address, parse_unit
from sdk.clock import Clock

app = typer.Typer(
    help="Read, find or replace a meter, or simulate some.\n\n"
    "Exit codes: 0 done or ended as asked, 1 no usable answer, 2 wrong usage or an unusable file.",
    no_args_is_help=True,
)


@app.command()
def read(
    meter: Annotated[str, typer.Argument(help="HOST:PORT:UNIT:PROFILE, for example 192.168.1.20:502:1:sdm630")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read power and both energy counters once.

    Example: wattq meter read 192.168.1.20:502:1:sdm630 --json
    """
    try:
        sample = asyncio.run(_read_once(meter, timeout))
    except MeterError as error:
        typer.echo(f"wattq meter read: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ProfileError) else 1) from None
    values = {"power_w": sample.power_w, "import_wh": sample.import_wh, "export_wh": sample.export_wh}
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        typer.echo(f"{name:<10} {'not measured' if value is None else value}")


async def _read_once(text: str, timeout_s: float) -> Sample:
    unit = parse_unit(text)
    client = AsyncModbusTcpClient(unit.host, port=unit.port, timeout=timeout_s, retries=0, reconnect_delay=0)
    try:
        if not await client.connect():
            raise LineDown(f"{unit.host}:{unit.port} cannot be connected")
        return await UnitReader(unit.profile, unit.unit).read(client, Clock().now_ms())
    finally:
        client.close()


app.command()(replace)


@app.command()
def scan(
    address: Annotated[str, typer.Argument(help="HOST:PORT, for example 192.168.1.20:502")],
    units: Annotated[str, typer.Option(help="Unit ids to ask: 1, 1-10, or 1,5,7.")] = "1",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find SunSpec devices by walking their models, and tell which profile reads each.

    Example: wattq meter scan 192.168.1.20:502 --units 1-10
    """
    try:
        host, port = parse_address(address)
        found = asyncio.run(discovery.scan(host, port, _units(units), timeout, Clock().now_ms()))
    except MeterError as error:
        typer.echo(f"wattq meter scan: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ProfileError) else 1) from None
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(item) for item in found]))
    elif not found:
        typer.echo(f"{address}: no unit of {units} answers")
    for item in [] if as_json else found:
        typer.echo(_told(item))
    if not found:
        raise typer.Exit(1)


UNITS = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?", re.ASCII)


def _units(text: str) -> list[int]:
    """ "1-3,7" as [1, 2, 3, 7]; ``ProfileError`` for anything else."""
    wanted: list[int] = []
    for part in text.split(","):
        told = UNITS.fullmatch(part)
        if told is None:
            raise ProfileError(f"units {text!r}: not 1, 1-10 or 1,5,7")
        wanted += range(int(told[1]), int(told[2] or told[1]) + 1)
    if not wanted or max(wanted) > UNIT_MAX:
        raise ProfileError(f"units {text!r}: between 0 and {UNIT_MAX}")
    return wanted


def _told(found: discovery.Found) -> str:
    """A unit in a few lines."""
    title = " ".join(found.nameplate.get(name, "") for name in ("manufacturer", "model", "serial")).strip()
    lines = [f"unit {found.unit}: {title or 'answers'}"]
    if found.models:
        lines.append(f"  SunSpec at {found.base}, models {', '.join(map(str, found.models))}")
    if found.profile:
        lines.append(f"  profile {found.profile}: {_figures(found)}")
    elif found.models:
        lines.append("  no shipped profile reads these models")
    return "\n".join([*lines, f"  {found.problem}"] if found.problem else lines)


def _figures(found: discovery.Found) -> str:
    values = {"power_w": found.power_w, "import_wh": found.import_wh, "export_wh": found.export_wh}
    return ", ".join(f"{name} {'not implemented, or 0' if value is None else value}" for name, value in values.items())


@app.command()
def simulate(
    plan: Annotated[Path | None, typer.Option(help="A JSON plan of meters, clock and faults.")] = None,
    curves: Annotated[Path | None, typer.Option("--csv", help="Quarter-hours: import_wh, export_wh, meter.")] = None,
    port: Annotated[int, typer.Option(help="Without a plan: where the meters listen.")] = 5020,
    profile: Annotated[str, typer.Option(help="Without a plan: the device profile.")] = "sdm630",
    household: Annotated[str, typer.Option(help="Without plan and CSV: h25, p25 or s25, over and over.")] = "p25",
    annual_kwh: Annotated[int, typer.Option(min=1, max=1_000_000, help="Without plan and CSV: kWh a year.")] = 4_000,
    seed: Annotated[int, typer.Option(help="Without a plan: seeds noise.")] = 1,
    faults: Annotated[
        list[str] | None,
        typer.Option("--fault", help="KIND@FROM[-UNTIL][:WH], seconds from now: silence words reset wrap stale jump."),
    ] = None,
) -> None:
    """Serve simulated meters over Modbus TCP until SIGTERM, SIGHUP or Ctrl-C.

    Example: wattq meter simulate --port 5020 --household p25 --fault silence@60-120 --fault jump@200-230:5000000
    """
    try:
        if plan is not None:
            chosen = load_json(plan, Plan)
        else:
            played = load_curves(curves) if curves else {"meter": _packaged(household, annual_kwh, seed)}
            wrong = tuple(_fault(text, Clock().now_ms()) for text in faults or ())
            chosen = _planned(played, port, profile, seed, wrong, from_midnight=curves is None)
        asyncio.run(_serve(chosen))
    except (MeterError, OSError, ValueError) as error:
        typer.echo(f"wattq meter simulate: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ProfileError | ValueError) else 1) from None


FAULT = re.compile(r"(?P<kind>[a-z]+)@(?P<start>\d{1,9})(-(?P<end>\d{1,9}))?(:(?P<wh>\d{1,12}))?")


def _fault(text: str, now_ms: int) -> Fault:
    """``KIND@FROM[-UNTIL][:WH]``; ``ValueError`` for anything else."""
    told = FAULT.fullmatch(text)
    if told is None:
        raise ValueError(f"fault {text!r}: not KIND@FROM[-UNTIL][:WH]")
    window = {"from_ms": now_ms + 1000 * int(told["start"]), "energy_wh": int(told["wh"] or 0)}
    if told["end"]:
        window["until_ms"] = now_ms + 1000 * int(told["end"])
    try:
        return msgspec.convert({"kind": told["kind"], **window}, Fault)
    except msgspec.ValidationError as error:
        raise ValueError(f"fault {text!r}: {error}") from None


def _packaged(household: str, annual_kwh: int, seed: int) -> Curve:
    """One household's day of today."""
    from demo.profiles import Household, ProfilesError, day_profiles

    try:
        day = day_profiles([Household("meter", household, annual_kwh)], datetime.now(UTC).date(), seed)["meter"]
    except ProfilesError as error:
        raise ValueError(str(error)) from None
    return day.import_wh, day.export_wh


def _planned(
    curves: dict[str, Curve], port: int, profile: str, seed: int, faults: tuple[Fault, ...], *, from_midnight: bool
) -> Plan:
    """Meters in real time, units from 1 on: packaged days from midnight UTC on, a file from now on, over and over."""
    now = int(time.time() * 1000) // INTERVAL_MS
    meters = tuple(
        PlannedMeter(
            serial=serial, port=port, unit=unit, profile=profile, import_wh=imported, export_wh=exported, faults=faults
        )
        for unit, (serial, (imported, exported)) in enumerate(curves.items(), 1)
    )
    return Plan(first_interval=now // 96 * 96 if from_midnight else now, seed=seed, repeat=True, meters=meters)


async def _serve(plan: Plan) -> None:
    servers = servers_of(plan)
    try:
        for server in servers:
            await server.start()
            typer.echo(f"{server.host}:{server.port} serves {server.describe()}")
        await until_signal(asyncio.create_task(_forever()))
    finally:
        await _stop(servers)


async def _forever() -> None:
    await asyncio.Event().wait()


async def _stop(servers: list[MeterServer]) -> None:
    for server in servers:
        await server.stop()
