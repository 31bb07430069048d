"""`wattq state`: compare a node's state database with its state, and bring it up anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from api.statedb import open_state_database
from cli import failing
from cli.homes import damage_told
from cluster import CONFIGURATION_FILE, GENESIS_FILE, node_home
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from ledger.layout import HEAD, STATE, read_head, state_mark
from ledger.state import StateReader
from ledger.statedb.audit import Audit, audit
from ledger.statedb.documents import StateDatabase, StateDatabaseDamaged, StateDatabaseError
from ledger.statedb.projector import Projector
from ledger.storage import STAMP, DirectoryUnusable, disk_storage, generation_of, state_name
from ledger.store import CommitStore, open_to_read
from ledger.tree import root_of
from ledger.undo import rollbacks_of
from ledger.views import StateView
from pbft.disk import DiskFiles
from sdk.configuration import Configuration, ConfigurationError, load

PAUSE_S = 1.0
POLL_S = 0.5
SCAN = 1_000
NAMED_MAX = 100
"""Drifted documents printed as text; ``--json`` has all."""

app = typer.Typer(
    help="Look at a node's state database.\n\nExit codes: 0 it shows the state, 1 it does not, 2 unusable.",
    no_args_is_help=True,
)
Node = Annotated[str, typer.Argument(help="The node, for example node1.")]
Directory = Annotated[Path, typer.Option("--directory", "-d", help="The network's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Channel = Annotated[str, typer.Option("--channel", help="Another channel than the main one.")]
NETWORK = Path("wattquorum")
CHANNELS = "channels"


@dataclass(frozen=True, slots=True)
class Opened:
    """A node's state database and data directory."""

    database: StateDatabase
    data: Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's ledger lies, and what leads to its state database."""

    configuration: Configuration
    genesis: Genesis
    node: str
    data: Path

    @contextmanager
    def opened(self, locked: bool) -> Iterator[Opened]:
        """``locked``: the data directory is held by this process."""
        try:
            made = open_state_database(self.configuration, self.node, self.data, self.genesis, locked=locked)
            with closing(made) as database:
                yield Opened(database, self.data)
        except (ConfigurationError, StateDatabaseError) as error:
            _fail(str(error))


def _place(directory: Path, name: str, channel: str) -> Place:
    try:
        configuration = load(directory / CONFIGURATION_FILE)
        home = node_home(directory, name, configuration.section(name))
        data = home / "data" / CHANNELS / channel if channel else home / "data"
        genesis = load_genesis((home / CHANNELS / channel if channel else directory) / GENESIS_FILE)
    except (ConfigurationError, GenesisInvalid) as error:
        _fail(str(error))
    if not (data / STAMP).exists():
        _fail(f"{data} is no data directory of a node")
    return Place(configuration, genesis, name, data)


def _store(data: Path) -> CommitStore:
    """The commit store as it is now; a node may go on writing to it."""
    return open_to_read(data / state_name(generation_of(DiskFiles(data))))


def _reopening(data: Path) -> Callable[[], tuple[StateReader, int]]:
    held: list[CommitStore] = []

    def reopen() -> tuple[StateReader, int]:
        while held:
            held.pop().close()
        held.append(_store(data))
        return StateView(held[0]), read_head(held[0].get(HEAD) or b"").height

    return reopen


def _mark(data: Path) -> str:
    """What names the commit store's state."""
    store = _store(data)
    try:
        root = read_head(store.get(HEAD) or b"").statement.state_root
        return state_mark(generation_of(DiskFiles(data)), rollbacks_of(store), root)
    finally:
        store.close()


def _root_is_right(data: Path) -> tuple[bool, str]:
    """Whether the commit store's entries have the state root that its last block has."""
    store = _store(data)
    try:
        expected = read_head(store.get(HEAD) or b"").statement.state_root
        return root_of(_records(store)) == expected, expected.hex()
    finally:
        store.close()


def _records(store: CommitStore) -> Iterator[tuple[str, bytes]]:
    after = STATE
    while rows := store.scan(STATE, after, SCAN):
        after = rows[-1][0]
        for key, record in rows:
            yield key[len(STATE) :].decode(), record


@app.command()
@damage_told("wattq state")
def verify(node: Node, directory: Directory = NETWORK, channel: Channel = "", as_json: Json = False) -> None:
    """Compare every document with the state, and the state with its root; names each document that differs.

    The node may run meanwhile. A document that the database is yet to be given is no fault: it is counted as behind.

    Example: wattq state verify node1
    """
    with _place(directory, node, channel).opened(locked=False) as opened:
        good, root = _root_is_right(opened.data)
        told = _teller(as_json, "compared")
        try:
            found = audit(opened.database, _reopening(opened.data), told, lambda: time.sleep(PAUSE_S))
        except StateDatabaseDamaged as error:
            typer.echo(json.dumps({"node": node, "matches": False, "damaged": str(error)}) if as_json else str(error))
            raise typer.Exit(1) from None
    body: dict[str, Any] = {
        "node": node,
        "matches": good and not found.drifted,
        "documents": found.documents,
        "drifted": found.drifted,
        "behind": found.behind,
        "height": found.height,
        "savepoint": found.savepoint,
        "state_root": root,
        "state_matches_root": good,
    }
    typer.echo(json.dumps(body) if as_json else _text(node, found, good, root))
    raise typer.Exit(0 if body["matches"] else 1)


def _text(node: str, found: Audit, good: bool, root: str) -> str:
    lines = [] if good else [f"{node}: the commit store does not have the state root {root}: it is damaged"]
    lines += [f"{key}: {drift}" for key, drift in list(found.drifted.items())[:NAMED_MAX]]
    if len(found.drifted) > NAMED_MAX:
        lines.append(f"and {len(found.drifted) - NAMED_MAX} more: --json names all")
    verdict = f"{len(found.drifted)} DRIFTED" if found.drifted else "no document differs"
    behind = f", {found.behind} behind" if found.behind else ""
    place = f"state at height {found.height}, database at {found.savepoint}"
    if found.savepoint < 0:
        place += " (no savepoint: it is being rebuilt, or somebody removed it)"
    return "\n".join([*lines, f"{node}: {found.documents} documents, {verdict}{behind}; {place}"])


@app.command()
@damage_told("wattq state")
def rebuild(
    node: Node,
    directory: Directory = NETWORK,
    channel: Channel = "",
    timeout_s: Annotated[int, typer.Option(min=1, max=86_400, help="How long it may take.")] = 3_600,
    as_json: Json = False,
) -> None:
    """Bring a state database up anew from the commit store. Queries answer STATE_LAGGING until it is done.

    A node that runs does it itself, told by the savepoint's absence; otherwise this command does.

    Example: wattq state rebuild node1
    """
    began = time.monotonic()
    place = _place(directory, node, channel)
    with _held(place.data) as held, place.opened(locked=held) as opened:
        height = (_here if held else _by_the_node)(opened, timeout_s, as_json)
        count = sum(1 for _ in _keys(opened.database))
    took_s = round(time.monotonic() - began, 1)
    body = {"node": node, "rebuilt": height >= 0, "height": height, "documents": count, "seconds": took_s}
    text = f"{node}: rebuilt, {count} documents as of height {height}, {took_s} s"
    typer.echo(json.dumps(body) if as_json else text if height >= 0 else f"{node}: not done within {timeout_s} s")
    raise typer.Exit(0 if height >= 0 else 1)


@contextmanager
def _held(data: Path) -> Iterator[bool]:
    """Whether the data directory is this process's alone; not while its node runs."""
    try:
        storage = disk_storage(data, DiskFiles(data))
    except DirectoryUnusable:
        yield False
        return
    try:
        yield True
    finally:
        storage.release()


def _keys(database: StateDatabase) -> Iterator[str]:
    after = ""
    while page := database.keys(after, SCAN):
        after = page[-1]
        yield from page


def _by_the_node(opened: Opened, timeout_s: int, as_json: bool) -> int:
    """Remove the savepoint, which the node notices within seconds; the height when it is back, -1 if too late."""
    _, goal = _reopening(opened.data)()
    with suppress(StateDatabaseDamaged):  # the node notices that by itself
        opened.database.forget_savepoint()
    told = _teller(as_json, "documents written by the node")
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        height = _height(opened.database)
        if height >= goal:
            return height
        told(0)
    return -1


def _height(database: StateDatabase) -> int:
    """The savepoint; -1 too while the node is making the database anew."""
    try:
        return database.height()
    except StateDatabaseError:
        return -1


def _here(opened: Opened, timeout_s: int, as_json: bool) -> int:
    reader, height = _reopening(opened.data)()
    mark = _mark(opened.data)
    projector = Projector(opened.database, lambda: (reader, height), 1, mark_at=lambda _: mark)
    projector.resync()
    projector.start()
    told = _teller(as_json, "documents written")
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            if projector.wait_for(height, POLL_S):
                return height
            progress = projector.progress()
            if progress.fault:
                _fail(progress.fault)
            told(progress.documents)
        return -1
    finally:
        projector.stop()


def _teller(as_json: bool, what: str) -> Callable[[int], None]:
    """Progress on standard error, at most a line a second."""
    last = time.monotonic()

    def tell(count: int) -> None:
        nonlocal last
        if not as_json and time.monotonic() - last > PAUSE_S:
            last = time.monotonic()
            typer.echo(f"{count or '…'} {what}", err=True)

    return tell


def _fail(message: str) -> NoReturn:
    failing.fail("wattq state", message, 2)
