"""Scenarios drawn by chance: topology, workload and faults from one number, such that everything must hold.

At most f validators lie or lose what was on their disks, so whatever breaks is a finding. The same number draws the
same scenario: of what the simulator and real nodes can both do, or of all that real nodes can.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from faults.real.liar import LIES
from faults.scenario import (
    Byzantine,
    Disks,
    Fault,
    Kind,
    Scenario,
    Services,
    Topology,
    Tuning,
    Weather,
    When,
    Wire,
    Workload,
)
from sim.plan import chance_of

END_MS = 4_000
LAST_MS = END_MS - 800
"""When faults have begun, so that they have begun before the end."""
LASTING_MS = (100, 1_500)
Drawer: TypeAlias = Callable[[random.Random, Topology], Fault]
SIZES = (4, 4, 4, 5, 6, 7)
LIAR, OBSERVER, BAD_WEATHER, BAD_DISKS, WRONG_CLOCKS, ROTATION, DAMAGE = 0.4, 0.15, 0.3, 0.2, 0.15, 0.15, 0.6
BAD_SERVICES, REAL, REVOKED = 0.1, 0.5, 0.1
"""How often there is such a thing; damage only where not as many lie as may. ``REAL``: of the faults, those that real
nodes alone know."""
FAULTS_MAX = 5
CLOCK_MS = 4_000
"""Within what the others tolerate."""
DRIFTS_MS = (-800, -100, 100, 800)
"""A second; never as much before the end."""


def draw(seed: int, *, real: bool = False) -> Scenario:
    """The scenario of this number. ``real``: with what real nodes alone can do."""
    chance = chance_of(seed, "real scenario" if real else "scenario")
    topology = _topology(chance, real)
    spare = topology.tolerated - len(topology.liars)
    honest = [node for node in range(topology.nodes) if node not in topology.liars]
    timeline = [_draw_fault(chance, topology, real) for _ in range(chance.randint(0, FAULTS_MAX))]
    if spare and chance.random() < DAMAGE:
        timeline += [_damage(chance, node, real) for node in chance.sample(honest, chance.randint(1, spare))]
    workload = Workload(
        kind=chance.choice(["mixed", "mixed", "registers", "counter", "reads", "bank", "market-day"]),
        clients=chance.randint(1, 5),
        operations=chance.randint(4, 10),
    )
    if chance.random() < REVOKED:
        timeline.append(_revoke(chance, topology, workload))
    return Scenario(
        name=f"drawn-{seed}",
        title="Drawn by chance",
        covers=(21,),
        topology=topology,
        workload=workload,
        faults_end_ms=END_MS,
        timeline=tuple(timeline),
        seeds=(seed,),
    )


def _topology(chance: random.Random, real: bool) -> Topology:
    nodes = chance.choice(SIZES)
    liars = chance.sample(range(nodes), chance.randint(1, (nodes - 1) // 3)) if chance.random() < LIAR else []
    observers = int(chance.random() < OBSERVER)
    places = nodes + observers
    return Topology(
        nodes=nodes,
        observers=observers,
        byzantine=tuple(Byzantine(node=node, behaviour=chance.choice(LIES)) for node in sorted(liars)),
        weather=_weather(chance) if chance.random() < BAD_WEATHER else Weather(),
        disks=_disks(chance) if chance.random() < BAD_DISKS else Disks(),
        clocks_ms=_clocks(chance, places) if chance.random() < WRONG_CLOCKS else (),
        services=_services(chance) if real and chance.random() < BAD_SERVICES else Services(),
        tuning=Tuning(
            block_idle_ms_max=chance.choice([300, 300, 1_500]),
            rotation_blocks=chance.choice([1, 3, 8]) if chance.random() < ROTATION else None,
        ),
    )


def _weather(chance: random.Random) -> Weather:
    return Weather(
        delay_ms=(1, chance.choice([5, 20, 80])),
        loss=chance.choice([0.0, 0.0, 0.01, 0.1]),
        duplication=chance.choice([0.0, 0.0, 0.05]),
        slow=chance.choice([0.0, 0.0, 0.02]),
    )


def _disks(chance: random.Random) -> Disks:
    return Disks(
        fsync_ms_max=chance.choice([1, 4, 40]),
        power_cut=chance.choice([0.0, 0.002, 0.01]),
        torn=chance.choice([0.5, 1.0]),
    )


def _clocks(chance: random.Random, places: int) -> tuple[int, ...]:
    return tuple(chance.randint(-CLOCK_MS, CLOCK_MS) for _ in range(places))


def _services(chance: random.Random) -> Services:
    return Services(couchdb=chance.choice(["none", "down", "hangs"]), mqtt=chance.choice(["none", "down", "hangs"]))


def _draw_fault(chance: random.Random, topology: Topology, real: bool) -> Fault:
    drawers = _REAL_DRAWERS if real and chance.random() < REAL else _DRAWERS
    return chance.choice(drawers)(chance, topology)


def _lasting(chance: random.Random) -> int:
    return chance.randint(*LASTING_MS)


def _crash(chance: random.Random, topology: Topology) -> Fault:
    if chance.random() < 0.5:
        when = When(sent=chance.choice(["pre-prepare", "prepare", "commit"]), copies=chance.randint(1, 2))
        return Fault(fault="crash", when=when, nodes=("primary",), for_ms=_lasting(chance))
    node = chance.randrange(topology.places)
    return Fault(fault="crash", at_ms=_at(chance), nodes=(node,), for_ms=_lasting(chance))


def _power_cut(chance: random.Random, topology: Topology) -> Fault:
    node = chance.randrange(topology.places)
    return Fault(fault="power_cut", at_ms=_at(chance), nodes=(node,), operations=chance.randrange(20))


def _partition(chance: random.Random, topology: Topology) -> Fault:
    order = list(range(topology.places))
    chance.shuffle(order)
    cut = chance.randint(1, len(order) - 1)
    groups = (tuple(order[:cut]), tuple(order[cut:]))
    return Fault(fault="partition", at_ms=_at(chance), groups=groups, for_ms=_lasting(chance))


def _isolate(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="isolate", at_ms=_at(chance), nodes=("primary",), for_ms=_lasting(chance))


def _cut(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="cut", at_ms=_at(chance), links=_links(chance, topology), for_ms=_lasting(chance))


def _clog(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="clog", at_ms=_at(chance), links=_links(chance, topology), for_ms=_lasting(chance))


def _links(chance: random.Random, topology: Topology) -> tuple[tuple[int, int], ...]:
    links = [(a, b) for a in range(topology.places) for b in range(topology.places) if a != b]
    return tuple(chance.sample(links, chance.randint(1, len(links) // 2)))


def _bad_weather(chance: random.Random, topology: Topology) -> Fault:
    node = chance.randrange(topology.places)
    return Fault(fault="weather", at_ms=_at(chance), nodes=(node,), weather=_weather(chance), for_ms=_lasting(chance))


def _clock(chance: random.Random, topology: Topology) -> Fault:
    node, by_ms = chance.randrange(topology.places), chance.choice([-CLOCK_MS, -500, 500, CLOCK_MS])
    return Fault(fault="clock", at_ms=_at(chance), nodes=(node,), by_ms=by_ms, for_ms=_lasting(chance))


def _hand_over(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="hand_over", at_ms=_at(chance), to=chance.randrange(topology.nodes))


def _bad_requests(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="bad_requests", at_ms=_at(chance), for_ms=_lasting(chance))


def _resubmit(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="resubmit", at_ms=_at(chance))


def _revoke(chance: random.Random, topology: Topology, workload: Workload) -> Fault:
    """A client's certificate, or a validator's, which votes on."""
    if workload.clients > 1 and workload.kind != "market-day":
        return Fault(fault="revoke", at_ms=_at(chance), client=chance.randrange(1, workload.clients))
    return Fault(fault="revoke", at_ms=_at(chance), nodes=(chance.randrange(topology.nodes),))


def _damage(chance: random.Random, node: int, real: bool) -> Fault:
    kinds: list[Kind] = ["rot", "rot", "lose_log", "lose_ledger", *(("roll_back",) if real else ())]
    kind = chance.choice(kinds)
    bit = 1 + chance.randrange(1 << 29) if kind == "rot" else 0
    return Fault(fault=kind, at_ms=_at(chance), nodes=(node,), bit=bit, for_ms=_lasting(chance))


def _of_one_node(kind: Kind) -> Drawer:
    """Faults that say no more than whom they befall, and for how long."""

    def drawn(chance: random.Random, topology: Topology) -> Fault:
        node = chance.randrange(topology.places)
        return Fault(fault=kind, at_ms=_at(chance), nodes=(node,), for_ms=_lasting(chance))

    return drawn


def _expire(chance: random.Random, topology: Topology) -> Fault:
    """From the beginning to the end: the certificate takes a while to run out."""
    return Fault(fault="expire", at_ms=100, nodes=(chance.randrange(topology.places),), for_ms=END_MS)


def _drift(chance: random.Random, topology: Topology) -> Fault:
    node, by_ms = chance.randrange(topology.places), chance.choice(DRIFTS_MS)
    return Fault(fault="drift", at_ms=_at(chance), nodes=(node,), by_ms=by_ms, for_ms=_lasting(chance))


def _wire(chance: random.Random, topology: Topology) -> Fault:
    wire = chance.choice(
        [
            Wire(delay_ms=chance.choice([20, 200])),
            Wire(bytes_per_s=chance.choice([5_000, 50_000])),
            Wire(damaged_every_bytes=chance.choice([1_000, 20_000])),
            Wire(stalled=True),
        ]
    )
    links = _links(chance, topology)
    return Fault(fault="wire", at_ms=_at(chance), links=links, wire=wire, for_ms=_lasting(chance))


def _sever(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="sever", at_ms=_at(chance), links=_links(chance, topology), for_ms=_lasting(chance))


def _half_open(chance: random.Random, topology: Topology) -> Fault:
    return Fault(fault="half_open", at_ms=_at(chance), links=_links(chance, topology))


def _at(chance: random.Random) -> int:
    return chance.randint(100, LAST_MS)


_DRAWERS: tuple[Drawer, ...] = (
    _crash, _crash, _crash, _power_cut, _power_cut, _partition, _partition, _isolate, _cut, _clog, _bad_weather, _clock,
    _hand_over, _bad_requests, _resubmit,
)  # fmt: skip
_REAL_DRAWERS: tuple[Drawer, ...] = (
    _wire, _wire, _sever, _half_open, _expire, _drift,
    _of_one_node("pause"), _of_one_node("full_disk"), _of_one_node("fsync_fails"), _of_one_node("few_files"),
    _of_one_node("little_memory"),
)  # fmt: skip
"""What the simulator does not know."""
