"""`wattq cluster`: a local network of node processes, from one `cluster.toml`."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

import cluster as local
from ca.authority import AuthorityError
from ca.keys import InvalidKey
from cli import failing
from cli.checks import check_configuration
from cli.contracts import shipped_contracts
from cli.membership import Membership
from ledger.genesis import GenesisInvalid
from sdk.configuration import Configuration, ConfigurationError, load
from sdk.errors import SdkError
from sdk.methods import NodeStatus, StateDatabaseStatus
from sdk.process import ending_signals

app = typer.Typer(
    help="Run a local network of node processes.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 unusable configuration, 130 interrupted.",
    no_args_is_help=True,
)
SAMPLE = Path(local.__file__).with_name("cluster.toml")
DIRECTORY = Path("wattquorum")
LAG_TOLD_MS = 5_000
"""A state database that lags for longer is told."""
UNUSABLE = (ConfigurationError, GenesisInvalid, AuthorityError, InvalidKey)

T = TypeVar("T")
Directory = Annotated[Path, typer.Option("--directory", "-d", help="The network's home.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NodeName = Annotated[str, typer.Argument(help="A node's name, or its number: 3 is node3.")]
INTERRUPTED = 130


@app.command()
def prepare(
    config: Annotated[Path, typer.Option("--config", "-c", help="cluster.toml.")] = SAMPLE,
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make a network's directory, and start nothing: for nodes that run elsewhere, in containers for example.

    One that is there stays as it is. Keys are readable by whoever runs this, and by nobody else.

    Example: wattq cluster prepare --config deploy/cluster.toml --directory /network
    """
    try:
        configuration = load(config)
        check_configuration(configuration, str(config))
        local.prepare(directory, configuration, config.read_text(encoding="utf-8"), shipped_contracts())
        names = local.Cluster(directory).names
    except UNUSABLE as error:
        _fail(str(error), 2)
    except local.ClusterError as error:
        _fail(str(error), 1)
    _say({"directory": str(directory), "nodes": list(names)}, f"{directory}: {', '.join(names)}", as_json)


@app.command()
def up(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="cluster.toml; used when the network is made.")
    ] = SAMPLE,
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make the network if there is none, and start its nodes.

    Example: wattq cluster up --config cluster.toml --directory /tmp/net
    """
    try:
        configuration = load(config)
        check_configuration(configuration, str(config))
        text, kept = config.read_text(encoding="utf-8"), directory / local.CONFIGURATION_FILE
        if not (directory / local.GENESIS_FILE).exists():
            _check_ports(configuration, config)
        elif config != SAMPLE and text != kept.read_text(encoding="utf-8"):
            typer.echo(f"wattq cluster: this network is made, and {kept} says how it runs; not {config}", err=True)
        local.prepare(directory, configuration, text, shipped_contracts())
        network = local.Cluster(directory)
        check_configuration(network.configuration, str(kept))
        started = asyncio.run(start(network))
    except UNUSABLE as error:
        _fail(str(error), 2)
    except local.ClusterError as error:
        _fail(str(error), 1)
    if not started:
        raise typer.Exit(INTERRUPTED)
    urls = {name: network.rest_url(name) for name in network.names}
    _say({"nodes": urls}, "\n".join(f"{name}  {url}" for name, url in urls.items()), as_json)


def _check_ports(configuration: Configuration, config: Path) -> None:
    """Before anything is made, so that a port in use leaves nothing behind."""
    own = "a file of your own (wattq init cluster.toml), and name that with --config cluster.toml"
    local.check_ports(configuration.node, own if config == SAMPLE else str(config))


async def start(network: local.Cluster, lab: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Start what does not run. False if a signal came meanwhile: then what was started has been ended again. ``lab``:
    as nodes of a lab, with options by name."""
    absent = [name for name in network.names if network.pid(name) is None]
    stop = asyncio.Event()
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work, stopping = asyncio.create_task(network.up(lab=lab)), asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if work.done():
        await work
        return True
    work.cancel()
    await asyncio.gather(work, *(network.stop(name) for name in absent), return_exceptions=True)
    return False


@app.command()
def down(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """End all nodes.

    Example: wattq cluster down
    """
    network = _open(directory)
    running = [name for name in network.names if network.pid(name) is not None]
    asyncio.run(network.down())
    _say({"ended": running}, f"ended: {', '.join(running)}" if running else "no node ran", as_json)


@app.command()
def status(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Show where each node stands; exit code 1 if one does not answer.

    Example: wattq cluster status --json
    """
    network = _open(directory)
    found = asyncio.run(_statuses(network))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        show_statuses(found, Console())
    if None in found.values():
        raise typer.Exit(1)


async def _statuses(network: local.Cluster) -> dict[str, NodeStatus | None]:
    found = await asyncio.gather(*(network.status(name) for name in network.names))
    return dict(zip(network.names, found, strict=True))


def show_statuses(found: dict[str, NodeStatus | None], console: Console) -> None:
    """A line a node, and below them what is out of the ordinary. Only the root, short as it is, may get shorter."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("node", "role", "epoch", "view", "primary", "executed", "certified"):
        table.add_column(column, no_wrap=True)
    table.add_column("state root", no_wrap=False, overflow="ellipsis")
    for name, node in found.items():
        if node is None:
            table.add_row(name, *["-"] * 6, "no answer")
        else:
            numbers = (str(node.epoch), str(node.view), node.primary, str(node.executed_height))
            table.add_row(name, _role(node), *numbers, str(node.certified_height), node.state_root[:16])
    console.print(table)
    for name, node in found.items():
        for note in _notes(node) if node is not None else ():
            console.print(f"{name}: {note}", soft_wrap=True, markup=False, highlight=False)


def _notes(node: NodeStatus) -> list[str]:
    """What a person should know beyond the table."""
    boundary = [] if node.boundary is None else [f"epoch {node.epoch} ends with block {node.boundary}"]
    changing = [] if node.view_active else [f"view {node.view} has not begun yet"]
    return [*boundary, *changing, *_state_notes(node.state_database), *node.alarms, *node.warnings]


def _state_notes(state: StateDatabaseStatus | None) -> list[str]:
    """What the state database lacks, if it is more than the last blocks, and why."""
    if state is None:
        return []
    told = f"state database leaves out {state.left_out} documents that it does not store, lately {state.left_out_last}"
    left_out = [told] if state.left_out else []
    if not state.fault and state.lag_ms < LAG_TOLD_MS:
        return left_out
    behind = f"{state.lag_blocks} blocks, {state.lag_bytes} bytes and {state.lag_ms / 1000:.0f} s behind"
    rate = f"{state.documents_per_s:.0f} documents/s"
    return [f"state database {behind}, {rate}" + (f": {state.fault}" if state.fault else ""), *left_out]


def _role(node: NodeStatus) -> str:
    """What a node is at the moment, in a few words."""
    if node.transfer is not None:
        return f"snapshot {node.transfer.staged}/{node.transfer.chunks}"
    if not node.whole:
        return "not whole"
    if node.closed:
        return "at rest, closed"
    if node.observer:
        return "observer"
    return "validator" if node.votes else "validator, mute"


@app.command()
def add(name: str, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Add a validator: make or take the node, let it catch up, have the operators vote it in.

    Example: wattq cluster add node5
    """
    _tell(_change(directory, lambda members: members.add(name)), as_json)


@app.command()
def observe(name: str, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Add a node that follows and executes, but does not vote. Example: wattq cluster observe node5"""
    _tell(_change(directory, lambda members: members.observe(name)), as_json)


@app.command()
def remove(name: str, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Take a validator out; its process ends by itself once the others have taken over.

    Example: wattq cluster remove node2
    """
    _change(directory, lambda members: members.remove(name))
    typer.echo(json.dumps({"removed": name}) if as_json else f"{name} is no validator any more")


@app.command()
def replace(old: str, new: str, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Put one node in the place of another, in one change. Example: wattq cluster replace node2 node5"""
    _tell(_change(directory, lambda members: members.replace(old, new)), as_json)


@app.command()
def handover(name: str, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Have another validator lead, by an order that the operators sign. Example: wattq cluster handover node3"""
    _tell(_change(directory, lambda members: members.handover(name)), as_json)


def _change(directory: Path, work: Callable[[Membership], Awaitable[T]]) -> T:
    """Do a change of membership, and show what is being waited for."""
    network = _open(directory)
    console = Console(stderr=True)
    try:
        with console.status("asking the nodes") as shown:
            return asyncio.run(_run(work, network, shown.update))
    except UNUSABLE as error:
        _fail(str(error), 2)
    except (local.ClusterError, SdkError) as error:
        _fail(str(error), 1)


async def _run(work: Callable[[Membership], Awaitable[T]], network: local.Cluster, say: Callable[[str], None]) -> T:
    return await work(Membership(network, say))


def _tell(node: NodeStatus, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(node).decode())
    else:
        show_statuses({node.name: node}, Console())


@app.command()
def kill(name: NodeName, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """End a node with SIGKILL, as a crash would.

    Example: wattq cluster kill node1
    """
    network = _open(directory)
    name = _named(network, name)
    if not network.kill(name):
        _fail(f"{name} does not run", 1)
    asyncio.run(network.wait_gone(name))
    _say({"killed": name}, f"{name} killed", as_json)


@app.command()
def restart(name: NodeName, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Stop a node if it runs, and start it again.

    Example: wattq cluster restart node1
    """
    network = _open(directory)
    name = _named(network, name)

    async def work() -> NodeStatus:
        await network.stop(name)
        network.start(name)
        return await network.wait_ready(name)

    try:
        found = asyncio.run(work())
    except local.ClusterError as error:
        _fail(str(error), 1)
    told = {"restarted": name, "executed_height": found.executed_height}
    _say(told, f"{name} is up at height {found.executed_height}", as_json)


@app.command()
def logs(
    name: NodeName,
    directory: Directory = DIRECTORY,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    as_json: Json = False,
) -> None:
    """Print the end of a node's log.

    Example: wattq cluster logs node1 -n 100
    """
    network = _open(directory)
    home = network.home(_named(network, name))
    found = {file.name: _tail(file, lines) for file in (home / "stderr.log", home / "log" / "node.log")}
    _say(found, "\n".join(line for tail in found.values() for line in tail), as_json)


def _tail(file: Path, lines: int) -> list[str]:
    if not file.exists():
        return []
    with file.open(errors="replace") as text:
        return [line.rstrip("\n") for line in deque(text, maxlen=lines)]


def _open(directory: Path) -> local.Cluster:
    try:
        return local.Cluster(directory)
    except (local.ClusterError, ConfigurationError) as error:
        _fail(str(error), 2)


def _named(network: local.Cluster, name: str) -> str:
    """The name of the node that is meant by its name or its number."""
    chosen = f"node{name}" if name.isdecimal() and name not in network.names else name
    try:
        network.section(chosen)
    except local.ClusterError as error:
        _fail(str(error), 2)
    return chosen


def _say(told: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(told) if as_json else text)


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq cluster", message, code)
