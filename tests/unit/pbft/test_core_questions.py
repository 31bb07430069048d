"""What the edge and the operators ask of the core: which votes are wanted, whose word is credible, who is in charge."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from harness import SCOPE, Net

from ca.keys import SigningKey
from pbft.catch_up import PEERS_MAX
from pbft.checkpoint import Outcomes
from pbft.config import OBSERVER, ReplicaConfig
from pbft.core import CONVICTIONS_MAX, Core
from pbft.events import AlarmKind, Instant, Received, RejectReason
from pbft.evidence import EvidenceKind
from pbft.messages import (
    CertifiedBlock,
    Commit,
    Complaint,
    Handover,
    Outcome,
    Prepare,
    PrePrepare,
    Proposal,
    Statement,
    Status,
)

KEYS = tuple(SigningKey.from_seed(bytes([i])).public_key for i in range(4))
CONFIG = ReplicaConfig(SCOPE, KEYS, 0, checkpoint_interval_blocks=4, window_blocks=12)
A, B = b"a" * 32, b"b" * 32


# ----------------------------------------------------------------------------------------- wanted votes


@pytest.fixture
def settled() -> Net:
    """Block 1 is settled and certified everywhere."""
    net = Net(4, block_idle_ms_max=10_000)
    net.submit(0, "a")
    net.until(lambda: all(node.certificates for node in net.nodes))
    return net


def test_votes_that_can_change_nothing_are_not_wanted(settled: Net) -> None:
    replica = settled.nodes[1].replica
    digest = settled.nodes[1].blocks[0][0]
    assert not replica.wants(Prepare(0, 1, digest, 3))
    assert not replica.wants(Commit(0, 1, digest, 3))
    assert not replica.wants(Outcome(settled.nodes[1].statements[0], 3))


def test_votes_that_contradict_what_is_settled_are_wanted_as_evidence(settled: Net) -> None:
    replica = settled.nodes[1].replica
    assert replica.wants(Prepare(0, 1, B, 3))
    assert replica.wants(Commit(0, 1, B, 3))
    other = msgspec.structs.replace(settled.nodes[1].statements[0], state_root=B)
    assert replica.wants(Outcome(other, 3))


def test_votes_for_what_is_open_are_wanted_and_those_of_a_past_view_are_not(settled: Net) -> None:
    replica = settled.nodes[1].replica
    assert replica.wants(Prepare(0, 2, A, 3))
    assert replica.wants(Commit(0, 2, A, 3))
    assert replica.wants(Outcome(Statement(2, A, A, A, A), 3))
    assert replica.wants(Complaint(0, 3))
    assert not replica.wants(Prepare(0, 0, A, 3))
    assert not replica.wants(Commit(0, 0, A, 3))
    assert not replica.wants(Outcome(Statement(10_000, A, A, A, A), 3))
    assert replica.wants(Status(0, 0, True, 0, 0))


@pytest.mark.row(14)
def test_proposals_that_can_change_nothing_are_not_wanted(settled: Net) -> None:
    """Found by a tester: any validator's proposals had the signatures in their batches checked, 70 ms each."""
    replica = settled.nodes[1].replica
    high = replica.core.high

    def wanted(view: int, sequence: int, sender: int, digest: bytes = A) -> bool:
        return replica.wants(Proposal(PrePrepare(view, sequence, digest, sender), b""))

    assert wanted(0, 2, 0)
    assert wanted(0, high, 0)
    assert wanted(1, 2, 1), "the view may begin before it arrives"
    assert not wanted(0, 2, 3), "of one that does not lead the view"
    assert not wanted(0, high + 1, 0)
    assert not wanted(0, 0, 0)
    assert not wanted(4, 2, 0), "of a view that is far away"
    assert not wanted(0, 1, 0, settled.nodes[1].blocks[0][0]), "known already"
    replica.core.log.slots[1].accepted = None
    assert not wanted(0, 1, 0), "executed"
    replica.core.view_base = 2
    assert not wanted(0, 2, 0), "settled when the view began"


def test_of_a_second_proposal_only_the_pre_prepare_counts(settled: Net) -> None:
    replica = settled.nodes[1].replica
    first = replica.core.log.slots[1].accepted
    assert first is not None
    second = Proposal(PrePrepare(0, 1, B, 0), b"a batch that nobody looks at")
    assert replica.wants(second)
    assert replica.condensed(second) == second.pre_prepare
    assert replica.wants(second.pre_prepare)
    for other in (Proposal(first, b""), Proposal(PrePrepare(0, 2, B, 0), b""), Commit(0, 1, B, 3)):
        assert replica.condensed(other) == other
    net = settled
    net.give(net.nodes[1], Received(0, second.pre_prepare))
    assert [(e.kind, e.accused) for e in net.nodes[1].evidence] == [(EvidenceKind.TWO_PROPOSALS, 0)]
    assert net.nodes[1].rejects[-2:] == [RejectReason.CONFLICTING_PROPOSAL, RejectReason.PROVEN_LIE]
    net.give(net.nodes[1], Received(0, PrePrepare(0, 2, B, 0)))
    assert len(net.nodes[1].evidence) == 1, "nothing to contradict"


def test_blocks_and_hand_overs_that_can_change_nothing_are_not_wanted(settled: Net) -> None:
    replica = settled.nodes[1].replica
    certificate = settled.nodes[1].certificates[1]
    top = 1 + CONFIG.fetch_blocks_max

    def wanted(height: int) -> bool:
        statement = msgspec.structs.replace(certificate.statement, height=height)
        return replica.wants(CertifiedBlock(b"", b"", 0, 0, msgspec.structs.replace(certificate, statement=statement)))

    assert [wanted(height) for height in (0, 1, top, top + 1)] == [False, True, True, False]
    assert replica.wants(Handover(0, 2))
    assert not replica.wants(Handover(1, 2))
    assert not replica.wants(Handover(0, 9))


# -------------------------------------------------------------------------------------------- credibility


def test_a_lone_validator_without_its_log_can_be_told_by_nobody_and_stays_mute() -> None:
    """An observer's status is no validator's word."""
    net = Net(1)
    net.crash(0)
    net.restart(0, amnesia=True)
    net.give(net.nodes[0], Received(1, Status(0, 0, True, 0, 0)))
    net.give(net.nodes[0], Received(1, Status(0, 0, True, 10**9, 10**9)))
    assert net.nodes[0].replica.core.muted


def test_a_height_is_credible_when_f_plus_1_validators_say_it() -> None:
    core = Net(4).nodes[0].replica.core
    assert core.credible_height() == 0
    core.peers[1] = Status(0, 0, True, 900, 900)
    assert core.credible_height() == 0
    core.peers[7] = Status(0, 0, True, 900, 900)
    assert core.credible_height() == 0, "observers have no say"
    core.peers[2] = Status(0, 0, True, 50, 40)
    assert core.credible_height() == 40


@pytest.mark.row(6)
def test_a_lone_boaster_starts_no_state_transfer() -> None:
    """Found by the simulator, boast seed 0: one replica claimed heights far ahead, and was asked again and again."""
    net = Net(4, snapshot_gap_blocks=20)
    net.give(net.nodes[1], Received(3, Status(0, 0, True, 10**9, 10**9)))
    assert not net.nodes[1].replica.transfer.wanted
    net.submit(0, "a")
    net.until(lambda: "a" in net.nodes[1].texts())


def test_the_word_of_ever_new_strangers_is_kept_of_so_many_and_validators_go_on_being_heard() -> None:
    """Also by one that starts late into such a crowd."""
    net = Net(4)
    node = net.nodes[1]
    for sender in range(4, 2 * PEERS_MAX):
        net.give(node, Received(sender, Status(0, 0, True, 10**9, 10**9)))
    core = node.replica.core
    assert len(core.peers) == PEERS_MAX
    assert node.rejects[-1] == RejectReason.USELESS
    for sender, height in ((0, 5), (2, 5), (3, 5), (3, 7)):
        net.give(node, Received(sender, Status(0, 0, True, height, height)))
    assert [core.peers[sender].certified_height for sender in (0, 2, 3)] == [5, 5, 7]
    assert core.credible_height() == 5


# ---------------------------------------------------------------------------------------------- outcomes


def vote(sender: int, root: bytes, height: int = 1) -> Outcome:
    return Outcome(Statement(height, A, root, A, A), sender, b"s" * 64)


def test_two_against_two_is_hopeless_and_says_who_holds_what() -> None:
    outcomes = Outcomes(CONFIG)
    for sender, root in enumerate((A, A, B)):
        assert outcomes.add(vote(sender, root))
        assert outcomes.hopeless(1) is None
    outcomes.add(vote(3, B))
    why = outcomes.hopeless(1)
    assert why is not None
    assert "[0, 1]" in why
    assert "[2, 3]" in why


def test_a_rolled_back_replica_may_say_otherwise_and_is_then_counted() -> None:
    outcomes = Outcomes(CONFIG)
    for sender, root in enumerate((A, A, B, B)):
        outcomes.add(vote(sender, root))
    assert outcomes.add(vote(2, A))
    assert outcomes.hopeless(1) is None
    outcomes.executed(vote(0, A).statement)
    assert [c.statement.state_root for c in outcomes.advance()] == [A]


def test_an_outcome_out_of_range_or_said_before_is_useless() -> None:
    outcomes = Outcomes(CONFIG)
    assert not outcomes.add(vote(1, A, 0))
    assert not outcomes.add(vote(1, A, 25))
    assert outcomes.add(vote(1, A, 24))
    assert not outcomes.add(vote(1, A, 24))


def test_a_certificate_settles_the_blocks_below_and_the_checkpoint_among_them() -> None:
    """One that needed a certificate of its own stayed behind where several had lost theirs: no order went on."""
    outcomes = Outcomes(CONFIG)
    for height in range(1, 7):
        outcomes.executed(vote(0, A, height).statement)
    for sender in range(3):
        outcomes.add(vote(sender, A, 6))
    assert [c.statement.height for c in outcomes.advance()] == [6]
    assert outcomes.certified == 6
    assert outcomes.stable() == 4
    outcomes.forget_below(4)
    assert not outcomes.add(vote(3, A, 4))


@pytest.mark.row(11)
def test_split_outcomes_raise_one_alarm_and_no_storm_of_views() -> None:
    net = Net(4, checkpoint_interval_blocks=4, window_blocks=12, block_idle_ms_max=50, request_timeout_ms=300)
    for index in (2, 3):
        net.nodes[index].salt = b"another engine"
    net.submit(0, "a")
    net.advance(20_000)
    for node in net.nodes:
        assert [a.kind for a in node.alarms].count(AlarmKind.NO_CERTIFICATE) == 12
        assert node.height == 12, "stops at the high watermark"
        assert not node.certificates
        assert node.replica.view == 0
    net.give(net.nodes[0], Received(3, Complaint(1, 3)))
    net.give(net.nodes[1], Received(3, Complaint(10**9, 3)))
    net.advance(20_000)
    assert {node.replica.view for node in net.nodes} == {0}, "nor if one of them complains about later views"


@pytest.mark.row(11)
def test_a_complaint_about_a_view_far_away_speaks_against_no_nearer_one() -> None:
    """Found by a tester: kept for ever, it made every single complaint of an honest replica end a view."""
    net = Net(4)
    replica = net.nodes[0].replica
    replica.step(Received(3, Complaint(10**9, 3), None), Instant(1, 1))
    replica.step(Received(2, Complaint(0, 2), None), Instant(1, 1))
    assert (replica.view, replica.active) == (0, True)
    replica.step(Received(1, Complaint(1, 1), None), Instant(1, 1))
    assert replica.view == 1


# ------------------------------------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"validators": ()}, "validators"),
        ({"validators": (KEYS[0], KEYS[0])}, "validators"),
        ({"index": 4}, "index"),
        ({"index": -2}, "index"),
        ({"skipped": (1, 2)}, "skipped"),
        ({"window_blocks": 7}, "window_blocks"),
        ({"view_change_timeout_ms_max": 1}, "view_change_timeout_ms_max"),
        ({"pipeline_depth": 0}, "pipeline_depth"),
    ],
)
def test_a_configuration_that_cannot_be_names_the_field(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(CONFIG, **change).validate()  # type: ignore[arg-type]


def test_zero_switches_rotation_and_measurement_off() -> None:
    replace(CONFIG, rotation_blocks=0, primary_share_percent_min=0, index=OBSERVER).validate()
    core = Core(replace(CONFIG, rotation_blocks=0, primary_share_percent_min=0), lambda data: b"")
    assert core.rotation_height is None
    core.monitor.observe(10**9, waiting=True)
    assert not core.monitor.slow


@pytest.mark.row(10)
def test_a_status_is_answered_at_length_once_in_a_while_only() -> None:
    """Found by a tester: 23 bytes of status were answered with up to 58 MB, however often they came."""
    net = Net(4, checkpoint_interval_blocks=8, window_blocks=16, block_idle_ms_max=20)
    net.filter = lambda sender, receiver, message: receiver != 3
    net.advance(400)
    replica, behind = net.nodes[0].replica, Status(0, 0, True, 0, 0)

    def answers(at_ms: int) -> int:
        output = replica.step(Received(3, behind, None), Instant(at_ms, at_ms))
        return sum(send.to == 3 for send in output.send)

    at_ms = net.now_ms + 2 * net.config.status_interval_ms
    assert answers(at_ms) > 0
    assert [answers(at_ms + ms) for ms in range(5)] == [0] * 5
    assert answers(at_ms + net.config.status_interval_ms) > 0


@pytest.mark.row(10)
def test_who_lies_all_the_time_is_convicted_a_few_times_only() -> None:
    """Found by a tester: each conflicting vote was a synced file, seven milliseconds of every honest node."""
    net = Net(4)
    found = 0
    for number in range(50):
        vote = Prepare(0, 1, sha256(b"%d" % number).digest(), 2, b"s" * 64)
        found += len(net.nodes[1].replica.step(Received(2, vote, None), Instant(1, 1)).evidence)
    assert found == CONVICTIONS_MAX
