"""Run what chance draws, one scenario after another; whatever breaks is kept as a file and tried in the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from faults.drawing import draw
from faults.reading import SUFFIX
from faults.scenario import Scenario
from faults.simulated import SimTarget
from faults.target import Target, Unfit
from faults.verdict import Run, judge_run
from faults.writing import write_scenario

SIMULATED = 10
"""How many seeds of the simulator are tried for what real processes have shown."""


class Finding(msgspec.Struct, frozen=True):
    """Something that broke. ``replay``: the seed with which the simulator shows it too, and exactly; None: none of
    those that were tried, or it knows no such fault."""

    seed: int
    file: str
    violations: tuple[str, ...]
    replay: int | None


def runs(target: Target, first_seed: int, goes_on: Callable[[int], bool]) -> Iterator[tuple[Scenario, Run]]:
    """One run after another, of the scenarios of ``first_seed`` and those that follow; ``goes_on(count)`` is asked
    before each."""
    count = 0
    while goes_on(count):
        seed = first_seed + count
        scenario = draw(seed, real=target.name != SimTarget.name)
        target.check(scenario)
        yield scenario, judge_run(scenario, target.run(scenario, seed))
        count += 1


def found(scenario: Scenario, run: Run, directory: Path) -> Finding:
    """Keep a scenario that broke something, and try it in the simulator."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / (scenario.name + SUFFIX)
    path.write_text(write_scenario(scenario), "utf-8")
    return Finding(run.seed, str(path), run.violations, _simulated(scenario, run))


def _simulated(scenario: Scenario, run: Run) -> int | None:
    """The first seed, the run's own before others, with which the simulator breaks a property that the run broke; None
    if it shows nothing, or knows no such fault."""
    names = {violation.partition(":")[0] for violation in run.violations}
    target = SimTarget()
    try:
        target.check(scenario)
    except Unfit:
        return None
    for seed in range(run.seed, run.seed + (1 if run.target == target.name else SIMULATED)):
        if names & target.run(scenario, seed).broken:
            return seed
    return None


def told(scenario: Scenario) -> str:
    """A drawn scenario in a few words."""
    topology = scenario.topology
    lies = [f"node {liar.node} {liar.behaviour}" for liar in topology.byzantine]
    who = [f"{topology.nodes} nodes", *(["an observer"] if topology.observers else []), *lies]
    return f"{', '.join(who)}; {scenario.workload.kind}; {', '.join(f.fault for f in scenario.timeline) or 'no faults'}"
