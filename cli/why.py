"""`wattq why`: why nothing is certified, told by the nodes that answer: what is missing, from whom, since when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer

import cluster as local
from ca.keys import InvalidKey, SigningKey
from cli import failing
from cli.client import Channel, Json, genesis_of
from ledger.genesis import Genesis, GenesisInvalid
from sdk.client import AsyncClient
from sdk.configuration import LOOPBACK, ConfigurationError
from sdk.diagnosis import Diagnosis, Finding
from sdk.errors import Refused, SdkError
from sdk.methods import WHY, Nothing
from sdk.process import socket_path
from sdk.transports import Transport, connect
from sdk.why import explain

ANSWER_S = 8.0
"""In which a node has to answer; what takes longer counts as no answer."""
FINE = ("COMMITS", "CLOSED")


class Told(msgspec.Struct, frozen=True):
    """What ``--json`` prints."""

    findings: tuple[Finding, ...]
    nodes: dict[str, Diagnosis]
    silent: dict[str, str]


def why(
    names: Annotated[list[str] | None, typer.Argument(help="Nodes of the network's file to ask; all, if none.")] = None,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="The network's home, where its nodes run on this machine.")
    ] = Path("wattquorum"),
    node: Annotated[
        list[str] | None, typer.Option("--node", "-n", help="Instead: URLs of nodes, wherever they run.")
    ] = None,
    genesis: Annotated[
        Path | None, typer.Option("--genesis", "-g", help="The network's genesis.json; with --node and --key.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", "-k", help="An operator's key: --node then tells diverging keys too.")
    ] = None,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Say why nothing is certified: which votes are missing, from whom, since when, and what to do.

    Exit codes: 0 blocks are certified, 1 they are not, 2 bad arguments or files, 3 no node answers.

    Example: wattq why
    Example: wattq why --node https://node1.example:26601 --node https://node2.example:26601 --json
    """
    try:
        trusted = genesis_of(genesis or directory / "genesis.json", channel) if key or channel else None
        signer = None if key is None else SigningKey.load(key)
        endpoints = {url: connect(url) for url in node} if node else _of_directory(directory, names or [])
        told = asyncio.run(_ask(endpoints, trusted, signer, channel))
    except (local.ClusterError, ConfigurationError, GenesisInvalid, InvalidKey, OSError, ValueError) as error:
        _fail(str(error), 2)
    typer.echo(msgspec.json.encode(told).decode() if as_json else "\n".join(map(_text, told.findings)))
    if not told.nodes:
        raise typer.Exit(3)
    if told.findings[0].code not in FINE:
        raise typer.Exit(1)


def _of_directory(directory: Path, names: list[str]) -> dict[str, Transport]:
    """The nodes' own sockets, which this machine's user opens without a session; REST for those that run elsewhere."""
    network = local.Cluster(directory)
    found: dict[str, Transport] = {}
    for name in names or network.names:
        section, socket = network.section(name), socket_path(network.home(name))
        scheme = "http" if section.host in LOOPBACK else "https"
        url = f"{scheme}://{section.host}:{section.rest_port}"
        found[name] = connect(f"unix:{socket}" if socket.exists() or not section.rest_port else url)
    return found


async def _ask(
    endpoints: Mapping[str, Transport], genesis: Genesis | None, key: SigningKey | None, channel: str
) -> Told:
    """All of them at once."""
    answers = await asyncio.gather(*(_one(each, genesis, key, channel) for each in endpoints.values()))
    named = dict(zip(endpoints, answers, strict=True))
    told = {answer.name: answer for answer in answers if isinstance(answer, Diagnosis)}
    silent = {name: answer for name, answer in named.items() if isinstance(answer, str)}
    return Told(explain(told, silent), told, silent)


async def _one(endpoint: Transport, genesis: Genesis | None, key: SigningKey | None, channel: str) -> Diagnosis | str:
    """A node's account, or why there is none."""
    try:
        async with asyncio.timeout(ANSWER_S):
            if key is None or genesis is None:
                return await endpoint.call(WHY.within(channel), Nothing())
            async with AsyncClient([endpoint], genesis, key, channel) as client:
                return await client.call(WHY, Nothing())
    except TimeoutError:
        return f"no answer within {ANSWER_S:g} s"
    except (Refused, SdkError) as error:
        return str(error)
    finally:
        await endpoint.close()


def _text(finding: Finding) -> str:
    return f"{finding.text}\n  {finding.advice}" if finding.advice else finding.text


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq why", message, code)
