"""`wattq query`: documents, the past of keys, and proofs of what they hold, from a node."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from cli import failing
from cli.client import GENESIS, NODES, Channel, GenesisFile, Json, Key, Node, ask, json_object
from ledger.genesis import GenesisInvalid, load_genesis
from ledger.proofs import ProofInvalid, VerifiedEntry, state_proof_from_json, verify_state_proof
from sdk.client import AsyncClient
from sdk.methods import VersionRecord

app = typer.Typer(
    help="Ask for documents, the past of keys, and proofs.\n\n"
    "Exit codes: 0 done, 1 refused or proven false, 2 bad arguments or files, 3 no node answers.",
    no_args_is_help=True,
)
Limit = Annotated[int, typer.Option(min=1, max=200, help="Rows on a page.")]
Bookmark = Annotated[str, typer.Option(help="Where the page before ended.")]
Sort = Annotated[str, typer.Option(help="FIELD or FIELD:desc, more after commas; all in one direction.")]
Fields = Annotated[str, typer.Option(help="The fields to tell, with commas between them; else all.")]
T = TypeVar("T")


@app.command()
def find(
    selector: Annotated[str, typer.Argument(help="A Mango selector as a JSON object.")],
    key: Key,
    prove: Annotated[bool, typer.Option("--prove", help="Check each row against a proof.")] = False,
    sort: Sort = "",
    fields: Fields = "",
    limit: Limit = 50,
    bookmark: Bookmark = "",
    min_height: Annotated[int, typer.Option(min=0, help="Wait for this block.")] = 0,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Find documents that you may read, as of the height that is told.

    Example: wattq query find '{"v.type": "trade", "v.interval": 12}' --sort v.price:desc --key bob.key --prove
    """
    tree = json_object(selector, "the selector", _fail)
    options: dict[str, Any] = {"limit": limit, "bookmark": bookmark, "min_height": min_height, "prove": prove}
    options |= {"sort": _sort(sort), "fields": tuple(fields.split(",") if fields else ())}

    async def work(client: AsyncClient) -> Any:
        return await client.query(tree, **options)

    rows = ask(work, node, genesis, key, channel, _fail)
    if as_json:
        found = [{"key": r.key, "height": r.height, "index": r.index, "value": r.value} for r in rows.rows]
        if prove:
            found = [{**told, "proven": not row.unproven} for told, row in zip(found, rows.rows, strict=True)]
        typer.echo(json.dumps({"rows": found, "height": rows.height, "bookmark": rows.bookmark}))
        return
    for row in rows.rows:
        mark = "" if not prove else f"  {row.unproven or 'proven'}"
        typer.echo(f"{row.key}  {json.dumps(row.value, ensure_ascii=False)}{mark}")
    typer.echo(f"{len(rows.rows)} rows as of block {rows.height}" + _go_on(rows.bookmark))


@app.command()
def history(
    name: Annotated[str, typer.Argument(metavar="KEY", help="A key of the state.")],
    key: Key,
    limit: Limit = 50,
    bookmark: Bookmark = "",
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """List what was written under a key, newest first, with the transactions that did it.

    Example: wattq query history governance/parameter/grid_price --key operator.key
    """
    found = ask(lambda client: client.history(name, limit=limit, bookmark=bookmark), node, genesis, key, channel, _fail)
    if as_json:
        versions = [_version(each) for each in found.versions]
        told = {"key": name, "versions": versions, "height": found.height, "known_from": found.known_from}
        typer.echo(json.dumps(told | {"bookmark": found.bookmark}))
        return
    for each in found.versions:
        typer.echo(_line(each))
    known = f", known from block {found.known_from} on" if found.known_from else ""
    typer.echo(f"{len(found.versions)} versions as of block {found.height}{known}" + _go_on(found.bookmark))


@app.command()
def value(
    name: Annotated[str, typer.Argument(metavar="KEY", help="A key of the state.")],
    height: Annotated[int, typer.Option(min=0, help="After this block.")],
    key: Key,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Tell what a key held at a past height.

    Example: wattq query value governance/parameter/grid_price --height 100 --key operator.key
    """
    found = ask(lambda client: client.value_at(name, height), node, genesis, key, channel, _fail)
    told = {"key": name, "height": height, "version": _version(found.version)}
    typer.echo(json.dumps(told) if as_json else _line(found.version))


@app.command()
def proof(
    name: Annotated[str, typer.Argument(metavar="KEY", help="A key of the state, also one that is absent.")],
    out: Annotated[Path, typer.Option(help="Where the proof goes.")],
    key: Key,
    min_height: Annotated[int, typer.Option(min=0, help="At this block or a later one.")] = 0,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Fetch and check the proof of what a key holds at the newest certified height.

    Example: wattq query proof governance/parameter/grid_price --key operator.key --out proof.json
    """

    async def work(client: AsyncClient) -> VerifiedEntry:
        proven, tree = await client.proof(name, min_height)
        await asyncio.to_thread(out.write_text, json.dumps(tree, indent=1))
        return proven

    _tell(out, ask(work, node, genesis, key, channel, _fail), as_json)


def verify_proof(
    file: Annotated[Path, typer.Argument(help="The proof, as `wattq query proof` or REST wrote it.")],
    genesis: Annotated[Path, typer.Option("--genesis", "-g", help="The network's genesis.json: all that is trusted.")],
    as_json: Json = False,
) -> None:
    """Check the proof of what a key holds, or that it is absent, at a certified height.

    Example: wattq verify proof proof.json --genesis genesis.json
    """
    try:
        trusted = load_genesis(genesis)
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (GenesisInvalid, OSError, ValueError, RecursionError) as error:
        _fail(f"{file}: {error}", 2)
    try:
        bare = tree.get("proof", tree) if isinstance(tree, dict) else tree
        proven = verify_state_proof(state_proof_from_json(bare), trusted)
    except ProofInvalid as error:
        told = json.dumps({"valid": False, "fault": error.fault, "detail": str(error)})
        typer.echo(told if as_json else f"{file}: INVALID, {error}", err=not as_json)
        raise typer.Exit(1) from None
    _tell(file, proven, as_json)


def _tell(file: Path, proven: VerifiedEntry, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"valid": True, "file": str(file), **asdict(proven)}))
        return
    typer.echo(f"{file}: VALID, {proven.signers} of {proven.validators} validators signed the state of {proven.height}")
    if proven.version is None:
        typer.echo(f"{proven.key} is absent at block {proven.height}")
        return
    height, index = proven.version
    typer.echo(f"{proven.key} holds {json.dumps(proven.value)}, written in block {height}, place {index}")


def _sort(text: str) -> tuple[dict[str, str], ...]:
    parts = []
    for part in text.split(",") if text else ():
        field, colon, direction = part.partition(":")
        if colon and direction not in ("asc", "desc"):
            _fail(f"--sort: {part!r} is not FIELD, FIELD:asc or FIELD:desc", 2)
        parts.append({field: direction or "asc"})
    return tuple(parts)


def _version(version: VersionRecord) -> dict[str, Any]:
    return {field: getattr(version, field) for field in version.__struct_fields__}


def _line(version: VersionRecord) -> str:
    what = "deleted" if version.deleted else json.dumps(version.value, ensure_ascii=False)
    writer = f"transaction {version.tx_id}" if version.tx_id else version.deadline or "no transaction known"
    return f"block {version.height}, place {version.index}: {what}  by {writer}"


def _go_on(bookmark: str) -> str:
    return f"; go on with --bookmark {bookmark}" if bookmark else ""


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq query", message, code)
