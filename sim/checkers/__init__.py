"""What must hold of a world, whatever happened in it. Each checker gives sentences about what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sim.checkers.agreement import agreement, kept
from sim.checkers.effects import exactly_once, validity
from sim.checkers.linearizable import linearizable
from sim.checkers.liveness import censorship, quiet, termination
from sim.checkers.market import energy
from sim.checkers.money import money
from sim.checkers.promises import acknowledged
from sim.checkers.votes import innocent, integrity, membership, one_vote
from sim.world import World

Checker: TypeAlias = Callable[[World], list[str]]
"""A property: its violations in a world whose play is over, as sentences that start with its name."""

CHECKERS: tuple[Checker, ...] = (
    agreement,
    kept,
    validity,
    integrity,
    one_vote,
    membership,
    exactly_once,
    linearizable,
    money,
    energy,
    acknowledged,
    termination,
    censorship,
    innocent,
    quiet,
)


def check(world: World) -> list[str]:
    """Every violation found; an empty list is a pass."""
    return [fault for checker in CHECKERS for fault in checker(world)]
