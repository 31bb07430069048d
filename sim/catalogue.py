"""All adversaries, behaviours and filters: importing this imports every module that registers some."""

from __future__ import annotations

import random

from sim import adversaries, byzantine
from sim.behaviour import BEHAVIOURS
from sim.plan import ADVERSARIES, MIXED, MIXED_FROM, Plan
from sim.wires import WIRES

__all__ = ["ADVERSARIES", "BEHAVIOURS", "WIRES", "adversaries", "byzantine", "plan_of"]


def plan_of(seed: int, nodes: int = 4, adversary: str = MIXED) -> Plan:
    """Expand a seed."""
    if adversary == MIXED:
        adversary = random.Random(f"mixed/{seed}").choice(sorted(MIXED_FROM))
    return ADVERSARIES[adversary](seed, nodes)
