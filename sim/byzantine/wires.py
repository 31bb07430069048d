"""Twins and ByzzFuzz in the whole simulator: filters on its network, and the adversaries that use them.

The same faults as in ``sim/twins.py`` and ``sim/byzzfuzz.py``, against contracts, disks and clients.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pbft.messages import CertifiedBlock, Complaint, Message
from sim.adversaries import weather_of
from sim.behaviour import Behaviour, register_behaviour
from sim.byzzfuzz import Fuzz, Fuzzer, fuzz_of
from sim.plan import Liar, Named, Plan, chance_of, register_adversary
from sim.twins import sampled
from sim.wires import Wire, register_wire, view_of

if TYPE_CHECKING:
    from sim.world import World


class ViewPartitions(Wire):
    """The messages of view v travel only within the groups of ``partitions[v]``; complaints always do."""

    def __init__(self, world: World, chance: random.Random, partitions: list[list[int]]) -> None:
        super().__init__(world, chance)
        self._partitions = partitions

    def carry(self, sender: int, receiver: int, message: Message) -> Sequence[Message]:
        view = None if isinstance(message, CertifiedBlock) else view_of(message)
        view = self.world.nodes[sender].replica.view if view is None else view
        if isinstance(message, Complaint) or view >= len(self._partitions):
            return (message,)
        groups = self._partitions[view]
        return (message,) if groups[sender] == groups[receiver] else ()


class SmallMutations(Wire):
    """One replica's messages are mutated in some rounds, and others are parted: what ``fuzz_of(seed)`` says."""

    def __init__(self, world: World, chance: random.Random, seed: int) -> None:
        super().__init__(world, chance)
        self._fuzz = fuzz_of(seed, world.plan.nodes)
        self._fuzzer: Fuzzer | None = None

    def carry(self, sender: int, receiver: int, message: Message) -> Sequence[Message]:
        if self._fuzzer is None:
            nodes = self.world.nodes
            self._fuzzer = Fuzzer(self._fuzz, nodes[sender].config.scope, nodes[self._fuzz.liar].key)
        return self._fuzzer.carry(sender, receiver, message)


def twins(seed: int, nodes: int) -> Plan:
    """One replica runs twice, and each view has its partition."""
    scenario = sampled(seed, nodes)
    partitions = [list(partition) for partition in scenario.partitions]
    wires = (Named("view-partitions", {"partitions": partitions}),)
    weather = weather_of(chance_of(seed, "twins"))
    return Plan(seed, "twins", nodes, twins=(scenario.twinned,), wires=wires, weather=weather)


def byzzfuzz(seed: int, nodes: int) -> Plan:
    """Small mutations and partitions by rounds."""
    fuzz: Fuzz = fuzz_of(seed, nodes)
    wires = (Named("small-mutations", {"seed": seed}),)
    weather = weather_of(chance_of(seed, "byzzfuzz"))
    return Plan(seed, "byzzfuzz", nodes, liars=(Liar(fuzz.liar, "exempt"),), wires=wires, weather=weather)


register_wire("view-partitions", ViewPartitions)
register_wire("small-mutations", SmallMutations)
register_behaviour("exempt", Behaviour)
register_adversary("twins", twins)
register_adversary("byzzfuzz", byzzfuzz)
