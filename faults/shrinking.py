"""Making a scenario small: parts are dropped for as long as what remains still fails, or breaks, in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from faults.scenario import Disks, Execution, Expect, Scenario, Topology, Tuning, Weather, Workload
from faults.verdict import Run

RUNS_MAX = 150
FAULTS_END_MS_MIN = 500
PLAIN: dict[str, Any] = {
    "weather": Weather(),
    "disks": Disks(),
    "execution": Execution(),
    "tuning": Tuning(),
    "clocks_ms": (),
    "mutated": False,
    "partitions_of_views": (),
    "reports": False,
}
"""Parts of a topology that are dropped as a whole."""

_NUMBER = re.compile(r"\d+")
_replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest scenario found, its run, and after how many runs."""

    scenario: Scenario
    run: Run
    runs: int


def shrink(scenario: Scenario, first: Run, run: Callable[[Scenario], Run], runs_max: int = RUNS_MAX) -> Shrunk:
    """Greedily: take the first smaller scenario that fails in one of the same ways, until there is none."""
    ways = _ways(first)
    assert first.broken, "only what breaks can be shrunk"
    best, found, runs, went_on = scenario, first, 0, True
    while went_on:
        went_on = False
        for smaller in smaller_scenarios(best):
            if runs == runs_max:
                return Shrunk(best, found, runs)
            runs += 1
            tried = run(smaller)
            if _ways(tried) & ways:
                best, found, went_on = smaller, tried, True
                break
    return Shrunk(best, found, runs)


def _ways(run: Run) -> frozenset[str]:
    """In what ways it failed: properties, and sentences on what was not met, whatever their numbers. That a view began
    late is another failure than that none began."""
    properties = {violation.partition(":")[0] for violation in run.violations}
    return frozenset(properties | {_NUMBER.sub("#", f"{check.key}: {check.said}") for check in run.unmet})


def smaller_scenarios(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with less in them, those with much less first; those that make no sense are left out."""
    for change in _changes(scenario):
        try:
            smaller = _replace(scenario, **change)
        except ValueError:
            continue  # an expectation or a fault speaks of what was dropped
        yield smaller


def _changes(scenario: Scenario) -> Iterator[dict[str, Any]]:
    topology, workload = scenario.topology, scenario.workload
    for entries in _with_less(scenario.timeline):
        yield {"timeline": entries}
    for liars in _with_less(topology.byzantine):
        yield {"topology": _replace(topology, byzantine=liars)}
    for field, plain in PLAIN.items():
        if getattr(topology, field) != plain:
            yield {"topology": _replace(topology, **{field: plain})}
    if topology.nodes > Topology().nodes:
        yield {"topology": _replace(topology, nodes=Topology().nodes)}
    if workload.kind != Workload().kind:
        yield {"workload": _replace(workload, kind=Workload().kind)}
    for clients in sorted({1, workload.clients - 1}):
        if 1 <= clients < workload.clients:
            yield {"workload": _replace(workload, clients=clients)}
    for operations in sorted({1, workload.operations // 2, workload.operations - 1}):
        if 1 <= operations < workload.operations:
            yield {"workload": _replace(workload, operations=operations)}
    yield from _without_expectations(scenario.expect)
    if scenario.faults_end_ms > FAULTS_END_MS_MIN:
        yield {"faults_end_ms": max(FAULTS_END_MS_MIN, scenario.faults_end_ms // 2)}


def _with_less(entries: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Without all, each half, each quarter, ... and each single entry."""
    size = len(entries)
    while size:
        for start in range(0, len(entries), size):
            yield entries[:start] + entries[start + size :]
        size //= 2


def _without_expectations(expect: Expect) -> Iterator[dict[str, Any]]:
    """Without each expectation but the outcome."""
    for field in msgspec.structs.fields(Expect):
        if field.name not in ("outcome", "breaks") and getattr(expect, field.name) != field.default:
            yield {"expect": _replace(expect, **{field.name: field.default})}
