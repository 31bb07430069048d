"""The adversaries that need no lying node: crashes, partitions and bad links; each a plan from a seed."""

from __future__ import annotations

import random

from sim.plan import Fault, Plan, Weather, chance_of, register_adversary

FAULT_EVERY_MS = 500


def weather_of(chance: random.Random) -> Weather:
    """Each kind of trouble is enabled with some chance, and then happens with some chance."""
    return Weather(
        delay_ms_max=chance.choice([5, 20, 80]),
        loss=chance.choice([0.0, 0.0, 0.01, 0.1]),
        duplication=chance.choice([0.0, 0.0, 0.05]),
        slow=chance.choice([0.0, 0.0, 0.02]),
    )


def crash(seed: int, nodes: int) -> Plan:
    """Nodes crash, one at a time, and start again from their disks."""
    chance = chance_of(seed, "crash")
    weather = weather_of(chance)
    faults: list[Fault] = []
    down: int | None = None
    plan = Plan(seed, "crash", nodes, weather=weather)
    for at_ms in range(FAULT_EVERY_MS, plan.chaos_ms, FAULT_EVERY_MS):
        if down is None and chance.random() < 0.7:
            down = chance.randrange(nodes)
            faults.append(Fault(at_ms, "crash", ((down,),)))
        elif down is not None and chance.random() < 0.5:
            faults.append(Fault(at_ms, "start", ((down,),)))
            down = None
    return Plan(seed, "crash", nodes, weather=weather, faults=tuple(faults))


def partition(seed: int, nodes: int) -> Plan:
    """The network falls apart in changing ways, also one way and into a ring, and is whole in between."""
    chance = chance_of(seed, "partition")
    weather = weather_of(chance)
    faults = tuple(
        _parting(at_ms, nodes, chance) for at_ms in range(FAULT_EVERY_MS, Plan(0, "").chaos_ms, FAULT_EVERY_MS)
    )
    return Plan(seed, "partition", nodes, weather=weather, faults=faults)


def _parting(at_ms: int, nodes: int, chance: random.Random) -> Fault:
    order = list(range(nodes))
    chance.shuffle(order)
    kind = chance.random()
    if kind < 0.25:
        return Fault(at_ms, "partition", ((order[0],), tuple(order[1:])))
    if kind < 0.45:
        return Fault(at_ms, "partition", (tuple(order[: nodes // 2]), tuple(order[nodes // 2 :])))
    if kind < 0.6:
        return Fault(at_ms, "cut", tuple((order[0], other) for other in order[1:]))
    if kind < 0.75:
        return Fault(at_ms, "ring", (tuple(order),))
    return Fault(at_ms, "join")


register_adversary("crash", crash)
register_adversary("partition", partition)
