"""`wattq node`: what an operator does to one running node."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

import cluster as local
from ca.keys import InvalidKey, SigningKey
from cli import failing
from cli.client import Json
from ledger.genesis import GENESIS_FILE_NAME, GenesisInvalid, load_genesis
from sdk.client import AsyncClient
from sdk.configuration import ConfigurationError
from sdk.errors import Refused, SdkError
from sdk.methods import LOG_LEVEL, LogLevelParams, LogLevels
from sdk.process import socket_path
from sdk.transports import Transport, connect

app = typer.Typer(
    help="Work on a running node.\n\nExit codes: 0 done, 1 refused, 2 bad arguments or files, 3 it does not answer.",
    no_args_is_help=True,
)


class Level(StrEnum):
    """How grave a line has to be to be logged; ``inherit``: as grave as for the logger above."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    INHERIT = "inherit"


@app.callback()
def node() -> None:
    """Work on a running node."""


@app.command("log-level")
def log_level(
    name: Annotated[str, typer.Argument(help="A node of the network's file; with --node, how it is called here.")],
    level: Level,
    logger: Annotated[str, typer.Option("--logger", "-l", help="As the log names it: wattq.pbft; else all.")] = "",
    directory: Annotated[Path, typer.Option("--directory", "-d", help="The network's home.")] = Path("wattquorum"),
    url: Annotated[str, typer.Option("--node", "-n", help="A node's URL, if it runs elsewhere; takes --key.")] = "",
    key: Annotated[Path | None, typer.Option("--key", "-k", help="An operator's key.")] = None,
    as_json: Json = False,
) -> None:
    """Set what a running node logs, until it restarts or reads its file again (SIGUSR1).

    Example: wattq node log-level node1 debug --logger wattq.pbft
    """
    if url and key is None:
        _fail("a node that runs elsewhere takes an operator's --key", 2)
    kind: Literal["debug", "info", "warning", "error", "inherit"] = level.value
    params = LogLevelParams(logger=logger, level=kind)
    try:
        told = asyncio.run(_set(_endpoint(directory, name, url), directory, key, params))
    except Refused as error:
        _fail(str(error), 1)
    except (local.ClusterError, ConfigurationError, GenesisInvalid, InvalidKey, OSError, ValueError) as error:
        _fail(str(error), 2)
    except SdkError as error:
        _fail(str(error), 3)
    lines = [f"{name} {each or 'everything'}: {own}" for each, own in told.levels.items()]
    typer.echo(json.dumps({"node": name, "levels": told.levels}) if as_json else "\n".join(lines))


def _endpoint(directory: Path, name: str, url: str) -> Transport:
    return connect(url or f"unix:{socket_path(local.Cluster(directory).home(name))}")


async def _set(endpoint: Transport, directory: Path, key: Path | None, params: LogLevelParams) -> LogLevels:
    if key is None:
        try:
            return await endpoint.call(LOG_LEVEL, params)
        finally:
            await endpoint.close()
    genesis = load_genesis(directory / GENESIS_FILE_NAME)
    async with AsyncClient([endpoint], genesis, SigningKey.load(key)) as client:
        return await client.call(LOG_LEVEL, params)


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq node", message, code)
