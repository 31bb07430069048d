"""`wattq gateway`: polls meters and submits their readings, on a machine of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ca.keys import InvalidKey, SigningKey
from ca.tls import public_server_context
from ledger.genesis import GenesisInvalid, load_genesis
from meter.configuration import BrokerSection, DoorSection, GatewayConfiguration, clock_of, load_gateway
from meter.errors import MeterError, ProfileError
from meter.mqtt.messages import Status
from meter.mqtt.service import Mqtt
from meter.service import TOKEN_VARIABLE, DoorPlan
from meter.service import run_gateway as run_meters
from meter.units import MeterUnit, units_of
from sdk.client import AsyncClient
from sdk.clock import Clock
from sdk.process import ending_signals, follow_leash
from sdk.transports import connect


def gateway(config: Annotated[Path, typer.Option(help="The gateway's TOML file; see docs/METERS.md.")]) -> None:
    """Poll meters over Modbus TCP and submit signed readings, until SIGTERM, SIGHUP or Ctrl-C.

    Example: wattq gateway --config gateway.toml

    Exit codes: 0 ended as asked, 1 failed, 2 an unusable configuration, key or genesis file.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with alone():
            asyncio.run(run_gateway(load_gateway(config), config))
    except (ProfileError, GenesisInvalid, InvalidKey, ValueError) as error:
        typer.echo(f"wattq gateway: {error}", err=True)
        raise typer.Exit(2) from None
    except (MeterError, OSError) as error:
        typer.echo(f"wattq gateway: {error}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def alone() -> Iterator[None]:
    """Tasks that run together fail as a group: of what is in it, the first is what ended the gateway."""
    try:
        yield
    except ExceptionGroup as group:
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from group


async def run_gateway(configuration: GatewayConfiguration, path: Path) -> None:
    """Run until a signal asks to stop. Readings not submitted by then stay in the buffer."""
    home = path.parent
    genesis = load_genesis(home / configuration.genesis)
    clock = clock_of(configuration.clock, genesis.lab, str(path))
    key = SigningKey.load(home / configuration.key)
    units = units_of(configuration.meter)
    door = _door(configuration, home, genesis.chain_id.hex(), key.signer)
    mqtt = _mqtt(configuration, genesis.network, clock, units, home)
    endpoints = [connect(endpoint) for endpoint in configuration.endpoints]
    async with AsyncClient(endpoints, genesis, key) as client:
        work = run_meters(
            units,
            clock,
            client,
            home / configuration.buffer,
            buffer_bytes_max=configuration.buffer_bytes_max,
            timeout_s=configuration.timeout_s,
            door=door,
            mqtt=mqtt,
        )
        await until_signal(asyncio.create_task(_run(work, mqtt, clock)))


async def _run(work: Coroutine[None, None, None], mqtt: Mqtt | None, clock: Clock) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work)
        if mqtt is not None:
            tasks.create_task(mqtt.run(lambda: Status(state="online", time_ms=clock.now_ms())))


def _door(configuration: GatewayConfiguration, home: Path, chain: str, signer: str) -> DoorPlan | None:
    section = configuration.door
    if section is None:
        return None
    token = os.environ.get(TOKEN_VARIABLE, "")
    return DoorPlan(section.port, token, chain, (signer, *section.replacers), section.host, _tls(home, section)).check()


def _mqtt(
    configuration: GatewayConfiguration, network: str, clock: Clock, units: list[MeterUnit], home: Path
) -> Mqtt | None:
    section, broker = configuration.mqtt, configuration.broker
    if not section.url and broker is None:
        return None
    place = None if broker is None else (broker.host, broker.port, _tls(home, broker))
    return Mqtt(section, network, configuration.name, clock, units, home, os.environ, place=place)


def _tls(home: Path, section: DoorSection | BrokerSection) -> ssl.SSLContext | None:
    return public_server_context(home / section.certificate, home / section.key) if section.certificate else None


async def until_signal(work: asyncio.Task[None]) -> None:
    """Wait for ``work`` to end by itself, or for a signal or the end of who started us, which cancel it."""
    follow_leash()
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        if not work.cancelled():
            raise
