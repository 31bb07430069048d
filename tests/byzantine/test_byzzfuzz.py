"""ByzzFuzz: rounds with small mutations by one replica, and rounds with partitions. Row 2 of the reliability table."""

from __future__ import annotations

import random

import pytest

from pbft.messages import NULL_DIGEST, Commit, NewView, Outcome, PrePrepare, Proposal, Statement
from sim.byzzfuzz import Rounds, fuzz_of, play
from sim.mutations import mutations


@pytest.mark.row(2)
@pytest.mark.parametrize("seed", range(24))
def test_agreement_and_termination_hold(seed: int) -> None:
    fuzz = fuzz_of(seed)
    assert play(fuzz) == [], fuzz


@pytest.mark.full
@pytest.mark.row(2)
@pytest.mark.parametrize(
    ("nodes", "seed"), [(n, seed) for n in (4, 7) for seed in range(24, 224) if n == 4 or seed < 64]
)
def test_agreement_and_termination_hold_in_many_runs(nodes: int, seed: int) -> None:
    fuzz = fuzz_of(seed, nodes)
    assert play(fuzz) == [], fuzz


def test_the_same_seed_gives_the_same_faults() -> None:
    assert fuzz_of(5) == fuzz_of(5) != fuzz_of(6)


def test_mutations_are_of_small_scope() -> None:
    proposal = Proposal(PrePrepare(2, 7, b"d" * 32, 1), b"body")
    found = mutations(proposal)
    moved = [(m.pre_prepare.view, m.pre_prepare.sequence) for m in found if isinstance(m, Proposal)]
    assert sorted(moved) == [(1, 7), (2, 6), (2, 8), (3, 7)]
    assert [(m.view, m.sequence) for m in mutations(Commit(0, 0, b"", 1)) if isinstance(m, Commit)] == [(1, 0), (0, 1)]
    outcomes = mutations(Outcome(Statement(4, b"", b"", b"", b""), 1))
    assert [m.statement.height for m in outcomes if isinstance(m, Outcome)] == [3, 5]


def test_a_new_view_can_lose_and_nullify_what_it_must_propose() -> None:
    proposal = PrePrepare(3, 9, b"d" * 32, 3)
    found = [m.pre_prepares for m in mutations(NewView(3, (), (proposal,), 3)) if isinstance(m, NewView)]
    assert () in found
    assert any(p and p[0].digest == NULL_DIGEST for p in found)


def test_rounds_are_phases_in_order_of_appearance() -> None:
    rounds = Rounds()
    votes = [Commit(0, sequence, b"", sender) for sequence in (1, 2, 1) for sender in (0, 1)]
    assert [rounds.of(vote) for vote in votes] == [0, 0, 1, 1, 0, 0]


def test_every_seed_mutates_within_reach() -> None:
    """Faults in rounds that never come would test nothing."""
    for seed in random.Random(1).sample(range(1_000), 50):
        fuzz = fuzz_of(seed)
        assert fuzz.mutated
        assert all(targets and fuzz.liar not in targets for targets in fuzz.mutated.values())
