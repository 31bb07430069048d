"""The simulator: crashes, partitions and an equivocating primary, each seed checked, each trace reproducible.

Rows 1, 7, 11, 18, 19 and 21 of the reliability table. A failure prints the seed and what it expands to.
"""

from __future__ import annotations

import msgspec
import pytest

from contracts.catalog import shipped_sources
from contracts.parameters import MARKET_PARAMETERS
from sim.checkers import agreement, exactly_once, termination
from sim.run import Stage, make_stage, run_seed
from sim.world import CHAOS_MS, World, plan_of

SEEDS = range(50)


@pytest.fixture(scope="module")
def stage() -> Stage:
    return make_stage(shipped_sources(), MARKET_PARAMETERS)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_holds(stage: Stage, seed: int) -> None:
    verdict = run_seed(stage, seed)
    print(f"seed {seed}: {verdict.plan}, height {verdict.height}, view {verdict.view}")
    assert verdict.faults == ()
    assert verdict.height > 20


@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_seed_gives_the_same_trace(stage: Stage, seed: int) -> None:
    assert run_seed(stage, seed).trace == run_seed(stage, seed).trace
    assert run_seed(stage, seed).trace != run_seed(stage, seed + 100).trace


def test_the_checkers_see_a_node_that_diverges(stage: Stage) -> None:
    world = World(plan_of(1, adversary="crash"), stage.genesis, stage.keys, stage.operators)
    try:
        world.play()
        assert agreement(world) == []
        assert exactly_once(world) == []
        liar = world.nodes[2].ledger
        statement = msgspec.structs.replace(liar.blocks[5].statement, state_root=bytes(32))
        liar.blocks[5] = msgspec.structs.replace(liar.blocks[5], statement=statement)
        assert agreement(world)
        liar.ran.append(liar.ran[next(i for i, ran in enumerate(liar.ran) if ran.tx_ids)])
        assert exactly_once(world)
    finally:
        world.close()


def test_two_silent_of_four_is_seen_as_no_progress(stage: Stage) -> None:
    """More faults than f: the checkers must be able to fail."""
    world = World(plan_of(1, adversary="crash"), stage.genesis, stage.keys, stage.operators)
    try:
        for node in world.nodes:
            node.start()
        world.run_until(CHAOS_MS // 4)
        for node in world.nodes[2:]:
            node.crash()
        height = max(node.ledger.height for node in world.nodes)
        world.client.last = world.client.next_envelope()
        world.nodes[0].submit(world.client.last)
        world.run_until(CHAOS_MS)
        assert termination(world)
        assert max(node.ledger.height for node in world.nodes[:2]) <= height + 4
    finally:
        world.close()


def test_an_equivocating_primary_is_replaced(stage: Stage) -> None:
    world = World(plan_of(2, adversary="equivocate"), stage.genesis, stage.keys, stage.operators)
    try:
        world.play()
        assert agreement(world) == []
        assert all(node.replica.view > 0 for node in world.honest)
    finally:
        world.close()
