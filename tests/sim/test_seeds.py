"""Seeds of all adversaries, each played in a world of its own and checked.

Rows 1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 16, 17, 18, 19, 20 and 21 of the reliability table. A failure prints the
seed, what it expands to and the line that replays it.
"""

from __future__ import annotations

import pytest

from sim.byzantine.adversaries import TOO_MANY
from sim.catalogue import ADVERSARIES, plan_of
from sim.plan import MIXED, Liar, Plan, encode_plan
from sim.run import run_plan

SEEDS = range(100)
SEEDS_FULL = range(100, 500)
NODES = (4, 4, 4, 5, 7)
"""How many replicas, in turn."""
NODES_FULL = (4, 5, 6, 7, 10)
HEIGHT_MIN = 5


def check(seed: int, nodes: int, adversary: str) -> None:
    plan = plan_of(seed, nodes, adversary)
    verdict = run_plan(plan)
    print(f"wattq sim replay {seed} --nodes {nodes} --adversary {adversary} --transcript\n{encode_plan(plan)}")
    assert verdict.faults == ()
    assert verdict.height >= HEIGHT_MIN


@pytest.mark.row(18, 19, 20)
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_holds(seed: int) -> None:
    check(seed, NODES[seed % len(NODES)], MIXED)


@pytest.mark.row(18, 19, 20)
@pytest.mark.full
@pytest.mark.parametrize("seed", SEEDS_FULL)
def test_everything_holds_in_many_worlds(seed: int) -> None:
    check(seed, NODES_FULL[seed % len(NODES_FULL)], MIXED)


@pytest.mark.full
@pytest.mark.parametrize("adversary", [name for name in sorted(ADVERSARIES) if not name.endswith(TOO_MANY)])
def test_everything_holds_against_each_adversary(adversary: str) -> None:
    """But for those of more than f liars, which must break something: see ``tests/byzantine/test_adversaries.py``."""
    for seed in range(1_000, 1_010):
        check(seed, 4, adversary)


@pytest.mark.row(21)
def test_more_liars_than_may_be_are_seen() -> None:
    """Two of four are silent, which is more than f: nothing can happen any more, and the checkers say so."""
    plan = Plan(1, "none", liars=(Liar(2, "silent"), Liar(3, "silent")))
    assert run_plan(plan).kinds == {"termination", "censorship"}
