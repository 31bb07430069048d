"""A small network for systematic exploration: real replicas and gates on bytes, while execution is a hash chain.

Twins and ByzzFuzz play thousands of short scenarios; contracts and disks are in the full world (``sim/world.py``).
An identity may have several instances, which share its key and know nothing of each other.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, TypeAlias, cast

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.events import Alarm, Event, Executed, Instant, Output, Recovered, RejectReason, Send, Submitted, Tick
from pbft.gate import Gate, Rejected
from pbft.messages import FetchBlocks, Forward, Message, Scope, Statement, encode_message
from pbft.ports import LedgerPort
from pbft.records import Cut, Record, sequence_of
from pbft.replica import Replica
from sim.chain import HashChain, request_of
from sim.votes import VoteBook

SCOPE = Scope(sha256(b"arena").digest(), "main", 0)
CLOCK_START_MS = 1_000_000
HOP_MS = 1
STEPS_MAX = 100_000
QUICK: dict[str, Any] = {
    "checkpoint_interval_blocks": 4,
    "window_blocks": 12,
    "pipeline_depth": 4,
    "block_idle_ms_max": 30,
    "request_timeout_ms": 60,
    "view_change_timeout_ms": 120,
    "view_change_timeout_ms_max": 480,
    "status_interval_ms": 40,
}
"""Waits in proportion to a hop of one millisecond, so that a scenario of two views ends soon."""

Carry: TypeAlias = Callable[["Member", "Member", Message], Sequence[Message]]
"""``carry(sender, receiver, message)``: what arrives in its place, as in ``sim/wires.py``."""


@dataclass(slots=True)
class Member:
    """One instance: its place in the network, its identity, and what survives its crash."""

    place: int
    index: int
    replica: Replica
    gate: Gate
    chain: HashChain
    up: bool = True
    life: int = 0
    wake_at_ms: int | None = None
    log: list[Record] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    rejects: list[RejectReason] = field(default_factory=list)
    refused: int = 0


class Arena:
    """``identities``: the replica that each place is an instance of; ``carry``: what the network and liars make of
    messages. Replicas with several instances, and those in ``liars``, are Byzantine."""

    def __init__(
        self, identities: Sequence[int], nodes: int = 4, *, seed: int = 0, jitter_ms: int = 0, **options: Any
    ) -> None:
        self.now_ms = 0
        self.chance = random.Random(f"arena/{seed}")
        self.keys = [SigningKey.from_seed(b"arena%d" % index) for index in range(nodes)]
        self.config = ReplicaConfig(SCOPE, tuple(key.public_key for key in self.keys), 0, **(QUICK | options))
        self.carry: Carry = lambda sender, receiver, message: (message,)
        self.liars: set[int] = {index for index in identities if list(identities).count(index) > 1}
        self.submitted: set[bytes] = set()
        self.votes = VoteBook()
        self._jitter_ms = jitter_ms
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._last: tuple[Message | None, bytes] = (None, b"")
        self.members = [self._member(place, index) for place, index in enumerate(identities)]
        for member in self.members:
            self._give(member, Recovered((), 0, None, ()))

    def _member(self, place: int, index: int) -> Member:
        chain = HashChain(self.config.checkpoint_interval_blocks, self.config.window_blocks)
        return Member(place, index, self._replica(index), self._gate(index, chain), chain)

    def _gate(self, index: int, chain: HashChain) -> Gate:
        return Gate(self.config_of(index), cast(LedgerPort, chain))

    def _replica(self, index: int) -> Replica:
        return Replica(self.config_of(index), self.keys[index].sign)

    def config_of(self, index: int) -> ReplicaConfig:
        return replace(self.config, index=index)

    @property
    def honest(self) -> list[Member]:
        return [member for member in self.members if member.index not in self.liars]

    @property
    def instant(self) -> Instant:
        return Instant(self.now_ms, CLOCK_START_MS + self.now_ms)

    # --------------------------------------------------------------------------------------------- engine

    def later(self, ms: int, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_ms + ms, self._count, call))

    def run(self, ms: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, until ``stop`` holds if it does before; whether it does."""
        end_ms, steps = self.now_ms + ms, 0
        while self._events and self._events[0][0] <= end_ms:
            self.now_ms, _, call = heapq.heappop(self._events)
            call()
            steps += 1
            assert steps < STEPS_MAX, "messages beget messages without end"
            if stop():
                return True
        self.now_ms = end_ms
        return stop()

    def submit(self, place: int, *texts: str) -> None:
        """A client's requests to one instance."""
        requests = [request_of(text.encode()) for text in texts]
        self.submitted.update(request.tx_id for request in requests)
        self._give(self.members[place], Submitted(tuple(requests), own=True))

    def crash(self, place: int) -> None:
        member = self.members[place]
        member.up, member.life = False, member.life + 1

    def restart(self, place: int, *, without_log: bool = False) -> None:
        """Begin again from the log, unless that is lost, and the chain."""
        member = self.members[place]
        member.log = [] if without_log else member.log
        member.up, member.life, member.wake_at_ms = True, member.life + 1, None
        member.replica = self._replica(member.index)
        chain = member.chain
        blocks = (chain.height, chain.last_certificate(), chain.uncertified())
        self._give(member, Recovered(tuple(member.log), *blocks, chain.boundary, amnesia=without_log))

    def emit(self, member: Member, send: Send) -> None:
        """Put a message on the network as this instance's."""
        if member.index not in self.liars:
            self.votes.note(member.index, send.message, member.chain.boundary)
        for other in self.members:
            if other.index != member.index and send.to in (None, other.index):
                for message in self.carry(member, other, send.message):
                    self.deliver(member, other, message)

    def deliver(self, sender: Member, receiver: Member, message: Message) -> None:
        """Let a message arrive, whoever made it."""
        data = self._encoded(message)
        delay_ms = HOP_MS + (self.chance.randint(0, self._jitter_ms) if self._jitter_ms else 0)
        self.later(delay_ms, lambda: self._arrive(sender, receiver, data))

    def _answer(self, member: Member, asker: Member, message: Message) -> None:
        """An answer goes to the instance that asked."""
        for real in self.carry(member, asker, message):
            self.deliver(member, asker, real)

    def _encoded(self, message: Message) -> bytes:
        """A broadcast is encoded once."""
        if message is not self._last[0]:
            self._last = (message, encode_message(message))
        return self._last[1]

    # --------------------------------------------------------------------------------------- one instance

    def _arrive(self, sender: Member, member: Member, data: bytes) -> None:
        if not member.up:
            return
        try:
            message = member.gate.decode(data)
            if isinstance(message, FetchBlocks):
                for block in member.chain.certified_blocks(message.first_height, message.last_height):
                    self._answer(member, sender, block)
            elif isinstance(message, Forward):
                fresh = tuple(request_of(e) for e in message.envelopes if not member.chain.has(e))
                self._give(member, Submitted(fresh, own=False))
            else:
                self._give(member, member.gate.verify(sender.index, message))
        except Rejected:
            member.refused += 1

    def _give(self, member: Member, event: Event) -> None:
        if member.up:
            self._carry_out(member, member.replica.step(event, self.instant))

    def _carry_out(self, member: Member, output: Output) -> None:
        member.log.extend(output.persist)
        member.alarms.extend(output.alarms)
        member.rejects.extend(reject.reason for reject in output.rejects)
        if output.truncate_below is not None:
            low = output.truncate_below
            member.log = [*(record for record in member.log if (sequence_of(record) or low + 1) > low), Cut(low)]
        for send in output.send:
            self.emit(member, send)
        member.chain.certify(output.certified)
        for item in output.execute:
            statement, tx_ids, admitted = member.chain.execute(item)
            done = Executed(statement, tx_ids, (), member.chain.boundary, admitted)
            self._carry_out(member, member.replica.step(done, self.instant))
        if output.wake_at_ms is not None:
            self._wake(member, max(output.wake_at_ms, self.now_ms + 1))

    def _wake(self, member: Member, at_ms: int) -> None:
        if member.wake_at_ms is None or at_ms < member.wake_at_ms:
            member.wake_at_ms, life = at_ms, member.life
            self.later(at_ms - self.now_ms, lambda: self._woken(member, life, at_ms))

    def _woken(self, member: Member, life: int, at_ms: int) -> None:
        if life == member.life and member.wake_at_ms == at_ms:
            member.wake_at_ms = None
            self._give(member, Tick())


def safety(arena: Arena) -> list[str]:
    """What does not hold of the honest instances; an empty list is a pass."""
    longest = max(arena.honest, key=lambda member: member.chain.height)
    expected = longest.chain.statements
    faults = list(arena.votes.faults)
    for member in arena.honest:
        who = f"replica {member.index}"
        if member.chain.statements != expected[: member.chain.height]:
            faults.append(f"agreement: {who} differs from {longest.index} at or below {member.chain.height}")
        if not member.chain.executed <= arena.submitted:
            faults.append(f"validity: {who} executed what nobody submitted")
        if not arena.liars and member.alarms:
            faults.append(f"quiet: {who} raised an alarm without a liar: {member.alarms[0]}")
        faults += [f"{fault} of {who}" for fault in (*_certificates(arena, member, expected), *_bounds(arena, member))]
    return faults


def _certificates(arena: Arena, member: Member, expected: list[Statement]) -> list[str]:
    """Each certificate says what was executed, by a quorum; the stable checkpoint has one."""
    faults = []
    for height, certificate in member.chain.certificates.items():
        if height <= len(expected) and certificate.statement != expected[height - 1]:
            faults.append(f"certificates: a lie about {height}")
        if len(dict(certificate.signatures)) < arena.config.q:
            faults.append(f"certificates: too few signatures at {height}")
    if member.replica.core.low > max(member.chain.certificates, default=0):
        faults.append(f"certificates: none for the stable checkpoint {member.replica.core.low}")
    return faults


def _bounds(arena: Arena, member: Member) -> list[str]:
    """What a replica keeps of unfinished business never exceeds its windows."""
    slots = len(member.replica.core.log.slots)
    return [f"bounds: {slots} sequences in the log"] if slots > arena.config.window_blocks else []


def has_executed(arena: Arena, text: str) -> bool:
    """Whether every honest instance that is up executed the request."""
    return all(member.chain.has(text.encode()) for member in arena.honest if member.up)
