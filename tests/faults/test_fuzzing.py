"""Scenarios drawn by chance: lawful, the same again, and what breaks is kept and tried in the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from mutants.catalogue import MUTANTS
from typer.testing import CliRunner

from cli.faults import app
from faults import drawing
from faults.drawing import draw
from faults.fuzzing import found, runs, told
from faults.reading import parse_scenario, read_scenario
from faults.real.target import ProcessTarget
from faults.scenario import Kind, Scenario
from faults.shelf import library
from faults.simulated import SimTarget
from faults.verdict import judge_run
from faults.writing import write_scenario

DRAWN = [draw(seed) for seed in range(300)]
REAL = [draw(seed, real=True) for seed in range(300)]
LOSSES = {"rot", "lose_log", "lose_ledger", "roll_back"}
KINDS = ("mixed", "registers", "counter", "reads", "bank", "market-day")
NEVER = {"start", "begin_anew", "ring", "join", "unclog", "validators"}
"""Kinds that are not drawn: what undoes others, what only liars do, changes of who votes."""
REAL_ALONE = {
    "pause", "full_disk", "wire", "sever", "half_open", "fsync_fails", "drift", "expire", "few_files", "little_memory",
    "roll_back",
}  # fmt: skip
"""Kinds that the simulator does not know."""


def test_the_same_number_draws_the_same_scenario_and_files_read_back_as_it() -> None:
    assert [draw(seed) for seed in range(20)] == DRAWN[:20]
    assert [draw(seed, real=True) for seed in range(20)] == REAL[:20]
    for scenario in (*DRAWN[:20], *REAL[:20]):
        assert parse_scenario(write_scenario(scenario), "") == scenario
    assert len({write_scenario(scenario) for scenario in DRAWN}) == len(DRAWN)


def test_both_targets_can_do_whatever_is_drawn() -> None:
    sim, processes = SimTarget(), ProcessTarget()
    for scenario in DRAWN:
        sim.check(scenario)
        processes.check(scenario)


def test_real_nodes_can_do_what_is_drawn_for_them() -> None:
    for scenario in REAL:
        ProcessTarget().check(scenario)


def test_no_more_lie_or_lose_than_may() -> None:
    for scenario in (*DRAWN, *REAL):
        lost = {node for fault in scenario.timeline if fault.fault in LOSSES for node in fault.nodes}
        assert len(scenario.topology.liars | lost) <= scenario.topology.tolerated


def test_every_kind_of_fault_is_drawn() -> None:
    assert _kinds(DRAWN) == set(get_args(Kind)) - NEVER - REAL_ALONE
    assert _kinds(REAL) == set(get_args(Kind)) - NEVER
    assert {s.topology.services.couchdb for s in REAL} == {"none", "down", "hangs"}
    assert {s.workload.kind for s in DRAWN} == {s.workload.kind for s in REAL} == set(KINDS)
    assert any(scenario.topology.liars for scenario in DRAWN)
    assert any(scenario.topology.clocks_ms for scenario in DRAWN)
    assert {scenario.topology.nodes for scenario in DRAWN} == set(drawing.SIZES)


def _kinds(drawn: list[Scenario]) -> set[str]:
    return {fault.fault for scenario in drawn for fault in scenario.timeline}


def test_what_breaks_of_faults_that_the_simulator_does_not_know_is_kept(tmp_path: Path) -> None:
    scenario = next(scenario for scenario in REAL if _kinds([scenario]) & REAL_ALONE)
    run = judge_run(draw(1), SimTarget().run(draw(1), 1))
    broken = msgspec.structs.replace(run, target="processes", violations=("termination: not settled",))
    finding = found(scenario, broken, tmp_path)
    assert finding.replay is None
    assert read_scenario(Path(finding.file)) == scenario


def test_what_breaks_is_kept_and_the_simulator_shows_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a planted bug, and a scenario that finds it."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "quorum f + 1")
    mutant.plant(monkeypatch)
    scenario = library()["two-against-two"]
    played = (judge_run(scenario, SimTarget().run(scenario, seed)) for seed in scenario.seeds)
    run = next(run for run in played if run.violations)
    finding = found(scenario, msgspec.structs.replace(run, target="processes"), tmp_path)
    assert (finding.violations, finding.replay) == (run.violations, run.seed)
    assert read_scenario(Path(finding.file)) == scenario


def test_runs_follow_each_other_until_it_is_enough() -> None:
    done: list[tuple[Scenario, bool]] = [(s, bool(r.violations)) for s, r in runs(SimTarget(), 3, lambda n: n < 2)]
    assert done == [(draw(3), False), (draw(4), False)]
    assert told(draw(4)).startswith("7 nodes, node 0 far-views, node 6 equivocate")


def test_the_command_says_what_it_ran() -> None:
    ended = CliRunner().invoke(app, ["fuzz", "--target", "sim", "--runs", "1", "--seed", "3", "--json"])
    told_ = json.loads(ended.stdout)
    assert (ended.exit_code, told_["runs"], told_["lost"], told_["found"]) == (0, 1, 0, [])
