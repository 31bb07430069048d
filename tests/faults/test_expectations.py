"""Every expectation can fail: each is met by one observation and not by another that differs in what it is about."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from faults.expectations import checks_of
from faults.figures import figures_of, percentile
from faults.observation import Accusation, Commit, Cry, Observation, Operation, Stand, Strike
from faults.reading import parse_scenario
from faults.scenario import Expect, Scenario
from faults.verdict import judge, judge_run

SCENARIO = """
name = "made-up"
title = "Made up"
covers = [21]
seeds = [1]
[[timeline]]
name = "cut"
fault = "isolate"
at_ms = 1000
nodes = [0]
for_ms = 500
[expect]
"""
GOOD = Observation(
    target="none",
    scenario="made-up",
    seed=1,
    nodes=4,
    liars=(3,),
    faults_end_ms=5_000,
    ended_ms=5_200,
    settled_ms=200,
    struck=(Strike(1_000, 0, "isolate", (0,), 1_500),),
    befallen=1,
    commits=(Commit(100, 1), Commit(1_400, 2), Commit(2_000, 3)),
    stands=(Stand(0, 0, 0, 0, True), Stand(1_300, 1, 0, 1, False), Stand(1_500, 1, 1, 1, True)),
    operations=(Operation(0, "add", 100, 900, "OK", 1), Operation(1, "read", 100, 1_400, "OK", 2)),
    accusations=(Accusation(3, "two_prepares", (0, 1)),),
    cries=(Cry(1_100, 1, "amnesia", "lost"),),
    transfers=1,
    view_changes=1,
)


def scenario_of(expect: str) -> Scenario:
    return parse_scenario(SCENARIO + expect, "made-up.toml")


def unmet(expect: str, **changes: Any) -> list[str]:
    run = msgspec.structs.replace(GOOD, **changes)
    return [check.key for check in checks_of(scenario_of(expect), run) if not check.met]


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("", "outcome", {"violations": ("agreement: nodes 0 and 1 differ at height 3",)}),
    ("", "timeline", {"struck": ()}),
    ('commits = [{ after = "cut", from_ms = 300, to_ms = 500 }]', "commits", {"commits": (Commit(1_200, 2),)}),
    ("no_commits = [{ from_ms = 200, to_ms = 1400 }]", "no_commits", {"commits": (Commit(1_399, 2),)}),
    ("blocks_min = 3", "blocks_min", {"commits": (Commit(100, 2),)}),
    ("operations_min = 2", "operations_min", {"operations": (Operation(0, "add", 1, None),)}),
    ("transfers_min = 1", "transfers_min", {"transfers": 0}),
    ("epoch_min = 1", "epoch_min", {"stands": (Stand(0, 0, 0, 9, True),)}),
    ('view_change = { after = "cut", within_ms = 500 }', "view_change", {"stands": (Stand(1_501, 1, 0, 1, True),)}),
    ('view_change = { after = "cut", within_ms = 500 }', "view_change", {"stands": (Stand(1_300, 1, 0, 1, False),)}),
    ('view_change = { after = "cut", within_ms = 500 }', "view_change", {"stands": (Stand(1_300, 3, 0, 1, True),)}),
    ("recovers_within_ms = 200", "recovers_within_ms", {"settled_ms": 201}),
    ("recovers_within_ms = 200", "recovers_within_ms", {"settled_ms": None}),
    ("served_within_ms = 1300", "served_within_ms", {"operations": (Operation(0, "add", 0, 1_301),)}),
    ("served_within_ms = 1300", "served_within_ms", {"operations": (Operation(0, "add", 0, None),)}),
    ("accused = [{ node = 3 }]", "accused", {"accusations": (Accusation(2, "two_prepares", (0,)),)}),
    (
        "accused = [{ node = 3, of = 'two_prepares' }]",
        "accused",
        {"accusations": (Accusation(3, "two_commits", (0,)),)},
    ),
    ("alarm = 'amnesia'", "alarm", {"cries": (Cry(1, 1, "diverged", ""),)}),
]


@pytest.mark.row(21)
@pytest.mark.parametrize(("expect", "key", "changes"), CASES, ids=[f"{n}-{case[1]}" for n, case in enumerate(CASES)])
def test_an_expectation_is_met_or_not(expect: str, key: str, changes: dict[str, Any]) -> None:
    assert unmet(expect) == []
    assert unmet(expect, **changes) == [key]


@pytest.mark.row(21)
def test_no_view_change_is_seen_to_be_broken() -> None:
    assert unmet("no_view_change = true", stands=(Stand(0, 0, 0, 0, True),)) == []
    assert unmet("no_view_change = true") == ["no_view_change"]


def test_every_expectation_has_a_case() -> None:
    told = {key for _, key, _ in CASES} | {"no_view_change", "breaks"}
    assert {field.name for field in msgspec.structs.fields(Expect)} <= told


# --------------------------------------------------------------------------------------------------- verdicts


def verdict_of(expect: str, *changes: dict[str, Any]) -> Any:
    scenario = scenario_of(expect)
    observations = [msgspec.structs.replace(GOOD, seed=n, **change) for n, change in enumerate(changes, 1)]
    return judge(scenario, [judge_run(scenario, observation) for observation in observations])


AGREEMENT = {"violations": ("agreement: nodes 0 and 1 differ at height 3",)}
STALLED = {"violations": ("termination: not settled",), "settled_ms": None}


def test_safe_and_live_are_two_things() -> None:
    assert (verdict_of("", {}).safe, verdict_of("", {}).live) == (True, True)
    assert (verdict_of("", AGREEMENT).safe, verdict_of("", AGREEMENT).live) == (False, True)
    assert (verdict_of("", STALLED).safe, verdict_of("", STALLED).live) == (True, False)
    crashed = verdict_of("", {"violations": ("assertion: two batches",), "settled_ms": None})
    assert (crashed.safe, crashed.live) == (False, False)


@pytest.mark.row(21)
def test_what_must_break_is_seen_in_one_run_at_least() -> None:
    expect = "outcome = 'breaks'\nbreaks = ['agreement', 'kept']"
    assert verdict_of(expect, {}, AGREEMENT).as_expected
    assert not verdict_of(expect, {}, STALLED).as_expected
    assert [check.key for _, check in verdict_of(expect, {}).unmet] == ["breaks"]


def test_who_lied_is_told_without_opinions() -> None:
    accusations = (Accusation(3, "two_prepares", (0,)), Accusation(2, "complaints", (0, 1)))
    assert verdict_of("", {"accusations": accusations}).convicted == {3: ("two_prepares",)}


def test_the_figures_count_what_holds_and_what_breaks() -> None:
    lost = {"violations": ("acknowledged: node 1 lacks abc",), "settled_ms": 900}
    figures = figures_of([verdict_of("", {}, lost), verdict_of("outcome='breaks'\nbreaks=['agreement']", AGREEMENT)])
    assert (figures.runs, figures.faults, figures.acknowledged, figures.lost) == (3, 3, 4, 1)
    assert (figures.recovered_ms_p50, figures.recovered_ms_p99) == (200, 900)
    assert (figures.unexpected, figures.seen_to_break, figures.must_break) == (1, 1, 1)


@pytest.mark.parametrize(("share", "value"), [(50, 5), (99, 10), (1, 1), (100, 10)])
def test_percentiles(share: int, value: int) -> None:
    assert percentile(range(1, 11), share) == value
    assert percentile([], share) == 0
