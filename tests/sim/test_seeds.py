"""The simulator: seeds of all adversaries, each checked, each trace reproducible.

Rows 1, 7, 11, 18, 19 and 21 of the reliability table. A failure prints the seed and what it expands to.
"""

from __future__ import annotations

import pytest

from sim.plan import encode_plan
from sim.run import run_seed

SEEDS = range(50)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_holds(seed: int) -> None:
    verdict = run_seed(seed)
    print(f"seed {seed}: {encode_plan(verdict.plan)}, height {verdict.height}, view {verdict.view}")
    assert verdict.faults == ()
    assert verdict.height > 10


@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    assert run_seed(seed).trace == run_seed(seed).trace
    assert run_seed(seed).trace != run_seed(seed + 100).trace
