"""Running plans: each in a world of its own, and what broke in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ca.signatures import remembering
from pbft.messages import NewView
from sim.catalogue import plan_of
from sim.checkers import check
from sim.plan import MIXED, Plan
from sim.setting import stage_of
from sim.world import Storm, World

# What nodes log is told by transcripts; without any handler Python would print it.
logging.getLogger("wattq").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan's outcome. ``faults`` empty means that everything held."""

    plan: Plan
    faults: tuple[str, ...]
    trace: str
    height: int
    view: int
    settled_ms: int | None
    messages: int = 0
    """That arrived."""
    view_changes: int = 0
    """Views that honest primaries began."""
    transfers: int = 0
    """Snapshots that took the place of honest nodes' ledgers."""
    befallen: int = 0
    """Faults of the timeline, and power cuts."""

    @property
    def kinds(self) -> frozenset[str]:
        """The names of the properties that do not hold."""
        return frozenset(fault.partition(":")[0] for fault in self.faults)


def run_seed(seed: int, nodes: int = 4, adversary: str = MIXED) -> Verdict:
    """Play one seed and check it."""
    return run_plan(plan_of(seed, nodes, adversary))


def run_plan(plan: Plan) -> Verdict:
    """Play one plan and check it."""
    return judged(World(plan, stage_of(plan)))


def judged(world: World) -> Verdict:
    """``judge``, where a signature that was checked once is known."""
    with remembering():
        return judge(world)


def judge(world: World) -> Verdict:
    """Play a world to its end and check it. Whatever a node raises would end its process: a violation like others."""
    try:
        world.play()
        faults = tuple(check(world))
    except Storm as storm:
        faults = (str(storm),)
    except AssertionError as error:
        faults = (f"assertion: {error}",)
    except Exception as error:
        faults = (f"error: {type(error).__name__}: {error}",)
    honest = [node for node in world.honest if node.epochs]
    return Verdict(
        plan=world.plan,
        faults=faults,
        trace=world.trace,
        height=max((node.ledger.height for node in honest), default=0),
        view=max((node.replica.view for node in honest), default=0),
        settled_ms=world.settled_ms,
        messages=world.messages,
        view_changes=view_changes_of(world),
        transfers=sum(node.transfers for node in world.honest),
        befallen=world.befallen,
    )


def view_changes_of(world: World) -> int:
    """How many views honest primaries began by a NEW-VIEW."""
    honest = {node.place for node in world.honest}
    begun = set()
    for sent in world.sent:
        if isinstance(sent.message, NewView) and sent.place in honest:
            begun.add((sent.epoch, sent.message.view))
    return len(begun)
