"""Many runs, in several processes: scenarios times seeds, each run's observation as it comes."""

from __future__ import annotations

import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import active_children, get_context
from typing import TypeAlias, TypeVar

from faults.observation import Observation
from faults.scenario import Scenario
from faults.simulated import picture
from faults.target import Target
from faults.verdict import Run, Verdict, judge, judge_run
from sim.worker import begin, born_deaf

AHEAD = 4
"""How many runs a process is given ahead: an interrupt waits for those that run only."""
Task: TypeAlias = tuple[Target, Scenario, int]
"""(target, scenario, seed)."""
Result = TypeVar("Result")


def seeds_of(scenario: Scenario, count: int | None) -> tuple[int, ...]:
    """The scenario's own seeds, or ``count`` of them: its own first, then those that follow its last."""
    own = scenario.seeds
    if count is None:
        return own
    top = max(own)
    return (*own, *range(top + 1, top + 1 + max(0, count - len(own))))[:count]


def tasks_of(scenarios: Iterable[Scenario], count: int | None, target: Target) -> list[Task]:
    """Every run. Raises ``Unfit`` before any has begun."""
    scenarios = list(scenarios)
    for scenario in scenarios:
        target.check(scenario)
    return [(target, scenario, seed) for scenario in scenarios for seed in seeds_of(scenario, count)]


def observe(task: Task) -> Observation:
    """One run."""
    target, scenario, seed = task
    return target.run(scenario, seed)


def draw(task: Task) -> str:
    """The messages round the first fault of a run, as SVG."""
    _, scenario, seed = task
    return picture(scenario, seed)


def in_processes(call: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Result]]:
    """Each task and what ``call`` makes of it, in order. One job runs in this very process."""
    if jobs == 1:
        yield from ((task, call(task)) for task in tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=begin) as pool:
        running: deque[tuple[Task, Future[Result]]] = deque()
        try:
            for task in tasks:
                with born_deaf():  # a worker starts when there is work for it
                    running.append((task, pool.submit(_in_worker, call, task)))
                if len(running) >= jobs * AHEAD:
                    done, future = running.popleft()
                    yield done, future.result()
            while running:
                done, future = running.popleft()
                yield done, future.result()
        except BaseException:
            if not all(target.waits for target, _, _ in tasks):
                for child in active_children():
                    child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _in_worker(call: Callable[[Task], Result], task: Task) -> Result:
    """A run that was ended from outside ends its worker: another one, which the pool has handed it, would begin."""
    try:
        return call(task)
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGTERM)
        raise


def run_all(
    tasks: Sequence[Task],
    jobs: int,
    tell: Callable[[Run], None],
    judged: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Verdicts of all scenarios, in order. ``tell`` hears of each run; ``judged`` of each scenario, as soon as its last
    run is over."""
    verdicts = []
    runs: list[Run] = []
    left = Counter(scenario.name for _, scenario, _ in tasks)
    for (_, scenario, _), observation in in_processes(observe, tasks, jobs):
        runs.append(judge_run(scenario, observation))
        tell(runs[-1])
        left[scenario.name] -= 1
        if not left[scenario.name]:
            verdicts.append(judge(scenario, runs))
            judged(verdicts[-1])
            runs = []
    return verdicts
