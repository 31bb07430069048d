"""One simulated world: nodes, network, clock, disks, clients and a timeline of faults, all from one plan.

The order of events is (virtual time, order of scheduling); there is no other source of order, so the same plan
gives the same trace, whose digest is kept.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from contracts.machine import PythonMachine
from pbft.config import ReplicaConfig
from pbft.events import Alarm, Send
from pbft.messages import Message, Scope, encode_message
from sim.behaviour import BEHAVIOURS, Stand
from sim.clients import SimClient
from sim.disk import PowerCut
from sim.faults import apply_fault
from sim.history import Operation
from sim.network import SimNetwork
from sim.node import SimNode
from sim.plan import TIMEOUT_MS, TIMEOUT_MS_MAX, Plan, chance_of
from sim.setting import Stage
from sim.wires import WIRES

LOOK_EVERY_MS = 100
"""How often a world in calm looks whether everything has happened."""
EVENTS_MAX = 400_000


class Storm(Exception):
    """Messages beget messages without end: a violation, found by counting."""


class Sent(NamedTuple):
    """A message that went on the network. ``to`` None: to every validator."""

    at_ms: int
    place: int
    to: int | None
    message: Message


class World:
    """Plays a plan. Nodes with a key in ``plan.byzantine`` are exempt from the checkers."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self.plan = plan
        self.stage = stage
        self.genesis = stage.genesis
        self.machine = PythonMachine()
        self.threads = ThreadPoolExecutor(1)
        self.now_ms = 0
        self.chance = self.chance_of("world")
        self.network = SimNetwork(self.chance_of("network"), plan.weather)
        self.sent: list[Sent] = []
        self.notes: list[tuple[int, str]] = []
        """(time, sentence): faults and what else a transcript should say."""
        self.submitted: set[bytes] = set()
        """Hashes of the envelopes that clients made."""
        self.settled_ms: int | None = None
        """How long after the last fault everything had happened; None if it never had."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._trace = sha256()
        self._chaos = True
        self.nodes = [self._node(place) for place in range(plan.places)]
        self.clients = [
            SimClient(self, number, stage.genesis, stage.operators[number], self.chance_of(f"client/{number}"))
            for number in range(plan.clients)
        ]
        self._wires = [
            WIRES[wire.name](self, self.chance_of(f"wire/{number}"), **wire.arguments)
            for number, wire in enumerate(plan.wires)
        ]
        self._bring_liars()

    def _node(self, place: int) -> SimNode:
        plan, stage = self.plan, self.stage
        owner = plan.owner(place)
        skew_ms = plan.skews_ms[place] if place < len(plan.skews_ms) else 0
        return SimNode(self, place, stage.keys[owner], self._config(owner), skew_ms)

    def _config(self, index: int) -> ReplicaConfig:
        genesis, limits = self.genesis, self.genesis.limits
        fields: dict[str, Any] = {
            "checkpoint_interval_blocks": limits.checkpoint_interval_blocks,
            "window_blocks": limits.window_blocks,
            "pipeline_depth": 4,
            "block_idle_ms_max": 1_500,
            "request_timeout_ms": TIMEOUT_MS,
            "view_change_timeout_ms": TIMEOUT_MS,
            "view_change_timeout_ms_max": TIMEOUT_MS_MAX,
            "status_interval_ms": 400,
        }
        return ReplicaConfig(
            scope=Scope(genesis.chain_id, genesis.channel, 0),
            validators=tuple(validator.public_key for validator in genesis.validators),
            index=index,
            **{**fields, **self.plan.options},
        )

    def _bring_liars(self) -> None:
        cabal: dict[str, Any] = {}
        for number, liar in enumerate(self.plan.liars):
            for node in self.nodes:
                if node.owner == liar.node:
                    stand = Stand(self, node, self.chance_of(f"liar/{number}/{node.place}"), cabal)
                    node.behaviours.append(BEHAVIOURS[liar.behaviour](stand, **liar.arguments))

    def chance_of(self, name: str) -> random.Random:
        """A stream of chance of its own for one part of the world."""
        return chance_of(self.plan.seed, name)

    # --------------------------------------------------------------------------------------------- engine

    def later(self, ms: int, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_ms + ms, self._count, call))

    def moment(self) -> int:
        """A number for this moment, greater than all before: the order that histories are checked by."""
        self._count += 1
        return self._count

    def run_until(self, end_ms: int) -> None:
        """Run everything scheduled up to ``end_ms``."""
        events = self._events
        while events and events[0][0] <= end_ms:
            self.now_ms, _, call = heapq.heappop(events)
            try:
                call()
            except PowerCut as cut:
                self.notes.append((self.now_ms, str(cut)))
                cut.node.power_cut()
            if self._count > EVENTS_MAX:
                raise Storm(f"storm: more than {EVENTS_MAX} events before {end_ms} ms")
        self.now_ms = end_ms

    def close(self) -> None:
        self.threads.shutdown()

    def fsync_ms(self) -> int:
        longest = self.plan.disks.fsync_ms_max if self._chaos else 1
        return int(self.chance.random() * (longest + 1))

    @property
    def trace(self) -> str:
        """A digest of every message that arrived and of every answer to a client, in order."""
        return self._trace.hexdigest()

    @property
    def honest(self) -> list[SimNode]:
        return [node for node in self.nodes if node.owner not in self.plan.byzantine]

    # -------------------------------------------------------------------------------------------- network

    def send(self, node: SimNode, send: Send) -> None:
        """What ``node``'s replica sends, by way of its behaviours."""
        sends: Sequence[Send] = (send,)
        for behaviour in node.behaviours:
            sends = [real for item in sends for real in behaviour.outgoing(item)]
        for real in sends:
            self.emit(node, real)

    def emit(self, node: SimNode, send: Send) -> None:
        """Put a message on the network as it is."""
        self.sent.append(Sent(self.now_ms, node.place, send.to, send.message))
        data = encode_message(send.message)
        for to in node.places_of(send.to, send.message):
            if self._wires:
                self._through_wires(node, to, send.message)
            else:
                self._travel(node, to, data)

    def _through_wires(self, node: SimNode, to: int, message: Message) -> None:
        carried: Sequence[Message] = (message,)
        for wire in self._wires:
            carried = [real for item in carried for real in wire.carry(node.place, to, item)]
        for real in carried:
            self._travel(node, to, encode_message(real))

    def _travel(self, node: SimNode, to: int, data: bytes) -> None:
        for delay_ms in self.network.arrivals_ms(node.place, to):
            self.later(delay_ms, partial(self._arrive, node, to, data))

    def _arrive(self, node: SimNode, to: int, data: bytes) -> None:
        if self.network.holds(node.place, to, partial(self._arrive, node, to, data)):
            return
        self._trace.update(b"%d %d>%d " % (self.now_ms, node.place, to) + data)
        self.nodes[to].receive(node.owner, data)

    def reply(self, client: SimClient, tx_id: bytes, answer: bytes) -> None:
        """A node's answer, on its way to a client."""
        for delay_ms in self.network.delays_ms():
            self.later(delay_ms, partial(client.answer, tx_id, answer))

    def note_answer(self, operation: Operation) -> None:
        line = f"{self.now_ms} client {operation.client}: {operation.function} {operation.code} {operation.value}"
        self._trace.update(line.encode())

    def note_alarms(self, node: SimNode, alarms: Sequence[Alarm]) -> None:
        self.notes += [(self.now_ms, f"node {node.place} alarm {alarm.kind}: {alarm.detail}") for alarm in alarms]

    # -------------------------------------------------------------------------------------------- the play

    def play(self) -> None:
        """The plan's faults, then calm until everything has happened, or for ``calm_ms_max`` at most."""
        self.begin()
        self.run_until(self.plan.chaos_ms)
        self.calm()
        end_ms = self.plan.chaos_ms + self.plan.calm_ms_max
        probing = False
        while self.now_ms < end_ms:
            self.run_until(min(end_ms, self.now_ms + LOOK_EVERY_MS))
            if not all(client.idle for client in self.clients):
                continue
            if not probing:
                probing = True
                self.clients[0].invoke("add", {"cell": "total", "amount": 1})
            elif self.is_settled():
                self.settled_ms = self.now_ms - self.plan.chaos_ms
                return

    def begin(self) -> None:
        """Start every node and client, and put the timeline on the clock."""
        for node in self.nodes:
            for behaviour in node.behaviours:
                behaviour.begin()
        for node in self.nodes:
            node.start()
        for client in self.clients:
            client.start()
        for fault in self.plan.faults:
            self.later(fault.at_ms, partial(self._fault, fault))

    def _fault(self, fault: Any) -> None:
        if self._chaos:
            self.notes.append((self.now_ms, f"fault {fault.kind} {fault.groups} {fault.amount or ''}"))
            apply_fault(self, fault)

    def calm(self) -> None:
        """The faults end for good: links and disks are well, and everyone is up."""
        self._chaos = False
        self._wires = []
        self.notes.append((self.now_ms, "calm"))
        self.network.heal()
        for node in self.nodes:
            if not node.up:
                node.start()

    def is_settled(self) -> bool:
        """Everything asked for is answered, and every honest node holds it all, certified, in one view."""
        honest = self.honest
        last = max((operation.height for client in self.clients for operation in client.history), default=0)
        certified = [node.replica.core.outcomes.certified for node in honest]
        views = {node.replica.view for node in honest}
        return min(certified) >= last and len(views) == 1 and all(node.replica.active for node in honest)
