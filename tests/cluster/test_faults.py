"""Real processes, real kills: nothing acknowledged is lost or done twice, and the survivors agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from network import Network, Person, until

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.replay import Replayed, replay
from sdk import methods
from sdk.errors import Refused, Unavailable
from sdk.methods import SubmitParams

pytestmark = pytest.mark.cluster


def executed(network: Network, name: str) -> Replayed:
    """A node's chain, executed anew from its files."""
    chain = network.cluster.home(name) / "data" / "chain"
    genesis = Path(network.cluster.directory) / "genesis.json"
    return replay(chain, genesis, PythonMachine(), MarketValidator())


def check_journal(network: Network, people: list[Person]) -> None:
    """Every acknowledged transaction is in every node's chain exactly once."""
    acknowledged = [tx_id for person in people for tx_id in person.acknowledged]
    assert len(acknowledged) == len(set(acknowledged)) > 0
    for name in network.cluster.names:
        found: Counter[str] = executed(network, name).transactions
        assert [tx_id for tx_id in acknowledged if found[tx_id] != 1] == [], name


async def trade_for_a_while(person: Person, interval: int, count: int) -> None:
    for number in range(count):
        bid = {
            "side": "bid",
            "meter": f"M-{person.name}",
            "interval": interval,
            "energy_wh": 10,
            "execution": "limit",
            "price": 1000 + number,
        }
        await person.invoke("market", "place_order", bid)


@pytest.mark.row(20)
async def test_killing_the_primary_loses_nothing_acknowledged(network: Network) -> None:
    people = [await network.admit("dora", "buyer", 1), await network.admit("emeka", "buyer", 2)]
    interval = await network.interval()
    work = asyncio.gather(*(trade_for_a_while(person, interval, 30) for person in people))
    await until(lambda: _acknowledged(people, 12), 60)
    status = await network.operator.client.status()
    network.cluster.kill(status.primary)
    await work
    changed = await people[0].client.status()
    assert (changed.epoch, changed.view) > (status.epoch, status.view)
    network.cluster.start(status.primary)
    await network.agree()
    await network.cluster.down()
    check_journal(network, people)


async def _acknowledged(people: list[Person], count: int) -> bool:
    return sum(len(person.acknowledged) for person in people) >= count


async def test_a_killed_backup_catches_up_to_the_same_root(network: Network) -> None:
    dora = await network.admit("dora", "buyer", 0)
    interval = await network.interval()
    network.cluster.kill("node3")
    await network.cluster.wait_gone("node3")
    await trade_for_a_while(dora, interval, 40)
    network.cluster.start("node3")
    await network.agree()
    await network.cluster.down()
    roots = {
        executed(network, name).state.entries["market/order/" + _first_order(network)] for name in ("node1", "node3")
    }
    assert len(roots) == 1
    check_journal(network, [dora])


def _first_order(network: Network) -> str:
    state = executed(network, "node3").state.entries
    return min(key.removeprefix("market/order/") for key in state if key.startswith("market/order/"))


@pytest.mark.row(19)
async def test_two_of_four_stopped_is_no_progress_and_no_wrong_answer(network: Network) -> None:
    dora = await network.admit("dora", "buyer", 0)
    interval = await network.interval()
    bid = {"side": "bid", "meter": "M-dora", "interval": interval, "energy_wh": 10, "price": 1000, "execution": "limit"}
    for name in ("node3", "node4"):
        network.cluster.kill(name)
        await network.cluster.wait_gone(name)
    with pytest.raises(Unavailable, match="no quorum of answers"):
        await dora.invoke("market", "place_order", bid, timeout_s=3.0)
    signed = await dora.client.sign("market", "place_order", {**bid, "price": 999})
    waiting = SubmitParams(payload=signed.payload, signatures=signed.signatures, timeout_ms=500)
    with pytest.raises(Refused, match=r"NO_QUORUM_YET.*not lost") as caught:
        await dora.client.call_plain(methods.SUBMIT, waiting)
    assert (caught.value.status, caught.value.tx_id) == (504, sha256(signed.payload.encode()).hexdigest())
    before = await network.height("node1")
    with pytest.raises(Unavailable):
        await dora.invoke("market", "place_order", bid, timeout_s=2.0)
    assert await network.height("node1") <= before + 8, "at most what was in flight"
    network.cluster.start("node4")
    await dora.invoke("market", "place_order", {**bid, "price": 1001}, timeout_s=60.0)
    assert (await dora.client.submit(signed)).tx_id == caught.value.tx_id, "what was taken in is not lost"
    network.cluster.start("node3")
    await network.agree()
    await network.cluster.down()
    check_journal(network, [dora])
