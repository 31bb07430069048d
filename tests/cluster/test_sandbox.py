"""Real nodes with their contract workers: killed or stopped they are replaced, and with the nodes they end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from network import Network, until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux"),
]


def workers(network: Network) -> dict[str, list[int]]:
    """The worker processes of each node, oldest first."""
    nodes = {network.cluster.pid(name): name for name in network.cluster.names}
    found: dict[str, list[int]] = {name: [] for name in network.cluster.names}
    for place in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if parent in nodes and b"contracts.sandbox.worker" in words:
            found[nodes[parent]].append(int(place.name))
    return found


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def log_of(network: Network, name: str) -> str:
    return (network.cluster.home(name) / "log" / "node.log").read_text()


async def test_workers_are_replaced_and_blocks_retried_and_all_nodes_agree(network: Network) -> None:
    dora = await network.admit("dora", "buyer", 0)
    before = workers(network)
    assert all(before.values())
    for name, harm in (("node1", signal.SIGKILL), ("node2", signal.SIGKILL), ("node3", signal.SIGKILL)):
        os.kill(before[name][0], harm)
    bid = {"side": "bid", "meter": "M-dora", "interval": await network.interval(), "energy_wh": 10, "price": 9}
    outcome = await dora.invoke("market", "place_order", {**bid, "execution": "limit"})
    assert outcome.tx_id

    async def replaced() -> bool:
        after = workers(network)
        return all(after[name] and after[name][0] != before[name][0] for name in ("node1", "node2", "node3"))

    await until(replaced, 30)
    await network.agree()
    for name in network.cluster.names:
        assert "contracts run in a worker process" in log_of(network, name)
    assert "is replaced" in log_of(network, "node1")


async def test_workers_end_with_their_nodes_even_if_these_are_killed(network: Network) -> None:
    await network.admit("dora", "buyer", 0)
    pids = [pid for each in workers(network).values() for pid in each]
    assert len(pids) >= len(network.cluster.names)
    network.cluster.kill("node2")
    await network.cluster.down()

    async def gone() -> bool:
        return not alive(pids)

    await until(gone, 30)


async def test_a_node_may_be_told_to_run_contracts_itself(tmp_path: Path) -> None:
    made = Network(tmp_path / "net", extra='[sandbox]\nmode = "in-process"')
    try:
        await made.start()
        await made.admit("dora", "buyer", 0)
        assert not any(workers(made).values())
        assert "contracts run in the node's process" in log_of(made, "node1")
    finally:
        await made.close()
