"""`wattq verify`: check receipts and whole chains offline, with nothing but the genesis file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cli import failing
from cli.homes import Place, held_certificates, place_of, progress
from cli.query import verify_proof
from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.chain import ChainCorrupt
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from ledger.opening import is_damage
from ledger.receipts import ReceiptInvalid, receipt_from_json, verify_receipt
from ledger.replay import ChainInvalid, Replay, Verified, blocks_of, verify_chain
from ledger.snapshot_files import verify_snapshot
from ledger.snapshots import SnapshotInvalid

app = typer.Typer(
    help="Check receipts and chains offline.\n\nExit codes: 0 valid, 1 invalid, 2 a file cannot be read.",
    no_args_is_help=True,
)
app.command(name="proof")(verify_proof)
GenesisFile = Annotated[Path, typer.Option("--genesis", "-g", help="The network's genesis.json: all that is trusted.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def receipt(
    file: Annotated[Path, typer.Argument(help="The receipt, as `wattq tx` or REST wrote it.")],
    genesis: GenesisFile,
    as_json: Json = False,
) -> None:
    """Check a transaction's receipt, from its signatures to the genesis file.

    Example: wattq verify receipt receipt.json --genesis genesis.json
    """
    trusted = _genesis(genesis)
    try:
        proven = verify_receipt(receipt_from_json(_read_json(file)), trusted)
    except ReceiptInvalid as error:
        _refuse(f"{file}: INVALID, {error}", {"valid": False, "fault": error.fault, "detail": str(error)}, as_json)
    told: dict[str, Any] = {
        "valid": True,
        "tx_id": proven.tx_id,
        "height": proven.height,
        "index": proven.index,
        "time": datetime.fromtimestamp(proven.time_ms / 1000, UTC).isoformat(),
        "code": proven.code,
        "message": proven.message,
        "value": proven.value,
        "executed": proven.executed,
        "validators_signed": proven.signers,
        "validators": proven.validators,
        "payload": json.loads(proven.payload),
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    payload = told["payload"]
    signed = f"{proven.signers} of {proven.validators} validators signed its outcome"
    typer.echo(f"{file}: VALID, {signed}")
    typer.echo(f"transaction {proven.tx_id}: {payload['contract']}.{payload['function']} {json.dumps(payload['args'])}")
    typer.echo(f"block {proven.height}, {told['time']}, outcome {proven.code} {json.dumps(proven.value)}")
    if not proven.executed:
        typer.echo("not executed in this block; another block may hold the same transaction, executed")


@app.command()
def chain(
    directory: Annotated[Path, typer.Argument(help="A node's home, its data directory, chain files or an archive.")],
    genesis: GenesisFile,
    height: Annotated[int | None, typer.Option(min=1, help="Stop at this height.")] = None,
    archive: Annotated[Path | None, typer.Option(help="Where `wattq ledger prune` put earlier blocks.")] = None,
    as_json: Json = False,
) -> None:
    """Execute a node's chain files again from genesis; names the first bad height and why.

    Of a node's home, also while it runs, the certificates in its store are checked too. Nothing in DIRECTORY changes.

    Example: wattq verify chain wattquorum/node1 --genesis wattquorum/genesis.json
    """
    trusted = _genesis(genesis)
    place = _place(directory)
    sources = [place.chain] if archive is None else [_place(archive).chain, place.chain]
    run = Replay(trusted, PythonMachine(), MarketValidator())
    try:
        with held_certificates(place) as held:
            found = verify_chain(
                run,
                blocks_of(sources),
                held.at if held is not None else lambda height: None,
                height,
                progress(f"verifying {directory}"),
            )
            if held is not None and height is None and held.newest > found.height:
                why = f"missing: the store has a certificate of block {held.newest}, the files end at {found.height}"
                raise ChainInvalid(found.height + 1, why)
    except ChainInvalid as error:
        _refuse(
            f"{directory}: INVALID, {error}",
            {"valid": False, "height": error.height, "why": error.why, "detail": str(error)},
            as_json,
        )
    except Exception as error:
        if not is_damage(error):
            raise
        told = {"valid": False, "height": run.height + 1, "why": str(error), "detail": str(error)}
        _refuse(f"{directory}: INVALID, the commit store: {error}", told, as_json)
    _tell_chain(directory, found, held is not None, as_json)


@app.command()
def snapshot(
    file: Annotated[Path, typer.Argument(help="A snapshot, as `wattq ledger snapshot` wrote it.")],
    genesis: GenesisFile,
    as_json: Json = False,
) -> None:
    """Check a snapshot's certificate and each of its chunks, from the genesis file alone.

    Example: wattq verify snapshot state.snapshot --genesis genesis.json
    """
    trusted = _genesis(genesis)
    try:
        found = verify_snapshot(file, trusted)
    except SnapshotInvalid as error:
        _refuse(f"{file}: INVALID, {error}", {"valid": False, "detail": str(error)}, as_json)
    except OSError as error:
        _unreadable(str(error))
    told = {
        "valid": True,
        "height": found.height,
        "state_root": found.state_root.hex(),
        "epoch": found.epoch,
        "validators_signed": found.signers,
        "chunks": found.chunks,
        "entries": found.entries,
    }
    text = f"{file}: VALID, the state after block {found.height}, signed by {found.signers} validators of epoch "
    text += f"{found.epoch}: {found.entries} entries in {found.chunks} chunks, root {told['state_root']}"
    typer.echo(json.dumps(told) if as_json else text)


def _tell_chain(directory: Path, found: Verified, checked: bool, as_json: bool) -> None:
    if as_json:
        certificates = {"certificates": found.certificates, "certified_height": found.certified_height}
        told = {
            "valid": True,
            "height": found.height,
            "state_root": found.state_root.hex(),
            "transactions": found.transactions,
            **(certificates if checked else {"certificates": None, "certified_height": None}),
        }
        typer.echo(json.dumps(told))
        return
    root = found.state_root.hex()
    typer.echo(f"{directory}: VALID, {found.height} blocks, {found.transactions} transactions, root {root}")
    if checked:
        typer.echo(f"{found.certificates} certificates are good, the newest of block {found.certified_height}")
    else:
        typer.echo("no certificates checked: they are not in chain files but in a node's store")


def _place(directory: Path) -> Place:
    try:
        place = place_of(directory)
    except (OSError, ChainCorrupt) as error:
        _unreadable(f"{directory}: {error}")
    if place is None:
        _unreadable(f"{directory} holds no chain files")
    return place


def _genesis(path: Path) -> Genesis:
    try:
        return load_genesis(path)
    except GenesisInvalid as error:
        _unreadable(str(error))


def _read_json(path: Path) -> Any:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _unreadable(f"{path}: {error}")
    return tree.get("proof", tree) if isinstance(tree, dict) else tree


def _refuse(text: str, told: dict[str, Any], as_json: bool) -> NoReturn:
    typer.echo(json.dumps(told) if as_json else text, err=not as_json)
    raise typer.Exit(1)


def _unreadable(message: str) -> NoReturn:
    failing.fail("wattq verify", message, 2)
