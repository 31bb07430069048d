"""`wattq proposal`: transactions that several sign, each with a key of its own, while they wait at nodes."""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn

import typer

from cli import failing
from cli.client import GENESIS, NODES, Channel, GenesisFile, Json, Key, Node, ask, json_object
from sdk import proposals
from sdk.calling import Call
from sdk.client import AsyncClient, Outcome
from sdk.proposals import Proposal

app = typer.Typer(
    help="Have transactions wait at nodes until all their signers have signed: keys of one account, or operators.\n\n"
    "Nodes do not pass them on: name several with --node, and each has them.\n\n"
    "Exit codes: 0 done, 1 refused, 2 bad arguments or files, 3 no node or no quorum answers.",
    no_args_is_help=True,
)
Id = Annotated[str, typer.Argument(help="Its transaction's id, as `list` tells it.")]


@app.command()
def begin(
    function: Annotated[str, typer.Argument(help="CONTRACT.FUNCTION")],
    args: Annotated[str, typer.Argument(help="Arguments as a JSON object.")],
    key: Key,
    others: Annotated[list[str], typer.Option("--with", help="Whoever signs too: `wattq key signer` tells it.")],
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Sign as the first, and leave it at the nodes for the others.

    Example: wattq proposal begin credit.transfer '{"account": "…", "to": "…", "amount": 5}' --key a.key --with 7f…
    """
    contract, dot, name = function.partition(".")
    given = json_object(args, "the arguments", _fail)
    if not dot:
        _fail("the function is CONTRACT.FUNCTION", 2)

    async def work(client: AsyncClient) -> Proposal:
        return await proposals.begin(client, Call(contract, name, given), others)

    _tell([ask(work, node, genesis, key, channel, _fail)], as_json)


@app.command("list")
def list_waiting(
    key: Key,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """What waits at the nodes and names your key, the newest first: read it before you sign.

    Example: wattq proposal list --key bob.key
    """
    found = ask(proposals.waiting, node, genesis, key, channel, _fail)
    if not found and not as_json:
        typer.echo(f"nothing waits for this key at {', '.join(node)}")
    _tell(found, as_json)


@app.command()
def sign(
    proposal: Id,
    key: Key,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Sign what waits; the last signature submits it, and its receipt is verified.

    Example: wattq proposal sign 5f… --key bob.key
    """

    async def work(client: AsyncClient) -> Proposal | Outcome:
        return await proposals.sign(client, proposal)

    done = ask(work, node, genesis, key, channel, _fail)
    if isinstance(done, Proposal):
        _tell([done], as_json)
        return
    told = {"tx_id": done.tx_id, "height": done.height, "code": done.code, "value": done.value}
    text = f"block {done.height}: {done.code} {json.dumps(done.value)}, transaction {done.tx_id}"
    typer.echo(json.dumps(told) if as_json else text)


@app.command()
def withdraw(
    proposal: Id,
    key: Key,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Have it wait no longer; any of its signers may.

    Example: wattq proposal withdraw 5f… --key bob.key
    """

    async def work(client: AsyncClient) -> None:
        await proposals.withdraw(client, proposal)

    ask(work, node, genesis, key, channel, _fail)
    typer.echo(json.dumps({"tx_id": proposal}) if as_json else f"{proposal} waits no longer")


def _tell(found: list[Proposal] | tuple[Proposal, ...], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_told(each) for each in found]))
        return
    for each in found:
        told = _told(each)
        typer.echo(f"{told['tx_id']}: {told['call']} {json.dumps(told['args'], ensure_ascii=False)}")
        for signer in told["signers"]:
            typer.echo(f"  {'not yet' if signer in told['missing'] else 'signed '} {signer}")


def _told(proposal: Proposal) -> dict[str, Any]:
    payload = proposal.payload
    return {
        "tx_id": proposal.record.tx_id,
        "call": f"{payload.contract}.{payload.function}",
        "args": payload.args,
        "signers": payload.signers,
        "missing": proposal.missing,
        "expires_at_height": payload.expires_at_height,
    }


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq proposal", message, code)
