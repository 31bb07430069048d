"""Where scenarios run: whatever can turn a scenario and a seed into an observation.

Every target gives nodes the limits of ``sim/world.py`` and ``sim/setting.py`` where the scenario tunes none, since
expectations count on their time-outs. What it cannot do (a fault, a behaviour) it refuses in ``check``, before anything
runs; what a scenario expects is judged elsewhere, from the observation alone. ``faults/running.py`` has the targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from faults.observation import Observation
from faults.scenario import Scenario


class Unfit(Exception):
    """The scenario asks for something that this target cannot do; the sentence says what."""


class Target(Protocol):
    """``run`` may be called in any process; it starts, and ends, whatever it needs."""

    name: str
    jobs: int
    """How many runs go well side by side on a small machine."""
    waits: bool
    """Whether a run is so short that whoever interrupts many of them waits until those that have begun are over."""

    def check(self, scenario: Scenario) -> None:
        """Raises ``Unfit`` for a scenario that cannot be run here."""

    def run(self, scenario: Scenario, seed: int) -> Observation:
        """One run of the scenario, whose chance comes from ``seed`` as far as the target can have it so."""


def fitting(scenarios: Mapping[str, Scenario], target: Target) -> dict[str, Scenario]:
    """Those that the target can run."""
    return {name: scenario for name, scenario in scenarios.items() if _fits(scenario, target)}


def _fits(scenario: Scenario, target: Target) -> bool:
    try:
        target.check(scenario)
    except Unfit:
        return False
    return True
