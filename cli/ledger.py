"""`wattq ledger`: what an operator does to a stopped node's data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ledger.genesis import GENESIS_FILE_NAME, GenesisInvalid, load_genesis
from ledger.storage import DirectoryUnusable, disk_storage
from ledger.undo import CannotRollBack, roll_back
from pbft.disk import DiskFiles

app = typer.Typer(
    help="Work on a stopped node's ledger.\n\nExit codes: 0 done, 1 impossible, 2 unusable directory or genesis file.",
    no_args_is_help=True,
)


@app.callback()
def ledger() -> None:
    """Work on a stopped node's ledger."""


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


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"wattq ledger: {message}", err=True)
    raise typer.Exit(code)
