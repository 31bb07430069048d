"""`wattq tx`: submit a transaction with one's own key, and fetch receipts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from ca.keys import InvalidKey, SigningKey
from cli import failing
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from ledger.proofs import ProofInvalid
from sdk import methods
from sdk.client import AsyncClient
from sdk.configuration import ConfigurationError
from sdk.connection import tls_of
from sdk.errors import Refused, SdkError
from sdk.transports import Transport, connect

app = typer.Typer(
    help="Submit transactions, fetch receipts.\n\n"
    "Exit codes: 0 done, 1 refused, 2 bad arguments or files, 3 no node or no quorum answers.",
    no_args_is_help=True,
)
Node = Annotated[list[str], typer.Option("--node", "-n", envvar="WATTQ_NODES", help="A node's URL; more for failover.")]
GenesisFile = Annotated[Path, typer.Option("--genesis", "-g", help="The network's genesis.json.")]
Key = Annotated[Path, typer.Option("--key", "-k", help="Your private key (PEM).")]
Channel = Annotated[str, typer.Option("--channel", help="Another channel than the main one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NODES = ["http://127.0.0.1:26601"]
GENESIS = Path("wattquorum/genesis.json")
T = TypeVar("T")


@app.command()
def submit(
    function: Annotated[str, typer.Argument(help="CONTRACT.FUNCTION")],
    args: Annotated[str, typer.Argument(help="Arguments as a JSON object.")],
    key: Key,
    co_key: Annotated[list[Path] | None, typer.Option("--co-key", help="Further signers' keys, in order.")] = None,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    receipt: Annotated[Path | None, typer.Option(help="Write the verified receipt here.")] = None,
    as_json: Json = False,
) -> None:
    """Sign, submit and wait for the verified certificate; prints the outcome.

    Example: wattq tx submit market.cancel_order '{"order": "000000000012-00000"}' --key bob.key
    """
    contract, dot, name = function.partition(".")
    given = json_object(args, "the arguments", _fail)
    if not dot:
        _fail("the function is CONTRACT.FUNCTION", 2)

    async def work(client: AsyncClient) -> dict[str, Any]:
        co_signers = [SigningKey.load(path) for path in co_key or []]
        outcome = await client.invoke(contract, name, given, co_signers=co_signers)
        if receipt is not None:
            await asyncio.to_thread(receipt.write_text, json.dumps(outcome.receipt_json, indent=1))
        return {"tx_id": outcome.tx_id, "height": outcome.height, "code": outcome.code, "value": outcome.value}

    told = ask(work, node, genesis, key, channel, _fail)
    text = f"block {told['height']}: {told['code']} {json.dumps(told['value'])}, transaction {told['tx_id']}"
    typer.echo(json.dumps(told) if as_json else text)


@app.command()
def receipt(
    tx_id: Annotated[str, typer.Argument(help="The transaction's id, in hex.")],
    key: Key,
    out: Annotated[Path, typer.Option(help="Where it goes.")],
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Fetch the receipt of a transaction that you are a party to.

    Example: wattq tx receipt 5f… --key bob.key --out r.json
    """

    async def work(client: AsyncClient) -> None:
        answer = await client.call(methods.RECEIPT, methods.TransactionParams(tx_id=tx_id))
        await asyncio.to_thread(out.write_text, json.dumps(answer.proof, indent=1))

    ask(work, node, genesis, key, channel, _fail)
    typer.echo(json.dumps({"tx_id": tx_id, "file": str(out)}) if as_json else f"receipt of {tx_id}: {out}")


def genesis_of(genesis: Path, channel: str) -> Genesis:
    """The genesis file; a channel's own, which operators keep beside the network's, if the network's was named."""
    beside = genesis.parent / "channels" / f"{channel}.json"
    return load_genesis(beside if channel and genesis.name == GENESIS.name else genesis)


def endpoints_of(nodes: list[str], genesis: Genesis, key: Path) -> list[Transport]:
    """Those at ``tls://`` are known by the network's roots, and know who asks by the certificate beside the key, where
    ``wattq register`` puts it. ``ConfigurationError`` if that is another key's."""
    certificate = key.with_suffix(".crt")
    shown = certificate if certificate.exists() else None
    if not any(url.startswith("tls://") for url in nodes):
        return [connect(url) for url in nodes]
    tls = tls_of(genesis.roots, shown, key)
    known = {url: (tls if url.startswith("tls://") else None) for url in nodes}
    return [connect(url, trust, vouched=shown is not None) for url, trust in known.items()]


def ask(
    work: Callable[[AsyncClient], Awaitable[T]],
    nodes: list[str],
    genesis: Path,
    key: Path,
    channel: str,
    fail: Callable[[str, int], NoReturn],
) -> T:
    """Do ``work`` as the holder of a key; what goes wrong is told by ``fail``, with the exit code for it."""

    async def whole() -> T:
        trusted = genesis_of(genesis, channel)
        async with AsyncClient(endpoints_of(nodes, trusted, key), trusted, SigningKey.load(key), channel) as client:
            return await work(client)

    try:
        return asyncio.run(whole())
    except (Refused, ProofInvalid) as error:
        fail(str(error), 1)
    except (ConfigurationError, GenesisInvalid, InvalidKey, OSError, ValueError) as error:
        fail(str(error), 2)
    except SdkError as error:
        fail(str(error), 3)


def json_object(text: str, what: str, fail: Callable[[str, int], NoReturn]) -> dict[str, Any]:
    """An argument, ``what``, that is a JSON object."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        fail(f"{what}: not JSON: {error}", 2)
    if not isinstance(tree, dict):
        fail(f"{what}: not a JSON object", 2)
    return tree


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq tx", message, code)
