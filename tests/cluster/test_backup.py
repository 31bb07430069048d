"""Backup and restore by the very commands of docs/OPERATIONS.md: a node that lost everything comes back and votes."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from network import DEPOSIT, Network, Person, until

from ledger.receipts import receipt_from_json, verify_receipt
from sdk.client import Outcome
from sdk.errors import Refused
from sdk.methods import TRANSACTION, TransactionParams

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "OPERATIONS.md"
WITHIN_S = 120.0
NODE = "node4"

pytestmark = pytest.mark.cluster


def commands(title: str) -> str:
    """The shell's lines below a heading of the document."""
    section = DOCUMENT.read_text("utf-8").split(f"### {title}\n")[1].split("\n#")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block)


async def run(title: str, network: Network, backup: Path, node: str = NODE) -> None:
    places = {"NET": str(network.cluster.directory), "NODE": node, "BACKUP": str(backup)}
    await asyncio.to_thread(
        subprocess.run, ["sh", "-euc", commands(title)], check=True, env={**os.environ, **places}, cwd=backup.parent
    )


async def go_on(network: Network, blocks: int) -> int:
    """Let others certify so many blocks more; the height that they have then."""
    height = await network.height("node1") + blocks

    async def reached() -> bool:
        return await network.height("node1") >= height

    await until(reached, WITHIN_S)
    return height


async def check_it_comes_back(network: Network, height: int) -> None:
    """It has what the others have, and votes: its own votes are needed, since another one is away."""
    await network.cluster.up([NODE])

    async def votes() -> bool:
        status = await network.cluster.status(NODE)
        return status is not None and status.votes and status.certified_height >= height

    status = await network.cluster.status(NODE)
    assert status is not None
    assert any(alarm.startswith("amnesia") for alarm in status.alarms), "it knows that it forgot"
    await until(votes, WITHIN_S)
    await network.agree()
    network.cluster.kill("node3")
    await go_on(network, 3)
    await network.cluster.up(["node3"])
    await network.agree()


@pytest.mark.full
async def test_a_copy_of_a_stopped_node(network: Network, tmp_path: Path) -> None:
    await network.admit("dora", "buyer", 0)
    await network.cluster.stop(NODE)
    await run("Copy a stopped node", network, tmp_path / "backup.tar")
    await network.cluster.up([NODE])
    await go_on(network, 5)
    await network.cluster.stop(NODE)
    shutil.rmtree(network.cluster.home(NODE))
    height = await go_on(network, 5)
    await run("Restore", network, tmp_path / "backup.tar")
    await check_it_comes_back(network, height)


async def test_a_copy_of_a_running_node(network: Network, tmp_path: Path) -> None:
    await network.admit("dora", "buyer", 0)
    copied = await network.height(NODE)
    await run("Copy a running node", network, tmp_path / "backup.tar")
    await go_on(network, 3)
    network.cluster.kill(NODE)
    await network.cluster.wait_gone(NODE)
    await run("Restore", network, tmp_path / "backup.tar")
    assert not (network.cluster.home(NODE) / "data" / "state").exists(), "made again from the chain files"
    assert not (network.cluster.home(NODE) / "node.new").exists(), "it may have voted before"
    height = await go_on(network, 3)
    assert height > copied
    await check_it_comes_back(network, height)


async def deposited(network: Network, person: Person) -> Outcome:
    args = {"account": person.key.signer, "amount": DEPOSIT}
    return await network.operator.invoke("credit", "deposit", args, co_signers=[network.second_operator])


async def balance(network: Network, person: Person) -> int:
    row = await network.operator.client.account(person.key.signer)
    assert isinstance(row.value, dict)
    return int(row.value["available"])


async def stop_all(network: Network) -> None:
    await asyncio.gather(*(network.cluster.stop(name) for name in network.cluster.names))


@pytest.mark.full
async def test_a_whole_network_that_was_lost_comes_back_from_copies_of_all_its_nodes(
    network: Network, tmp_path: Path
) -> None:
    names = network.cluster.names
    dora = await network.admit("dora", "buyer", 0)
    await network.agree()
    await stop_all(network)
    for name in names:
        await run("Copy a stopped node", network, tmp_path / f"{name}.tar", name)
    await network.cluster.up()
    lost = await deposited(network, dora)
    await network.agree()
    top = max([await network.height(name) for name in names])

    await stop_all(network)
    for name in names:
        shutil.rmtree(network.cluster.home(name))
    for name in names:
        await run("Restore a whole network", network, tmp_path / f"{name}.tar", name)
    await network.cluster.up()
    await network.agree()

    # What was there at the copies is there; what came after is not, but its receipt still proves it.
    assert await balance(network, dora) == DEPOSIT
    with pytest.raises(Refused, match="NOT_FOUND"):
        await network.operator.client.call(TRANSACTION, TransactionParams(tx_id=lost.tx_id))
    verify_receipt(receipt_from_json(lost.receipt_json), network.genesis)

    # All vote, and the network needs no more than its quorum: it goes on with one away, past where it was lost.
    await deposited(network, dora)
    assert await balance(network, dora) == 2 * DEPOSIT
    statuses = [await network.cluster.status(name) for name in names]
    assert all(status is not None and status.votes and not status.alarms for status in statuses), statuses
    network.cluster.kill("node3")
    await go_on(network, max(3, top - await network.height("node1")))
    await network.cluster.up(["node3"])
    await network.agree()
