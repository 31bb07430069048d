"""Bugs planted in real nodes: the lab says UNSAFE of a network that has one, and SAFE of the same one without.

Those of the simulator's mutants that time on real machines lets show: the others need moments that only a virtual clock
hits (``tests/faults/test_library.py`` has them).
"""

from __future__ import annotations

import os
from pathlib import Path

import planted_node
import pytest

from faults.real import lab
from faults.real.target import ProcessTarget
from faults.scenario import Expect, Fault, Scenario, Topology, Tuning, Workload
from faults.verdict import judge_run

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
}
TRIES = 3
"""A scenario leaves to the machine which of its moments come: it may take another run until a bug shows."""


@pytest.mark.row(21)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", sorted(PLANTED))
def test_real_nodes_with_a_planted_bug_are_unsafe(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "LAB_NODE", planted_node.MODULE)
    monkeypatch.setenv(planted_node.BUG_VARIABLE, bug)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support"))))
    scenario = PLANTED[bug]
    assert any(not judge_run(scenario, ProcessTarget().run(scenario, seed)).safe for seed in range(1, 1 + TRIES))


@pytest.mark.row(21)
@pytest.mark.parametrize("bug", sorted(PLANTED))
def test_the_same_nodes_without_it_are_safe(bug: str) -> None:
    run = judge_run(PLANTED[bug], ProcessTarget().run(PLANTED[bug], 1))
    assert run.safe, run.violations
