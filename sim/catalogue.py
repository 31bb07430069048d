"""All adversaries, behaviours and filters: importing this imports every module that registers some."""

from __future__ import annotations

import random

import msgspec

from sim import adversaries, byzantine
from sim.behaviour import BEHAVIOURS
from sim.plan import ADVERSARIES, MIXED, MIXED_FROM, Execution, Plan, chance_of
from sim.wires import WIRES

__all__ = ["ADVERSARIES", "BEHAVIOURS", "WIRES", "adversaries", "byzantine", "plan_of"]


def plan_of(seed: int, nodes: int = 4, adversary: str = MIXED) -> Plan:
    """Expand a seed."""
    if adversary == MIXED:
        adversary = random.Random(f"mixed/{seed}").choice(sorted(MIXED_FROM))
    plan = ADVERSARIES[adversary](seed, nodes)
    return plan if plan.execution != Execution() else msgspec.structs.replace(plan, execution=execution_of(seed))


def execution_of(seed: int) -> Execution:
    """Some seeds have slow machines, by the block or by the transaction."""
    chance = chance_of(seed, "execution")
    return Execution(chance.choice([1, 1, 1, 20]), chance.choice([0, 0, 0, 5, 20]))
