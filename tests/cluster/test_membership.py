"""Who votes changes while trading goes on, and nodes that lost their data come back: real processes, no sleeps."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from network import Network, Person, until

from contracts.machine import PythonMachine
from contracts.validation import MarketValidator
from ledger.replay import replay
from sdk.methods import NodeStatus

pytestmark = pytest.mark.cluster

WITHIN_S = 90.0
GAP_BLOCKS = 100
"""More than a snapshot may lie behind, so that a newcomer follows by blocks once it has one."""


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Four fresh nodes; whoever is farther behind than some seconds' blocks takes a snapshot."""
    made = Network(tmp_path / "net", extra=f"snapshot_gap_blocks = {GAP_BLOCKS}")
    try:
        await made.start()
        yield made
    finally:
        made.cluster.reload()
        await made.close()


class Load:
    """People who trade without a break; what was acknowledged is in their journals."""

    def __init__(self, people: list[Person], interval: int) -> None:
        self._people = people
        self._interval = interval
        self._stopping = False

    @property
    def acknowledged(self) -> list[str]:
        return [tx_id for person in self._people for tx_id in person.acknowledged]

    async def run(self, person: Person) -> None:
        number = 0
        while not self._stopping:
            number += 1
            bid = {
                "side": "bid",
                "meter": f"M-{person.name}",
                "interval": self._interval,
                "energy_wh": 10,
                "execution": "limit",
                "price": 1000 + number % 500,
            }
            await person.invoke("market", "place_order", bid)

    def stop(self) -> None:
        self._stopping = True

    async def lasts(self, blocks: int) -> None:
        """Wait until there are so many blocks."""
        client = self._people[0].client

        async def enough() -> bool:
            return (await client.status()).executed_height >= blocks

        await until(enough, WITHIN_S)

    async def goes_on(self, count: int = 4) -> None:
        """Wait until so many further transactions are acknowledged."""
        before = len(self.acknowledged)

        async def more() -> bool:
            return len(self.acknowledged) >= before + count

        await until(more, WITHIN_S)


@asynccontextmanager
async def trading(network: Network) -> AsyncIterator[Load]:
    people = [await network.admit("dora", "buyer", 1), await network.admit("emeka", "buyer", 3)]
    load = Load(people, await network.interval())
    async with asyncio.TaskGroup() as tasks:
        for person in people:
            tasks.create_task(load.run(person))
        await load.goes_on()
        yield load
        load.stop()


async def wattq(network: Network, *arguments: str) -> Any:
    """Run a command on the network; its JSON."""
    command = (sys.executable, "-m", "cli", *arguments, "--directory", str(network.cluster.directory), "--json")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


async def becomes(network: Network, name: str, *, votes: bool, whole: bool = True, alarm: str = "") -> NodeStatus:
    """Wait until a node is whole and votes, or is known not to, and has raised this alarm."""
    found: list[NodeStatus] = []

    async def is_so() -> bool:
        status = await network.cluster.status(name)
        found[:] = [] if status is None else [status]
        if status is None or (status.votes, status.whole) != (votes, whole):
            return False
        return not alarm or any(told.startswith(alarm) for told in status.alarms)

    await until(is_so, WITHIN_S)
    return found[0]


def count_in_chain(network: Network, home: Path) -> Counter[str]:
    """The transactions in a node's chain, executed anew from genesis."""
    genesis = Path(network.cluster.directory) / "genesis.json"
    return replay(home / "data" / "chain", genesis, PythonMachine(), MarketValidator()).transactions


def check_nothing_lost(network: Network, load: Load, homes: list[Path]) -> None:
    """Every acknowledged transaction is in every one of these chains exactly once."""
    acknowledged = load.acknowledged
    assert len(acknowledged) == len(set(acknowledged)) > 0
    for home in homes:
        found = count_in_chain(network, home)
        assert [tx_id for tx_id in acknowledged if found[tx_id] != 1] == [], home


@pytest.mark.row(16)
@pytest.mark.timeout(400)
async def test_members_join_lead_and_leave_while_trading_goes_on(network: Network) -> None:
    home = network.cluster.home
    homes = [home(name) for name in ("node2", "node3", "node4")]
    async with trading(network) as load:
        await load.lasts(2 * GAP_BLOCKS)
        joined = await wattq(network, "cluster", "add", "node5")
        assert joined["votes"]
        assert joined["first_height"] > 1, "it began with a snapshot"
        assert [v["name"] for v in joined["validators"]] == ["node1", "node2", "node3", "node4", "node5"]
        await load.goes_on()

        led = await wattq(network, "cluster", "handover", "node3")
        assert led["primary"] == "node3"
        await load.goes_on()

        await wattq(network, "cluster", "remove", "node1")
        assert network.cluster.exit_code("node1") == 0, "its process ended by itself"
        network.cluster.reload()
        assert network.cluster.names == ["node2", "node3", "node4", "node5"]
        await load.goes_on()

        network.cluster.kill("node3")
        await load.goes_on()
        network.cluster.start("node3")
    await network.agree()
    status = await becomes(network, "node5", votes=True)
    assert status.epoch >= 2
    await network.cluster.down()
    check_nothing_lost(network, load, homes)


@pytest.mark.timeout(300)
async def test_one_node_takes_the_place_of_another_that_is_dead(network: Network) -> None:
    async with trading(network) as load:
        network.cluster.kill("node2")
        told = await wattq(network, "cluster", "replace", "node2", "node5")
        assert [v["name"] for v in told["validators"]] == ["node1", "node5", "node3", "node4"]
        network.cluster.reload()
        await load.goes_on()
        network.cluster.kill("node4")
        await load.goes_on()
        network.cluster.start("node4")
    await network.agree()
    await network.cluster.down()
    check_nothing_lost(network, load, [network.cluster.home(name) for name in ("node1", "node3", "node4")])


@pytest.mark.timeout(300)
async def test_an_observer_follows_and_never_votes(network: Network) -> None:
    async with trading(network) as load:
        told = await wattq(network, "cluster", "observe", "node5")
        assert (told["observer"], told["votes"], told["index"]) == (True, False, -1)
        network.cluster.reload()
        await load.goes_on()
        network.cluster.kill("node5")
        await load.goes_on()
        network.cluster.start("node5")
    await network.agree()
    validator = await network.cluster.status("node1")
    assert validator is not None
    assert [v.name for v in validator.validators] == ["node1", "node2", "node3", "node4"]
    assert validator.view == 0, "nobody was slowed"


@pytest.mark.timeout(300)
async def test_a_primary_that_died_is_reported_and_does_not_lead_the_next_epoch(network: Network) -> None:
    async with trading(network) as load:
        network.cluster.kill("node1")
        found: list[NodeStatus] = []

        async def next_epoch() -> bool:
            status = await network.cluster.status("node3")
            found[:] = [] if status is None else [status]
            return status is not None and status.epoch == 1

        await until(next_epoch, WITHIN_S)
        assert (found[0].view, found[0].primary) == (0, "node2")
        assert [v.name for v in found[0].validators] == ["node1", "node2", "node3", "node4"]
        network.cluster.start("node1")
        await load.goes_on()
    await network.agree()
    again = await network.cluster.status("node1")
    assert again is not None
    assert (again.votes, again.primary) == (True, "node2")
    listed = await wattq(network, "evidence", "list")
    # On a busy machine a living primary may have looked slow to somebody too; that alone costs it nothing.
    assert 0 in {row["accused"] for row in listed}
    genesis = network.cluster.directory / "genesis.json"
    for row in listed:
        verify = (sys.executable, "-m", "cli", "evidence", "verify", row["file"], "--genesis", str(genesis))
        process = await asyncio.create_subprocess_exec(*verify, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert (process.returncode, b"VALID" in output) == (0, True)


async def lose(network: Network, name: str, what: str) -> None:
    """Kill a node and remove a directory of its data."""
    network.cluster.kill(name)
    await network.cluster.wait_gone(name)
    await asyncio.to_thread(shutil.rmtree, network.cluster.home(name) / what)


def spoil(path: Path) -> None:
    """Change a byte in a file's middle. At its end it could be the append that the kill tore, which is no damage."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.timeout(300)
async def test_a_node_that_lost_everything_takes_a_snapshot_and_is_mute_for_a_while(network: Network) -> None:
    async with trading(network) as load:
        await load.lasts(2 * GAP_BLOCKS)
        await lose(network, "node3", "data")
        network.cluster.start("node3")
        await becomes(network, "node3", votes=False, alarm="amnesia")
        status = await becomes(network, "node3", votes=True)
        assert status.first_height > 1
        network.cluster.kill("node4")
        await load.goes_on()
        network.cluster.start("node4")
    await network.agree()


@pytest.mark.row(6)
@pytest.mark.timeout(300)
async def test_a_node_with_a_spoilt_chain_takes_a_snapshot_and_votes(network: Network) -> None:
    async with trading(network) as load:
        await load.lasts(2 * GAP_BLOCKS)
        network.cluster.kill("node3")
        await network.cluster.wait_gone("node3")
        chain = max((network.cluster.home("node3") / "data" / "chain").glob("*.chain"))
        await asyncio.to_thread(spoil, chain)
        network.cluster.start("node3")
        status = await becomes(network, "node3", votes=True)
        assert status.first_height > 1
    await network.agree()


@pytest.mark.timeout(300)
async def test_a_node_with_a_spoilt_store_takes_a_snapshot_and_votes(network: Network) -> None:
    async with trading(network) as load:
        await load.lasts(2 * GAP_BLOCKS)
        await network.cluster.stop("node3")
        for path in (network.cluster.home("node3") / "data" / "state").glob("CURRENT"):
            await asyncio.to_thread(path.write_bytes, b"nonsense")
        network.cluster.start("node3")
        status = await becomes(network, "node3", votes=True)
        assert status.first_height > 1
    await network.agree()
