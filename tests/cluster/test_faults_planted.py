"""Bugs planted in real nodes: the lab says UNSAFE or STALLED of a network that has one, and SAFE LIVE of the same one
without.

Those of the simulator's mutants that time on real machines lets show. Most others need moments that only a virtual
clock hits, or lies that no real node tells (``tests/faults/test_library.py`` has them).
"""

from __future__ import annotations

import os
from pathlib import Path

import planted_node
import pytest

from faults.real import lab
from faults.real.target import ProcessTarget
from faults.scenario import Expect, Fault, Scenario, Topology, Tuning, Workload
from faults.shelf import library
from faults.verdict import Run, judge_run

pytestmark = [pytest.mark.cluster, pytest.mark.full]

ROOT = Path(__file__).resolve().parents[2]
TWO_HALVES = Scenario(
    name="two-halves",
    title="Two halves for so long that each could go on alone",
    covers=(19,),
    topology=Topology(tuning=Tuning(block_idle_ms_max=300)),
    workload=Workload(clients=4, operations=4),
    faults_end_ms=4_000,
    timeline=(Fault(fault="partition", at_ms=300, groups=((0, 1), (2, 3)), for_ms=3_400),),
    expect=Expect(recovers_within_ms=20_000),
)
ONE_HEARS = Scenario(
    name="one-hears-the-votes",
    title="One backup alone hears any votes, until the others complain, and is cut off while they change the view",
    covers=(19,),
    topology=Topology(tuning=Tuning(block_idle_ms_max=300)),
    workload=Workload(clients=4, operations=8),
    faults_end_ms=7_000,
    timeline=(
        Fault(fault="cut", at_ms=600, links=((1, 0), (1, 2), (1, 3), (2, 0), (3, 0), (2, 3), (3, 2))),
        Fault(fault="isolate", at_ms=2_400, nodes=(1,), for_ms=4_000),
    ),
    expect=Expect(recovers_within_ms=20_000),
)
PLANTED = {
    "quorum f + 1": TWO_HALVES,
    "prepare accepted as commit": ONE_HEARS,
    "view change forgets what prepared": library()["only-one-commits"],
    "nonce window ignored": library()["requests-again-after-a-lost-ledger"],
    "client table not in the snapshot": library()["requests-again-behind-a-snapshot"],
    "one complaint changes the view": library()["storm-of-views"],
    "one VIEW-CHANGE is followed": library()["storm-over-slow-links"],
    "the primary's clock believed": library()["the-primarys-clock-leaps-years"],
    "nothing persisted before PREPARE": library()["voter-dies-and-is-asked-again"],
    "votes in spite of amnesia": library()["voter-without-a-log-is-asked-again"],
    "snapshot chunks not verified": library()["forged-snapshot"],
    "equivocation accepted": library()["voter-dies-and-is-asked-again"],
    "certificate of q - 1 outcomes": library()["isolated-primary"],
    "a revoked certificate counts": library()["a-client-revoked-in-mid-run"],
}
"""By the mutant's name."""
STALLED = {"one VIEW-CHANGE is followed", "certificate of q - 1 outcomes"}
"""Bugs that no safety property sees: nothing wrong happens, but nothing happens at all."""
TRIES = 3
"""A scenario leaves to the machine which of its moments come: it may take another run until a bug shows."""


@pytest.mark.row(21)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", sorted(PLANTED))
def test_real_nodes_with_a_planted_bug_are_unsafe_or_stalled(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "LAB_NODE", planted_node.MODULE)
    monkeypatch.setenv(planted_node.BUG_VARIABLE, bug)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support"))))
    assert any(_shows(bug, _run(PLANTED[bug], seed)) for seed in range(1, 1 + TRIES))


def _run(scenario: Scenario, seed: int) -> Run:
    return judge_run(scenario, ProcessTarget().run(scenario, seed))


def _shows(bug: str, run: Run) -> bool:
    return not (run.live if bug in STALLED else run.safe)


@pytest.mark.row(21)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted({scenario.name for scenario in PLANTED.values()}))
def test_the_same_nodes_without_it_are_safe_and_live(name: str) -> None:
    (scenario,) = {scenario.name: scenario for scenario in PLANTED.values() if scenario.name == name}.values()
    run = _run(scenario, 1)
    assert run.words == "SAFE LIVE", run.violations
