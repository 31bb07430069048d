"""`wattq cluster`: a local network of node processes, from one `cluster.toml`."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

import cluster as local
from ca.authority import AuthorityError
from ca.keys import InvalidKey
from cli.contracts import shipped_contracts
from ledger.genesis import GenesisInvalid
from sdk.configuration import ConfigurationError, load
from sdk.methods import NodeStatus

app = typer.Typer(
    help="Run a local network of node processes.\n\nExit codes: 0 done, 1 refused or failed, 2 unusable configuration.",
    no_args_is_help=True,
)
SAMPLE = Path(local.__file__).with_name("cluster.toml")
DIRECTORY = Path("wattquorum")
UNUSABLE = (ConfigurationError, GenesisInvalid, AuthorityError, InvalidKey)

Directory = Annotated[Path, typer.Option("--directory", "-d", help="The network's home.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def up(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="cluster.toml; used when the network is made.")
    ] = SAMPLE,
    directory: Directory = DIRECTORY,
) -> None:
    """Make the network if there is none, and start its nodes.

    Example: wattq cluster up --config cluster.toml --directory /tmp/net
    """
    try:
        configuration = load(config)
        local.prepare(directory, configuration, config.read_text(encoding="utf-8"), shipped_contracts())
        network = local.Cluster(directory)
        asyncio.run(network.up())
    except UNUSABLE as error:
        _fail(str(error), 2)
    except local.ClusterError as error:
        _fail(str(error), 1)
    for name in network.names:
        typer.echo(f"{name}  {network.rest_url(name)}")


@app.command()
def down(directory: Directory = DIRECTORY) -> None:
    """End all nodes. Example: wattq cluster down"""
    asyncio.run(_open(directory).down())


@app.command()
def status(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Show where each node stands; exit code 1 if one does not answer. Example: wattq cluster status --json"""
    network = _open(directory)
    found = asyncio.run(_statuses(network))
    if as_json:
        typer.echo(json.dumps({name: s and msgspec.to_builtins(s) for name, s in found.items()}))
    else:
        Console().print(_table(found))
    if None in found.values():
        raise typer.Exit(1)


async def _statuses(network: local.Cluster) -> dict[str, NodeStatus | None]:
    found = await asyncio.gather(*(network.status(name) for name in network.names))
    return dict(zip(network.names, found, strict=True))


def _table(found: dict[str, NodeStatus | None]) -> Table:
    table = Table(box=None)
    for column in ("node", "view", "primary", "executed", "certified", "state root", "alarms"):
        table.add_column(column)
    for name, node in found.items():
        if node is None:
            table.add_row(name, "-", "-", "-", "-", "no answer", "")
        else:
            view = f"{node.view}{'' if node.view_active else ' (changing)'}"
            heights = (str(node.executed_height), str(node.certified_height))
            table.add_row(name, view, node.primary, *heights, node.state_root[:16], "; ".join(node.alarms))
    return table


@app.command()
def kill(name: str, directory: Directory = DIRECTORY) -> None:
    """End a node with SIGKILL, as a crash would. Example: wattq cluster kill node1"""
    network = _open(directory)
    if not _checked(network, name).kill(name):
        _fail(f"{name} does not run", 1)
    asyncio.run(network.wait_gone(name))


@app.command()
def restart(name: str, directory: Directory = DIRECTORY) -> None:
    """Stop a node if it runs, and start it again. Example: wattq cluster restart node1"""
    network = _checked(_open(directory), name)

    async def work() -> None:
        await network.stop(name)
        network.start(name)
        await network.wait_ready(name)

    try:
        asyncio.run(work())
    except local.ClusterError as error:
        _fail(str(error), 1)


@app.command()
def logs(
    name: str,
    directory: Directory = DIRECTORY,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
) -> None:
    """Print the end of a node's log. Example: wattq cluster logs node1 -n 100"""
    network = _checked(_open(directory), name)
    for file in (network.home(name) / "stderr.log", network.home(name) / "log" / "node.log"):
        if file.exists():
            with file.open(errors="replace") as text:
                typer.echo("".join(deque(text, maxlen=lines)), nl=False)


def _open(directory: Path) -> local.Cluster:
    try:
        return local.Cluster(directory)
    except local.ClusterError as error:
        _fail(str(error), 1)
    except ConfigurationError as error:
        _fail(str(error), 2)


def _checked(network: local.Cluster, name: str) -> local.Cluster:
    try:
        network.section(name)
    except local.ClusterError as error:
        _fail(str(error), 2)
    return network


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"wattq cluster: {message}", err=True)
    raise typer.Exit(code)
