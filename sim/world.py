"""One simulated world: nodes, network, clock, disks, clients and a timeline of faults, all from one plan.

The order of events is (virtual time, order of scheduling); there is no other source of order, so the same plan
gives the same trace, whose digest is kept.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from ledger.envelope import Envelope
from pbft.config import OBSERVER, ReplicaConfig
from pbft.epoch import Epoch
from pbft.events import Send
from pbft.evidence import Evidence
from pbft.messages import Handover, Message, Scope, encode_frame
from sim.behaviour import BEHAVIOURS, Stand
from sim.clients import SimClient
from sim.disk import PowerCut
from sim.faults import LOSSES, apply_fault, resolved, told, undo_fault
from sim.frames import Frames
from sim.history import Operation
from sim.market_day import CLOCK_TOLERANCE_MS, INTERVAL_MS, MARKET_DAY, RATE, Board, Trader
from sim.network import SimNetwork
from sim.node import CLOCK_START_MS, SimNode
from sim.plan import TIMEOUT_MS, TIMEOUT_MS_MAX, Fault, Plan, chance_of
from sim.setting import Stage
from sim.watch import StruckDown, Watch
from sim.wires import WIRES

REPORT_TURN_MS = 200
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
    epoch: int
    """The sender's."""


class Arrived(NamedTuple):
    """A frame that reached a place."""

    sent_ms: int
    at_ms: int
    place: int
    to: int
    frame: bytes


class Struck(NamedTuple):
    """A fault that happened: its number in the plan's timeline, and itself with whom it met."""

    at_ms: int
    number: int
    fault: Fault


class World:
    """Plays a plan. Nodes with a key in ``plan.byzantine`` are exempt from the checkers. ``watched``: what nodes do is
    recorded in ``watch``, as it is wherever a fault waits for something."""

    def __init__(self, plan: Plan, stage: Stage, *, watched: bool = False) -> None:
        self.plan = plan
        self.stage = stage
        self.genesis = stage.genesis
        self.machine = stage.machine
        self.now_ms = 0
        self.chance = self.chance_of("world")
        self.network = SimNetwork(self.chance_of("network"), plan.weather)
        self.frames = Frames()
        self.sent: list[Sent] = []
        self.notes: list[tuple[int, str]] = []
        """(time, sentence): faults and what else a transcript should say."""
        self.arrived: list[Arrived] | None = None
        """Set to a list to keep what arrives, for diagrams."""
        self.messages = 0
        """How many arrived."""
        self.befallen = 0
        """Faults of the timeline, and power cuts."""
        self.clock_rate = RATE if plan.workload == MARKET_DAY else 1
        """How many ms of the nodes' clocks a ms of the run is."""
        self.submitted: set[bytes] = set()
        """Ids of the transactions that clients made."""
        self.made: list[Envelope] = []
        """The transactions themselves, in order."""
        self.struck: list[Struck] = []
        """Faults of the timeline that happened."""
        self.watch = Watch(self, self._fault) if watched or any(fault.when for fault in plan.faults) else None
        self.settled_ms: int | None = None
        """How long after the last fault everything had happened; None if it never had."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._reported: set[tuple[int, int, int]] = set()
        self._trace = sha256()
        self._chaos = True
        self.nodes = [self._node(place) for place in range(plan.places)]
        self.clients = [
            SimClient(self, number, plan.operations, stage.operators[number], self.chance_of(f"client/{number}"))
            for number in range(plan.clients)
        ]
        if plan.workload == MARKET_DAY:
            self._open_market()
        self.governor = SimClient(self, plan.clients, 0, stage.operators[plan.clients], self.chance_of("governor"))
        """An operator who does nothing but what the plan's timeline says."""
        self.reporters = [
            SimClient(self, plan.clients + 1 + node.place, 0, node.key, self.chance_of(f"reporter/{node.place}"))
            for node in self.nodes
        ]
        self._wires = [
            WIRES[wire.name](self, self.chance_of(f"wire/{number}"), **wire.arguments)
            for number, wire in enumerate(plan.wires)
        ]
        self._bring_liars()

    def _open_market(self) -> None:
        board = Board()
        for client in self.clients:
            person = self.stage.traders[client.number]
            chance = self.chance_of(f"trader/{client.number}")
            client.trader = Trader(client.number, person.keys, person.certificates, board, chance, self._interval_now)
            client.left += client.trader.entering

    def _interval_now(self) -> int:
        return (CLOCK_START_MS + self.now_ms * RATE) // INTERVAL_MS

    def _node(self, place: int) -> SimNode:
        plan = self.plan
        skew_ms = plan.skews_ms[place] if place < len(plan.skews_ms) else 0
        node = SimNode(self, place, self.stage.keys[plan.owner(place)], skew_ms)
        if not plan.disks.power_cut:
            node.disk.preload(self.stage.pairs)
        return node

    def config_of(self, epoch: Epoch, index: int, *, leaving: bool) -> ReplicaConfig:
        """What a replica of ``epoch`` is told; ``plan.options`` have the last word."""
        limits = self.genesis.limits
        fields: dict[str, Any] = {
            "leaving": leaving,
            "first_height": epoch.first_height,
            "first_primary": epoch.first_primary,
            "skipped": tuple(skip.index for skip in epoch.skipped),
            "checkpoint_interval_blocks": limits.checkpoint_interval_blocks,
            "window_blocks": limits.window_blocks,
            "pipeline_depth": 4,
            "block_idle_ms_max": 1_500,
            "request_timeout_ms": TIMEOUT_MS,
            "view_change_timeout_ms": TIMEOUT_MS,
            "view_change_timeout_ms_max": TIMEOUT_MS_MAX,
            "status_interval_ms": 400,
            "snapshot_gap_blocks": 64,
            **({"clock_tolerance_ms": CLOCK_TOLERANCE_MS} if self.plan.workload == MARKET_DAY else {}),
        }
        scope = Scope(self.genesis.chain_id, self.genesis.channel, epoch.number)
        return ReplicaConfig(scope=scope, validators=epoch.keys, index=index, **{**fields, **self.plan.options})

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
                self.note(str(cut))
                self.befallen += 1
                self.nodes[cut.place].power_cut()
            except StruckDown as death:
                self.note(str(death))
            if self._count > EVENTS_MAX:
                raise Storm(f"storm: more than {EVENTS_MAX} events before {end_ms} ms")
        self.now_ms = end_ms

    def note(self, sentence: str) -> None:
        """Something that a transcript should say."""
        self.notes.append((self.now_ms, sentence))

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

    @property
    def primary(self) -> int:
        """The place of the primary of the view that most honest nodes are in; of those that run, if any does."""
        voting = [node for node in self.honest if node.up and node.config.index != OBSERVER] or self.honest
        views = Counter((node.config.scope.epoch, node.replica.view) for node in voting)
        (epoch, view), _ = max(views.items(), key=lambda item: (item[1], item[0]))
        config = next(node for node in voting if (node.config.scope.epoch, node.replica.view) == (epoch, view)).config
        key = config.validators[config.primary(view)]
        return next(node.place for node in self.nodes if node.key.public_key == key)

    @property
    def everyone(self) -> tuple[SimClient, ...]:
        """Clients, and those who govern."""
        return (*self.clients, self.governor, *self.reporters)

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
        message, epoch = send.message, node.config.scope.epoch
        self.sent.append(Sent(self.now_ms, node.place, send.to, message, epoch))
        frame = encode_frame(epoch, message)
        for place in node.places_of(send.to, message):
            if self._wires:
                self._through_wires(node, place, message)
            else:
                self._travel(node, place, frame)
            if self.watch is not None:
                self.watch.left(node, place, message)

    def _through_wires(self, node: SimNode, to: int, message: Message) -> None:
        carried: Sequence[Message] = (message,)
        for wire in self._wires:
            carried = [real for item in carried for real in wire.carry(node.place, to, item)]
        for real in carried:
            self._travel(node, to, encode_frame(node.config.scope.epoch, real))

    def _travel(self, node: SimNode, to: int, frame: bytes) -> None:
        now_ms = self.now_ms
        for delay_ms in self.network.arrivals_ms(node.place, to):
            self.later(delay_ms, partial(self._arrive, node, to, frame, now_ms))

    def _arrive(self, node: SimNode, to: int, frame: bytes, sent_ms: int) -> None:
        held = self.network.held(node.place, to)
        if held is not None:
            held.append(partial(self._arrive, node, to, frame, sent_ms))
            return
        self.messages += 1
        if self.arrived is not None:
            self.arrived.append(Arrived(sent_ms, self.now_ms, node.place, to, frame))
        self._trace.update(b"%d %d>%d " % (self.now_ms, node.place, to) + frame)
        self.nodes[to].receive(node.key.public_key, frame)

    def reply(self, client: SimClient, tx_id: bytes, answer: bytes) -> None:
        """A node's answer, on its way to a client."""
        for delay_ms in self.network.delays_ms():
            self.later(delay_ms, partial(client.answer, tx_id, answer))

    def note_answer(self, operation: Operation) -> None:
        line = f"{self.now_ms} client {operation.client}: {operation.function} {operation.code} {operation.value}"
        self._trace.update(line.encode())

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
            if not all(client.idle for client in self.everyone):
                continue
            if not probing:
                probing = True
                self.clients[0].invoke("add", {"cell": "total", "amount": 1})
            elif self.is_settled():
                self.settled_ms = self.now_ms - self.plan.chaos_ms
                return

    def report(self, node: SimNode, evidence: Evidence) -> None:
        """An honest node reports whom it has proof against, once an epoch, in its turn: others have the same proof."""
        case = (node.place, evidence.scope.epoch, evidence.accused)
        lawful = node.config.index != OBSERVER and node.owner not in self.plan.byzantine
        if self.plan.reports and lawful and case not in self._reported and evidence.accused not in node.config.skipped:
            self._reported.add(case)
            self.later(1 + REPORT_TURN_MS * node.config.index, partial(self.reporters[node.place].report, evidence))

    def hand_over(self, place: int, to: int) -> None:
        """Operators order the node at ``place`` to have replica ``to`` lead."""
        node, key = self.nodes[place], self.stage.operators[self.plan.clients]
        if node.up and to < node.config.n:
            order = Handover(node.replica.view, to)
            signature = key.sign(order.signed(node.config.scope))
            node.take_order(msgspec.structs.replace(order, signatures=((key.public_key, signature),)))

    def begin(self) -> None:
        """Start every node and client, and put the timeline on the clock."""
        for node in self.nodes:
            for behaviour in node.behaviours:
                behaviour.begin()
        for node in self.nodes:
            self.later(0, node.start)
        for client in self.clients:
            client.start()
        for number, fault in enumerate(self.plan.faults):
            if fault.when is None:
                self.later(fault.at_ms, partial(self._fault, number))
            elif self.watch is not None:
                self.watch.wait(number, fault)

    def _fault(self, number: int) -> None:
        if self._chaos:
            fault = resolved(self, self.plan.faults[number])
            self.befallen += 1
            self.struck.append(Struck(self.now_ms, number, fault))
            self.note(f"fault: {told(fault)}")
            if fault.for_ms:
                self.later(fault.for_ms, partial(self._undo, fault))
            apply_fault(self, fault)

    def _undo(self, fault: Fault) -> None:
        if self._chaos:
            self.note(f"over: {told(fault)}")
            undo_fault(self, fault)

    def calm(self) -> None:
        """The faults end for good: links and disks are well, and everyone is up."""
        self._chaos = False
        self._wires = []
        self.note("calm")
        self.network.heal()
        for node in self.nodes:
            node.disk.calm()
            if not node.up:
                node.start()

    def is_settled(self) -> bool:
        """Everything asked for is answered, every honest node holds it certified, every honest validator votes, and a
        quorum is in one view: liars may vote in it too, as long as they like.

        A replica that timed out alone may lawfully stand in a later view until the next change, and follow by blocks.
        """
        heights = [operation.height for client in self.everyone for operation in client.history]
        # A change of validators is over when the first block behind its boundary is there, and leavers have left.
        officials = (self.governor, *self.reporters)
        acts = [o for official in officials for o in official.history if o.code == "OK" and o.function != "revoke"]
        heights += [int(o.value) + 1 for o in acts]
        standing = [node for node in self.honest if not node.retired]
        if any(node.replica.core.outcomes.certified < max(heights, default=0) for node in standing):
            return False
        if any(node.config.leaving or not (node.replica.core.votes or self._is_excused(node)) for node in standing):
            return False
        views = Counter(
            (node.config.scope.epoch, node.replica.view)
            for node in standing
            if node.config.index != OBSERVER and node.replica.active
        )
        needed = max(node.config.q for node in standing) - len(self.plan.byzantine)
        return bool(views) and max(views.values()) >= needed

    def _is_excused(self, node: SimNode) -> bool:
        """Whether it may keep silent: as no validator; and where its disk lost something while somebody lies, who can
        have it wait for heights that nobody reaches."""
        faults = (*self.plan.faults, *(struck.fault for struck in self.struck))
        places = {place for fault in faults if fault.kind in LOSSES for group in fault.groups for place in group}
        return node.config.index == OBSERVER or (bool(self.plan.byzantine) and node.place in places)
