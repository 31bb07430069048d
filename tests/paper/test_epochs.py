"""DESIGN "Membership": epochs end at boundaries, nobody votes above one early, leavers retire, observers follow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import SCOPE, Net, fake_signer

from ca.keys import SigningKey
from pbft.config import OBSERVER, ReplicaConfig
from pbft.events import Instant, Received, Recovered, RejectReason
from pbft.messages import Commit, Complaint, Outcome, Prepare, PrePrepare, Proposal, Statement, Status, ViewChange
from pbft.replica import Replica

K, L = 4, 12


def net_with_boundary() -> tuple[Net, int]:
    """Four replicas that have just executed a change of membership; and the boundary that it set."""
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50)
    net.submit(0, "a")
    net.until(lambda: net.all_executed("a"))
    boundary = (net.nodes[0].height + L + K) // K * K + K
    net.submit(0, f"boundary:{boundary}")
    net.until(lambda: all(node.boundary == boundary for node in net.nodes))
    return net, boundary


@pytest.mark.row(16)
def test_the_epoch_ends_when_its_boundary_is_certified_and_nobody_votes_above_it() -> None:
    net, boundary = net_with_boundary()
    net.submit(1, "late")
    net.until(lambda: all(node.ended for node in net.nodes))
    net.advance(10_000)
    assert {node.height for node in net.nodes} == {boundary}
    for node in net.nodes:
        votes = [m for m in node.sent if isinstance(m, Prepare | Commit | PrePrepare)]
        proposals = [m.pre_prepare for m in node.sent if isinstance(m, Proposal)]
        assert max(m.sequence for m in [*votes, *proposals]) <= boundary
        assert max(node.certificates) == boundary
    assert not [m for node in net.nodes for m in node.sent if isinstance(m, Complaint | ViewChange)]


@pytest.mark.row(16)
def test_a_proposal_above_the_boundary_is_refused() -> None:
    net, boundary = net_with_boundary()
    net.until(lambda: boundary <= net.nodes[1].replica.core.low + L)
    proposal = PrePrepare(0, boundary + 1, bytes(32), 0, b"s" * 64)
    net.give(net.nodes[1], Received(2, Prepare(0, boundary + 1, proposal.digest, 2, b"s" * 64)))
    assert net.nodes[1].rejects[-1] == RejectReason.ABOVE_BOUNDARY


def test_a_replica_that_has_not_executed_the_change_cannot_reach_beyond_the_boundary() -> None:
    """B >= g + L: whoever's watermarks reach above B has a stable checkpoint above g, and so has executed g."""
    net, boundary = net_with_boundary()
    for node in net.nodes:
        assert node.replica.core.high <= boundary


def test_a_restart_at_the_boundary_ends_the_epoch_again() -> None:
    net, boundary = net_with_boundary()
    net.until(lambda: all(node.ended for node in net.nodes))
    net.crash(1)
    net.nodes[1].ended = False
    net.restart(1)
    assert net.nodes[1].ended
    assert net.nodes[1].height == boundary


def test_a_laggard_reaches_the_boundary_by_blocks_after_the_others_have_gone_on() -> None:
    net, boundary = net_with_boundary()
    net.crash(3)
    net.until(lambda: all(node.ended for node in net.nodes[:3]))
    net.restart(3)
    net.until(lambda: net.nodes[3].ended)
    assert net.nodes[3].height == boundary
    net.check_agreement()


def test_an_epoch_begins_at_its_first_height_in_view_0_with_its_first_primary() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, first_height=9, first_primary=2)
    for node in net.nodes:
        node.statements = [Statement(height, bytes(32), bytes(32), bytes(32), bytes(32)) for height in range(1, 9)]
        node.blocks = [(b"", b"", 0, 0)] * 8
        node.replica = Replica(replace(net.config, index=node.index), fake_signer(node.index))
        net.give(node, Recovered((), 8, None, ()))
    for node in net.nodes:
        assert node.replica.core.low == 8
    net.submit(0, "a")
    net.advance(200)
    assert net.nodes[2].height > 8
    assert {m.pre_prepare.sender for n in net.nodes for m in n.sent if isinstance(m, Proposal)} == {2}


def test_skipped_validators_never_lead() -> None:
    keys = tuple(SigningKey.from_seed(bytes([i])).public_key for i in range(7))
    config = ReplicaConfig(SCOPE, keys, 0, first_primary=3, skipped=(4, 0))
    assert [config.primary(view) for view in range(6)] == [3, 5, 6, 1, 2, 3]


# ---------------------------------------------------------------------------------------- leavers, observers


def test_a_former_validator_retires_once_a_quorum_of_the_new_ones_stands_in_the_epoch() -> None:
    keys = tuple(SigningKey.from_seed(bytes([i])).public_key for i in range(4))
    scope = SCOPE.__class__(SCOPE.chain, SCOPE.channel, 1)
    config = ReplicaConfig(scope, keys, OBSERVER, first_height=9, leaving=True)
    leaver = Replica(config, fake_signer(0))
    now = Instant(0, 0)
    leaver.step(Recovered((), 8, None, ()), now)
    told = Status(1, 0, True, 8, 8)
    assert not leaver.step(Received(0, told), now).retired
    assert not leaver.step(Received(1, Status(0, 0, True, 8, 8)), now).retired
    assert not leaver.step(Received(2, told), now).retired
    assert not leaver.step(Received(9, told), now).retired, "only validators count"
    assert leaver.step(Received(3, told), now).retired


def test_an_observer_follows_and_never_signs() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50)
    observer = net.observe()
    net.submit(1, "a")
    net.until(lambda: "a" in observer.texts())
    net.until(lambda: len(observer.certificates) > 5)
    signed = (Prepare, Commit, Outcome, Proposal, Complaint, ViewChange)
    assert not [m for m in observer.sent if isinstance(m, signed)]
    net.check_agreement()


def test_an_observer_far_behind_takes_a_snapshot() -> None:
    net = Net(4, checkpoint_interval_blocks=K, window_blocks=L, block_idle_ms_max=50, snapshot_gap_blocks=20)
    net.until(lambda: net.nodes[0].height > 50)
    observer = net.observe()
    net.until(lambda: observer.height >= net.nodes[0].height - 15)
    assert observer.base > 0
    net.check_agreement()


def test_votes_of_those_who_are_no_validators_are_refused() -> None:
    net = Net(4)
    net.give(net.nodes[0], Received(4, Complaint(0, 4, b"s" * 64)))
    assert net.nodes[0].rejects[-1] == RejectReason.USELESS
