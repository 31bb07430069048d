"""The library: enough scenarios, every row of the reliability table, and each comes as it says."""

from __future__ import annotations

import pytest
from mutants.catalogue import MUTANTS

from faults.real.target import ProcessTarget
from faults.running import seeds_of
from faults.scenario import ROWS, Scenario
from faults.shelf import library
from faults.simulated import SimTarget, plan_of
from faults.target import fitting
from faults.verdict import Run, judge, judge_run
from sim.plan import decode_plan, encode_plan

SCENARIOS = library()
SIMULATED = fitting(SCENARIOS, SimTarget())
SCENARIOS_MIN = 40
SAMPLE = (
    "a-fifth-validator-joins-as-the-primary-dies", "clients-bad-requests", "cold-start-in-pieces",
    "equivocating-primary", "isolated-primary", "lost-log", "lying-state-transfer", "primary-dies-in-mid-pre-prepare",
    "requests-again-after-a-lost-ledger", "small-mutations", "two-against-two", "wrong-new-view",
)  # fmt: skip
"""What `make test` runs with one seed each; `make test-full` runs all."""
BROKEN = {
    "two-colluders": "agreement",
    "three-colluders-of-seven": "agreement",
    "two-twins-of-four": "agreement",
    "two-of-four-are-silent": "termination",
    "two-agree-with-all": "agreement",
}


def rows(*names: str) -> list[object]:
    """Cases, each with the rows that its scenario covers."""
    return [pytest.param(name, marks=pytest.mark.row(*SCENARIOS[name].covers)) for name in names]


def runs_of(scenario: Scenario, seeds: tuple[int, ...]) -> list[Run]:
    return [judge_run(scenario, SimTarget().run(scenario, seed)) for seed in seeds]


def test_there_are_enough_and_every_row_is_covered() -> None:
    assert len(SCENARIOS) >= SCENARIOS_MIN
    assert {row for scenario in SCENARIOS.values() for row in scenario.covers} == set(range(1, ROWS + 1))


def test_no_two_are_the_same_situation() -> None:
    plans = [encode_plan(plan_of(scenario, 1)).replace(name, "") for name, scenario in SIMULATED.items()]
    assert len(set(plans)) == len(plans)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_each_is_named_like_its_file_and_fits_a_target(name: str) -> None:
    assert SCENARIOS[name].name == name
    assert name in SIMULATED or fitting({name: SCENARIOS[name]}, ProcessTarget())


@pytest.mark.parametrize("name", sorted(SIMULATED))
def test_a_plan_reads_back_as_the_same(name: str) -> None:
    scenario = SIMULATED[name]
    plan = plan_of(scenario, scenario.seeds[0])
    assert decode_plan(encode_plan(plan)) == plan


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_each_expects_more_than_that_nothing_breaks(name: str) -> None:
    expect = SCENARIOS[name].expect
    assert expect.breaks or expect.recovers_within_ms or expect.served_within_ms


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_at_most_f_lie_where_everything_must_hold_and_more_where_it_must_break(name: str) -> None:
    topology = SCENARIOS[name].topology
    too_many = len(topology.liars) + topology.mutated > topology.tolerated
    assert too_many == (SCENARIOS[name].expect.outcome == "breaks")


@pytest.mark.parametrize("name", rows(*SAMPLE))
def test_a_scenario_comes_as_expected(name: str) -> None:
    scenario = SCENARIOS[name]
    verdict = judge(scenario, runs_of(scenario, scenario.seeds[:1]))
    assert verdict.unmet == []
    assert (verdict.safe, verdict.live) == (True, True)


@pytest.mark.full
@pytest.mark.parametrize("name", rows(*SIMULATED))
def test_every_scenario_comes_as_expected_with_more_seeds(name: str) -> None:
    scenario = SCENARIOS[name]
    assert judge(scenario, runs_of(scenario, seeds_of(scenario, 6))).unmet == []


@pytest.mark.row(21)
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_one_more_liar_than_may_be_is_judged(name: str) -> None:
    scenario = SCENARIOS[name]
    (run,) = runs_of(scenario, scenario.seeds[:1])
    assert BROKEN[name] in run.broken
    assert run.safe == (BROKEN[name] == "termination")
    assert run.words == ("SAFE STALLED" if run.safe else run.words)
    assert judge(scenario, [run]).as_expected


def test_every_scenario_of_too_many_is_judged_above() -> None:
    assert set(BROKEN) == {name for name, scenario in SCENARIOS.items() if scenario.expect.outcome == "breaks"}


PLANTED = {
    "quorum f + 1": ("two-against-two", "agreement"),
    "view change forgets what prepared": ("forgotten-p-sets", "agreement"),
    "proposals below the base, in whole worlds": ("below-the-base", "assertion"),
    "nothing persisted before PREPARE": ("backup-dies-as-it-votes", "one vote"),
    "votes in spite of amnesia": ("lost-log-under-a-two-faced-primary", "one vote"),
    "prepare accepted as commit": ("only-one-hears-the-votes", "agreement"),
    "nobody is judged while blocks wait for execution": ("old-requests-proposed-again", "censorship"),
    "nonce window ignored": ("old-requests-proposed-again", "exactly once"),
    "one complaint changes the view": ("storm-of-views", "no_view_change"),
    "one VIEW-CHANGE is followed": ("storm-of-views", "no_view_change"),
    "the primary's clock believed": ("the-primarys-clock-leaps-into-tomorrow", "view_change"),
    "snapshot chunks not verified": ("lying-state-transfer", "error"),
    "a revoked certificate counts": ("a-client-revoked-in-mid-run", "validity"),
    "client table not in the snapshot": ("lying-state-transfer", "error"),
    "the log cut before the certificate is durable": ("power-cuts-everywhere", "quiet"),
}
"""Bugs of ``tests/support/mutants``: the scenario of the library that catches each, and by what."""


@pytest.mark.row(21)
@pytest.mark.parametrize("bug", sorted(PLANTED))
def test_a_planted_bug_is_caught_by_the_library(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, key = PLANTED[bug]
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == bug)
    with monkeypatch.context() as patch:
        mutant.plant(patch)
        assert any(key in runs_of(SCENARIOS[name], (seed,))[0].broken for seed in SCENARIOS[name].seeds)


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    scenario = SCENARIOS["isolated-primary"]
    first, again, other = (SimTarget().run(scenario, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.trace != other.trace
