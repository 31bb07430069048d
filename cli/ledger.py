"""`wattq ledger`: what an operator does to a node's data: roll back, prune, export, import."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NoReturn

import typer

from cli import failing
from cli.homes import (
    Certificates,
    Place,
    damage_told,
    data_of,
    genesis_of,
    held_certificates,
    locked,
    place_of,
    progress,
)
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.blocks import StoredBlock
from ledger.chain import ChainCorrupt, ChainTorn
from ledger.export import ExportUnavailable, NothingToExport
from ledger.export import export as export_tables
from ledger.genesis import GenesisInvalid, load_genesis
from ledger.importing import fill
from ledger.ledger import Ledger
from ledger.pruning import CannotPrune, check_archive
from ledger.pruning import prune as prune_chain
from ledger.replay import ChainInvalid, blocks_of
from ledger.snapshot_files import CannotCut, cut_snapshot, write_snapshot
from ledger.snapshots import SnapshotInvalid
from ledger.storage import DirectoryUnusable, disk_storage
from ledger.store import open_to_read
from ledger.undo import CannotRollBack, roll_back
from pbft.disk import DiskFiles
from pbft.messages import ExecutionCertificate

COMMAND = "wattq ledger"
app = typer.Typer(
    help="Work on a node's ledger.\n\nExit codes: 0 done, 1 impossible, 2 unusable directory or genesis file.",
    no_args_is_help=True,
)


@app.callback()
def ledger() -> None:
    """Work on a node's ledger."""


@app.command()
@damage_told(COMMAND)
def rollback(
    directory: Path,
    genesis: Annotated[
        Path | None, typer.Option("--genesis", "-g", help="The network's genesis.json; by default two levels up.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Undo the blocks above the last execution certificate. The node executes the same order again when it starts.

    For when honest nodes no longer agree on an outcome: stop them, mend the engine, roll all of them back, start them.

    Example: wattq ledger rollback wattquorum/node1/data
    """
    if not (directory / "format").exists():
        _fail(f"{directory} is no data directory of a node", 2)
    try:
        trusted = load_genesis(genesis or genesis_of(directory))
        storage = disk_storage(directory, DiskFiles(directory))
    except (GenesisInvalid, DirectoryUnusable) as error:
        _fail(str(error), 2)
    try:
        done = roll_back(storage, trusted)
    except DirectoryUnusable as error:
        _fail(str(error), 2)
    except CannotRollBack as error:
        _fail(str(error), 1)
    finally:
        storage.release()
    text = f"{directory}: rolled back from block {done.before} to {done.after}, the last one certified"
    typer.echo(json.dumps({"before": done.before, "after": done.after}) if as_json else text)


class Format(StrEnum):
    """How tables are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@app.command()
@damage_told(COMMAND)
def export(
    directory: Annotated[Path, typer.Argument(help="A node's home, its data directory, chain files or an archive.")],
    out: Annotated[Path, typer.Option(help="Where the tables go, one file each.")],
    form: Annotated[Format, typer.Option("--format", help="The files' format.")] = Format.JSONL,
    first: Annotated[int, typer.Option("--from", min=1, help="The first height.")] = 1,
    last: Annotated[int | None, typer.Option("--to", help="The last height; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write blocks, transactions, results, events and trades as tables, also while the node runs.

    The blocks' checksums are checked, but not their content: `wattq verify chain` does that.

    Example: wattq ledger export wattquorum/node1 --format parquet --out tables
    """
    place = place_of(directory)
    if place is None:
        _fail(f"{directory} holds no chain files", 2)
    if last is not None and last < first:
        _fail(f"--to {last} is below --from {first}", 2)
    blocks = _until_torn(_between(blocks_of([place.chain]), first, last), directory)
    try:
        rows = export_tables(blocks, out, form.value, progress(f"exporting {directory}"))
    except (ExportUnavailable, OSError) as error:
        _fail(str(error), 2)
    except ChainCorrupt as error:
        _fail(str(error), 1)
    except NothingToExport:
        _fail(f"{directory} has no block from {first} on: nothing was written", 1)
    text = f"{out}: " + ", ".join(f"{count} {table}" for table, count in rows.items())
    typer.echo(json.dumps({"format": form.value, "rows": rows}) if as_json else text)


@app.command()
@damage_told(COMMAND)
def prune(
    directory: Annotated[Path, typer.Argument(help="A stopped node's home or data directory.")],
    below: Annotated[int, typer.Option(min=2, help="Blocks below this height may go, as far as whole files allow.")],
    archive: Annotated[Path, typer.Option(help="Where the files go: a directory for this node's chain alone.")],
    genesis: Annotated[
        Path | None, typer.Option("--genesis", "-g", help="The network's genesis.json; by default beside the home.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Move a stopped node's oldest blocks into an archive. State, certificates and proofs of state stay.

    Only whole segments (64 MiB) move, and only below a certified checkpoint. Nothing is deleted before it is in the
    archive, checked and durable. After a crash, run it again.

    Example: wattq ledger prune wattquorum/node1 --below 100000 --archive archive/node1
    """
    data = data_of(directory)
    if data is None:
        _fail(f"{directory} is no data directory of a node", 2)
    if Place(data, data).state is None:
        _fail(f"{directory} has no commit store: start the node once, which makes it again from its chain files", 1)
    try:
        trusted = load_genesis(genesis or genesis_of(data))
        check_archive(data, archive)
        with locked(data) as storage:
            done = prune_chain(storage, trusted, below, DiskFiles(archive))
    except (GenesisInvalid, DirectoryUnusable, OSError) as error:
        _fail(str(error), 2)
    except (CannotPrune, ChainCorrupt) as error:
        _fail(f"{directory}: {error}", 1)
    moved = (
        f"{len(done.archived)} files moved to {archive}" if done.archived else "no whole file lies below that height"
    )
    text = f"{directory}: {moved}, blocks are held from {done.first_height} on"
    typer.echo(json.dumps({"first_height": done.first_height, "archived": done.archived}) if as_json else text)


@app.command()
@damage_told(COMMAND)
def snapshot(
    directory: Annotated[Path, typer.Argument(help="A node's home or data directory; the node may run.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    genesis: Annotated[
        Path | None, typer.Option("--genesis", "-g", help="The network's genesis.json; by default beside the home.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the state after the newest certified block into one file that `wattq verify snapshot` checks.

    Reads a moment of the node's store and disturbs nothing, also while the node runs, and whatever has been pruned.
    Needs as much room again beside FILE while it works. What is written has been checked.

    Example: wattq ledger snapshot wattquorum/node1 --out state.snapshot
    """
    place = place_of(directory)
    if place is None or place.data is None or place.state is None:
        _fail(f"{directory} is no data directory of a node with blocks", 2)
    try:
        trusted = load_genesis(genesis or genesis_of(place.data))
        with closing(open_to_read(place.state)) as store, TemporaryDirectory(dir=out.parent) as scratch:
            manifest, chunk = cut_snapshot(store.snapshot(), place.chain, trusted, DiskFiles(Path(scratch)))
            write_snapshot(out, manifest, chunk)
    except (GenesisInvalid, OSError) as error:
        _fail(str(error), 2)
    except (CannotCut, SnapshotInvalid, ChainCorrupt) as error:
        _fail(f"{directory}: {error}", 1)
    height = manifest.certificate.statement.height
    text = f"{out}: the state after block {height} in {manifest.chunks} chunks"
    typer.echo(json.dumps({"height": height, "chunks": manifest.chunks}) if as_json else text)


@app.command("import")
@damage_told(COMMAND)
def import_chain(
    sources: Annotated[list[Path], typer.Argument(help="Chain files, archives or homes, the earliest first.")],
    into: Annotated[Path, typer.Option(help="A data directory that is to be made: DIR/data of a node's home.")],
    genesis: Annotated[Path, typer.Option("--genesis", "-g", help="The network's genesis.json.")],
    uncertified: Annotated[
        bool, typer.Option("--uncertified", help="Take blocks that no certificate vouches for too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a ledger of chain files: each block is executed again, and the first bad one ends it.

    Blocks are taken up to the newest certificate in the stores of the homes among SOURCES; each certificate is checked.
    Chain files and archives hold none: with nothing but those, --uncertified says that you trust where they come from.

    Example: wattq ledger import archive/node1 wattquorum/node1 --into copy/data --genesis wattquorum/genesis.json
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        _fail(f"{into} is not an empty directory", 2)
    places = [place_of(source) for source in sources]
    for source, place in zip(sources, places, strict=True):
        if place is None:
            _fail(f"{source} holds no chain files", 2)
    found = [place for place in places if place is not None]
    with ExitStack() as opened:
        try:
            trusted = load_genesis(genesis)
            held = [each for place in found if (each := opened.enter_context(held_certificates(place))) is not None]
            newest = max((each.newest for each in held), default=0)
            if not newest and not uncertified:
                _fail("no certificate vouches for these blocks: name a node's home too, or give --uncertified", 1)
            storage = disk_storage(into, DiskFiles(into))
        except (GenesisInvalid, DirectoryUnusable, OSError) as error:
            _fail(str(error), 2)
        made = opened.enter_context(closing(Ledger(storage, trusted, PythonMachine(), MarketValidator())))
        blocks = _between(blocks_of([place.chain for place in found]), 1, None if uncertified else newest)
        try:
            count = fill(made, blocks, lambda height: _certificate(held, height), progress(f"importing into {into}"))
        except ChainInvalid as error:
            _fail(f"{error}; the blocks before it are in {into}", 1)
        if made.height < newest:
            _fail(f"block {newest} has a certificate, but the files end at {made.height}; so far they are in {into}", 1)
        root, certified = made.state_root.hex(), made.certified_height
    told = {"height": made.height, "state_root": root, "certificates": count, "certified_height": certified}
    vouched = f"{count} certificates, the newest of block {certified}" if count else "NO certificate vouches for them"
    typer.echo(json.dumps(told) if as_json else f"{into}: {told['height']} blocks, root {root}; {vouched}")


def _certificate(held: list[Certificates], height: int) -> ExecutionCertificate | None:
    return next((found for each in held if (found := each.at(height)) is not None), None)


def _between(blocks: Iterator[StoredBlock], first: int, last: int | None) -> Iterator[StoredBlock]:
    for block in blocks:
        if last is not None and block.header.height > last:
            return
        if block.header.height >= first:
            yield block


def _until_torn(blocks: Iterator[StoredBlock], directory: Path) -> Iterator[StoredBlock]:
    """A running node may be writing its last record: what stands before it is exported, and it is told."""
    try:
        yield from blocks
    except ChainTorn as error:
        typer.echo(f"{directory}: the last record is not whole, and left out: {error}", err=True)


def _fail(message: str, code: int) -> NoReturn:
    failing.fail(COMMAND, message, code)
