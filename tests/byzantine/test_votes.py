"""Lies in votes, outcomes and checkpoints, against real replicas and gates. Rows 1, 5, 8 and 9."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import msgspec
import pytest
from mutants import hunts
from mutants.hunts import EVIL, ended, proposal_of, signed, tell, with_liar

from ca.signatures import verify
from pbft.events import RejectReason
from pbft.messages import (
    Commit,
    Complaint,
    Message,
    Outcome,
    Prepare,
    PrePrepare,
    Scope,
    Statement,
    ViewChange,
)
from pbft.quorum import faulty_max, quorum, weak_quorum
from sim.arena import Arena, Member


@pytest.mark.row(1)
@pytest.mark.parametrize("hunt", [hunts.restarted_voter, hunts.forgetful_voter, hunts.one_digest_two_bodies])
@pytest.mark.parametrize("seed", range(3))
def test_an_honest_replica_never_votes_twice(hunt: hunts.Hunt, seed: int) -> None:
    assert hunt(seed) == []


@pytest.mark.row(1)
def test_only_the_guilty_are_accused() -> None:
    """The first primary proposes twice: evidence and alarms name it alone."""
    arena = with_liar(0)
    first, second = proposal_of(arena, 1, b"this"), proposal_of(arena, 1, b"that")
    tell(arena, first, [1, 2, 3], liar=0)
    tell(arena, second, [1, 2, 3], liar=0)
    arena.run(30)
    alarms = [alarm for member in arena.honest for alarm in member.alarms]
    assert alarms
    assert all("replica 0" in alarm.detail for alarm in alarms)
    assert ended(arena) == []


@pytest.mark.row(5)
@pytest.mark.parametrize("seed", range(4))
def test_the_checkpoint_moves_by_certificates_only(seed: int) -> None:
    assert hunts.few_outcomes(seed) == []


@pytest.mark.row(5)
@pytest.mark.parametrize("seed", range(3))
def test_a_block_with_a_forged_certificate_is_not_executed(seed: int) -> None:
    assert hunts.forged_block(seed) == []


@pytest.mark.row(5)
@pytest.mark.parametrize("sequence", [0, 13, 14, 1_000])
def test_a_proposal_outside_the_watermarks_is_refused(sequence: int) -> None:
    """The window of the arena is 12: sequences 1 to 12 are open at first."""
    arena = with_liar(0)
    tell(arena, proposal_of(arena, sequence, EVIL), [1, 2, 3], liar=0)
    arena.run(5)
    assert all(RejectReason.OUTSIDE_WATERMARKS in member.rejects for member in arena.honest)
    assert ended(arena) == []


@pytest.mark.row(5)
def test_a_primary_that_jumps_to_the_high_watermark_is_replaced_and_the_gap_filled() -> None:
    arena = with_liar(0)
    tell(arena, proposal_of(arena, 12, b"jump"), [1, 2, 3], liar=0)
    arena.run(10)
    assert all(member.chain.height == 0 for member in arena.honest)
    assert arena.run(500, lambda: all(member.chain.height >= 12 for member in arena.honest))
    assert all(member.replica.view > 0 for member in arena.honest)
    assert ended(arena) == []
    assert all(member.chain.has(b"jump") for member in arena.honest), "it had prepared"


# ------------------------------------------------------------------------------------------- signatures

VOTES: tuple[Any, ...] = (
    PrePrepare(1, 2, b"d" * 32, 0),
    Prepare(1, 2, b"d" * 32, 0),
    Commit(1, 2, b"d" * 32, 0),
    Complaint(1, 0),
    ViewChange(1, None, (), 0),
    Outcome(Statement(2, b"d" * 32, b"", b"", b""), 0),
)
SCOPE = Scope(b"c" * 32, "main", 3)


@pytest.mark.row(8)
@pytest.mark.parametrize(("made", "used"), [(a, b) for a, b in product(VOTES, VOTES) if a is not b])
def test_a_signature_is_good_for_one_kind_of_message(made: Any, used: Any) -> None:
    key = Arena(range(4)).keys[0]
    signature = key.sign(made.signed(SCOPE))
    assert verify(key.public_key, signature, made.signed(SCOPE))
    assert not verify(key.public_key, signature, used.signed(SCOPE))


@pytest.mark.row(8)
@pytest.mark.parametrize("vote", VOTES, ids=lambda vote: type(vote).__name__)
def test_a_signature_binds_chain_channel_epoch_and_every_field(vote: Any) -> None:
    signed_bytes = vote.signed(SCOPE)
    for scope in (Scope(b"e" * 32, "main", 3), Scope(b"c" * 32, "other", 3), Scope(b"c" * 32, "main", 4)):
        assert vote.signed(scope) != signed_bytes
    others: dict[str, Any] = {"view": 9, "sequence": 9, "digest": b"e" * 32, "sender": 2}
    others["statement"] = Statement(3, b"d" * 32, b"", b"", b"")
    fields = [name for name in others if name in vote.__struct_fields__ and not _is_free(vote, name)]
    assert fields
    for name in fields:
        assert msgspec.structs.replace(vote, **{name: others[name]}).signed(SCOPE) != signed_bytes, name


def _is_free(vote: Any, name: str) -> bool:
    """An outcome's text has no sender, so that a certificate is one text under q keys; the key says whose it is."""
    return isinstance(vote, Outcome) and name == "sender"


@pytest.mark.row(8)
def test_votes_in_others_names_count_for_nobody() -> None:
    assert hunts.borrowed_names(0) == []


@pytest.mark.row(8)
def test_an_unsigned_vote_never_takes_a_signed_ones_place() -> None:
    """First garbage in a replica's name, then its true vote, then garbage again: the true one counts."""
    arena = with_liar()

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        if not isinstance(message, Prepare | Commit):
            return (message,)
        before, after = (msgspec.structs.replace(message, signature=garbage) for garbage in (b"0" * 64, b""))
        return before, message, after

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(30)
    assert all(member.chain.has(b"a") for member in arena.honest)
    assert all(member.refused for member in arena.honest)
    assert ended(arena) == []


@pytest.mark.row(8)
def test_a_vote_signed_for_another_epoch_is_refused() -> None:
    arena = with_liar()
    old = Scope(arena.config.scope.chain, "main", 7)
    vote = Complaint(0, 3)
    tell(arena, msgspec.structs.replace(vote, signature=arena.keys[3].sign(vote.signed(old))), [0, 1, 2])
    arena.run(5)
    assert all(member.refused == 1 for member in arena.honest)
    tell(arena, signed(arena, vote), [0, 1, 2])
    arena.run(5)
    assert all(member.refused == 1 for member in arena.honest)


# ----------------------------------------------------------------------------------------------- quorums


@pytest.mark.row(9)
def test_quorums_intersect_in_an_honest_replica_and_can_form_for_every_n() -> None:
    for n in range(1, 2_001):
        f, q = faulty_max(n), quorum(n)
        assert 2 * q - n >= f + 1, n
        assert weak_quorum(n) <= q <= n - f, n
        assert q == -(-(n + f + 1) // 2), n


@pytest.mark.row(9)
def test_a_bare_2f_plus_1_would_not_do() -> None:
    disjoint = [n for n in range(1, 12) if 2 * (2 * faulty_max(n) + 1) - n < faulty_max(n) + 1]
    assert disjoint == [2, 3, 5, 6, 8, 9, 11]


@pytest.mark.row(9)
@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6, 8, 9])
def test_any_number_of_replicas_agrees_with_f_silent(nodes: int) -> None:
    arena = Arena(range(nodes), nodes)
    for place in range(nodes - faulty_max(nodes), nodes):
        arena.crash(place)
    arena.submit(0, "a")
    arena.run(100)
    assert arena.members[0].chain.has(b"a")
