"""Making a failing plan small: parts are dropped for as long as what remains still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from sim.plan import Disks, Execution, Plan, Weather
from sim.run import Verdict, run_plan

RUNS_MAX = 150
CHAOS_MS_MIN = 500
PLAIN: dict[str, Any] = {
    "skews_ms": (),
    "disks": Disks(),
    "execution": Execution(),
    "reports": False,
    "workload": "mixed",
    "options": {},
    "twins": (),
}
"""Fields that are dropped as a whole."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest plan found, its verdict, and after how many runs."""

    verdict: Verdict
    runs: int

    @property
    def plan(self) -> Plan:
        return self.verdict.plan


def shrink(verdict: Verdict, run: Callable[[Plan], Verdict] = run_plan, runs_max: int = RUNS_MAX) -> Shrunk:
    """Greedily: take the first smaller plan that breaks one of the same properties, until none does."""
    assert verdict.faults, "only a failing plan can be shrunk"
    best, runs, went_on = verdict, 0, True
    while went_on:
        went_on = False
        for smaller in smaller_plans(best.plan):
            if runs == runs_max:
                return Shrunk(best, runs)
            runs += 1
            tried = run(smaller)
            if tried.kinds & verdict.kinds:
                best, went_on = tried, True
                break
    return Shrunk(best, runs)


def smaller_plans(plan: Plan) -> Iterator[Plan]:
    """Plans with less in them, those with much less first."""
    yield from _with_less(plan, "faults")
    yield from _with_less(plan, "liars")
    yield from _with_less(plan, "wires")
    if plan.nodes > 4 and _highest_place(plan) < 4:
        yield _but(plan, nodes=4)
    for clients in {1, plan.clients - 1}:
        if 1 <= clients < plan.clients:
            yield _but(plan, clients=clients)
    for operations in {1, plan.operations // 2, plan.operations - 1}:
        if 1 <= operations < plan.operations:
            yield _but(plan, operations=operations)
    for field, plain in PLAIN.items():
        if getattr(plan, field) != plain:
            yield _but(plan, **{field: plain})
    yield from _calmer(plan)
    if plan.chaos_ms > CHAOS_MS_MIN:
        yield _but(plan, chaos_ms=max(CHAOS_MS_MIN, plan.chaos_ms // 2))


def _with_less(plan: Plan, field: str) -> Iterator[Plan]:
    """Without all, each half, each quarter, ... and each single entry of a tuple."""
    entries = getattr(plan, field)
    size = len(entries)
    while size:
        for start in range(0, len(entries), size):
            yield _but(plan, **{field: entries[:start] + entries[start + size :]})
        size //= 2


def _calmer(plan: Plan) -> Iterator[Plan]:
    weather, best = plan.weather, Weather()
    for field in ("loss", "duplication", "slow", "delay_ms_max"):
        if getattr(weather, field) > getattr(best, field):
            yield _but(plan, weather=msgspec.structs.replace(weather, **{field: getattr(best, field)}))


def _highest_place(plan: Plan) -> int:
    places = [place for fault in plan.faults for group in fault.groups for place in group]
    return max([*places, *plan.byzantine, -1])


def _but(plan: Plan, **fields: object) -> Plan:
    return msgspec.structs.replace(plan, **fields)
