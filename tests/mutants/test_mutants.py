"""Planted bugs must be caught: one at a time, by the simulator's checkers, within a stated number of seeds.

Rows 1 to 21 of the reliability table rest on checkers that can fail; this is row 21. The table of mutants, hunts and
seeds is printed with ``pytest -s``.
"""

from __future__ import annotations

import pytest
from mutants import hunts
from mutants.catalogue import MUTANTS, Mutant
from mutants.hunts import hunted
from mutants.planting import MutantLost, plant

from pbft import config, quorum, view_change
from pbft.core import Core

NAMES_MIN = 15


def _catch(mutant: Mutant, patch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The first seed that shows the bug, and what it shows."""
    with patch.context() as planted:
        mutant.plant(planted)
        for seed in range(mutant.seeds):
            if faults := hunted(mutant.hunt, seed):
                return seed, faults[0]
    pytest.fail(f"{mutant.name} survived {mutant.seeds} seeds of {mutant.hunt.__name__}")


@pytest.mark.row(21)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    seed, fault = _catch(mutant, monkeypatch)
    print(f"| {mutant.name} | {mutant.hunt.__name__} | {seed} | {fault} |")
    assert hunted(mutant.hunt, seed) == [], "the same seed without the bug"


@pytest.mark.row(21)
@pytest.mark.full
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_no_seed_of_a_hunt_raises_a_false_alarm(mutant: Mutant) -> None:
    for seed in range(mutant.seeds):
        assert hunted(mutant.hunt, seed) == [], f"seed {seed}"


def test_there_are_enough_mutants_of_different_kinds() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= NAMES_MIN
    assert len({mutant.hunt for mutant in MUTANTS}) >= NAMES_MIN


def test_a_mutant_whose_target_is_gone_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MutantLost, match="0 times"):
        plant(monkeypatch, view_change, "is_new_view", ("this text is nowhere", ""))
    with pytest.raises(MutantLost, match="times"):
        plant(monkeypatch, view_change, "is_new_view", ("return False", "return True"))
    with pytest.raises(MutantLost, match="is gone"):
        plant(monkeypatch, view_change, "no_such_function", ("a", "b"))


def test_planting_reaches_every_module_and_ends_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        plant(patch, quorum, "quorum", ("// 2 + 1", "// 2"))
        assert (quorum.quorum(4), vars(config)["quorum"](4)) == (2, 2)
        plant(patch, Core, "high", ("self.low +", "100 +"))
        assert isinstance(vars(Core)["high"], property)
    assert (quorum.quorum(4), vars(config)["quorum"](4)) == (3, 3)


def test_a_bug_that_is_an_assertion_counts_as_caught() -> None:
    def breaks(seed: int) -> list[str]:
        raise AssertionError("two batches")

    assert hunted(breaks, 0) == ["assertion: two batches"]
    assert hunts.SLOT_ENTRIES_MAX > 0
