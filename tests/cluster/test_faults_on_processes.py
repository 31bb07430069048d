"""Scenarios on networks of real processes: nodes that die, lie, are cut off and rot, and one verdict of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults.observation import Observation
from faults.real.target import PREFIX, ProcessTarget
from faults.scenario import (
    Accused,
    Byzantine,
    Change,
    Disks,
    Expect,
    Fault,
    Scenario,
    Topology,
    Tuning,
    When,
    Window,
    Wire,
    Workload,
)
from faults.shelf import library
from faults.verdict import Run, judge, judge_run
from faults.writing import write_scenario

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 120.0
TURN_S = 0.05
TRIES = 4
QUICK = Tuning(block_idle_ms_max=300)
DOZEN = (
    "a-certificate-ends-in-mid-run", "a-fifth-validator-joins-as-the-primary-dies", "a-market-day-through-crashes",
    "a-revoked-observer-is-sent-away", "a-revoked-validator-is-replaced", "an-old-copy-is-restored",
    "bad-weather", "bytes-damaged-on-the-way",
    "clients-bad-requests", "clogged-links", "couchdb-hangs-and-no-broker",
    "drifting-clocks", "equivocating-primary", "few-files-and-little-memory", "flapping-partition",
    "half-open-connections", "isolated-primary", "money-through-crashes", "narrow-and-long-pipes",
    "no-couchdb-and-a-broker-that-hangs", "operators-hand-the-lead-over", "power-cut-at-a-checkpoint",
    "primary-dies-in-mid-pre-prepare", "severed-connections", "stalled-pipes-of-the-primary", "syncs-that-fail",
    "two-of-four-are-silent", "wrong-clocks", "wrong-new-view",
)  # fmt: skip
"""Of the library, on real processes in `make test-full`."""


def small(
    *timeline: Fault, topology: Topology | None = None, expect: Expect | None = None, kind: str = "mixed"
) -> Scenario:
    """A scenario that is over in a few seconds."""
    return Scenario(
        name="small",
        title="Small",
        covers=(19,),
        topology=topology or Topology(tuning=QUICK),
        workload=Workload(kind=kind, clients=2, operations=4),  # type: ignore[arg-type]
        faults_end_ms=3_000,
        timeline=timeline,
        expect=expect or Expect(recovers_within_ms=20_000, operations_min=8),
        seeds=(1,),
    )


def played(scenario: Scenario) -> tuple[Observation, Run]:
    """One run, which came as it was expected."""
    target = ProcessTarget()
    target.check(scenario)
    observation = target.run(scenario, 1)
    run = judge_run(scenario, observation)
    assert judge(scenario, [run]).unmet == [], observation
    return observation, run


@pytest.mark.row(4)
def test_the_primary_is_killed_between_two_copies_of_its_proposal() -> None:
    fault = Fault(
        fault="crash", name="death", when=When(sent="pre-prepare", sequence=5), nodes=("primary",), for_ms=1_500
    )
    expect = Expect(view_change=Change(after="death", within_ms=6_000), recovers_within_ms=20_000, operations_min=8)
    observation, run = played(small(fault, expect=expect))
    (strike,) = observation.struck
    assert strike.nodes == (0,)
    assert (run.words, run.lost) == ("SAFE LIVE", 0)


@pytest.mark.row(1)
def test_a_lying_primary_is_convicted_by_what_it_signed() -> None:
    liar = Byzantine(node=0, behaviour="equivocate")
    expect = Expect(accused=(Accused(node=0, of="two_proposals"),), recovers_within_ms=20_000, operations_min=8)
    observation, _ = played(small(topology=Topology(tuning=QUICK, byzantine=(liar,)), expect=expect))
    assert observation.liars == (0,)
    assert all(accusation.proof and accusation.said for accusation in observation.accusations)


@pytest.mark.full
@pytest.mark.row(19)
def test_two_halves_decide_nothing_until_they_are_one_again() -> None:
    cut = Fault(fault="partition", name="cut", at_ms=500, groups=((0, 1), (2, 3)), for_ms=1_800)
    expect = Expect(
        no_commits=(Window(after="cut", from_ms=200, to_ms=1_700),), recovers_within_ms=20_000, operations_min=8
    )
    played(small(cut, expect=expect, kind="bank"))


@pytest.mark.row(18)
def test_a_bit_that_turns_in_a_log_or_chain_is_found_and_harms_nobody() -> None:
    rot = Fault(fault="rot", at_ms=700, nodes=(1,), bit=123_457, for_ms=200)
    observation, run = played(small(rot))
    assert observation.struck[0].kind == "rot"
    assert run.safe


@pytest.mark.full
@pytest.mark.row(19)
def test_bytes_and_connections_between_nodes_break_below_tls() -> None:
    timeline = (
        Fault(fault="half_open", at_ms=300, links=((0, 1), (2, 0))),
        Fault(fault="wire", at_ms=500, links=((1, 2), (2, 1)), wire=Wire(damaged_every_bytes=2_000), for_ms=1_500),
        Fault(fault="sever", at_ms=900, links=(("primary", 3), (1, 3)), for_ms=900),
    )
    observation, run = played(small(*timeline))
    assert [strike.kind for strike in observation.struck] == ["half_open", "wire", "sever"]
    assert (run.words, run.lost) == ("SAFE LIVE", 0)


@pytest.mark.full
@pytest.mark.row(18)
def test_power_goes_a_disk_is_full_and_a_process_stands_still() -> None:
    timeline = (
        Fault(fault="power_cut", at_ms=300, nodes=(1,), operations=5),
        Fault(fault="pause", at_ms=400, nodes=(2,), for_ms=300),
        Fault(fault="full_disk", at_ms=1_200, nodes=(3,), for_ms=600),
    )
    observation, _ = played(small(*timeline))
    assert observation.befallen == 4, "three entries, and the power that went"


@pytest.mark.full
@pytest.mark.row(18)
def test_what_no_sync_had_reached_is_lost_when_power_goes_by_chance() -> None:
    topology = Topology(tuning=QUICK, disks=Disks(power_cut=0.02, torn=1.0))
    observation, _ = played(small(topology=topology))
    assert observation.befallen > 0


@pytest.mark.full
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.row(*library()[name].covers)) for name in DOZEN])
def test_a_scenario_of_the_library_comes_as_expected_on_real_processes(name: str) -> None:
    played(library()[name])


@pytest.mark.full
@pytest.mark.row(21)
def test_one_more_liar_than_may_be_splits_real_nodes_and_clients_convict_both() -> None:
    """How soon two clients are given certificates of one height is the machine's business: a few runs, all UNSAFE."""
    convicted: set[int] = set()
    for seed in range(1, 1 + TRIES):
        run = judge_run(library()["two-agree-with-all"], ProcessTarget().run(library()["two-agree-with-all"], seed))
        assert not run.safe
        assert "innocent" not in run.broken
        convicted |= {liar.node for liar in run.liars if liar.of == "two_outcomes"}
        if convicted == {0, 1}:
            return
    pytest.fail(f"only {convicted} are convicted")


# --------------------------------------------------------------------------------------------- the command


def faults(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "faults", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=WAIT_S)


def test_the_command_gives_the_same_verdict_for_processes(tmp_path: Path) -> None:
    path, kept = tmp_path / "small.toml", tmp_path / "kept"
    path.write_text(write_scenario(small(expect=Expect(view_change=Change(within_ms=1), recovers_within_ms=20_000))))
    ended = faults("run", str(path), "--target", "processes", "--json", "--keep", str(kept))
    assert ended.returncode == 1, "no view began"
    (verdict,) = json.loads(ended.stdout)["verdicts"]
    (run,) = verdict["runs"]
    assert (run["target"], run["safe"], run["live"], run["lost"]) == ("processes", True, True, 0)
    assert [check["key"] for check in run["checks"] if not check["met"]] == ["view_change"]
    assert (kept / "small-1" / "node1" / "data").is_dir()


def nodes_of(directory: Path) -> list[int]:
    """Processes whose command line names something in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(directory) in words:
                found.append(int(entry.name))
    return found


def stands_still(pid: int) -> bool:
    try:
        return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
def test_a_lab_that_is_killed_takes_its_nodes_along_and_those_that_stand_still(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(write_scenario(small(Fault(fault="pause", at_ms=1, nodes=(1,), for_ms=2_900))))
    began = subprocess.Popen(
        [sys.executable, "-m", "cli", "faults", "run", str(path), "--target", "processes"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + WAIT_S
    while not any(map(stands_still, nodes_of(tmp_path))):
        assert time.monotonic() < deadline
        time.sleep(TURN_S)
    began.kill()
    began.wait()
    while nodes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(TURN_S)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
@pytest.mark.parametrize(("jobs", "how"), [("1", signal.SIGINT), ("2", signal.SIGINT), ("1", signal.SIGTERM)])
def test_an_interrupt_ends_every_node(tmp_path: Path, jobs: str, how: signal.Signals) -> None:
    path = tmp_path / "small.toml"
    path.write_text(write_scenario(small(Fault(fault="pause", at_ms=1, nodes=(1,), for_ms=2_000))))
    words = ("run", str(path), "--target", "processes", "--seeds", "4", "--jobs", jobs)
    began = subprocess.Popen(
        [sys.executable, "-m", "cli", "faults", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + WAIT_S
    while len(nodes_of(tmp_path)) < 5:  # the command itself, and four nodes
        assert time.monotonic() < deadline
        time.sleep(TURN_S)
    os.kill(began.pid, how)
    printed, said = began.communicate(timeout=WAIT_S)
    assert (began.returncode, printed) == (130, "")
    assert said.strip().endswith("interrupted")
    assert "Traceback" not in said
    while nodes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(TURN_S)
    assert not list(tmp_path.glob(f"{PREFIX}*"))
