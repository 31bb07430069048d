"""`wattq channel`: ledgers of some of a network's members, beside the one of all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console

import cluster as local
from ca.certificates import InvalidCertificate
from ca.keys import InvalidKey
from cli import failing
from cli.cluster import DIRECTORY, Directory, Json, show_statuses
from cli.founding import Founding, Plan, place_genesis
from ledger.genesis import GenesisInvalid, load_genesis
from sdk.configuration import ConfigurationError
from sdk.errors import SdkError

app = typer.Typer(
    help="Found, join, watch and close channels: ledgers that only their members see.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 unusable files, 3 no node or no quorum answers.",
    no_args_is_help=True,
)
UNUSABLE = (ConfigurationError, GenesisInvalid, InvalidKey, InvalidCertificate, OSError)
Name = Annotated[str, typer.Argument(help="The channel's name: small letters, digits, hyphens.")]
T = TypeVar("T")


@app.command()
def create(
    name: Name,
    members: Annotated[str, typer.Option(help="Nodes that vote in it, at least four: node1,node2,node3,node4.")],
    user: Annotated[list[str] | None, typer.Option(help="A further member, by certificate in users/.")] = None,
    contracts: Annotated[
        Path | None, typer.Option(help="A directory of contracts, instead of the shipped ones.")
    ] = None,
    parameter: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a market parameter.")] = None,
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make a channel's genesis file, give it to its members' nodes, and have the operators found it.

    Example: wattq channel create family --members node1,node2,node3,node4 --user arbiter1
    """
    names = [member.strip() for member in members.split(",") if member.strip()]
    plan = Plan(name, names, user or (), contracts, dict(map(_parameter, parameter or ())))
    genesis = _run(directory, lambda founding: founding.create(plan))
    path = directory / "channels" / f"{name}.json"
    told = {"channel": name, "chain": genesis.chain_id.hex(), "genesis": str(path), "members": names}
    typer.echo(json.dumps(told) if as_json else f"{name} is up on {', '.join(names)}; its genesis file is {path}")


@app.command()
def join(
    genesis: Annotated[Path, typer.Argument(help="The channel's genesis file, from an operator of it.")],
    node: Annotated[str, typer.Option(help="The node that takes part, for example node3.")],
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Give a node the genesis file of a channel: it takes part as soon as the network has founded it.

    Example: wattq channel join family.json --node node3
    """

    async def place(_: Founding) -> str:
        network = local.Cluster(directory)
        loaded = load_genesis(genesis)
        place_genesis(network.home(node), loaded)
        return loaded.channel

    name = _run(directory, place)
    typer.echo(
        json.dumps({"channel": name, "node": node}) if as_json else f"{node} takes part in {name} once it is founded"
    )


@app.command(name="list")
def list_channels(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Name all channels of the network: nobody but their members learns more.

    Example: wattq channel list --json
    """
    found = _run(directory, lambda founding: founding.channels())
    if as_json:
        typer.echo(json.dumps({"channels": [msgspec.to_builtins(record) for record in found]}))
        return
    for record in found:
        typer.echo(f"{record.name}  {'closed' if record.closed else 'open'}  {record.genesis}")
    if not found:
        typer.echo("no channels")


@app.command()
def status(name: Name, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Show where each member's node of this directory stands; exit code 1 if one does not answer.

    Example: wattq channel status family
    """
    found = _run(directory, lambda founding: founding.statuses(name))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        show_statuses(found, Console())
    if None in found.values():
        raise typer.Exit(1)


@app.command()
def admit(
    name: Name,
    certificate: Annotated[Path, typer.Argument(help="The certificate (PEM) of whoever is to be a member.")],
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make somebody a member of a channel: a user, or a node that is to follow it.

    Example: wattq channel admit family bob.crt
    """
    signer = _run(directory, lambda founding: founding.admit(name, certificate))
    typer.echo(json.dumps({"channel": name, "signer": signer}) if as_json else f"{signer} is a member of {name}")


@app.command()
def close(name: Name, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Have the operators close a channel for good: it takes no transactions any more, its members go on reading.

    Example: wattq channel close family
    """
    _run(directory, lambda founding: founding.close(name))
    typer.echo(json.dumps({"closed": name}) if as_json else f"{name} is closed")


def _parameter(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    try:
        return name, int(value)
    except ValueError:
        _fail(f"{text!r}: a parameter is NAME=VALUE with an integer", 2)


def _run(directory: Path, work: Callable[[Founding], Awaitable[T]]) -> T:
    async def whole() -> T:
        return await work(Founding(local.Cluster(directory)))

    try:
        return asyncio.run(whole())
    except UNUSABLE as error:
        _fail(str(error), 2)
    except local.ClusterError as error:
        _fail(str(error), 1)
    except SdkError as error:
        _fail(str(error), 3)


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq channel", message, code)
