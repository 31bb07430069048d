"""Twins at n = 4: one replica runs twice, with one key; partitions and leaders are enumerated (Bano et al. 2021).

A twin is a second instance of a replica, unaware of the first. Honest code twice is a Byzantine replica that
equivocates, votes twice and forgets, and no behaviour has to be written for it.

A round is one view. The partition of view v decides who hears the messages of view v, among the four replicas and
the twin, as long as that view's time slot lasts; at its end the view dies but for complaints, which always
travel: they are the pacemaker. After the last round the network is whole for good, and a new request must execute.

How many scenarios there are with at most two rounds. A partition of 5 instances is one of 52 (Bell's number). The
leader of a view follows from the one before (v mod n), so that the leaders are 4 sequences; 4 identities can be
twinned: 4 * 4 * (52 + 52 * 52) = 44,096. Two symmetries, both exact but for the order of deliveries at one moment:
  * Replicas differ by when they lead, not by name: rename them so that view 0 is led by replica 0. A quarter is
    left: 11,024.
  * The two instances of the twinned replica can be exchanged. A pair of partitions and its image are one scenario;
    20 partitions are their own image (both instances in one group: 15; each alone: 5), so that (52 + 20) / 2 = 36
    of one round and (52 * 52 + 20 * 20) / 2 = 1,552 of two are left for each identity: 4 * (36 + 1,552) = 6,352.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from pbft.messages import CertifiedBlock, Complaint, Message
from sim.arena import Arena, Member, has_executed, safety
from sim.wires import view_of

NODES = 4
VIEW_MS = 45
"""How long a round's view lives: some sequences' worth."""
SLOT_MS = 140
"""From the beginning of a round to that of the next: the view's life, then patience and a view change."""
CALM_MS = 4_000
"""Within this time after the last round everything must be well again: about eight of the longest timeouts."""

Partition: TypeAlias = tuple[int, ...]
"""The group of each place; the twin's is the last. Groups are numbered in order of their first member."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """``twinned``: the replica with two instances; ``partitions``: one for each round."""

    twinned: int
    partitions: tuple[Partition, ...]
    nodes: int = NODES

    def mirrored(self) -> Scenario:
        """The same with the two instances exchanged."""
        return Scenario(self.twinned, tuple(self._mirror(p) for p in self.partitions), self.nodes)

    def _mirror(self, partition: Partition) -> Partition:
        groups = list(partition)
        groups[self.twinned], groups[-1] = groups[-1], groups[self.twinned]
        return canonical(groups)


def canonical(groups: Sequence[int]) -> Partition:
    """Groups numbered in order of their first member."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(group, len(numbers)) for group in groups)


def partitions(places: int) -> list[Partition]:
    """Every way to split so many places into groups."""
    found: list[Partition] = [()]
    for _ in range(places):
        found = [(*groups, group) for groups in found for group in range(max(groups, default=-1) + 2)]
    return found


def all_scenarios(rounds: int) -> Iterator[Scenario]:
    """Every scenario of so many rounds in which view 0 is led by replica 0."""
    for twinned in range(NODES):
        for chosen in product(partitions(NODES + 1), repeat=rounds):
            yield Scenario(twinned, chosen)


def distinct(scenarios: Iterator[Scenario]) -> Iterator[Scenario]:
    """Of a scenario and its mirror image, one."""
    return (scenario for scenario in scenarios if scenario.partitions <= scenario.mirrored().partitions)


def sampled(seed: int, nodes: int = NODES) -> Scenario:
    """A scenario of three to six rounds, by chance; half of the partitions are of two groups, the dangerous ones."""
    chance = random.Random(f"twins/{nodes}/{seed}")
    rounds = chance.randint(3, 6)
    chosen = [
        canonical([chance.randrange(chance.choice([2, 2, 3, nodes + 1])) for _ in range(nodes + 1)])
        for _ in range(rounds)
    ]
    return Scenario(chance.randrange(nodes), tuple(chosen), nodes)


def play(scenario: Scenario, also_twinned: int = 0) -> list[str]:
    """Play a scenario; what did not hold. ``also_twinned``: how many other replicas run twice, more than may."""
    others = [index for index in range(scenario.nodes) if index != scenario.twinned][:also_twinned]
    arena = Arena([*range(scenario.nodes), scenario.twinned, *others], scenario.nodes)
    rounds = len(scenario.partitions)

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        view = sender.replica.view if isinstance(message, CertifiedBlock) else view_of(message)
        view = sender.replica.view if view is None else view
        if arena.now_ms >= rounds * SLOT_MS or view >= rounds or isinstance(message, Complaint):
            return (message,)
        groups = scenario.partitions[view]
        alive = arena.now_ms < view * SLOT_MS + VIEW_MS
        ends = [groups[min(member.place, len(groups) - 1)] for member in (sender, receiver)]
        return (message,) if alive and ends[0] == ends[1] else ()

    arena.carry = carry
    for number in range(rounds):
        for member in arena.members:
            arena.submit(member.place, f"round {number}, place {member.place}")
        arena.run(SLOT_MS)
    arena.submit(arena.honest[0].place, "last")
    done = arena.run(CALM_MS, lambda: has_executed(arena, "last"))
    faults = safety(arena)
    return faults if done else [*faults, "termination: the last request did not execute everywhere"]
