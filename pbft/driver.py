"""The driver gives replicas their disk, network, clock and execution thread, one replica an epoch.

Messages of a wake-up are stepped together, made durable with one fdatasync, and only then sent. At the end of an
epoch, and when a snapshot has been installed, the next replica begins the way it does after a restart: from
ledger and log. Any exception here or in the core ends the node: better down than wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pbft.config import OBSERVER, ReplicaConfig
from pbft.epoch import Epoch
from pbft.epoch_logs import EpochLogs
from pbft.events import Alarm, Event, Instant, Output, PoolRequest, Recovered, RejectReason, Send, Submitted, Tick
from pbft.evidence import Evidence
from pbft.execution import Execution
from pbft.gate import Gate, Rejected
from pbft.messages import (
    BatchBody,
    CertifiedBlock,
    Chunk,
    Forward,
    Handover,
    Manifest,
    Message,
    Proposal,
    Status,
    encode_frame,
)
from pbft.numbers import Numbers
from pbft.ports import LedgerPort
from pbft.reception import Reception
from pbft.replica import Replica
from pbft.serving import Serving
from pbft.session import Session
from pbft.transport import Links
from pbft.wal import WriteAheadLog

ALARMS_MAX = 32
RECHECKED_MAX = 2_000
"""Waiting requests of which the ledger is asked at a block whether they are still admissible; the others' turn comes at
the next ones."""

SUBMITTED_MAX = 64
"""Our clients' requests that go into one step, and into one FORWARD."""

log = logging.getLogger("wattq.pbft")
_BULK = (Proposal, BatchBody, CertifiedBlock, Forward, Manifest, Chunk)


class Key(Protocol):
    """Our voting key, which is our TLS key too."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, data: bytes, /) -> bytes: ...


class EvidencePort(Protocol):
    """Where proof of lies is kept."""

    def keep(self, evidence: Evidence) -> bool: ...


@dataclass(frozen=True, slots=True)
class Transfer:
    """A state transfer under way."""

    height: int
    chunks: int
    staged: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What ledger and log hold for the next replica."""

    epoch: Epoch
    wal: WriteAheadLog
    recovered: Recovered


class Driver:
    """Runs one node's replicas. ``run`` returns when ``stop`` is called or the node, once a validator, is not needed
    any more, and raises when anything of ours fails."""

    def __init__(
        self,
        config_of: Callable[[Epoch, int], ReplicaConfig],
        key: Key,
        logs: EpochLogs,
        transport: Links,
        ledger: LedgerPort,
        evidence: EvidencePort,
        clock_ms: Callable[[], int],
        *,
        damaged: bool = False,
    ) -> None:
        """``config_of(epoch, our index)``; ``damaged``: the ledger is to be replaced by a peer's snapshot."""
        self._config_of = config_of
        self._key = key
        self._logs = logs
        self._transport = transport
        self._ledger = ledger
        self._evidence = evidence
        self._clock_ms = clock_ms
        self._damaged = damaged
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._submitted: deque[PoolRequest] = deque()
        """Our clients' requests, which the next steps take in together."""
        self._waiters: dict[bytes, list[asyncio.Future[bool]]] = {}
        """Whoever waits to hear whether the pool took a request: several may have brought the same."""
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="wal")
        self._execution = Execution(ledger, self._put, self._stale, self._cut)
        self._serving = Serving(ledger, self._send_bulk, self._unsent)
        self._reception = Reception(ledger, transport, lambda: self.session, self._put_of, self._serving.serve)
        self._has_voted = False
        self._rechecked = 0
        """How far the looks at what waits have come."""
        self._stopping = False
        self._changed = False
        self._rejects: Counter[str] = Counter()
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_MAX)
        self.transfer: Transfer | None = None
        self.on_evidence: Callable[[Evidence], None] = lambda evidence: None
        self.on_step: Callable[[Sequence[Output]], None] = lambda outputs: None
        """Hears of a wake-up's steps before they are carried out."""
        self.session = self._begin(self._load())
        transport.on_ready = lambda key: self._wake.set()

    @property
    def replica(self) -> Replica:
        """The one of this epoch."""
        return self.session.replica

    @property
    def rejects(self) -> Counter[str]:
        """What others did wrong, by reason."""
        return self._rejects + self._reception.rejects + self._serving.refused

    @property
    def execution(self) -> Execution:
        return self._execution

    async def run(self) -> None:
        """Recover, then serve until stopped or retired."""
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [
                    tasks.create_task(self._reception.run()),
                    tasks.create_task(self._execution.run()),
                    tasks.create_task(self._serving.run()),
                ]
                await self._step_until_stopped()
                await self._serving.idle()
                for part in parts:
                    part.cancel()
        finally:
            self._reception.close()
            self._execution.close()
            self._disk.shutdown()
            self.session.wal.close()

    def stop(self) -> None:
        self._stopping = True
        self._execution.on_ending()
        self._wake.set()

    def reconfigure(self) -> None:
        """Go on, soon, with what ``config_of`` says by then, the way a restart would."""
        self._changed = True
        self._wake.set()

    async def submit(self, requests: Sequence[PoolRequest]) -> list[bool]:
        """Hand our clients' admissible requests to the pool; False for each that finds no room."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in requests]
        for request, future in zip(requests, futures, strict=True):
            self._waiters.setdefault(request.tx_id, []).append(future)
        self._submitted.extend(requests)
        self._wake.set()
        return [await future for future in futures]

    async def hand_over(self, data: bytes) -> int | None:
        """Take in an operators' encoded hand-over; the view that it ends, or None if it is not lawful here."""
        session = self.session
        try:
            message = session.gate.decode(data)
            if not isinstance(message, Handover):
                return None
            event = await asyncio.to_thread(session.gate.verify, session.numbers.operators, message)
        except Rejected:
            return None
        if session is not self.session:
            return None
        self._put(event)
        return message.view

    # ------------------------------------------------------------------------------------------- sessions

    def _load(self) -> Loaded:
        """What a replica of the ledger's epoch begins with. Blocks."""
        epoch = self._ledger.epoch
        wal = self._logs.open(epoch.number)
        recovered = Recovered(
            records=wal.records,
            executed_height=self._ledger.height,
            certificate=self._ledger.last_certificate(),
            uncertified=self._ledger.uncertified(),
            boundary=self._ledger.boundary,
            first_height=self._ledger.first_height,
            amnesia=self._logs.amnesia,
            damaged=self._damaged,
        )
        wal.records = ()
        return Loaded(epoch, wal, recovered)

    def _begin(self, loaded: Loaded) -> Session:
        epoch = loaded.epoch
        numbers = Numbers(epoch.keys, self._key.public_key)
        leaving = self._has_voted and numbers.index == OBSERVER
        config = replace(self._config_of(epoch, numbers.index), leaving=leaving)
        replica, gate = Replica(config, self._key.sign), Gate(config, self._ledger)
        self._transport.set_validators(epoch.validators)
        self._has_voted = self._has_voted or config.index != OBSERVER
        self._events.append(loaded.recovered)
        return Session(epoch, config, replica, gate, numbers, loaded.wal)

    async def _begin_again(self, *, damaged: bool = False) -> None:
        """The epoch has ended, another ledger is in place of ours, or the configuration has changed. What clients wait
        for goes on waiting."""
        await self._execution.drained()
        await self._serving.idle()
        self.session.wal.close()
        self._damaged, self.transfer = damaged, None
        waiting = self.replica.core.pool.waiting_since(self._now().timer_ms)
        gone = frozenset(await self._on_disk(self._ledger.inadmissible, waiting))
        loaded = await self._on_disk(self._load)
        kept = [event for event in self._events if isinstance(event, Submitted)]
        kept.append(Submitted(tuple(request for request in waiting if request.tx_id not in gone), own=False))
        self._events.clear()
        self.session = self._begin(loaded)
        self._events.extend(kept)
        log.info("epoch %d goes on from height %d", self.session.epoch.number, self._ledger.height)

    # ---------------------------------------------------------------------------------------- stepping

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._wake.set()

    def _put_of(self, session: Session, event: Event) -> None:
        """What was verified for an earlier epoch's replica is of no use to the present one."""
        if session is self.session:
            self._put(event)

    async def _step_until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        wake_at_ms: int | None = 0
        while not self._stopping:
            now = self._now()
            if not self._events and wake_at_ms is not None and wake_at_ms > now.timer_ms:
                handle = loop.call_later((wake_at_ms - now.timer_ms) / 1000, self._wake.set)
                await self._wake.wait()
                handle.cancel()
            self._wake.clear()
            if self._changed:
                self._changed = False
                await self._begin_again(damaged=self._damaged)
            outputs = self._step_all()
            wake_at_ms = outputs[-1].wake_at_ms
            await self._carry_out(outputs)

    def _now(self) -> Instant:
        return Instant(time.monotonic_ns() // 1_000_000, self._clock_ms())

    def _step_all(self) -> list[Output]:
        """Step every queued event, at least a tick, until the replica's life ends."""
        now = self._now()
        outputs: list[Output] = []
        self._join_submitted()
        while self._events and not (outputs and _ends(outputs[-1])):
            event = self._events.popleft()
            outputs.append(self.replica.step(event, now))
            if isinstance(event, Submitted) and event.own:
                self._answer(event, outputs[-1])
            elif isinstance(event, Submitted) and event.sender and outputs[-1].refused:
                self._reception.refuse(event.sender, len(outputs[-1].refused))
        return outputs or [self.replica.step(Tick(), now)]

    def _join_submitted(self) -> None:
        """As few events as may be: each is a step, and a FORWARD to everybody."""
        while self._submitted:
            count = min(len(self._submitted), SUBMITTED_MAX)
            self._events.append(Submitted(tuple(self._submitted.popleft() for _ in range(count)), own=True))

    def _answer(self, event: Submitted, output: Output) -> None:
        refused = frozenset(output.refused)
        for request in event.requests:
            for future in self._waiters.pop(request.tx_id, ()):
                if not future.done():  # its caller has given up
                    future.set_result(request.tx_id not in refused)

    async def _carry_out(self, outputs: Sequence[Output]) -> None:
        """Durable first, then sent; one group of records for all steps."""
        self.on_step(outputs)
        session = self.session
        records = [record for output in outputs for record in output.persist]
        if records:
            await self._on_disk(session.wal.append, records)
        for output in outputs:
            self._execution.give(output)
            if output.transfer is not None:
                # Its chunks, which this very output asks for, are checked against what this stages.
                await self._execution.drained()
            for send in output.send:
                self._send(session, send)
            self._note_transfer(output)
            for evidence in output.evidence:
                await self._on_disk(self._evidence.keep, evidence)
                self.on_evidence(evidence)
            self._note_faults(session, output)
        if self._logs.amnesia and session.replica.core.votes:
            await self._on_disk(self._logs.recovered)
        if any(output.retired for output in outputs):
            log.info("retired: the validators of epoch %d have taken over", session.epoch.number)
            self.stop()
        elif _ends(outputs[-1]):
            await self._begin_again()

    def _note_transfer(self, output: Output) -> None:
        if output.transfer is not None:
            self.transfer = Transfer(output.transfer.height, output.transfer.chunks, 0)
        if output.stage and self.transfer is not None:
            done = self.transfer.staged + len(output.stage)
            self.transfer = Transfer(self.transfer.height, self.transfer.chunks, done)

    def _note_faults(self, session: Session, output: Output) -> None:
        for reject in output.rejects:
            self._rejects[reject.reason] += 1
            self._reception.useless(session.numbers.key(reject.sender))
            if reject.reason is RejectReason.PROVEN_LIE:
                self._transport.fault(session.numbers.key(reject.sender))
        for alarm in output.alarms:
            self.alarms.append(alarm)
            log.error("alarm %s: %s", alarm.kind, alarm.detail)

    def _stale(self) -> list[PoolRequest]:
        """Requests that have waited long enough for their timers to matter; fresh ones need no second look. So many at
        once, and the next ones the next time."""
        patience_ms = self.session.config.request_timeout_ms // 2
        waiting = self.replica.core.pool.waiting_since(self._now().timer_ms - patience_ms)
        if len(waiting) <= RECHECKED_MAX:
            return waiting
        begin = self._rechecked % len(waiting)
        self._rechecked = begin + RECHECKED_MAX
        return (waiting + waiting[:RECHECKED_MAX])[begin : begin + RECHECKED_MAX]

    async def _cut(self, below: int) -> None:
        """Called once what the records led to is durable. No session is left before all that is queued is done."""
        await self._on_disk(self.session.wal.truncate_below, below)

    async def _on_disk(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *args)

    # -------------------------------------------------------------------------------------------- sending

    def _send(self, session: Session, send: Send) -> None:
        """To one peer, or: votes to the validators, our status to everyone that we are linked with."""
        numbers, message = session.numbers, send.message
        large = isinstance(message, BatchBody | Proposal)
        if large and send.to is not None and self._serving.refuses(session, send.to):
            return
        if send.to is not None:
            keys: Sequence[bytes] = (numbers.key(send.to),)
        elif isinstance(message, Status):
            keys = tuple({*numbers.others, *self._transport.linked})
        else:
            keys = numbers.others
        self._transport.send(keys, encode_frame(session.epoch.number, message), bulk=isinstance(message, _BULK))

    def _send_bulk(self, session: Session, peer: int, message: Message) -> None:
        frame = encode_frame(session.epoch.number, message)
        self._transport.send((session.numbers.key(peer),), frame, bulk=True)

    def _unsent(self, session: Session, peer: int) -> int:
        return self._transport.queued_bytes(session.numbers.key(peer))


def _ends(output: Output) -> bool:
    """Whether another replica has to go on after this step."""
    return output.epoch_ended or output.install
