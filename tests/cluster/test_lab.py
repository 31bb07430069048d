"""Lab nodes as real processes: a validator that lies over real sockets, and links that are cut and healed by order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from network import Network, configuration_text, until

from cluster import LAB_NODE
from faults.real.control import order
from faults.real.links import LinkFault
from pbft.evidence_store import EvidenceStore, read_evidence
from sdk.errors import Unavailable

pytestmark = pytest.mark.cluster

CUT = LinkFault(cut=True)
HONEST = ("node2", "node3", "node4")


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Network]:
    """Four nodes of a lab, not yet started."""
    made = Network(tmp_path / "net", text=configuration_text(4, network="lab = true"))
    try:
        yield made
    finally:
        await made.close()


async def started(lab: Network, lies: Mapping[str, Sequence[str]] | None = None) -> None:
    """All as lab nodes; ``lies`` by the liar's name."""
    for name in lab.cluster.names:
        told = ",".join((lies or {}).get(name, ()))
        lab.cluster.start(name, LAB_NODE, ("--byzantine", told) if told else ())
    await lab.start()


async def trade(lab: Network, count: int) -> None:
    """So many transactions, each acknowledged."""
    person = lab.people[-1]
    interval = await lab.interval()
    for number in range(count):
        bid = {"side": "bid", "meter": f"M-{person.name}", "interval": interval, "energy_wh": 10, "execution": "limit"}
        await person.invoke("market", "place_order", {**bid, "price": 1_000 + number}, timeout_s=60.0)


async def executed_by(lab: Network, names: Sequence[str], height: int) -> None:
    async def have() -> bool:
        return all([await lab.height(name) >= height for name in names])

    await until(have, 90)


def evidence_against(lab: Network, name: str, liar: int) -> bool:
    """Whether a node keeps proof of a validator's lie."""
    store = EvidenceStore(lab.cluster.home(name) / "data" / "evidence", lambda height: ())
    return any(read_evidence(path).evidence.accused == liar for path in store.files())


@pytest.mark.row(1)
async def test_a_primary_that_proposes_twice_is_replaced_and_proven_a_liar(lab: Network) -> None:
    await started(lab, {"node1": ("equivocate",)})
    await lab.admit("dora", "buyer", 1)
    await trade(lab, 10)

    async def proven() -> bool:
        return any(evidence_against(lab, name, 0) for name in HONEST)

    await until(proven, 60)
    await lab.agree()


@pytest.mark.row(19)
async def test_a_primary_that_is_cut_off_is_replaced_and_catches_up_when_it_heals(lab: Network) -> None:
    await started(lab)
    await lab.admit("dora", "buyer", 1)
    status = await lab.operator.client.status()
    primary, others = status.primary, [name for name in lab.cluster.names if name != status.primary]
    homes = {name: lab.cluster.home(name) for name in lab.cluster.names}
    await order(homes[primary], {"*": CUT})
    await asyncio.gather(*(order(homes[name], {primary: CUT}) for name in others))
    await trade(lab, 10)
    height = max([await lab.height(name) for name in others])
    assert await lab.height(primary) < height, "it hears nothing"
    told = await order(homes[primary], {})
    assert told.befallen["cut"] > 0
    await asyncio.gather(*(order(homes[name], {}) for name in others))
    await executed_by(lab, [primary], height)
    await lab.agree()


async def test_two_halves_decide_nothing_until_they_meet(lab: Network) -> None:
    await started(lab)
    dora = await lab.admit("dora", "buyer", 0)
    halves = (("node1", "node2"), ("node3", "node4"))
    for own, other in (halves, halves[::-1]):
        for name in own:
            await order(lab.cluster.home(name), dict.fromkeys(other, CUT))
    with pytest.raises(Unavailable):
        await dora.invoke("market", "place_order", {}, timeout_s=3.0)
    for name in lab.cluster.names:
        await order(lab.cluster.home(name), {})
    await trade(lab, 3)
    await lab.agree()


def test_only_a_lab_has_lab_nodes(tmp_path: Path) -> None:
    made = Network(tmp_path / "net")
    command = [sys.executable, "-m", LAB_NODE, "--config", str(made.cluster.directory / "cluster.toml")]
    command += ["--byzantine", "equivocate", "--name", "node1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (
        2,
        "node node1: node.node1: only a network with network.lab = true has lab nodes\n",
    )


async def wattq(*words: str) -> str:
    """The command's output; fails with its error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def test_a_lab_by_hand(lab: Network) -> None:
    directory = str(lab.cluster.directory)
    config = str(lab.cluster.directory / "cluster.toml")
    where = ("--directory", directory)
    told = await wattq("lab", "up", "--config", config, *where, "--byzantine", "node4=silent")
    assert [line.split()[-1] for line in told.splitlines()] == ["honest", "honest", "honest", "silent"]
    await lab.start()
    await lab.admit("dora", "buyer", 1)
    await wattq("lab", "links", "node1", "--to", "node2", "--to", "node3", "--delay-ms", "30", *where)
    await wattq("lab", "links", "node1", "--to", "node4", "--cut", *where)
    await trade(lab, 3)
    told = await wattq("lab", "befallen", "node1", *where)
    lines = told.splitlines()
    assert lines[:3] == ["node1 to node2: delay_ms 30", "node1 to node3: delay_ms 30", "node1 to node4: cut"]
    assert "delayed" in lines[3]
    assert "node1: no faults" in await wattq("lab", "heal", *where)
