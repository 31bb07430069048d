"""Many seeds: interrupted and gone on with, they come to the same as in one go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from sim.campaign import Campaign, load, parse_nodes, parse_seeds, run_resumably, save, work
from sim.plan import Plan
from sim.run import Verdict, run_seed
from sim.worker import born_deaf

ENDED_S = 60
WORKING = """
from sim.campaign import Campaign, work
if __name__ == "__main__":
    for _ in work(Campaign(0, 1_000_000), jobs=2):
        print("works", flush=True)
"""
INTERRUPTED = """
import signal, sys
from sim.campaign import Campaign, work
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
    try:
        print("begins", flush=True)
        for _ in work(Campaign(0, 1_000_000), jobs=2):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
"""


def verdict(seed: int, *faults: str) -> Verdict:
    return Verdict(Plan(seed, "crash"), faults, "", height=10 + seed, view=1, settled_ms=seed)


def without_time(made: Campaign) -> Campaign:
    return msgspec.structs.replace(made, cpu_ms=0)


def campaign(last: int) -> Campaign:
    return Campaign(3, last, (4, 5), "partition")


def test_an_interrupted_campaign_goes_on_where_it_ended(tmp_path: Path) -> None:
    whole = campaign(10)
    for _ in work(whole, jobs=2):
        pass
    state = tmp_path / "state.json"
    told: list[int] = []

    def interrupt(done: Campaign) -> None:
        told.append(done.following)
        if done.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_resumably(state, campaign(10), 1, interrupt)
    assert load(state, campaign(10)).following == 8
    resumed = run_resumably(state, campaign(10), 1, lambda done: told.append(done.following))
    assert told == [4, 5, 6, 7, 8, 9, 10, 11]
    assert resumed == load(state, campaign(10))
    assert without_time(resumed) == without_time(whole)
    assert min(resumed.cpu_ms, whole.cpu_ms) > 0
    assert resumed.rows["partition"].seeds == resumed.total == 8


def test_a_campaign_can_be_made_longer_but_not_another(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    save(state, campaign(10))
    assert load(state, campaign(20)).last == 20
    with pytest.raises(ValueError, match="belongs to other seeds"):
        load(state, Campaign(3, 10, (4,), "partition"))


def test_what_fails_is_counted_and_kept() -> None:
    made = Campaign(0, 2)
    made.add(verdict(0), cpu_ms=5)
    made.add(verdict(1, "agreement: made up"), cpu_ms=7)
    made.add(verdict(2), cpu_ms=9)
    row = made.rows["crash"]
    assert (row.seeds, row.violations, row.blocks, row.settled_ms_max) == (3, 1, 33, 2)
    assert (made.failed, made.done, made.cpu_ms) == (1, 3, 21)
    assert made.failures[0].replay == "wattq sim replay 1 --nodes 4 --adversary crash --transcript"
    assert [(failure.plan.seed, failure.faults) for failure in made.failures] == [(1, ("agreement: made up",))]


def test_a_seed_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(seed: int, nodes: int, adversary: str) -> Verdict:
        return verdict(seed, "agreement: made up") if seed == 4 else verdict(seed)

    monkeypatch.setattr("sim.campaign.run_seed", run)
    state = tmp_path / "state.json"
    run_resumably(state, campaign(10), 1, lambda done: None)
    kept = load(state, campaign(10))
    assert (kept.done, kept.failed) == (8, 1)
    assert [failure.plan.seed for failure in kept.failures] == [4]


def test_a_campaign_counts_what_happened() -> None:
    made, figures = Campaign(0, 0), run_seed(4, 4, "partition")
    made.add(figures)
    row = made.rows["partition"]
    assert (row.messages, row.view_changes, row.befallen) == (
        figures.messages,
        figures.view_changes,
        len(figures.plan.faults),
    )
    assert figures.messages > 100
    assert figures.view_changes >= figures.view > 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_whoever_began_them(how: signal.Signals) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", WORKING]
    with subprocess.Popen(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE
    ) as began:
        assert began.stdout is not None
        assert began.stdout.readline() == b"works\n"
        began.send_signal(how)
        # The workers hold this pipe too: it ends when the last of them has.
        began.communicate(timeout=ENDED_S)
        assert began.returncode == -how


@pytest.mark.parametrize("wait_s", [0.0, 0.3, 0.9])
def test_an_interrupt_is_the_parents_alone_from_the_workers_first_line_on(wait_s: float) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as began:
        assert began.stdout is not None
        assert began.stdout.readline() == "begins\n"
        with pytest.raises(subprocess.TimeoutExpired):
            began.wait(wait_s + 0.05)
        os.killpg(began.pid, signal.SIGINT)
        try:
            _, said = began.communicate(timeout=ENDED_S)
        except subprocess.TimeoutExpired:
            os.killpg(began.pid, signal.SIGKILL)
            raise
        assert began.returncode == 130, said
        assert said == ""


def test_an_interrupt_that_another_thread_takes_waits_until_a_worker_has_begun() -> None:
    """A progress bar's thread took it, the main thread heard of it, and a worker half begun printed a traceback."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    end, begun = Event(), Event()
    thread = Thread(target=end.wait)
    thread.start()

    def begin_a_worker() -> None:
        with born_deaf():
            assert thread.ident is not None
            signal.pthread_kill(thread.ident, signal.SIGINT)
            end.set()
            thread.join()
            begun.set()

    try:
        with pytest.raises(KeyboardInterrupt):
            begin_a_worker()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert begun.is_set()


def test_seeds_and_nodes_are_read_from_text() -> None:
    assert parse_seeds("3..17") == (3, 17)
    assert parse_seeds("5") == (5, 5)
    assert parse_nodes("4,7") == (4, 7)
    for text in ("", "a", "3..1", "-1"):
        with pytest.raises(ValueError, match="no seeds"):
            parse_seeds(text)
    for text in ("3", "4,x", "32"):
        with pytest.raises(ValueError, match="no numbers of nodes"):
            parse_nodes(text)
