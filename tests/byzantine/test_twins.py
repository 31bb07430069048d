"""Twins: every scenario of at most two rounds at n = 4, up to symmetry; and a sample of longer ones.

Rows 1 and 21 of the reliability table. ``sim/twins.py`` says what a scenario is and which symmetries are used.
"""

from __future__ import annotations

import pytest

from sim.twins import NODES, Scenario, all_scenarios, distinct, partitions, play, sampled

CHUNKS = 64
"""Parts that the enumeration is tested in; ``make test`` plays one scenario of each."""
LEADER_SEQUENCES = NODES
"""Sequences of leaders that the rule v mod n allows."""


@pytest.fixture(scope="module")
def scenarios() -> list[Scenario]:
    return [scenario for rounds in (1, 2) for scenario in distinct(all_scenarios(rounds))]


def test_the_symmetries_reduce_as_many_scenarios_as_the_docstring_says(scenarios: list[Scenario]) -> None:
    assert len(partitions(NODES + 1)) == 52
    counts = [sum(1 for _ in all_scenarios(rounds)) for rounds in (1, 2)]
    before = LEADER_SEQUENCES * sum(counts)
    print(f"{before} scenarios, {sum(counts)} with view 0 led by replica 0, {len(scenarios)} up to exchange of twins")
    assert (before, sum(counts), len(scenarios)) == (44_096, 11_024, 6_352)


def test_each_scenario_is_there_or_its_mirror_image_is(scenarios: list[Scenario]) -> None:
    known = set(scenarios)
    for scenario in all_scenarios(2):
        assert (scenario in known) or (scenario.mirrored() in known)
        assert scenario.mirrored().mirrored() == scenario


@pytest.mark.row(1)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_sample_of_the_enumeration_holds(scenarios: list[Scenario], chunk: int) -> None:
    scenario = scenarios[chunk * len(scenarios) // CHUNKS + chunk % 7]
    assert play(scenario) == [], scenario


@pytest.mark.full
@pytest.mark.row(1)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_scenario_of_at_most_two_rounds_holds(scenarios: list[Scenario], chunk: int) -> None:
    for scenario in scenarios[chunk::CHUNKS]:
        assert play(scenario) == [], scenario


@pytest.mark.row(1)
@pytest.mark.parametrize("seed", range(20))
def test_longer_scenarios_hold(seed: int) -> None:
    scenario = sampled(seed)
    assert play(scenario) == [], scenario


@pytest.mark.full
@pytest.mark.row(1)
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("nodes", "seed"), [(n, seed) for n in (4, 7) for seed in range(100)])
def test_many_longer_scenarios_hold(nodes: int, seed: int) -> None:
    scenario = sampled(seed, nodes)
    assert play(scenario) == [], scenario


@pytest.mark.row(21)
def test_two_twinned_replicas_of_four_are_seen_to_break_agreement() -> None:
    """More than f: the checkers must be able to fail."""
    found = (fault for seed in range(60) for fault in play(sampled(seed), also_twinned=1))
    assert any(fault.startswith("agreement") for fault in found)
