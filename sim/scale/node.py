"""A node: the real core on a modelled machine of two cores.

One core runs everything in Python, as the interpreter's lock demands: decoding, the core's steps, signing,
sending and, in slices between them, execution. The other verifies, in order of arrival, what the core still wants
when its turn has come. As in the driver, what is waiting is stepped together, its records are synced once, and
only then is anything sent; execution goes on during the sync.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pbft.config import ReplicaConfig
from pbft.events import Event, Execute, Executed, Instant, Output, PoolRequest, Received, Recovered, Submitted, Tick
from pbft.messages import CertifiedBlock, FetchBlocks, Forward, Message, Proposal, Statement
from pbft.replica import Replica
from sim.scale.clock import Clock
from sim.scale.network import NS_A_MS, Card
from sim.scale.shared import Shared
from sim.scale.tally import Tally
from sim.scale.work import BULK, MessageWork, Work

CLOCK_START_MS = 1_800_000_000_000
SIGNATURE = bytes(range(64))
"""Signatures are charged for, not made."""
SLICE_NS = 5 * NS_A_MS
"""How long execution keeps the interpreter before waiting messages get it: CPython's switch interval."""
TURN_EVENTS_MAX = 512

Step = Callable[[Replica, Event, Instant], Output]
Emit = Callable[[int, int | None, Message, int], MessageWork]
"""``emit(sender, to, message, when)``: put a message on the network; what it cost to make."""


def take_step(replica: Replica, event: Event, now: Instant) -> Output:
    return replica.step(event, now)


class _Waiting:
    """One event on its way to the core: from when on it can be taken further, and what it costs either core."""

    __slots__ = ("decode", "event", "ready", "step", "verify")

    def __init__(self, ready: int, event: Event, decode: int = 0, verify: int = 0, step: int = 0) -> None:
        self.ready = ready
        self.event = event
        self.decode = decode
        self.verify = verify
        self.step = step


class ScaleNode:
    """One replica and its machine."""

    def __init__(
        self, config: ReplicaConfig, work: Work, clock: Clock, shared: Shared, tally: Tally, emit: Emit, step: Step
    ) -> None:
        self.index = config.index
        self.card_in: Card | None = None
        self.main_busy_ns = self.verify_busy_ns = 0
        self.certified = 0
        self._work = work
        self._clock = clock
        self._shared = shared
        self._tally = tally
        self._emit = emit
        self._step = step
        self._signatures = 0
        self.replica = Replica(config, self._sign)
        self._arrived: deque[_Waiting] = deque()
        self._inbox: deque[_Waiting] = deque()
        self._dropped_ns = 0
        self._known: set[bytes] = set()
        self._executions: deque[tuple[Execute, tuple[bytes, ...]]] = deque()
        self._remaining = 0
        self._last: Statement | None = None
        self._bodies: dict[int, tuple[Execute, tuple[bytes, ...]]] = {}
        self._verify_free = self._main_free = 0
        self._turn_at: int | None = None
        self._wake_ms: int | None = 0

    def start(self) -> None:
        self._pass(_Waiting(self._clock.now, Recovered((), 0, None, ())))

    def _sign(self, signed: bytes) -> bytes:
        self._signatures += 1
        return SIGNATURE

    # ------------------------------------------------------------------------------------------- arriving

    def submit(self, request: PoolRequest) -> None:
        """A client's request, by the node's own interface."""
        self._known.add(request.tx_id)
        event, work = Submitted((request,), own=True), self._work
        self._pass(_Waiting(self._clock.now, event, verify=work.verify, step=work.step("Submitted", 1)))

    def arrive(self, sender: int, message: Message, size: int, work: MessageWork) -> None:
        """A message's last byte has come over the link."""
        assert self.card_in is not None, "the world gives every node its card"
        at = self.card_in.pass_through(self._clock.now, size, isinstance(message, BULK))[0]
        if isinstance(message, FetchBlocks):
            self._serve(sender, message)
            return
        event, kind = self._event(sender, message), type(message).__name__
        tx_ids: tuple[bytes, ...] = ()
        if isinstance(event, Submitted):
            kind, tx_ids = "Submitted", tuple(request.tx_id for request in event.requests)
        elif isinstance(event, Received) and event.batch is not None:
            tx_ids = event.batch.tx_ids
        verify = work.verify + self._news(tx_ids)
        self._pass(_Waiting(at, event, work.decode, verify, self._work.step(kind, len(tx_ids))))

    def _event(self, sender: int, message: Message) -> Event:
        if isinstance(message, Forward):
            return Submitted(tuple(self._shared.request(envelope) for envelope in message.envelopes), own=False)
        if isinstance(message, Proposal | CertifiedBlock) and message.body:
            return Received(sender, message, self._shared.batch(message.body))
        return Received(sender, message)

    def _news(self, tx_ids: tuple[bytes, ...]) -> int:
        """Verifying the client signatures that this node has not seen yet; each once a node."""
        before = len(self._known)
        self._known.update(tx_ids)
        return (len(self._known) - before) * self._work.verify

    def _pass(self, waiting: _Waiting) -> None:
        """Through the gate at once if it is idle, else in turn."""
        if self._arrived or self._verify_free > self._clock.now:
            self._arrived.append(waiting)
        else:
            self._verify(waiting)
        self._plan_next()

    def _verify_until(self, now: int) -> None:
        """Let the gate take what it could begin with by now."""
        arrived = self._arrived
        while arrived and max(arrived[0].ready, self._verify_free) <= now:
            self._verify(arrived.popleft())

    def _verify(self, waiting: _Waiting) -> None:
        event = waiting.event
        if isinstance(event, Received) and not self.replica.wants(event.message):
            self._dropped_ns += waiting.decode
            return
        waiting.ready = self._verify_free = max(waiting.ready, self._verify_free) + waiting.verify
        self.verify_busy_ns += waiting.verify
        self._inbox.append(waiting)

    def _serve(self, sender: int, request: FetchBlocks) -> None:
        for height in range(request.first_height, request.last_height + 1):
            block = self._shared.block(height)
            if block is None or height > self.certified:
                return
            self._emit(self.index, sender, block, self._clock.now)

    # ------------------------------------------------------------------------------------------- stepping

    def _plan(self, when: int) -> None:
        """See to it that a turn begins by then, or once the interpreter is free."""
        when = max(when, self._main_free, self._clock.now)
        if self._turn_at is None or when < self._turn_at:
            self._turn_at = when
            self._clock.at(when, self._turn, when)

    def _turn(self, when: int) -> None:
        """Step what is ready, sync, send; execute meanwhile."""
        if when != self._turn_at:
            return
        self._turn_at = None
        self._verify_until(when)
        outputs, at = self._step_ready(when)
        synced = at + (self._work.fsync if any(output.persist for output in outputs) else 0)
        executed = self._execute(at)
        free = max(synced, executed)
        self.main_busy_ns += executed - when
        for output in outputs:
            free = self._carry_out(output, free)
        self.main_busy_ns += max(0, free - max(synced, executed))
        self._main_free = free
        self._verify_until(when)
        self._plan_next()

    def _step_ready(self, when: int) -> tuple[list[Output], int]:
        instant = Instant(when // NS_A_MS, CLOCK_START_MS + when // NS_A_MS)
        outputs: list[Output] = []
        inbox, at = self._inbox, when + self._dropped_ns
        self._dropped_ns = 0
        while inbox and inbox[0].ready <= when and len(outputs) < TURN_EVENTS_MAX:
            waiting = inbox.popleft()
            outputs.append(self._step(self.replica, waiting.event, instant))
            at += waiting.decode + waiting.step
        if not outputs and self._wake_ms is not None and self._wake_ms * NS_A_MS <= when:
            outputs.append(self._step(self.replica, Tick(), instant))
            at += self._work.step("Tick")
        self._tally.steps += len(outputs)
        at += self._signatures * self._work.sign
        self._signatures = 0
        if outputs:
            self._wake_ms = outputs[-1].wake_at_ms
        return outputs, at

    def _carry_out(self, output: Output, at: int) -> int:
        """Send from ``at`` on; when the interpreter is done with it."""
        for send in output.send:
            work = self._emit(self.index, send.to, send.message, at)
            if isinstance(send.message, Proposal) and send.to is None:
                at += self._work.step("propose", len(self._shared.batch(send.message.body).tx_ids))
            at += work.encode + work.copy * (1 if send.to is not None else self._work.nodes - 1)
        for execute in output.execute:
            self._begin(execute)
        for certificate in output.certified:
            height = certificate.statement.height
            execute, tx_ids = self._bodies.pop(height)
            self.certified = height
            self._shared.keep_block(execute.body, execute.view, execute.proposer, certificate)
            self._tally.certified(self.index, height, tx_ids, at)
        for tx_id in output.refused:
            self._tally.refuse(tx_id)
        return at

    def _plan_next(self) -> None:
        """The next turn: for what is verified, or can be, for execution, or for the time that the core waits for."""
        if self._inbox:
            self._plan(self._inbox[0].ready)
        elif self._arrived:
            self._plan(max(self._arrived[0].ready, self._verify_free))
        if self._executions:
            self._plan(self._main_free)
        if self._wake_ms is not None:
            self._plan(max(self._wake_ms * NS_A_MS, self._clock.now + 1))

    # ------------------------------------------------------------------------------------------ executing

    def _begin(self, execute: Execute) -> None:
        tx_ids = self._shared.batch(execute.body).tx_ids if execute.body else ()
        self._executions.append((execute, tx_ids))
        if len(self._executions) == 1:
            self._remaining = self._work.execute(len(tx_ids))

    def _execute(self, at: int) -> int:
        """One slice of execution; when it ends."""
        if not self._executions:
            return at
        took = min(self._remaining, SLICE_NS)
        self._remaining -= took
        at += took
        if self._remaining == 0:
            execute, tx_ids = self._executions.popleft()
            self._last = self._shared.statement(self._last, execute.height, execute.digest)
            self._bodies[execute.height] = execute, tx_ids
            done = _Waiting(
                at, Executed(self._last, tx_ids, admitted=tx_ids), step=self._work.step("Executed", len(tx_ids))
            )
            self._inbox.appendleft(done)
            if self._executions:
                self._remaining = self._work.execute(len(self._executions[0][1]))
        return at
