"""Every behaviour of ``sim/byzantine`` against the whole simulator: f liars change nothing, f + 1 are seen to.

Rows 1, 3, 6, 7, 10, 12, 13, 20 and 21 of the reliability table, by the behaviour's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sim.byzantine.adversaries import LIES, TOO_MANY
from sim.catalogue import ADVERSARIES, BEHAVIOURS, plan_of
from sim.run import run_seed

ROWS = {
    "equivocate": 1,
    "vote-twice": 1,
    "amnesia": 1,
    "below-base": 1,
    "byzzfuzz": 2,
    "forged-p-set": 3,
    "forged-view-change": 3,
    "wrong-new-view": 3,
    "wrong-checkpoint": 5,
    "lying-transfer": 6,
    "useless-manifests": 6,
    "replay": 7,
    "reuse-signatures": 8,
    "impersonate": 8,
    "flood": 10,
    "view-storm": 11,
    "far-views": 11,
    "slow-primary": 12,
    "late-commit": 12,
    "date-back": 12,
    "censor": 13,
    "far-ahead": 13,
    "fill-pipeline": 13,
    "repeat-requests": 13,
    "hide-requests": 13,
    "traitors": 16,
    "lying-replies": 20,
}
NAMES = (*LIES, "liars", "traitors", "twins", "byzzfuzz")
SEEDS_FULL = range(1, 9)
MANUAL = Path(__file__).resolve().parents[2] / "docs" / "SIMULATOR.md"


def _cases(seeds: Iterable[int]) -> list[Any]:
    """(name, seed), with the row that the name stands for."""
    return [
        pytest.param(name, seed, marks=[pytest.mark.row(ROWS[name])] if name in ROWS else [], id=f"{name}-{seed}")
        for name in NAMES
        for seed in seeds
    ]


@pytest.mark.parametrize(("name", "seed"), _cases([0]))
def test_f_liars_change_nothing(name: str, seed: int) -> None:
    verdict = run_seed(seed, 4, name)
    assert verdict.faults == (), verdict.plan


@pytest.mark.full
@pytest.mark.parametrize(("name", "seed"), _cases(SEEDS_FULL))
def test_f_liars_change_nothing_in_many_seeds(name: str, seed: int) -> None:
    verdict = run_seed(seed, 4 if seed % 4 else 7, name)
    assert verdict.faults == (), verdict.plan


@pytest.mark.row(21)
@pytest.mark.parametrize(
    ("name", "kind"),
    [("collude", "agreement"), ("silent", "termination"), ("split-commit", "termination")],
)
def test_one_more_liar_than_may_be_is_seen(name: str, kind: str) -> None:
    """The checkers must be able to fail."""
    kinds = [kind for seed in range(3) for kind in run_seed(seed, 4, name + TOO_MANY).kinds]
    assert kind in kinds


def test_every_behaviour_is_registered_and_an_adversary() -> None:
    assert set(LIES) <= set(BEHAVIOURS)
    assert set(LIES) <= set(ADVERSARIES)
    assert set(ROWS) <= set(NAMES) <= set(ADVERSARIES)


def test_the_manual_lists_every_behaviour() -> None:
    manual = MANUAL.read_text("utf-8")
    assert [name for name in LIES if f"| `{name}` |" not in manual] == []


def test_a_plan_has_f_liars_and_composes_behaviours() -> None:
    for nodes, f in ((4, 1), (7, 2), (10, 3)):
        assert len(plan_of(5, nodes, "equivocate").byzantine) == f
        assert len(plan_of(5, nodes, "collude" + TOO_MANY).byzantine) == f + 1
        composed = plan_of(5, nodes, "liars")
        assert len(composed.byzantine) == f
        assert len(composed.liars) >= 2 * f
