"""What the commands of `wattq market` share: who acts, how intervals and prices are said, how rows are shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from ca.keys import InvalidKey
from cli import failing
from ledger.genesis import GenesisInvalid
from ledger.proofs import ProofInvalid
from sdk.calling import Call
from sdk.client import AsyncClient, Outcome
from sdk.configuration import ConfigurationError
from sdk.errors import NotAsShown, Refused, SdkError

INTERVAL_MS = 900_000
MICRO = 1_000_000
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Meter = Annotated[str, typer.Argument(help="Your meter's serial.")]
EnergyWh = Annotated[int, typer.Argument(min=1, help="Energy in Wh.")]
Price = Annotated[str, typer.Argument(help="Price per kWh, for example 0.215.")]
Interval = Annotated[
    str, typer.Argument(help="Delivery: +4 (fourth interval from now), 2026-11-27T18:15, or a number.")
]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """Whose connection file it is, and which key instead of the one that it names."""

    connection: Path
    key: Path | None

    def run(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Do ``work`` as this person; what goes wrong becomes a sentence and an exit code."""

        async def whole() -> T:
            async with AsyncClient.open(self.connection, self.key) as client:
                return await work(client)

        try:
            return asyncio.run(whole())
        except (Refused, ProofInvalid, NotAsShown) as error:
            fail(str(error), 1)
        except (ConfigurationError, GenesisInvalid, InvalidKey, OSError, ValueError) as error:
            fail(str(error), 2)
        except SdkError as error:
            fail(str(error), 3)

    def do(self, call: Callable[[AsyncClient], Awaitable[Call]], as_json: bool, sentence: str) -> None:
        """Submit a call and tell its outcome; ``sentence`` may hold {value}."""

        async def work(client: AsyncClient) -> Outcome:
            return await client.do(await call(client))

        outcome = self.run(work)
        told = {"tx_id": outcome.tx_id, "height": outcome.height, "code": outcome.code, "value": outcome.value}
        value = outcome.value if isinstance(outcome.value, str) else json.dumps(outcome.value)
        text = f"block {outcome.height}: {sentence.format(value=value)} (proven, transaction {outcome.tx_id[:12]}…)"
        typer.echo(json.dumps(told) if as_json else text)


def fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq market", message, code)


def price_of(text: str) -> int:
    """Micro-currency per kWh from a decimal number of currency units."""
    try:
        micro = Decimal(text) * MICRO
        whole = int(micro)
    except (InvalidOperation, ValueError, OverflowError):
        fail(f"{text!r} is no price: a number such as 0.215 is expected", 2)
    if micro != whole:
        fail(f"{text!r} is no price: there are six decimal places at most", 2)
    return whole


def money(micro: int) -> str:
    return f"{Decimal(micro) / MICRO:.6f}"


def clock_time(interval: int) -> str:
    """When an interval begins, in this machine's zone."""
    return datetime.fromtimestamp(interval * INTERVAL_MS / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


async def interval_of(client: AsyncClient, text: str) -> int:
    """An interval from what a person says; times without a zone are this machine's."""
    if text.startswith("+") and text[1:].isdecimal():
        return (await client.status()).block_time_ms // INTERVAL_MS + int(text)
    if text.isdecimal():
        return int(text)
    try:
        begins_ms = int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        fail(f"{text!r} is no interval: +4, 2026-11-27T18:15 or a number is expected", 2)
    if begins_ms % INTERVAL_MS:
        fail(f"{text!r} is no interval: one begins at each quarter of an hour", 2)
    return begins_ms // INTERVAL_MS


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """A readable table: ``columns`` maps fields to headings."""
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False)
    for field, heading in columns.items():
        numeric = all(isinstance(row.get(field), int) or row.get(field) is None for row in rows)
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*("" if row.get(field) is None else str(row.get(field)) for field in columns))
    Console(soft_wrap=True).print(table)
