"""The edge: what is too much, what nobody of this epoch signed, and what it costs to be asked the same again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from harness import SCOPE
from lone import TextLedger

from ca.keys import SigningKey
from pbft import gate
from pbft.config import ReplicaConfig
from pbft.events import Received
from pbft.gate import FORWARD_ENVELOPES_MAX, HANDOVER_SIGNATURES_MAX, Gate, GateFault, Rejected
from pbft.messages import (
    NUMBER_MAX,
    CertifiedBlock,
    Complaint,
    Complaints,
    ExecutionCertificate,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Handover,
    Message,
    NewView,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Scope,
    Statement,
    Status,
    ViewChange,
    encode_message,
    statement_bytes,
)

KEYS = [SigningKey.from_seed(bytes([number])) for number in range(4)]
PUBLIC = tuple(key.public_key for key in KEYS)
CONFIG = ReplicaConfig(SCOPE, PUBLIC, 0, checkpoint_interval_blocks=4, window_blocks=8)
WINDOW = 2 * CONFIG.window_blocks
"""The most sequences that a message may be about."""
DIGEST = b"d" * 32


def edge() -> Gate:
    return Gate(CONFIG, TextLedger(PUBLIC[0], PUBLIC[1]))


def signed(message: Any, key: SigningKey | None = None) -> Any:
    signer = key or KEYS[message.sender]
    return msgspec.structs.replace(message, signature=signer.sign(message.signed(SCOPE)))


def prepared(sequence: int = 1, voters: tuple[int, ...] = (1, 2)) -> PreparedCertificate:
    votes = tuple(signed(Prepare(0, sequence, DIGEST, voter)) for voter in voters)
    return PreparedCertificate(signed(PrePrepare(0, sequence, DIGEST, 0)), votes)


def fault_of(message: Message, sender: int = 3) -> GateFault | None:
    """Why the edge refuses a message on its way from bytes to the core; None if it does not."""
    tested = edge()
    try:
        tested.verify(sender, tested.decode(encode_message(message)))
    except Rejected as rejected:
        return rejected.fault
    return None


# ------------------------------------------------------------------------------------------------ counts

CERTIFICATE = ExecutionCertificate(0, Statement(40, DIGEST, DIGEST, DIGEST, DIGEST), ())
LEAF = PreparedCertificate(PrePrepare(0, 1, DIGEST, 0), ())


def view_change(entries: int) -> ViewChange:
    return ViewChange(1, None, (LEAF,) * entries, 3)


@pytest.mark.parametrize(
    ("most", "one_more"),
    [
        (Forward((b"",) * FORWARD_ENVELOPES_MAX), Forward((b"",) * (FORWARD_ENVELOPES_MAX + 1))),
        (view_change(WINDOW), view_change(WINDOW + 1)),
        (NewView(1, (view_change(0),) * 4, (), 1), NewView(1, (view_change(0),) * 5, (), 1)),
        (NewView(1, (view_change(WINDOW),), (), 1), NewView(1, (view_change(WINDOW + 1),), (), 1)),
        (NewView(1, (), (LEAF.pre_prepare,) * WINDOW, 1), NewView(1, (), (LEAF.pre_prepare,) * (WINDOW + 1), 1)),
        (Complaints((Complaint(0, 1),) * 4), Complaints((Complaint(0, 1),) * 5)),
        (
            CertifiedBlock(b"", b"", 0, 0, CERTIFICATE, (b"",) * WINDOW),
            CertifiedBlock(b"", b"", 0, 0, CERTIFICATE, (b"",) * (WINDOW + 1)),
        ),
        (
            Handover(0, 1, ((b"", b""),) * HANDOVER_SIGNATURES_MAX),
            Handover(0, 1, ((b"", b""),) * (HANDOVER_SIGNATURES_MAX + 1)),
        ),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_of_more_parts_than_there_can_be_is_refused_before_a_signature_is_checked(
    most: Message, one_more: Message
) -> None:
    assert edge().decode(encode_message(most)) == most
    with pytest.raises(Rejected) as caught:
        edge().decode(encode_message(one_more))
    assert caught.value.fault == GateFault.TOO_MANY


def test_a_prepared_certificate_that_counts_a_vote_twice_is_refused_before_any_signature() -> None:
    assert fault_of(signed(ViewChange(1, None, (prepared(voters=(1, 2, 3)),), 3))) is None
    assert fault_of(signed(ViewChange(1, None, (prepared(voters=(1, 2, 3, 2)),), 3))) == GateFault.UNTRUE


@pytest.mark.row(10)
def test_a_new_view_of_the_liars_own_signatures_costs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: 4 view changes of 256 prepared certificates each, all signed by the liar, took the gate's
    thread most of a second, and nobody was blamed."""
    checked: list[bytes] = []

    def verify_all(key: bytes, signature: bytes, data: bytes) -> bool:
        checked.append(signature)
        return True

    monkeypatch.setattr("pbft.gate.verify", verify_all)
    change = signed(ViewChange(1, None, (prepared(voters=(1, 2, 3)),), 1))
    assert fault_of(signed(NewView(1, (change,) * 4, (), 1))) == GateFault.UNTRUE
    assert checked == []


# --------------------------------------------------------------------------------------------- signatures


def test_a_pre_prepare_without_its_batch_is_no_message() -> None:
    assert fault_of(signed(PrePrepare(0, 1, DIGEST, 3))) == GateFault.MALFORMED


@pytest.mark.parametrize("signer", [-1, 4, 2**31])
def test_a_vote_inside_a_message_by_nobody_of_this_epoch_is_refused(signer: int) -> None:
    """The sender of the message itself is known; who signed what it passes on is only claimed."""
    complaints = (signed(Complaint(0, 1)), signed(Complaint(0, signer), KEYS[1]))
    fault = GateFault.NOT_THE_SENDER if signer >= 0 else GateFault.MALFORMED
    assert fault_of(Complaints(complaints)) == fault


@pytest.mark.row(14)
@pytest.mark.parametrize("number", [-1, NUMBER_MAX + 1, 2**64 - 1])
def test_numbers_that_no_height_or_view_can_be_are_malformed(number: int) -> None:
    """Found by a tester: FETCH-CHUNK of block -1 ended any node, and a status of 2^64 - 1 one without its log."""
    messages: list[Message] = [
        FetchChunk(number, 0), FetchChunk(8, number), FetchBlocks(number, 9), FetchManifest(number),
        Status(0, number, True, 0, 0), Status(0, 0, True, number, 0), Status(0, 0, True, 0, number),
        signed(Complaint(number, 3)), Handover(number, 1),
    ]  # fmt: skip
    assert {fault_of(message) for message in messages} == {GateFault.MALFORMED}


def certified(
    *signers: int, epoch: int = 0, scope: Scope = SCOPE, signs: tuple[SigningKey, ...] = tuple(KEYS)
) -> ExecutionCertificate:
    statement = Statement(4, DIGEST, DIGEST, DIGEST, DIGEST)
    text = ExecutionCertificate(epoch, statement, ())
    under = statement_bytes(scope, statement)
    return msgspec.structs.replace(text, signatures=tuple((number, signs[number].sign(under)) for number in signers))


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        (certified(0, 1, 3), None),
        (certified(0, 1), GateFault.BAD_SIGNATURE),
        (certified(0, 1, 1), GateFault.BAD_SIGNATURE),
        (certified(3, 1, 0), GateFault.BAD_SIGNATURE),
        (certified(0, 1, 2, epoch=1), GateFault.OTHER_EPOCH),
        (certified(0, 1, 2, scope=Scope(SCOPE.chain, SCOPE.channel, 1)), GateFault.BAD_SIGNATURE),
        (certified(0, 1, 2, signs=(KEYS[0], KEYS[1], KEYS[3])), GateFault.BAD_SIGNATURE),
    ],
)
def test_a_certificate_counts_only_by_q_validators_of_this_epoch_in_order(
    certificate: ExecutionCertificate, fault: GateFault | None
) -> None:
    assert fault_of(signed(ViewChange(1, certificate, (), 3))) == fault


def test_a_hand_over_is_bound_to_chain_epoch_view_and_primary() -> None:
    said = Handover(3, 1).signed(SCOPE)
    assert said != Handover(4, 1).signed(SCOPE)
    assert said != Handover(3, 2).signed(SCOPE)
    assert said != Handover(3, 1).signed(Scope(SCOPE.chain, SCOPE.channel, 1))
    assert said != Handover(3, 1).signed(Scope(DIGEST, SCOPE.channel, 0))
    assert said != Complaint(3, 1).signed(SCOPE), "no replica's complaint is an operator's order"


# --------------------------------------------------------------------------------------------- remembering


def test_what_was_verified_is_not_verified_again_and_what_is_remembered_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[bytes] = []

    def counting(key: bytes, signature: bytes, data: bytes) -> bool:
        checks.append(signature)
        return True

    monkeypatch.setattr(gate, "verify", counting)
    monkeypatch.setattr(gate, "VERIFIED_MAX", 3)
    tested = edge()
    votes = [Complaint(view, 3, bytes([view]) * 64) for view in range(4)]
    for vote in (votes[0], votes[0], votes[1], votes[2]):
        assert tested.verify(3, vote) == Received(3, vote)
    assert len(checks) == 3
    tested.verify(3, votes[3])
    tested.verify(3, votes[0])
    assert checks.count(votes[0].signature) == 2, "the oldest gave way"


def test_a_signature_remembered_for_one_validator_is_no_other_validators() -> None:
    """The text under an outcome's signature does not name its sender."""
    tested = edge()
    outcome = signed(Outcome(Statement(4, DIGEST, DIGEST, DIGEST, DIGEST), 3))
    tested.verify(3, outcome)
    with pytest.raises(Rejected, match="bad_signature"):
        tested.verify(2, msgspec.structs.replace(outcome, sender=2))


def test_what_is_left_of_a_proposal_may_be_passed_on_and_has_its_signers_name() -> None:
    proposal = signed(PrePrepare(0, 1, DIGEST, 0))
    assert edge().verify(3, proposal) == Received(3, proposal, None)
    with pytest.raises(Rejected) as caught:
        edge().verify(3, signed(PrePrepare(0, 1, DIGEST, 0), KEYS[3]))
    assert caught.value.fault is GateFault.BAD_SIGNATURE
