"""`wattq gateway`: polls meters and submits their readings, on a machine of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from ca.keys import InvalidKey, SigningKey
from ledger.genesis import GenesisInvalid, load_genesis
from meter.configuration import GatewayConfiguration, clock_of, load_gateway
from meter.errors import MeterError
from meter.service import run_gateway as run_meters
from meter.units import units_of
from sdk.client import AsyncClient
from sdk.transports import connect


def gateway(config: Annotated[Path, typer.Option(help="The gateway's TOML file; see docs/METERS.md.")]) -> None:
    """Poll meters over Modbus TCP and submit signed readings, until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(run_gateway(load_gateway(config), config))
    except (MeterError, GenesisInvalid, InvalidKey, OSError, ValueError) as error:
        typer.echo(f"wattq gateway: {error}", err=True)
        raise typer.Exit(1) from None


async def run_gateway(configuration: GatewayConfiguration, path: Path) -> None:
    """Run until a signal asks to stop. Readings not submitted by then stay in the buffer."""
    home = path.parent
    genesis = load_genesis(home / configuration.genesis)
    clock = clock_of(configuration.clock, genesis.lab, str(path))
    key = SigningKey.load(home / configuration.key)
    units = units_of(configuration.meter)
    endpoints = [connect(endpoint) for endpoint in configuration.endpoints]
    async with AsyncClient(endpoints, genesis, key) as client:
        work = run_meters(
            units,
            clock,
            client,
            home / configuration.buffer,
            buffer_bytes_max=configuration.buffer_bytes_max,
            timeout_s=configuration.timeout_s,
        )
        await until_signal(asyncio.create_task(work))


async def until_signal(work: asyncio.Task[None]) -> None:
    """Wait for ``work`` to end by itself or for SIGTERM or SIGINT, which cancel it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        if not work.cancelled():
            raise
