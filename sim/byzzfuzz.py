"""ByzzFuzz: one replica's messages are mutated in c rounds, the network is parted in d rounds (Winter et al. 2023).

A round is one phase of one sequence in one view, as messages of it first appear on the network; a message that
belongs to no phase belongs to the round that is latest. A mutation is of small scope (``sim/mutations.py``) and
reaches a subset of the receivers; the others get the message as it was. Agreement, validity and one vote each
must hold throughout, and a new request must execute everywhere once the faults are over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ca.keys import SigningKey
from pbft.messages import Message, Scope
from sim.arena import Arena, Member, has_executed, safety
from sim.mutations import Mutator
from sim.wires import view_of

ROUNDS = 90
"""Faults fall on rounds below this; a run without faults passes about as many in ``CHAOS_MS``."""
CHAOS_MS = 500
CALM_MS = 4_000
SUBMIT_EVERY_MS = 15


@dataclass(frozen=True, slots=True)
class Fuzz:
    """What a seed expands to: who lies, at which rounds and towards whom, and which rounds the network is parted in."""

    seed: int
    nodes: int
    liar: int
    mutated: dict[int, frozenset[int]]
    parted: dict[int, tuple[int, ...]]


def fuzz_of(seed: int, nodes: int = 4) -> Fuzz:
    """At most eight rounds with mutations and four with partitions."""
    chance = random.Random(f"byzzfuzz/{nodes}/{seed}")
    liar = chance.randrange(nodes)
    mutated = {
        chance.randrange(ROUNDS): frozenset(
            chance.sample([node for node in range(nodes) if node != liar], chance.randint(1, nodes - 1))
        )
        for _ in range(chance.randint(1, 8))
    }
    parted = {
        chance.randrange(ROUNDS): tuple(chance.randrange(2) for _ in range(nodes)) for _ in range(chance.randint(0, 4))
    }
    return Fuzz(seed, nodes, liar, mutated, parted)


class Rounds:
    """Which round a message belongs to, by the order in which phases appear."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int, int], int] = {}

    def of(self, message: Message) -> int:
        inner = getattr(message, "pre_prepare", message)
        view, sequence = view_of(message), getattr(inner, "sequence", 0)
        kind = type(inner).__name__
        if view is None or kind in ("Status", "CertifiedBlock"):
            return max(len(self._numbers) - 1, 0)
        return self._numbers.setdefault((kind, view, sequence), len(self._numbers))


class Fuzzer:
    """Carries messages as a ``Fuzz`` says. Places are validators' indexes here."""

    def __init__(self, fuzz: Fuzz, scope: Scope, key: SigningKey) -> None:
        self._fuzz = fuzz
        self._rounds = Rounds()
        self._mutator = Mutator(scope, fuzz.liar, key, random.Random(f"mutations/{fuzz.nodes}/{fuzz.seed}"))

    def carry(self, sender: int, receiver: int, message: Message) -> Sequence[Message]:
        number = self._rounds.of(message)
        groups = self._fuzz.parted.get(number)
        if groups is not None and groups[sender] != groups[receiver]:
            return ()
        if sender != self._fuzz.liar or receiver not in self._fuzz.mutated.get(number, ()):
            return (message,)
        mutated = self._mutator.mutate(message)
        return () if mutated is None else (mutated,)


def play(fuzz: Fuzz) -> list[str]:
    """Play it in the arena; what did not hold."""
    arena = Arena(range(fuzz.nodes), fuzz.nodes, seed=fuzz.seed, jitter_ms=3)
    arena.liars = {fuzz.liar}
    fuzzer = Fuzzer(fuzz, arena.config.scope, arena.keys[fuzz.liar])

    def carry(sender: Member, receiver: Member, message: Message) -> Sequence[Message]:
        if arena.now_ms >= CHAOS_MS:
            return (message,)
        return fuzzer.carry(sender.index, receiver.index, message)

    arena.carry = carry
    for number in range(CHAOS_MS // SUBMIT_EVERY_MS):
        arena.submit(number % fuzz.nodes, f"request {number}")
        arena.run(SUBMIT_EVERY_MS)
    arena.submit(arena.honest[0].place, "last")
    done = arena.run(CALM_MS, lambda: has_executed(arena, "last"))
    faults = safety(arena)
    return faults if done else [*faults, "termination: the last request did not execute everywhere"]
