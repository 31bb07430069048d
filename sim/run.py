"""Running plans: each in a world of its own, and what broke in it."""

from __future__ import annotations

from dataclasses import dataclass

from sim.catalogue import plan_of
from sim.checkers import check
from sim.plan import MIXED, Plan
from sim.setting import stage_of
from sim.world import Storm, World


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan's outcome. ``faults`` empty means that everything held."""

    plan: Plan
    faults: tuple[str, ...]
    trace: str
    height: int
    view: int
    settled_ms: int | None

    @property
    def kinds(self) -> frozenset[str]:
        """The names of the properties that do not hold."""
        return frozenset(fault.partition(":")[0] for fault in self.faults)


def run_seed(seed: int, nodes: int = 4, adversary: str = MIXED) -> Verdict:
    """Play one seed and check it."""
    return run_plan(plan_of(seed, nodes, adversary))


def run_plan(plan: Plan) -> Verdict:
    """Play one plan and check it."""
    world = World(plan, stage_of(plan))
    try:
        return judge(world)
    finally:
        world.close()


def judge(world: World) -> Verdict:
    """Play a world to its end and check it. An assertion of ours that fails is a violation like any other."""
    try:
        world.play()
        faults = tuple(check(world))
    except Storm as storm:
        faults = (str(storm),)
    except AssertionError as error:
        faults = (f"assertion: {error}",)
    honest = world.honest
    return Verdict(
        plan=world.plan,
        faults=faults,
        trace=world.trace,
        height=max(node.ledger.height for node in honest),
        view=max(node.replica.view for node in honest),
        settled_ms=world.settled_ms,
    )
