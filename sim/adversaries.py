"""The adversaries that need no lying node: crashes, partitions, clogged links, bad disks; each a plan from a seed.

Every kind of trouble is enabled for a plan with some chance, and then happens with some chance (FoundationDB's
buggify): plans with little of everything find less than plans with much of a few things.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from pbft.quorum import faulty_max
from sim.plan import Disks, Fault, Liar, Plan, Weather, chance_of, register_adversary

FAULT_EVERY_MS = 500
ENABLED = 0.25
FIRED = 0.25
CHAOS_MS = Plan(0, "").chaos_ms
SKEW_MS_MAX = 5_000
"""Within the tolerance of the others' clocks; f nodes may be far beyond it."""
SKEW_FAR_MS = 60_000
LIES_OF_LEADERS = (
    "below-base",
    "censor",
    "date-back",
    "equivocate",
    "far-ahead",
    "far-views",
    "fill-pipeline",
    "forged-p-set",
    "forgotten-p-set",
    "hide-requests",
    "late-commit",
    "mute",
    "repeat-requests",
    "slow-primary",
    "split-commit",
    "withhold",
    "wrong-new-view",
)
"""What matters most of a replica that leads, or is to lead next."""


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
    faults = tuple(_parting(at_ms, nodes, chance) for at_ms in range(FAULT_EVERY_MS, CHAOS_MS, FAULT_EVERY_MS))
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


def swizzle(seed: int, nodes: int) -> Plan:
    """Swizzle-clogging: random links are clogged one by one and set free in another order."""
    chance = chance_of(seed, "swizzle")
    return Plan(seed, "swizzle", nodes, weather=weather_of(chance), faults=tuple(_swizzle(nodes, chance)))


def _swizzle(nodes: int, chance: random.Random) -> list[Fault]:
    links = [(a, b) for a in range(nodes) for b in range(nodes) if a != b]
    faults = []
    for start_ms in range(FAULT_EVERY_MS, CHAOS_MS - 2 * FAULT_EVERY_MS, 3 * FAULT_EVERY_MS):
        chosen = chance.sample(links, chance.randint(1, len(links)))
        back = chance.sample(chosen, len(chosen))
        step_ms = FAULT_EVERY_MS // len(links) or 1
        faults += [Fault(start_ms + i * step_ms, "clog", (link,)) for i, link in enumerate(chosen)]
        free_ms = start_ms + FAULT_EVERY_MS + chance.randrange(FAULT_EVERY_MS)
        faults += [Fault(free_ms + i * step_ms, "unclog", (link,)) for i, link in enumerate(back)]
    return sorted(faults, key=lambda fault: fault.at_ms)


def disk(seed: int, nodes: int) -> Plan:
    """The power goes within writes, at chosen operations and at random; slow disks."""
    chance = chance_of(seed, "disk")
    disks = Disks(
        fsync_ms_max=chance.choice([1, 4, 40]),
        power_cut=chance.choice([0.0, 0.002, 0.01]),
        torn=chance.choice([0.5, 1.0]),
    )
    faults = [
        Fault(at_ms, "power_cut", ((chance.randrange(nodes),),), chance.randrange(20))
        for at_ms in range(FAULT_EVERY_MS, CHAOS_MS, FAULT_EVERY_MS)
        if chance.random() < 0.7
    ]
    return Plan(seed, "disk", nodes, weather=weather_of(chance), disks=disks, faults=tuple(faults))


def damage(seed: int, nodes: int) -> Plan:
    """At most f nodes lose what they had made durable: a bit turns, or the log or the whole ledger is gone."""
    chance = chance_of(seed, "damage")
    faults = []
    for place in chance.sample(range(nodes), chance.randint(1, faulty_max(nodes))):
        at_ms = chance.randrange(FAULT_EVERY_MS, CHAOS_MS - FAULT_EVERY_MS)
        kind = chance.choice(["rot", "rot", "lose_log", "lose_ledger"])
        faults.append(Fault(at_ms, kind, ((place,),), chance.randrange(1 << 40)))
        faults.append(Fault(at_ms + chance.randrange(FAULT_EVERY_MS), "start", ((place,),)))
    faults.sort(key=lambda fault: fault.at_ms)
    return Plan(seed, "damage", nodes, weather=weather_of(chance), faults=tuple(faults))


def skew(seed: int, nodes: int) -> Plan:
    """Clocks are wrong: all a little, f of them by far."""
    chance = chance_of(seed, "skew")
    # The others' tolerance of the median is what counts; a node far off proposes what nobody takes.
    skews = [chance.randint(-SKEW_MS_MAX, SKEW_MS_MAX) for _ in range(nodes)]
    for place in chance.sample(range(nodes), chance.randint(0, faulty_max(nodes))):
        skews[place] = chance.choice([-SKEW_FAR_MS, SKEW_FAR_MS])
    return Plan(seed, "skew", nodes, weather=weather_of(chance), skews_ms=tuple(skews))


def reconfigure(seed: int, nodes: int) -> Plan:
    """Validators are added, removed and replaced while links are bad and, at times, one node crashes."""
    chance = chance_of(seed, "reconfigure")
    newcomers = chance.randint(1, 2)
    members = list(range(nodes))
    faults = [
        Fault(1, "crash", ((nodes + newcomers - 1,),)),
        Fault(chance.randrange(1_000, 4_000), "start", ((nodes + newcomers - 1,),)),
    ]
    for at_ms in (400, 3_000):
        outside = [owner for owner in range(nodes + newcomers) if owner not in members]
        kind = chance.choice(["add", "replace", "remove"] if len(members) > 4 else ["add", "replace"])
        if kind != "add":
            members.remove(chance.choice(members))
        if kind != "remove" and outside:
            members.append(chance.choice(outside))
        if chance.random() < ENABLED:
            chance.shuffle(members)
        faults.append(Fault(at_ms, "validators", (tuple(members),), chance.randrange(len(members))))
    if chance.random() < 0.5:
        faults += _crash_and_start(chance.randrange(CHAOS_MS - FAULT_EVERY_MS), nodes, chance)
    return Plan(
        seed,
        "reconfigure",
        nodes,
        newcomers=newcomers,
        weather=weather_of(chance),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_ms)),
        operations=12,
        options={"block_idle_ms_max": 300, "snapshot_gap_blocks": chance.choice([8, 64])},
    )


def leaders(seed: int, nodes: int) -> Plan:
    """Who leads changes without need: by rotation, by operators' orders, and by crashes of whoever leads; in half of
    the plans one of those who lead lies."""
    chance = chance_of(seed, "leaders")
    liars = (Liar(chance.randrange(nodes), chance.choice(LIES_OF_LEADERS)),) if chance.random() < 0.5 else ()
    faults = []
    for at_ms in range(FAULT_EVERY_MS, CHAOS_MS, FAULT_EVERY_MS):
        if chance.random() < 0.4:
            faults.append(Fault(at_ms, "hand_over", ((chance.randrange(nodes),),), chance.randrange(nodes)))
        elif chance.random() < FIRED:
            faults += _crash_and_start(at_ms, nodes, chance)
    return Plan(
        seed,
        "leaders",
        nodes,
        liars=liars,
        weather=weather_of(chance),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_ms)),
        options={"rotation_blocks": chance.choice([0, 3, 6])},
    )


def blacklist(seed: int, nodes: int) -> Plan:
    """A primary lies or is slow, the honest nodes report it, and it is skipped for a while, by order."""
    chance = chance_of(seed, "blacklist")
    liar = chance.randrange(min(2, nodes))
    behaviour = chance.choice(["equivocate", "vote-twice", "slow-primary", "silent"])
    return Plan(
        seed,
        "blacklist",
        nodes,
        liars=(Liar(liar, behaviour),),
        weather=weather_of(chance),
        operations=14,
        reports=True,
        options={"block_idle_ms_max": 300},
    )


def buggify(seed: int, nodes: int) -> Plan:
    """Any kinds of trouble at once, each enabled with one chance and fired with another."""
    chance = chance_of(seed, "buggify")
    enabled = [kind for kind in TROUBLES if chance.random() < ENABLED] or [chance.choice(sorted(TROUBLES))]
    faults = [
        fault
        for at_ms in range(FAULT_EVERY_MS // 2, CHAOS_MS, FAULT_EVERY_MS // 2)
        for kind in enabled
        if chance.random() < FIRED
        for fault in TROUBLES[kind](at_ms, nodes, chance)
    ]
    faults.sort(key=lambda fault: fault.at_ms)
    return Plan(
        seed,
        "buggify",
        nodes,
        weather=weather_of(chance),
        disks=Disks(power_cut=0.003 if chance.random() < ENABLED else 0.0),
        faults=tuple(faults),
        skews_ms=tuple(chance.randint(-1_000, 1_000) for _ in range(nodes)) if chance.random() < ENABLED else (),
    )


def _crash_and_start(at_ms: int, nodes: int, chance: random.Random) -> list[Fault]:
    place = chance.randrange(nodes)
    return [
        Fault(at_ms, "crash", ((place,),)),
        Fault(at_ms + chance.randrange(2 * FAULT_EVERY_MS), "start", ((place,),)),
    ]


def _power_cut(at_ms: int, nodes: int, chance: random.Random) -> list[Fault]:
    return [Fault(at_ms, "power_cut", ((chance.randrange(nodes),),), chance.randrange(30))]


def _clog_and_free(at_ms: int, nodes: int, chance: random.Random) -> list[Fault]:
    link = tuple(chance.sample(range(nodes), 2))
    return [Fault(at_ms, "clog", (link,)), Fault(at_ms + chance.randrange(2 * FAULT_EVERY_MS), "unclog", (link,))]


def _everyone(at_ms: int, nodes: int, chance: random.Random) -> list[Fault]:
    """All crash at once and come back one by one: a cold start."""
    everyone = tuple(range(nodes))
    starts = [Fault(at_ms + 1 + chance.randrange(FAULT_EVERY_MS), "start", ((place,),)) for place in everyone]
    return [Fault(at_ms, "crash", (everyone,)), *starts]


TROUBLES: dict[str, Callable[[int, int, random.Random], list[Fault]]] = {
    "crash": _crash_and_start,
    "power_cut": _power_cut,
    "clog": _clog_and_free,
    "part": lambda at_ms, nodes, chance: [_parting(at_ms, nodes, chance)],
    "everyone": _everyone,
}

for _maker in (crash, partition, swizzle, disk, damage, skew, reconfigure, leaders, blacklist, buggify):
    register_adversary(_maker.__name__, _maker)
