"""`wattq meter`: read a meter once, or play simulated ones."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pymodbus.client import AsyncModbusTcpClient

from cli.gateway import until_signal
from meter.counters import Sample
from meter.errors import LineDown, MeterError, ProfileError
from meter.intervals import INTERVAL_MS
from meter.reader import UnitReader
from meter.simulator import MeterServer, Plan, PlannedMeter, servers_of
from meter.strict import load_json
from meter.units import parse_unit
from sdk.clock import Clock

app = typer.Typer(
    help="Read a meter over Modbus TCP, or simulate some.\n\n"
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


@app.command()
def simulate(
    plan: Annotated[Path | None, typer.Option(help="A JSON plan of meters, clock and faults.")] = None,
    port: Annotated[int, typer.Option(help="Without a plan: where one meter listens.")] = 5020,
    profile: Annotated[str, typer.Option(help="Without a plan: the device profile.")] = "sdm630",
    household: Annotated[str, typer.Option(help="Without a plan: h25, p25 or s25, played over and over.")] = "p25",
    annual_kwh: Annotated[int, typer.Option(min=1, max=1_000_000, help="Without a plan: kWh a year.")] = 4_000,
    seed: Annotated[int, typer.Option(help="Without a plan: seeds noise.")] = 1,
) -> None:
    """Serve simulated meters over Modbus TCP until SIGTERM, SIGHUP or Ctrl-C.

    Example: wattq meter simulate --port 5020 --profile sdm630 --household p25
    """
    try:
        chosen = load_json(plan, Plan) if plan else _single(port, profile, household, annual_kwh, seed)
        asyncio.run(_serve(chosen))
    except (MeterError, OSError, ValueError) as error:
        typer.echo(f"wattq meter simulate: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ProfileError | ValueError) else 1) from None


def _single(port: int, profile: str, household: str, annual_kwh: int, seed: int) -> Plan:
    """One household's meter in real time, today's profile again every day."""
    from demo.profiles import Household, ProfilesError, day_profiles

    today = datetime.now(UTC).date()
    try:
        day = day_profiles([Household("meter", household, annual_kwh)], today, seed)["meter"]
    except ProfilesError as error:
        raise ValueError(str(error)) from None
    midnight = int(time.time() * 1000) // (96 * INTERVAL_MS) * 96
    planned = PlannedMeter(serial="meter", port=port, profile=profile, import_wh=day.import_wh, export_wh=day.export_wh)
    return Plan(first_interval=midnight, seed=seed, repeat=True, meters=(planned,))


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
