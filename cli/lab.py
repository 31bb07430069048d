"""`wattq lab`: a local network whose nodes lie and whose links break, by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

import cluster as local
from cli import failing
from cli.checks import check_configuration
from cli.cluster import DIRECTORY, INTERRUPTED, SAMPLE, UNUSABLE, Directory, Json
from cli.cluster import start as start_cluster
from cli.contracts import shipped_contracts
from faults.real.control import LabError, Told, order
from faults.real.liar import LIES, told_of
from faults.real.links import EVERYBODY, LinkFault
from sdk.configuration import ConfigurationError, parse

app = typer.Typer(
    help="Run a local network whose nodes lie and whose links break.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 unusable configuration or arguments, 130 interrupted.",
    no_args_is_help=True,
)
NOT_A_LAB, LAB = "lab = false", "lab = true"
"""In the sample configuration, and what a lab's has."""

T = TypeVar("T")
Nodes = Annotated[list[str] | None, typer.Argument(help="Nodes; all of them if none is named.")]


@app.callback()
def lab() -> None:
    """Run a local network whose nodes lie and whose links break."""


@app.command()
def up(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", help="cluster.toml with network.lab = true; used when the network is made."),
    ] = SAMPLE,
    directory: Directory = DIRECTORY,
    byzantine: Annotated[
        list[str] | None, typer.Option("--byzantine", "-b", help="NODE=LIE or NODE=LIE,LIE; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the chance in lies and links.")] = 0,
    as_json: Json = False,
) -> None:
    """Make the network if there is none, and start its nodes as nodes of a lab, some of them liars.

    `wattq cluster` ends, kills and shows them. Up to f liars of 3f + 1 nodes can do no harm.

    Example: wattq lab up --directory /tmp/lab --byzantine node1=equivocate
    """
    try:
        text = config.read_text(encoding="utf-8")
        text = text.replace(NOT_A_LAB, LAB) if config == SAMPLE else text
        configuration = parse(text, str(config))
        check_configuration(configuration, str(config))
        local.prepare(directory, configuration, text, shipped_contracts())
        network = local.Cluster(directory)
        if not network.configuration.network.lab:
            _fail(f"{directory}: only a network with network.lab = true has lab nodes", 2)
        options = options_of(network.names, byzantine or (), seed)
        running = [name for name in network.names if network.pid(name) is not None]
        if running:
            _fail(f"{', '.join(running)} runs already; end it first: wattq cluster down --directory {directory}", 1)
        started = asyncio.run(start_cluster(network, options))
    except UNUSABLE as error:
        _fail(str(error), 2)
    except local.ClusterError as error:
        _fail(str(error), 1)
    if not started:
        raise typer.Exit(INTERRUPTED)
    urls = {name: network.rest_url(name) for name in network.names}
    lies = {name: list(_lies(told)) for name, told in options.items()}
    lines = [f"{name}  {url}  {', '.join(lies[name]) or 'honest'}" for name, url in urls.items()]
    _say({"nodes": urls, "byzantine": {name: told for name, told in lies.items() if told}}, lines, as_json)


def options_of(names: Sequence[str], byzantine: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Each node's options; ``ConfigurationError`` for a node or a lie that there is not."""
    lies: dict[str, str] = {}
    for item in byzantine:
        name, is_given, told = item.partition("=")
        if name not in names or not is_given:
            raise ConfigurationError(f"--byzantine {item}: NODE=LIE is wanted, of {', '.join(names)}")
        for lie in told.split(","):
            if lie not in LIES:
                raise ConfigurationError(f"--byzantine {item}: no lie {lie!r}; wattq lab lies names them")
        lies[name] = told
    return {name: [*(("--byzantine", lies[name]) if name in lies else ()), "--seed", str(seed)] for name in names}


def _lies(options: Sequence[str]) -> Sequence[str]:
    return options[1].split(",") if "--byzantine" in options else ()


@app.command()
def lies(as_json: Json = False) -> None:
    """Name the lies that a node can tell. Example: wattq lab lies"""
    told = {name: told_of(name) for name in LIES}
    width = max(map(len, told))
    _say(told, [f"{name:{width}}  {text}" for name, text in told.items()], as_json)


@app.command()
def links(
    node: Annotated[str, typer.Argument(help="Whose frames; a cut both ways is one at each end.")],
    to: Annotated[
        list[str] | None, typer.Option("--to", help="To this peer; may be repeated. Without it: all.")
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Nothing arrives.")] = False,
    delay_ms: Annotated[int, typer.Option(help="So much later.")] = 0,
    jitter_ms: Annotated[int, typer.Option(help="Up to so much more, by chance; frames overtake each other.")] = 0,
    loss: Annotated[float, typer.Option(help="The share that is lost, 0 to 1.")] = 0.0,
    duplication: Annotated[float, typer.Option(help="The share that comes twice.")] = 0.0,
    corruption: Annotated[float, typer.Option(help="The share in which a bit is turned.")] = 0.0,
    bytes_per_s: Annotated[int, typer.Option(help="A narrow pipe; 0: no limit.")] = 0,
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Say what befalls the frames that a node sends; without any fault, heal these links.

    Example: wattq lab links node1 --to node2 --to node3 --delay-ms 200 --loss 0.1
    """
    try:
        fault = LinkFault(cut, delay_ms, jitter_ms, loss, duplication, corruption, bytes_per_s)
    except ValueError as error:
        _fail(str(error), 2)
    home = _home(directory, node)

    async def put() -> Told:
        kept = dict((await order(home)).links) if to else {}
        return await order(home, {**kept, **dict.fromkeys(to or (EVERYBODY,), fault)})

    _show({node: _run(put())}, as_json)


@app.command()
def heal(nodes: Nodes = None, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Let all frames of some nodes, or of all, arrive as they should. Example: wattq lab heal"""
    _show(_run(_each(directory, nodes, {})), as_json)


@app.command()
def befallen(nodes: Nodes = None, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Show the faults of each node's links, and what they did so far. Example: wattq lab befallen node1"""
    _show(_run(_each(directory, nodes, None)), as_json)


async def _each(
    directory: Path, nodes: Sequence[str] | None, faults: Mapping[str, LinkFault] | None
) -> dict[str, Told]:
    homes = {name: _home(directory, name) for name in nodes or _network(directory).names}
    told = await asyncio.gather(*(order(home, faults) for home in homes.values()))
    return dict(zip(homes, told, strict=True))


def _show(told: dict[str, Told], as_json: bool) -> None:
    lines = []
    for name, each in told.items():
        lines += [f"{name} to {peer}: {_words(fault)}" for peer, fault in each.links.items()] or [f"{name}: no faults"]
        done = ", ".join(f"{count:,} {kind}" for kind, count in sorted(each.befallen.items()) if count)
        lines += [f"{name}: frames so far: {done}"] if done else []
    _say(msgspec.to_builtins(told), lines, as_json)


def _words(fault: LinkFault) -> str:
    if fault.cut:
        return "cut"
    chosen = {field: value for field, value in msgspec.structs.asdict(fault).items() if value}
    return ", ".join(f"{field} {value}" for field, value in chosen.items()) or "healthy"


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except LabError as error:
        _fail(str(error), 1)


def _network(directory: Path) -> local.Cluster:
    try:
        return local.Cluster(directory)
    except (local.ClusterError, *UNUSABLE) as error:
        _fail(str(error), 2)


def _home(directory: Path, name: str) -> Path:
    try:
        return _network(directory).home(name)
    except local.ClusterError as error:
        _fail(str(error), 2)


def _say(told: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:
    typer.echo(json.dumps(told) if as_json else "\n".join(lines))


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq lab", message, code)
