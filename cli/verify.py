"""`wattq verify`: check receipts and whole chains offline, with nothing but the genesis file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from ledger.receipts import ReceiptInvalid, receipt_from_json, verify_receipt
from ledger.replay import ChainInvalid, replay
from ledger.storage import STAMP, chain_name, generation_of
from pbft.disk import DiskFiles

app = typer.Typer(
    help="Check receipts and chains offline.\n\nExit codes: 0 valid, 1 invalid, 2 a file cannot be read.",
    no_args_is_help=True,
)
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


@app.command()
def chain(
    directory: Annotated[Path, typer.Argument(help="A node's data/chain.")],
    genesis: GenesisFile,
    height: Annotated[int | None, typer.Option(help="Stop at this height.")] = None,
    as_json: Json = False,
) -> None:
    """Execute a node's chain files again from genesis; names the first bad height and why.

    DIRECTORY holds chain files, or is a node's data directory: then those in force are taken.

    Example: wattq verify chain wattquorum/node1/data/chain --genesis wattquorum/genesis.json
    """
    _genesis(genesis)
    if (directory / STAMP).exists():
        directory = directory / chain_name(generation_of(DiskFiles(directory)))
    if not any(directory.glob("*.chain")):
        _unreadable(f"{directory} holds no chain files")
    try:
        found = replay(directory, genesis, PythonMachine(), MarketValidator(), height)
    except ChainInvalid as error:
        _refuse(
            f"{directory}: INVALID, {error}", {"valid": False, "height": error.height, "detail": str(error)}, as_json
        )
    told = {
        "valid": True,
        "height": found.height,
        "state_root": found.state_root.hex(),
        "transactions": sum(found.transactions.values()),
    }
    text = f"{directory}: VALID, {found.height} blocks, {told['transactions']} transactions, root {told['state_root']}"
    typer.echo(json.dumps(told) if as_json else text)


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
    typer.echo(f"wattq verify: {message}", err=True)
    raise typer.Exit(2)
