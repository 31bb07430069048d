"""`wattq ledger`: what an operator does to a node's data: roll back, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.homes import place_of, progress
from ledger.blocks import StoredBlock
from ledger.chain import ChainCorrupt
from ledger.export import ExportUnavailable
from ledger.export import export as export_tables
from ledger.genesis import GENESIS_FILE_NAME, GenesisInvalid, load_genesis
from ledger.replay import blocks_of
from ledger.storage import DirectoryUnusable, disk_storage
from ledger.undo import CannotRollBack, roll_back
from pbft.disk import DiskFiles

app = typer.Typer(
    help="Work on a node's ledger.\n\nExit codes: 0 done, 1 impossible, 2 unusable directory or genesis file.",
    no_args_is_help=True,
)


@app.callback()
def ledger() -> None:
    """Work on a node's ledger."""


@app.command()
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
        trusted = load_genesis(genesis or directory.resolve().parents[1] / GENESIS_FILE_NAME)
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
    blocks = _between(blocks_of([place.chain]), first, last)
    try:
        rows = export_tables(blocks, out, form.value, progress(f"exporting {directory}"))
    except (ExportUnavailable, OSError) as error:
        _fail(str(error), 2)
    except ChainCorrupt as error:
        _fail(str(error), 1)
    text = f"{out}: " + ", ".join(f"{count} {table}" for table, count in rows.items())
    typer.echo(json.dumps({"format": form.value, "rows": rows}) if as_json else text)


def _between(blocks: Iterator[StoredBlock], first: int, last: int | None) -> Iterator[StoredBlock]:
    for block in blocks:
        if last is not None and block.header.height > last:
            return
        if block.header.height >= first:
            yield block


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"wattq ledger: {message}", err=True)
    raise typer.Exit(code)
