"""Castro and Liskov, OSDI '99, sections 4.4 and 4.5: view changes, liveness, and restarts that keep promises."""

from __future__ import annotations

import msgspec
import pytest
from harness import SCOPE, Net, checked, fake_signer

from pbft.config import ReplicaConfig
from pbft.events import Received, RejectReason
from pbft.evidence import EvidenceKind
from pbft.messages import (
    NULL_DIGEST,
    BatchBody,
    Commit,
    Complaint,
    ExecutionCertificate,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Statement,
    ViewChange,
)
from pbft.quorum import faulty_max, leaders_of, primary_of, quorum, weak_quorum
from pbft.records import Entered, Prepared
from pbft.view_change import bare, chosen, is_new_view, is_view_change, open_sequences


@pytest.mark.row(9)
@pytest.mark.parametrize("n", range(1, 200))
def test_quorums_intersect_in_an_honest_replica_and_can_form(n: int) -> None:
    f, q = faulty_max(n), quorum(n)
    assert 2 * q - n >= f + 1
    assert q <= n - f
    assert weak_quorum(n) == f + 1
    if n == 3 * f + 1:
        assert q == 2 * f + 1


def test_a_crashed_primary_is_replaced_and_the_request_executes() -> None:
    net = Net(4)
    net.crash(0)
    net.submit(1, "a")
    net.until(lambda: net.all_executed("a"))
    assert {node.replica.view for node in net.nodes[1:]} == {1}


@pytest.mark.row(3)
def test_what_prepared_survives_the_view_change() -> None:
    net = Net(4)
    net.filter = lambda sender, receiver, message: not isinstance(message, Commit)
    net.submit(0, "a")
    net.drain()
    net.crash(0)
    net.filter = lambda sender, receiver, message: not (isinstance(message, Commit) and message.view == 0)
    net.until(lambda: net.all_executed("a"))
    assert net.nodes[1].texts() == ["a"]
    assert net.nodes[1].blocks[0][2] == 1, "executed at its old sequence, in the new view"
    net.check_agreement()


def test_gaps_are_filled_with_null_requests() -> None:
    net = Net(4, batch_transactions_max=1)

    def first_is_lost(sender: int, receiver: int, message: Message) -> bool:
        lost = isinstance(message, Proposal) and message.pre_prepare.sequence == 1
        return not lost and not isinstance(message, Commit)

    net.filter = first_is_lost
    net.submit(0, "a", "b")
    net.drain()
    net.crash(0)
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: net.all_executed("a", "b"))
    assert net.nodes[1].blocks[0][0] == NULL_DIGEST
    net.check_agreement()


def test_what_a_null_request_took_the_place_of_is_proposed_again_at_once() -> None:
    """Found by the soak: what stood at that sequence in the old view seemed to be still under way, to everybody."""
    net = Net(4, batch_transactions_max=1)

    def first_does_not_prepare(sender: int, receiver: int, message: Message) -> bool:
        return not isinstance(message, Commit) and not (isinstance(message, Prepare) and message.sequence == 1)

    net.filter = first_does_not_prepare
    net.submit(0, "a", "b")
    net.drain()
    net.crash(0)
    net.until(lambda: net.nodes[1].replica.view == 1 and net.nodes[1].replica.active)
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: net.all_executed("a", "b"))
    assert net.nodes[1].blocks[0][0] == NULL_DIGEST
    assert {node.replica.view for node in net.nodes[1:]} == {1}


@pytest.mark.row(4)
def test_a_batch_that_new_view_names_and_a_replica_lacks_is_fetched() -> None:
    net = Net(4)

    def node_3_misses_it(sender: int, receiver: int, message: Message) -> bool:
        return not isinstance(message, Commit) and not (receiver == 3 and isinstance(message, Proposal))

    net.filter = node_3_misses_it
    net.submit(0, "a")
    net.drain()
    net.crash(0)
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: net.all_executed("a"))
    assert net.nodes[3].texts() == ["a"]


def test_a_batch_fetched_for_a_view_that_was_left_meanwhile_is_kept_but_not_voted_for() -> None:
    """Section 4.4: whoever has sent VIEW-CHANGE takes no more part in the view that it leaves."""
    net = Net(4)

    def node_3_gets_no_batch(sender: int, receiver: int, message: Message) -> bool:
        return not isinstance(message, Commit) and not (receiver == 3 and isinstance(message, Proposal | BatchBody))

    net.filter = node_3_gets_no_batch
    net.submit(0, "a")
    net.drain()
    proposal = next(message for message in net.nodes[0].sent if isinstance(message, Proposal))
    net.crash(0)
    node = net.nodes[3]
    net.until(lambda: node.replica.view == 1 and node.replica.active)
    for sender in (1, 2):
        net.give(node, Received(sender, ViewChange(2, None, (), sender, b"s" * 64)))
    assert (node.replica.view, node.replica.active) == (2, False)
    node.sent.clear()
    net.give(node, Received(1, BatchBody(proposal.body), checked(proposal.body)))
    assert not [message for message in node.sent if isinstance(message, Prepare)]
    node.sent.clear()
    net.filter = lambda sender, receiver, message: not (receiver == 3 and isinstance(message, Proposal | BatchBody))
    net.until(lambda: node.texts() == ["a"])
    net.check_agreement()


def test_one_replica_alone_cannot_oust_a_primary() -> None:
    net = Net(4)
    for view in range(1, 4):
        for node in net.nodes[:3]:
            net.give(node, Received(3, Complaint(0, 3, b"s" * 64)))
            net.give(node, Received(3, ViewChange(view, None, (), 3, b"s" * 64)))
    net.submit(0, "a")
    net.until(lambda: net.all_executed("a"))
    assert {node.replica.view for node in net.nodes[:3]} == {0}


def test_f_plus_one_view_changes_are_joined() -> None:
    net = Net(4)
    for sender in (2, 3):
        net.give(net.nodes[0], Received(sender, ViewChange(5, None, (), sender, b"s" * 64)))
    assert (net.nodes[0].replica.view, net.nodes[0].replica.active) == (5, False)


@pytest.mark.row(11)
def test_a_lone_replica_does_not_run_away_in_views() -> None:
    net = Net(4)
    for index in (0, 1, 2):
        net.crash(index)
    net.submit(3, "a")
    net.advance(120_000)
    assert net.nodes[3].replica.view <= 1


@pytest.mark.row(11)
def test_time_outs_double_and_are_capped() -> None:
    net = Net(7, view_change_timeout_ms=100, view_change_timeout_ms_max=400)
    net.filter = lambda sender, receiver, message: not isinstance(message, NewView)
    net.crash(0)
    net.submit(1, "a")
    began: dict[int, int] = {}
    while net.now_ms < 20_000:
        net.advance(10)
        began.setdefault(net.nodes[1].replica.view, net.now_ms)
    waits = [began[view + 1] - began[view] for view in sorted(began)[2:-1]]
    assert waits[0] < waits[1]
    assert all(350 <= wait <= 900 for wait in waits[3:]), waits


@pytest.mark.row(11)
def test_a_cluster_converges_after_a_long_outage() -> None:
    """besu #7642: replicas at different views with long time-outs must find together again."""
    net = Net(4, view_change_timeout_ms_max=4_000)
    net.filter = lambda sender, receiver, message: False
    for index in range(4):
        net.submit(index, f"tx{index}")
    net.advance(60_000)
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: net.all_executed("tx0", "tx1", "tx2", "tx3"), within_ms=15_000)


@pytest.mark.row(18)
def test_a_restarted_replica_repeats_its_votes_and_never_contradicts_them() -> None:
    net = Net(4)
    net.filter = lambda sender, receiver, message: not isinstance(message, Commit)
    net.submit(0, "a")
    net.drain()
    votes = [m for m in net.nodes[2].sent if isinstance(m, Prepare)]
    net.crash(2)
    net.filter = lambda sender, receiver, message: True
    net.restart(2)
    net.until(lambda: net.all_executed("a"))
    again = [m for m in net.nodes[2].sent if isinstance(m, Prepare) and m.view == 0]
    assert {(m.sequence, m.digest) for m in again if m.sequence == votes[0].sequence} == {(1, votes[0].digest)}


def test_a_primary_whose_log_repeats_its_new_view_never_proposes_twice_at_one_sequence() -> None:
    """Each segment of the log begins with the NEW-VIEW in force, so that one read after what came of it undoes none."""
    net = Net(4, batch_transactions_max=1)
    net.crash(0)
    net.filter = lambda sender, receiver, message: not (isinstance(message, Commit) and message.view == 1)
    net.submit(1, "a")
    net.until(lambda: any(isinstance(record, Prepared) for record in net.nodes[1].wal))
    node = net.nodes[1]
    node.wal.append(next(record for record in node.wal if isinstance(record, Entered)))
    net.crash(1)
    net.restart(1)
    net.submit(1, "b")
    net.drain()
    net.filter = lambda sender, receiver, message: True
    net.until(lambda: net.all_executed("a", "b"))
    assert node.replica.view == 1
    proposed = {(m.pre_prepare.sequence, m.pre_prepare.digest) for m in node.sent if isinstance(m, Proposal)}
    assert len(proposed) == len({sequence for sequence, _ in proposed})
    assert not [e for n in net.nodes for e in n.evidence if e.kind != EvidenceKind.COMPLAINTS]


@pytest.mark.row(19)
def test_two_of_four_down_is_a_standstill_and_their_return_ends_it() -> None:
    net = Net(4)
    net.crash(2)
    net.crash(3)
    net.submit(0, "a")
    net.advance(30_000)
    assert not net.nodes[0].texts()
    net.restart(3)
    net.until(lambda: set(net.nodes[0].texts()) == {"a"}, 30_000)
    net.restart(2)
    net.until(lambda: net.all_executed("a"))


# ------------------------------------------------------------------------------------- the pure functions

CONFIG = ReplicaConfig(SCOPE, tuple(bytes([i]) * 65 for i in range(4)), 0)


def prepared(view: int, sequence: int, digest: bytes) -> PreparedCertificate:
    primary = primary_of(view, leaders_of(4))
    backups = [i for i in range(4) if i != primary][:2]
    votes = tuple(Prepare(view, sequence, digest, i, fake_signer(i)(b"")) for i in backups)
    return PreparedCertificate(PrePrepare(view, sequence, digest, primary, b"s" * 64), votes)


def change(sender: int, *certificates: PreparedCertificate, view: int = 5) -> ViewChange:
    return ViewChange(view, None, certificates, sender, b"s" * 64)


A, B = b"a" * 32, b"b" * 32


def test_o_takes_the_highest_view_and_fills_gaps() -> None:
    changes = [change(0, prepared(1, 1, A), prepared(2, 3, A)), change(1, prepared(3, 1, B)), change(2)]
    assert open_sequences(CONFIG, changes) == [(1, B), (2, NULL_DIGEST), (3, A)]
    assert open_sequences(CONFIG, list(reversed(changes))) == open_sequences(CONFIG, changes)


@pytest.mark.row(3)
def test_forged_p_sets_are_refused() -> None:
    good = prepared(1, 1, A)
    assert is_view_change(CONFIG, change(0, good))
    few = PreparedCertificate(good.pre_prepare, good.prepares[:1])
    twice = PreparedCertificate(good.pre_prepare, (good.prepares[0], good.prepares[0]))
    other = PreparedCertificate(
        good.pre_prepare, (good.prepares[0], msgspec.structs.replace(good.prepares[1], digest=B))
    )
    not_primary = PreparedCertificate(msgspec.structs.replace(good.pre_prepare, sender=3), good.prepares)
    of_primary = PreparedCertificate(
        good.pre_prepare, (msgspec.structs.replace(good.prepares[0], sender=1), good.prepares[1])
    )
    for bad in (few, twice, other, not_primary, of_primary, prepared(5, 1, A), prepared(1, 10_000, A)):
        assert not is_view_change(CONFIG, change(0, bad))
    assert not is_view_change(CONFIG, change(0, prepared(1, 2, A), prepared(1, 1, A)))


@pytest.mark.row(3)
def test_a_new_view_must_be_what_its_v_leads_to() -> None:
    full = change(0, prepared(1, 1, A))
    changes = (bare(full), change(1), change(2))
    proposals = (PrePrepare(5, 1, A, 1, b"s" * 64),)
    good = NewView(5, changes, proposals, 1, b"s" * 64, (prepared(1, 1, A),))
    assert is_new_view(CONFIG, good)
    replace = msgspec.structs.replace
    for bad in (
        replace(good, sender=2),
        replace(good, view_changes=changes[:2]),
        replace(good, view_changes=(changes[0], changes[0], changes[1])),
        replace(good, pre_prepares=()),
        replace(good, pre_prepares=(replace(proposals[0], digest=B),)),
        replace(good, pre_prepares=(*proposals, PrePrepare(5, 2, B, 1, b"s" * 64))),
        replace(good, view=6),
        replace(good, view_changes=(changes[0], change(1, view=6), changes[2])),
        replace(good, view_changes=(changes[0], bare(change(1, prepared(5, 1, A))), changes[2])),
        replace(good, view_changes=(full, change(1), change(2))),
        replace(good, prepared=()),
        replace(good, prepared=(prepared(1, 1, B),)),
        replace(good, prepared=(prepared(2, 1, A),)),
        replace(good, prepared=(prepared(1, 1, A), prepared(1, 2, A))),
        replace(good, prepared=(PreparedCertificate(prepared(1, 1, A).pre_prepare, ()),)),
        replace(good, pre_prepares=(replace(proposals[0], view=4),)),
        replace(good, pre_prepares=(replace(proposals[0], sender=2),)),
    ):
        assert not is_new_view(CONFIG, bad)


def test_only_the_claim_that_o_repeats_is_to_be_proven() -> None:
    """Of three claims for a sequence that of the highest view counts; what V's certificates settle needs no proof."""
    settled = ExecutionCertificate(0, Statement(1, b"", b"", b"", b""), ())
    changes = (
        change(0, prepared(1, 1, A), prepared(1, 2, A)),
        change(1, prepared(1, 1, B), prepared(2, 2, B)),
        msgspec.structs.replace(change(2), certificate=settled),
    )
    claimed = tuple(map(bare, changes))
    assert [item.pre_prepare for item in chosen(CONFIG, changes).values()] == [prepared(2, 2, B).pre_prepare]
    new = NewView(5, claimed, (PrePrepare(5, 2, B, 1, b"s" * 64),), 1, b"s" * 64, (prepared(2, 2, B),))
    assert is_new_view(CONFIG, new)
    assert open_sequences(CONFIG, claimed) == open_sequences(CONFIG, changes) == [(2, B)]


def test_the_signature_of_a_view_change_covers_what_it_claims() -> None:
    full = change(0, prepared(1, 1, A))
    assert bare(full).signed(SCOPE) == full.signed(SCOPE)
    others = (change(0), change(0, prepared(1, 1, B)), change(0, prepared(2, 1, A)), change(0, prepared(1, 2, A)))
    assert full.signed(SCOPE) not in [other.signed(SCOPE) for other in others]


@pytest.mark.row(3)
def test_a_bad_new_view_is_refused_by_a_backup() -> None:
    net = Net(4)
    net.give(net.nodes[2], Received(1, NewView(1, (), (), 1, b"s" * 64)))
    assert net.nodes[2].rejects[-1] == RejectReason.BAD_NEW_VIEW
    assert net.nodes[2].replica.view == 0
