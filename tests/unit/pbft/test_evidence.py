"""Evidence: what convicts a replica, and that nothing else does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from harness import SCOPE, Net, checked

from ca.keys import SigningKey
from ca.signatures import verify
from pbft.events import AlarmKind, Received
from pbft.evidence import Conflicting, Evidence, EvidenceKind, conflict, decode_evidence, encode_evidence
from pbft.evidence import verify_evidence as check
from pbft.messages import (
    Batch,
    Commit,
    Complaint,
    NewView,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Scope,
    Statement,
    ViewChange,
    encode_batch,
)
from pbft.quorum import leaders_of, primary_of

KEYS = [SigningKey.from_seed(bytes([i])) for i in range(4)]
PUBLIC = tuple(key.public_key for key in KEYS)
A, B = b"a" * 32, b"b" * 32


def primary(view: int) -> int:
    return primary_of(view, leaders_of(4))


def signed(message: Any) -> Any:
    return msgspec.structs.replace(message, signature=KEYS[message.sender].sign(message.signed(SCOPE)))


def outcome(root: bytes, height: int = 7, sender: int = 2) -> Outcome:
    return Outcome(Statement(height, A, root, A, A), sender)


PREPARED = PreparedCertificate(PrePrepare(0, 3, A, 0), (Prepare(0, 3, A, 1), Prepare(0, 3, A, 2)))
PAIRS: list[tuple[EvidenceKind, Conflicting, Conflicting]] = [
    (EvidenceKind.TWO_PROPOSALS, PrePrepare(0, 3, A, 2), PrePrepare(0, 3, B, 2)),
    (EvidenceKind.TWO_PREPARES, Prepare(1, 3, A, 2), Prepare(1, 3, B, 2)),
    (EvidenceKind.TWO_COMMITS, Commit(1, 3, A, 2), Commit(1, 3, B, 2)),
    (EvidenceKind.TWO_OUTCOMES, outcome(A), outcome(B)),
    (EvidenceKind.TWO_VIEW_CHANGES, ViewChange(2, None, (), 2), ViewChange(2, None, (PREPARED,), 2)),
    (EvidenceKind.TWO_NEW_VIEWS, NewView(2, (), (), 2), NewView(2, (), (PrePrepare(2, 1, A, 2),), 2)),
]


@pytest.mark.row(1)
@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_two_conflicting_messages_convict_their_sender(
    kind: EvidenceKind, first: Conflicting, second: Conflicting
) -> None:
    evidence = conflict(kind, SCOPE, signed(first), signed(second))
    assert check(evidence, PUBLIC, primary, verify)
    assert decode_evidence(encode_evidence(evidence)) == evidence


@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_altered_evidence_convicts_nobody(kind: EvidenceKind, first: Conflicting, second: Conflicting) -> None:
    one, two = signed(first), signed(second)
    good = Evidence(kind, SCOPE, 2, (one, two))
    forged = msgspec.structs.replace(two, signature=one.signature)
    for bad in (
        msgspec.structs.replace(good, accused=1),
        msgspec.structs.replace(good, accused=4),
        msgspec.structs.replace(good, accused=-1),
        msgspec.structs.replace(good, messages=(one,)),
        msgspec.structs.replace(good, messages=(one, one)),
        msgspec.structs.replace(good, messages=(one, forged)),
        msgspec.structs.replace(good, scope=Scope(SCOPE.chain, SCOPE.channel, 1)),
        msgspec.structs.replace(good, kind=EvidenceKind.COMPLAINTS),
        msgspec.structs.replace(good, complaints=(signed(Complaint(0, 1)),)),
    ):
        assert not check(bad, PUBLIC, primary, verify)
    for other in EvidenceKind:
        if other is not kind:
            assert not check(msgspec.structs.replace(good, kind=other), PUBLIC, primary, verify)


@pytest.mark.row(1)
@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (EvidenceKind.TWO_PREPARES, Prepare(1, 3, A, 2), Prepare(2, 3, B, 2)),
        (EvidenceKind.TWO_PREPARES, Prepare(1, 3, A, 2), Prepare(1, 4, B, 2)),
        (EvidenceKind.TWO_COMMITS, Commit(1, 3, A, 2), Prepare(1, 3, B, 2)),
        (EvidenceKind.TWO_OUTCOMES, outcome(A, 7), outcome(B, 8)),
        (EvidenceKind.TWO_VIEW_CHANGES, ViewChange(2, None, (), 2), ViewChange(3, None, (), 2)),
    ],
)
def test_what_an_honest_replica_may_sign_convicts_nobody(
    kind: EvidenceKind, first: Conflicting, second: Conflicting
) -> None:
    assert not check(conflict(kind, SCOPE, signed(first), signed(second)), PUBLIC, primary, verify)


def complaints(*senders: int, view: int = 0) -> tuple[Complaint, ...]:
    return tuple(signed(Complaint(view, sender)) for sender in senders)


def test_f_plus_1_complaints_about_a_view_name_its_primary() -> None:
    assert check(Evidence(EvidenceKind.COMPLAINTS, SCOPE, 0, (), complaints(1, 3)), PUBLIC, primary, verify)
    assert check(Evidence(EvidenceKind.COMPLAINTS, SCOPE, 1, (), complaints(0, 2, view=5)), PUBLIC, primary, verify)


@pytest.mark.parametrize(
    ("accused", "given"),
    [
        (0, complaints(1)),
        (0, complaints(1, 1)),
        (0, complaints(3, 1)),
        (1, complaints(1, 3)),
        (0, (*complaints(1), *complaints(3, view=4))),
        (0, (complaints(1)[0], Complaint(0, 3, complaints(1)[0].signature))),
        (0, (complaints(1)[0], Complaint(0, 9, complaints(1)[0].signature))),
    ],
)
def test_other_complaints_name_nobody(accused: int, given: tuple[Complaint, ...]) -> None:
    assert not check(Evidence(EvidenceKind.COMPLAINTS, SCOPE, accused, (), given), PUBLIC, primary, verify)


# ---------------------------------------------------------------------------------- where the core finds it


def convicted(net: Net, node: int) -> list[Evidence]:
    found = [e for e in net.nodes[node].evidence if e.kind is not EvidenceKind.COMPLAINTS]
    assert all(check(e, net.config.validators, net.config.primary, verify) for e in found)
    return found


def proposal(net: Net, text: bytes) -> tuple[PrePrepare, Received]:
    batch = checked(encode_batch(Batch("main", net.instant.clock_ms, (text,))))
    message = signed(PrePrepare(0, 1, batch.digest, 0))
    return message, Received(0, Proposal(message, batch.body), batch)


def test_a_primary_that_proposes_twice_is_convicted() -> None:
    net = Net(4, real_signatures=True)
    for text in (b"x", b"y"):
        net.give(net.nodes[1], proposal(net, text)[1])
    assert [(e.kind, e.accused) for e in convicted(net, 1)] == [(EvidenceKind.TWO_PROPOSALS, 0)]
    assert net.nodes[1].alarms[-1].kind == AlarmKind.EQUIVOCATION


@pytest.mark.row(1)
@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [pair for pair in PAIRS if pair[0] not in (EvidenceKind.TWO_PROPOSALS, EvidenceKind.TWO_NEW_VIEWS)],
)
def test_a_replica_that_signs_two_things_is_convicted(
    kind: EvidenceKind, first: Conflicting, second: Conflicting
) -> None:
    net = Net(4, real_signatures=True)
    for message in (first, second):
        net.give(net.nodes[1], Received(2, signed(message)))
    assert [(e.kind, e.accused) for e in convicted(net, 1)] == [(kind, 2)]


@pytest.mark.row(1)
def test_a_primary_that_begins_one_view_twice_is_convicted() -> None:
    net = Net(4, real_signatures=True)
    node = net.nodes[2]
    changes = [signed(ViewChange(1, None, (), sender)) for sender in range(4)]
    first, second = (signed(NewView(1, tuple(changes[at : at + 3]), (), 1)) for at in (0, 1))
    again = msgspec.structs.replace(first, signature=b"the same content under another signature")
    assert node.replica.wants(second)
    net.give(node, Received(1, first))
    assert (node.replica.view, node.replica.active) == (1, True)
    assert not node.replica.wants(first), "passed on by somebody"
    for message in (first, again, second):
        net.give(node, Received(3, message))
    assert node.replica.wants(second)
    assert [(e.kind, e.accused) for e in convicted(net, 2)] == [(EvidenceKind.TWO_NEW_VIEWS, 1)]
    assert not node.replica.wants(signed(NewView(0, (), (), 0)))


def test_complaints_about_a_primary_are_evidence_once_an_epoch() -> None:
    """Found by a tester: a long life's view changes filled the evidence store."""
    net = Net(4, real_signatures=True)
    for view in (0, 4):
        net.nodes[1].replica.core.view, net.nodes[1].replica.core.active = view, True
        for sender in (2, 3):
            net.give(net.nodes[1], Received(sender, signed(Complaint(view, sender))))
        assert not net.nodes[1].replica.active
    assert [(e.kind, e.accused) for e in net.nodes[1].evidence] == [(EvidenceKind.COMPLAINTS, 0)]


def test_the_other_half_of_an_equivocation_is_found_in_a_p_set() -> None:
    net = Net(4, real_signatures=True)
    net.give(net.nodes[1], proposal(net, b"x")[1])
    other, _ = proposal(net, b"y")
    votes = tuple(signed(Prepare(0, 1, other.digest, sender)) for sender in (2, 3))
    change = signed(ViewChange(1, None, (PreparedCertificate(other, votes),), 3))
    net.give(net.nodes[1], Received(3, change))
    assert [(e.kind, e.accused) for e in convicted(net, 1)] == [(EvidenceKind.TWO_PROPOSALS, 0)]
