"""Filters on the simulated network: they see every message on every link, and may lose, hold or change it.

For adversaries that own the network rather than a node: partitions by round (Twins), mutations by round
(ByzzFuzz). They act before delay, loss and partitions of the world's own weather, and end with the chaos.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pbft.messages import Message

if TYPE_CHECKING:
    from sim.world import World


class Wire:
    """Override ``carry``. ``arguments`` of the plan's ``Named`` go to ``maker(world, chance, **arguments)``."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance

    def carry(self, sender: int, receiver: int, message: Message) -> Sequence[Message]:
        """What arrives at place ``receiver`` of what place ``sender`` sent: [message], nothing, others, more."""
        return (message,)


WireMaker: TypeAlias = Callable[..., Wire]
WIRES: dict[str, WireMaker] = {}


def register_wire(name: str, maker: WireMaker) -> None:
    """Make a filter known by the name that plans use."""
    assert name not in WIRES, f"the filter {name} is registered twice"
    WIRES[name] = maker


def view_of(message: Message) -> int | None:
    """The view that a message belongs to, or None for one that belongs to none."""
    inner = getattr(message, "pre_prepare", message)
    view = getattr(inner, "view", None)
    return view if isinstance(view, int) else None
