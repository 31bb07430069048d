"""Plans: everything that a seed expands to, as plain data that travels as JSON and is shrunk piece by piece.

An adversary is a function from (seed, number of validators) to a plan. ``register_adversary`` puts it in the table
from which ``wattq sim run --adversary`` and ``mixed`` choose; ``sim/catalogue.py`` imports all that register.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

MIXED = "mixed"
TIMEOUT_MS = 800
TIMEOUT_MS_MAX = 3_200
"""A view change's wait doubles from the one to the other."""
CALM_TIMEOUTS_MAX = 12
"""Termination: within so many of the longest timeouts after the last fault, everything asked for has happened."""
SERVED_TIMEOUTS = 1
"""Censorship: where only liars keep a client waiting, it has its receipt within so many of the longest timeouts, and
one more for each liar that may lead; what a full window takes to execute comes on top."""
HEALED_TIMEOUTS = 3
"""Likewise after the last fault."""


class Weather(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How bad the links are while the faults last. Delays in ms of virtual time; shares between 0 and 1."""

    delay_ms_min: int = 1
    delay_ms_max: int = 20
    loss: float = 0.0
    duplication: float = 0.0
    slow: float = 0.0
    """The share of messages that take up to ``slow_ms_max``: reordering far beyond the usual delay."""
    slow_ms_max: int = 1_000


class Disks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What disks do, while the faults last. Shares between 0 and 1, each of one kind of operation."""

    fsync_ms_max: int = 4
    power_cut: float = 0.0
    """A crash in the middle of an operation on the disk: before, within or after it."""
    torn: float = 0.5
    """At a crash: how often what was not synced is kept in part, and how often the part is damaged."""


class Execution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long every node takes to execute, in ms of virtual time, also when the faults have ended."""

    block_ms: int = 1
    transaction_ms: int = 0
    """For each transaction of a block in addition."""


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a fault waits for (``sim/watch.py``): one of a height, a view, an epoch, or a message that is sent."""

    height: int | None = None
    """An honest node has executed it."""
    view: int | None = None
    """An honest node is active in it, or in a later one. With ``sent``: only messages of this view."""
    epoch: int | None = None
    """An honest node has begun it, or a later one."""
    sent: str = ""
    """A kind of message (``sim.watch.MESSAGES``), of which ``copies`` have left for different receivers."""
    sequence: int | None = None
    """With ``sent``: only messages of this sequence or height."""
    copies: int = 1


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the timeline; see ``sim/faults.py`` for the kinds and what they make of the fields."""

    at_ms: int
    """Since the start; with ``when``, since that came."""
    kind: str
    groups: tuple[tuple[int, ...], ...] = ()
    amount: int = 0
    when: Trigger | None = None
    for_ms: int = 0
    """After so long it is undone, as ``sim.faults.UNDONE_BY`` says; 0: it is not."""
    weather: Weather | None = None


class Liar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A Byzantine validator and one of its behaviours (``sim/behaviour.py``); several of one node act in order."""

    node: int
    behaviour: str
    arguments: dict[str, Any] = {}


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A network filter (``sim/wires.py``) and its arguments: plain JSON values only (lists, not tuples)."""

    name: str
    arguments: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A scenario. ``seed`` still decides delays, losses and what clients do; nothing else is left to chance."""

    seed: int
    adversary: str
    nodes: int = 4
    """Validators of genesis; they live at the places 0 .. nodes - 1."""
    newcomers: int = 0
    """Further nodes, which no epoch names at first: observers, until governance makes them validators."""
    twins: tuple[int, ...] = ()
    """Validators that run twice, with one key. Their second processes live at the places after the newcomers."""
    liars: tuple[Liar, ...] = ()
    wires: tuple[Named, ...] = ()
    weather: Weather = Weather()
    disks: Disks = Disks()
    execution: Execution = Execution()
    faults: tuple[Fault, ...] = ()
    skews_ms: tuple[int, ...] = ()
    """How far each place's clock is off, from place 0 on; the others' are right."""
    clients: int = 3
    operations: int = 8
    """How many operations each client does, one after another."""
    workload: str = "mixed"
    """What they do: ``sim.clients.WORKLOADS``."""
    chaos_ms: int = 5_000
    """When weather, disks and network become good for ever, and everyone who is down starts."""
    calm_ms_max: int = CALM_TIMEOUTS_MAX * TIMEOUT_MS_MAX
    reports: bool = False
    """Whether honest nodes report what they have evidence of, so that the accused is skipped as a primary."""
    options: dict[str, int] = {}
    """Fields of ``ReplicaConfig`` that differ from the simulator's usual ones."""
    genesis: dict[str, int] = {}
    """Likewise for the genesis file's limits and parameters."""

    @property
    def byzantine(self) -> frozenset[int]:
        """Validators that may do anything: the liars, and those who run twice."""
        return frozenset(liar.node for liar in self.liars) | frozenset(self.twins)

    @property
    def fair(self) -> bool:
        """Whether nothing but liars keeps anybody waiting."""
        weather = self.weather
        good = not (weather.loss or weather.slow or self.disks.power_cut)
        return good and not (self.faults or self.wires or self.twins or self.skews_ms)

    @property
    def places(self) -> int:
        return self.nodes + self.newcomers + len(self.twins)

    def owner(self, place: int) -> int:
        """Whose key the process at ``place`` holds: a validator's of genesis, or a newcomer's number."""
        own = self.nodes + self.newcomers
        return place if place < own else self.twins[place - own]


PlanMaker: TypeAlias = Callable[[int, int], Plan]
"""``maker(seed, nodes)``: must depend on its arguments alone."""

ADVERSARIES: dict[str, PlanMaker] = {}
MIXED_FROM: list[str] = []
"""Those that ``mixed`` draws from."""


def register_adversary(name: str, maker: PlanMaker, *, mixed: bool = True) -> None:
    """Make an adversary known by name. ``mixed``: whether ``mixed`` draws it too."""
    assert name not in (*ADVERSARIES, MIXED), f"the adversary {name} is registered twice"
    ADVERSARIES[name] = maker
    if mixed:
        MIXED_FROM.append(name)


def chance_of(seed: int, name: str) -> random.Random:
    """A stream of chance of its own, so that what one part draws moves no other part."""
    return random.Random(f"{name}/{seed}")


def encode_plan(plan: Plan) -> str:
    return msgspec.json.encode(plan).decode()


_decoder = msgspec.json.Decoder(Plan)


def decode_plan(text: str | bytes) -> Plan:
    """Raises ``msgspec.DecodeError`` (a ``ValueError``) for anything that is no plan."""
    return _decoder.decode(text)
