"""Reads: ordered ones are linearizable, others come with a proof, and none blocks a write. Row 15."""

from __future__ import annotations

import pytest
from governed import Network

from ledger.tree import TreeProof, check_proof
from pbft.messages import Statement
from sim.catalogue import plan_of
from sim.checkers import check
from sim.checkers.linearizable import linearizable
from sim.setting import stage_of
from sim.world import World

KEY = "governance/parameter/skip_blocks"
READS = 500


@pytest.fixture
def network() -> Network:
    network = Network()
    network.govern("set_parameter", name="skip_blocks", value=21)
    network.run_to(6)
    return network


def _certified(network: Network, height: int) -> Statement:
    certificate = network.ledger.certificate(height)
    assert certificate is not None
    return certificate.statement


def _proven(network: Network, key: str) -> tuple[TreeProof, bytes | None]:
    prover = network.ledger.prover()
    assert prover is not None
    found = prover.prove(key)
    return TreeProof(found.steps, found.other), found.record


@pytest.mark.row(15)
def test_a_read_with_its_proof_holds_under_the_certified_root_and_no_lie_does(network: Network) -> None:
    before = _certified(network, 6).state_root
    network.govern("set_parameter", name="skip_blocks", value=22)
    proof, record = _proven(network, KEY)
    root = _certified(network, network.ledger.certified_height).state_root
    assert record is not None
    assert check_proof(root, KEY, record, proof)
    assert not check_proof(root, KEY, None, proof), "absence"
    assert not check_proof(root, KEY, record + b"\x00", proof), "another value"
    assert not check_proof(before, KEY, record, proof), "an older state"
    assert not check_proof(root, KEY + "s", record, proof), "another key"
    absent, nothing = _proven(network, "governance/parameter/none")
    assert nothing is None
    assert check_proof(root, "governance/parameter/none", None, absent)
    assert not check_proof(root, KEY, None, absent), "what is there can't be proven absent"


@pytest.mark.row(15)
def test_reads_change_nothing_and_wait_for_nobody(network: Network) -> None:
    root, height = network.ledger.state_root, network.ledger.height
    for _ in range(READS):
        _proven(network, KEY)
        network.ledger.snapshot()
    assert (network.ledger.state_root, network.ledger.height) == (root, height)
    network.block()
    assert network.ledger.height == height + 1


@pytest.mark.row(15)
@pytest.mark.parametrize("adversary", ["lying-replies", "equivocate", "partition"])
@pytest.mark.parametrize("seed", range(2))
def test_ordered_reads_are_linearizable_while_replicas_lie(adversary: str, seed: int) -> None:
    world = World(plan := plan_of(seed, 4, adversary), stage_of(plan))
    world.play()
    reads = [o for client in world.clients for o in client.history if o.function == "read" and o.answered]
    assert reads
    assert linearizable(world) == []
    assert check(world) == []
