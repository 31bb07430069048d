"""What must hold of a world, whatever happened in it. Each checker gives sentences about what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sim.checkers.agreement import agreement, kept
from sim.checkers.effects import exactly_once, validity
from sim.checkers.liveness import quiet, termination
from sim.world import World

Checker: TypeAlias = Callable[[World], list[str]]
"""A property: its violations in a world whose play is over, as sentences that start with its name."""

CHECKERS: tuple[Checker, ...] = (agreement, kept, validity, exactly_once, termination, quiet)


def check(world: World) -> list[str]:
    """Every violation found; an empty list is a pass."""
    return [fault for checker in CHECKERS for fault in checker(world)]
