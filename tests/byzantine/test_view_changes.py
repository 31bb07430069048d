"""Lies in view changes, against real replicas. Rows 3, 4 and 11 of the reliability table."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from mutants import hunts
from mutants.hunts import CALM_MS, ended, signed

from pbft.config import ReplicaConfig
from pbft.messages import (
    BatchBody,
    Commit,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    ViewChange,
)
from pbft.view_change import is_view_change, open_sequences
from sim.arena import Arena, Member, has_executed, safety

VOTE_SETS = 10
WINDOW = 24


def _digest(chance: random.Random) -> bytes:
    return chance.randbytes(32)


def _config() -> ReplicaConfig:
    return Arena(range(4), checkpoint_interval_blocks=8, window_blocks=WINDOW).config


def _certificate(config: ReplicaConfig, view: int, sequence: int, digest: bytes) -> PreparedCertificate:
    primary = config.primary(view)
    backups = [index for index in range(config.n) if index != primary][: config.q - 1]
    votes = tuple(Prepare(view, sequence, digest, index) for index in backups)
    return PreparedCertificate(PrePrepare(view, sequence, digest, primary), votes)


def _history(chance: random.Random, config: ReplicaConfig) -> dict[int, PreparedCertificate]:
    """A true certificate, of some view below 6, for some of the first sequences."""
    return {
        sequence: _certificate(config, chance.randrange(6), sequence, _digest(chance))
        for sequence in range(1, 10)
        if chance.random() < 0.7
    }


@pytest.mark.row(3)
@pytest.mark.parametrize("seed", range(100))
def test_o_is_a_function_of_valid_certificates_whatever_is_mixed_in(seed: int) -> None:
    """Ten sets V for each seed: what one honest replica in V prepared is in O, and false P-sets never hide it."""
    chance = random.Random(seed)
    config = _config()
    for _ in range(VOTE_SETS):
        true = _history(chance, config)
        honest = [
            ViewChange(6, None, tuple(true[s] for s in sorted(true) if chance.random() < 0.6), sender)
            for sender in (0, 1, 2)
        ]
        reported = {item.pre_prepare.sequence: item for change in honest for item in change.prepared}
        lie = ViewChange(6, None, tuple(_falsified(chance, config, true)), 3)
        valid = [change for change in (*honest, lie) if is_view_change(config, change)]
        assert lie not in valid
        assert valid == honest
        chance.shuffle(valid)
        proposed = open_sequences(config, valid)
        assert {s: d for s, d in proposed if s in reported} == {s: reported[s].pre_prepare.digest for s in reported}
        assert [s for s, _ in proposed] == list(range(1, max(reported, default=0) + 1))


def _falsified(
    chance: random.Random, config: ReplicaConfig, true: dict[int, PreparedCertificate]
) -> list[PreparedCertificate]:
    """Certificates of which at least one is false in its shape; what is false in its signatures the gate refuses."""
    items = [true[s] for s in sorted(true)] or [_certificate(config, 1, 1, _digest(chance))]
    place = chance.randrange(len(items))
    item = items[place]
    proposal, votes = item.pre_prepare, item.prepares
    other = _certificate(config, proposal.view, proposal.sequence, _digest(chance))
    false = chance.choice(
        [
            PreparedCertificate(proposal, votes[:-1]),
            PreparedCertificate(proposal, (votes[0],) * len(votes)),
            PreparedCertificate(proposal, other.prepares),
            PreparedCertificate(other.pre_prepare, votes),
            _certificate(config, 6 + chance.randrange(3), proposal.sequence, proposal.digest),
            _certificate(config, proposal.view, 3 * WINDOW, proposal.digest),
            PreparedCertificate(PrePrepare(proposal.view, proposal.sequence, proposal.digest, 7), votes),
            PreparedCertificate(proposal, (Prepare(*_what(proposal), proposal.sender), *votes[1:])),
        ]
    )
    return [*items[:place], false, *items[place + 1 :]]


def _what(proposal: PrePrepare) -> tuple[int, int, bytes]:
    return proposal.view, proposal.sequence, proposal.digest


@pytest.mark.row(3)
@pytest.mark.parametrize("hunt", [hunts.short_p_set, hunts.unsigned_p_set, hunts.redated_p_set, hunts.older_p_set])
@pytest.mark.parametrize("seed", range(2))
def test_what_one_replica_executed_survives_a_false_p_set(hunt: hunts.Hunt, seed: int) -> None:
    assert hunt(seed) == []


@pytest.mark.row(3)
@pytest.mark.parametrize("seed", range(3))
def test_a_new_view_whose_o_does_not_follow_is_refused(seed: int) -> None:
    assert hunts.untrue_new_view(seed) == []


@pytest.mark.row(3)
@pytest.mark.parametrize("hunt", [hunts.unproven_new_view, hunts.forged_new_view])
def test_what_v_claims_without_proof_is_no_reason_for_o(hunt: hunts.Hunt) -> None:
    assert hunt(0) == []


@pytest.mark.row(3)
@pytest.mark.parametrize("hunt", [hunts.lone_executor, hunts.lone_preparer, hunts.gap])
@pytest.mark.parametrize("seed", range(3))
def test_what_committed_anywhere_survives_the_primary(hunt: hunts.Hunt, seed: int) -> None:
    assert hunt(seed) == []


@pytest.mark.row(4)
def test_who_lacks_a_batch_of_the_new_view_abstains_until_it_has_it() -> None:
    """Nobody gives replica 3 the batch: it neither votes nor executes; the others do without; then it fetches."""
    arena = Arena(range(4))
    votes: list[Message] = []

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        at_first = not arena.members[1].replica.view
        if receiver.place == 3 and isinstance(message, BatchBody | Proposal):
            return ()
        if sender.place == 3 and isinstance(message, Prepare | Commit) and message.sequence == 1:
            votes.append(message)
        return () if at_first and isinstance(message, Commit) else (message,)

    arena.carry = carry
    arena.submit(0, "a")
    arena.run(10)
    arena.submit(1, "b")
    arena.run(1_000, lambda: arena.members[1].chain.height > 0)
    assert votes == []
    assert arena.members[3].chain.height == 0
    assert ended(arena) == []


@pytest.mark.row(4)
def test_a_batch_that_nobody_has_is_no_reason_to_crash_or_to_execute_blind() -> None:
    """The liar leads view 1 and names a digest that follows from no certificate: refused, and the next view begins."""
    arena = hunts.with_liar(1)
    arena.carry = lambda sender, receiver, message: (
        () if sender.place == 1 or isinstance(message, Proposal) else (message,)
    )
    arena.submit(0, "a")
    arena.run(1_000, lambda: arena.members[2].replica.view == 1)
    changes = tuple(signed(arena, ViewChange(1, None, (), sender)) for sender in (0, 1, 2))
    proposal = signed(arena, PrePrepare(1, 1, b"x" * 32, 1))
    hunts.tell(arena, signed(arena, NewView(1, changes, (proposal,), 1)), [0, 2, 3], liar=1)
    arena.run(5)
    assert all(member.replica.view == 1 and not member.replica.active for member in arena.honest), "not believed"
    assert ended(arena) == []


@pytest.mark.row(11)
@pytest.mark.parametrize("seed", range(2))
def test_a_long_storm_of_views_ends_within_the_capped_timeout(seed: int) -> None:
    assert hunts.dead_primary_after_a_storm(seed) == []


@pytest.mark.row(11)
@pytest.mark.parametrize("nodes", [4, 7])
@pytest.mark.parametrize("seed", range(5))
def test_a_cold_start_in_pieces_converges(nodes: int, seed: int) -> None:
    """Everyone starts alone and complains; links appear one by one, and nothing is sent twice but by status."""
    arena = Arena(range(nodes), nodes, seed=seed, jitter_ms=3)
    chance = random.Random(seed)
    links = [(a, b) for a in range(nodes) for b in range(nodes) if a != b]
    chance.shuffle(links)
    known: set[tuple[int, int]] = set()
    arena.carry = lambda sender, receiver, message: (message,) if (sender.place, receiver.place) in known else ()
    for number, link in enumerate(links):
        known.add(link)
        arena.submit(number % nodes, f"request {number}")
        arena.run(chance.randint(1, 120))
    arena.submit(0, "last")
    assert arena.run(CALM_MS, lambda: has_executed(arena, "last"))
    assert safety(arena) == []


@pytest.mark.row(11)
def test_one_liar_cannot_move_the_others_to_another_view() -> None:
    for seed in range(4):
        assert hunts.one_complainer(seed) == []
