"""Many runs in processes: in order, the same as alone, and all ended by an interrupt."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from faults.observation import Observation
from faults.real.target import ProcessTarget
from faults.running import in_processes, observe, run_all, seeds_of, tasks_of
from faults.scenario import Byzantine, Execution, Fault, Scenario, Topology, Tuning
from faults.shelf import library
from faults.simulated import SimTarget
from faults.target import Unfit
from faults.verdict import Run, Verdict

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60
TURN_S = 0.05


def test_seeds_are_the_scenarios_own_and_those_that_follow() -> None:
    scenario = msgspec.structs.replace(library()["bad-weather"], seeds=(7, 3))
    assert seeds_of(scenario, None) == (7, 3)
    assert seeds_of(scenario, 1) == (7,)
    assert seeds_of(scenario, 4) == (7, 3, 8, 9)


def test_processes_give_in_order_what_one_gives() -> None:
    names = ("double-voter", "storm-of-views")
    tasks = tasks_of([library()[name] for name in names], 2, SimTarget())
    assert list(in_processes(observe, tasks, 2)) == [(task, observe(task)) for task in tasks]


def test_each_run_is_told_and_each_scenario_judged_as_soon_as_its_last_run_is_over() -> None:
    told: list[Run | Verdict] = []
    tasks = tasks_of([library()[name] for name in ("double-voter", "storm-of-views")], 2, SimTarget())
    verdicts = run_all(tasks, 1, told.append, told.append)
    assert [(verdict.scenario, len(verdict.runs)) for verdict in verdicts] == [
        ("double-voter", 2),
        ("storm-of-views", 2),
    ]
    assert told == [*verdicts[0].runs, verdicts[0], *verdicts[1].runs, verdicts[1]]


@pytest.mark.parametrize(
    ("liar", "said"),
    [
        (Byzantine(node=0, behaviour="fibs"), "there is no 'fibs'; allowed: agree-with-all, amnesia, "),
        (Byzantine(node=0, behaviour="mute", options={"loud": 1}), "mute has no 'loud'; allowed: none"),
        (Byzantine(node=0, behaviour="flood", options={"cuont": 1}), "flood has no 'cuont'; allowed: count"),
    ],
)
def test_what_the_simulator_cannot_do_is_told_before_anything_runs(liar: Byzantine, said: str) -> None:
    scenario = msgspec.structs.replace(library()["double-voter"], topology=Topology(byzantine=(liar,)))
    with pytest.raises(Unfit, match=r"topology.byzantine\[0\]") as caught:
        tasks_of([library()["bad-weather"], scenario], None, SimTarget())
    assert said in str(caught.value)


def test_the_simulator_leaves_faults_of_real_processes_to_those() -> None:
    scenario = msgspec.structs.replace(
        library()["double-voter"], timeline=(Fault(fault="pause", at_ms=1, nodes=(0,), for_ms=9),)
    )
    with pytest.raises(Unfit, match=r"timeline\[0\]: only real processes have the fault 'pause'"):
        tasks_of([scenario], None, SimTarget())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"byzantine": (Byzantine(node=0, behaviour="amnesia"),)}, "no real node can show 'amnesia'"),
        ({"byzantine": (Byzantine(node=0, behaviour="flood", options={"count": 1}),)}, "lies have no options"),
        ({"twins": (0,)}, "topology.twins: two real nodes"),
        ({"mutated": True}, "topology.mutated"),
        ({"partitions_of_views": ((0, 0, 0, 1),)}, "topology.partitions_of_views"),
        ({"execution": Execution(block_ms=9)}, "topology.execution"),
        ({"nodes": 13}, "more than 10 processes"),
        ({"tuning": Tuning(snapshot_gap_blocks=8)}, "limits.snapshot_gap_blocks"),
    ],
)
def test_what_real_nodes_cannot_do_is_told_before_anything_runs(change: dict[str, Any], said: str) -> None:
    scenario = msgspec.structs.replace(library()["bad-weather"], topology=Topology(**change))
    with pytest.raises(Unfit, match="so this scenario is for the simulator") as caught:
        tasks_of([library()["isolated-primary"], scenario], None, ProcessTarget())
    assert said in str(caught.value)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_an_interrupt_ends_everything() -> None:
    command = [sys.executable, "-m", "cli", "faults", "run", "--all", "--seeds", "50", "--jobs", "2"]
    began = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + WAIT_S
    while len(children_of(began.pid)) < 2:  # its workers, and multiprocessing's own helper
        assert time.monotonic() < deadline
        time.sleep(TURN_S)
    children = children_of(began.pid)
    os.killpg(began.pid, signal.SIGINT)
    printed, said = began.communicate(timeout=WAIT_S)
    assert began.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert printed == ""
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(TURN_S)


class Endless(ProcessTarget):
    """Runs that last until they are ended, and leave a file with each one's seed."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._marks = place

    async def _run(self, scenario: Scenario, seed: int) -> Observation:
        (self._marks / str(seed)).touch()
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # said twice
            await asyncio.sleep(0)
            (self._marks / f"{seed}-over").touch()
        raise AssertionError


def interrupted_when_two_run(place: Path) -> None:
    """In a process of its own: until both workers are busy."""

    def interrupt() -> None:
        while len(list(place.iterdir())) < 2:
            time.sleep(TURN_S)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt, daemon=True).start()
    tasks = tasks_of([library()["isolated-primary"]], 12, Endless(place))
    with suppress(KeyboardInterrupt):
        list(in_processes(observe, tasks, 2))


def test_an_interrupt_ends_runs_of_processes_once_and_begins_none(tmp_path: Path) -> None:
    """What the pool has queued for its workers already must not begin when they are free."""
    began = get_context("spawn").Process(target=interrupted_when_two_run, args=(tmp_path,))
    began.start()
    began.join(WAIT_S)
    is_over = began.exitcode is not None
    began.kill()
    assert is_over, "it waits for a run that began after the interrupt"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "1-over", "2", "2-over"]
