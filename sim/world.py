"""One simulated world: nodes, network, clock, clients and a schedule of faults, all drawn from one seed.

The order of events is (virtual time, order of scheduling); there is no other source of order, so the same seed
gives the same trace, whose digest is kept.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from ca.keys import SigningKey
from contracts.machine import PythonMachine
from ledger.genesis import Genesis
from pbft.config import ReplicaConfig
from pbft.events import Instant, Send
from pbft.messages import Scope
from sim.byzantine import Behaviour, equivocating, honest
from sim.clients import SimClient
from sim.ledger import SimLedger
from sim.network import SimNetwork, Weather
from sim.node import SimNode, encoded

CLOCK_START_MS = 1_800_000_000_000
FSYNC_MS_MAX = 4
CHAOS_MS = 12_000
CALM_MS = 40_000
"""Virtual time within which everything must be well again after the faults end."""
FAULT_EVERY_MS = 700
SUBMIT_EVERY_MS = 60
EVENTS_MAX = 200_000


class Storm(Exception):
    """Messages beget messages without end: a violation, found by counting."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed expands to: printed with every failure."""

    seed: int
    nodes: int
    adversary: str
    weather: Weather


ADVERSARIES = ("crash", "partition", "equivocate")


def plan_of(seed: int, nodes: int = 4, adversary: str = "mixed") -> Plan:
    """Expand a seed."""
    chance = random.Random(f"plan/{seed}")
    chosen = chance.choice(ADVERSARIES) if adversary == "mixed" else adversary
    weather = Weather(1, chance.choice([5, 20, 80]), chance.choice([0.0, 0.01, 0.1]), chance.choice([0.0, 0.05]))
    return Plan(seed, nodes, chosen, weather)


@dataclass(order=True, slots=True)
class _Event:
    at_ms: int
    number: int
    call: Callable[[], None] = field(compare=False)


class World:
    """Runs a plan. ``byzantine`` nodes are exempt from the checkers."""

    def __init__(self, plan: Plan, genesis: Genesis, keys: list[SigningKey], operators: list[SigningKey]) -> None:
        self.plan = plan
        self.chance = random.Random(f"world/{plan.seed}")
        self.now_ms = 0
        self.byzantine: set[int] = set()
        self._events: list[_Event] = []
        self._count = 0
        self._trace = sha256()
        self.network = SimNetwork(self.chance, plan.weather)
        self._threads = ThreadPoolExecutor(1)
        machine = PythonMachine()
        self._behaviours: dict[int, Behaviour] = {}
        self.nodes = [
            SimNode(
                config=self._config(genesis, keys, index),
                key=keys[index],
                ledger=SimLedger(genesis, machine, self._threads),
                now=lambda: Instant(self.now_ms, CLOCK_START_MS + self.now_ms),
                later=self.later,
                emit=self._emit,
                fsync_ms=lambda: self.chance.randint(0, FSYNC_MS_MAX),
            )
            for index in range(plan.nodes)
        ]
        self.client = SimClient(genesis, operators)

    def _config(self, genesis: Genesis, keys: list[SigningKey], index: int) -> ReplicaConfig:
        return ReplicaConfig(
            scope=Scope(genesis.chain_id, genesis.channel, 0),
            validators=tuple(key.public_key for key in keys),
            index=index,
            checkpoint_interval_blocks=8,
            window_blocks=24,
            pipeline_depth=4,
            block_idle_ms_max=500,
            request_timeout_ms=800,
            view_change_timeout_ms=800,
            view_change_timeout_ms_max=4_000,
            status_interval_ms=200,
        )

    # --------------------------------------------------------------------------------------------- engine

    def later(self, ms: int, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, _Event(self.now_ms + ms, self._count, call))

    def run_until(self, end_ms: int) -> None:
        """Run everything scheduled up to ``end_ms``."""
        steps = 0
        while self._events and self._events[0].at_ms <= end_ms:
            event = heapq.heappop(self._events)
            self.now_ms = event.at_ms
            event.call()
            steps += 1
            if steps > EVENTS_MAX:
                raise Storm(f"storm: more than {EVENTS_MAX} events before {end_ms} ms")
        self.now_ms = end_ms

    def close(self) -> None:
        self._threads.shutdown()

    @property
    def trace(self) -> str:
        """A digest of every message that arrived, in order."""
        return self._trace.hexdigest()

    def _emit(self, sender: int, send: Send) -> None:
        for real in self._behaviours.get(sender, honest)(send):
            data = encoded(real)
            for to in range(len(self.nodes)) if real.to is None else (real.to,):
                if to == sender:
                    continue
                for delay in self.network.arrivals_ms(sender, to):
                    self.later(delay, partial(self._arrive, sender, to, data))

    def _arrive(self, sender: int, to: int, data: bytes) -> None:
        self._trace.update(f"{self.now_ms} {sender}>{to} ".encode() + data)
        self.nodes[to].receive(sender, data)

    # -------------------------------------------------------------------------------------------- the play

    def play(self) -> None:
        """Faults for ``CHAOS_MS``, then calm for at most ``CALM_MS``."""
        self._begin()
        self.run_until(CHAOS_MS)
        self.network.heal()
        for node in self.nodes:
            if not node.up:
                node.start()
        self.run_until(CHAOS_MS + CALM_MS // 2)
        self.client.last = self.client.next_envelope()
        self._submit(self.client.last, self.honest[0].index)
        self.run_until(CHAOS_MS + CALM_MS)

    def _begin(self) -> None:
        if self.plan.adversary == "equivocate":
            self.byzantine = {0}
            liar = self.nodes[0]
            self._behaviours[0] = equivocating(liar.config, liar.key)
        for node in self.nodes:
            node.start()
        for at_ms in range(SUBMIT_EVERY_MS, CHAOS_MS, SUBMIT_EVERY_MS):
            self.later(at_ms, self._client_turn)
        for at_ms in range(FAULT_EVERY_MS, CHAOS_MS, FAULT_EVERY_MS):
            self.later(at_ms, self._fault)

    @property
    def honest(self) -> list[SimNode]:
        return [node for node in self.nodes if node.index not in self.byzantine]

    def _client_turn(self) -> None:
        if self.chance.random() < 0.6:
            self._submit(self.client.next_envelope(), self.chance.randrange(len(self.nodes)))

    def _submit(self, envelope: bytes, node: int) -> None:
        self.client.submitted.add(sha256(envelope).digest())
        self.nodes[node].submit(envelope)

    def _fault(self) -> None:
        if self.plan.adversary == "crash":
            self._crash_or_restart()
        elif self.plan.adversary == "partition":
            self._partition()

    def _crash_or_restart(self) -> None:
        down = [node for node in self.nodes if not node.up]
        if down:
            if self.chance.random() < 0.5:
                self.chance.choice(down).start()
        elif self.chance.random() < 0.6:
            self.chance.choice(self.nodes).crash()

    def _partition(self) -> None:
        choice = self.chance.random()
        order = list(range(len(self.nodes)))
        self.chance.shuffle(order)
        if choice < 0.3:
            self.network.partition([order[:1], order[1:]])
        elif choice < 0.5:
            self.network.partition([order[:2], order[2:]])
        elif choice < 0.7:
            self.network.cut([(order[0], other) for other in order[1:]])
        else:
            self.network.partition([order])
