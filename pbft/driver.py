"""The driver gives a replica its disk, network, clock and execution thread.

Messages of a wake-up are verified together in threads, stepped together, made durable with one fdatasync, and
only then sent. Blocks execute on one thread of their own. Any exception here or in the core ends the node:
better down than wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pbft.config import ReplicaConfig
from pbft.events import (
    Alarm,
    Event,
    Execute,
    Executed,
    Instant,
    Output,
    PoolRequest,
    Recovered,
    Send,
    Submitted,
    Tick,
)
from pbft.gate import Gate, GateFault, Rejected
from pbft.messages import BatchBody, CertifiedBlock, ExecutionCertificate, FetchBlocks, Forward, Message, Proposal
from pbft.ports import LedgerPort
from pbft.replica import Replica
from pbft.transport import Transport
from pbft.wal import WriteAheadLog

INBOX_BYTES_MAX = 32 << 20
"""Bytes of one peer's messages that wait for the gate; beyond it reading from that peer pauses."""
BATCH_MESSAGES_MAX = 512
"""Messages that go through the gate together."""
SERVED_BYTES_MAX = 8 << 20
"""Bytes of blocks sent for one FETCH-BLOCKS."""
ALARMS_MAX = 32

log = logging.getLogger("wattq.pbft")
_BULK = (Proposal, BatchBody, CertifiedBlock, Forward)


class Driver:
    """Runs one replica. ``run`` returns when ``stop`` is called and raises when anything of ours fails."""

    def __init__(
        self,
        config: ReplicaConfig,
        replica: Replica,
        wal: WriteAheadLog,
        transport: Transport,
        ledger: LedgerPort,
        clock_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._replica = replica
        self._wal = wal
        self._transport = transport
        self._ledger = ledger
        self._clock_ms = clock_ms
        self._gate = Gate(config, ledger)
        self._inbox: dict[int, deque[bytes]] = {}
        self._inbox_bytes: Counter[int] = Counter()
        self._events: deque[Event] = deque()
        self._executions: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._arrived = asyncio.Event()
        self._waiters: dict[bytes, asyncio.Future[bool]] = {}
        self._verifying = ThreadPoolExecutor(1, thread_name_prefix="gate")
        self._executing = ThreadPoolExecutor(1, thread_name_prefix="execution")
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="wal")
        self._serving: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.rejects: Counter[str] = Counter()
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS_MAX)
        self.on_certified: Callable[[Sequence[ExecutionCertificate]], None] = lambda certificates: None
        transport.deliver = self._deliver
        transport.on_ready = lambda peer: self._wake.set()

    @property
    def replica(self) -> Replica:
        return self._replica

    async def run(self) -> None:
        """Recover, then serve until stopped."""
        self._events.append(
            Recovered(
                records=self._wal.records,
                executed_height=self._ledger.height,
                certificate=self._ledger.last_certificate(),
                uncertified=self._ledger.uncertified(),
            )
        )
        self._wal.records = ()
        try:
            async with asyncio.TaskGroup() as tasks:
                gate = tasks.create_task(self._pass_gate())
                execution = tasks.create_task(self._execute())
                await self._step_until_stopped()
                gate.cancel()
                execution.cancel()
        finally:
            for pool in (self._verifying, self._executing, self._syncing):
                pool.shutdown()
            self._wal.close()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def submit(self, requests: Sequence[PoolRequest]) -> list[bool]:
        """Hand our clients' admissible requests to the pool; False for each that finds no room."""
        loop = asyncio.get_running_loop()
        futures = [self._waiters.setdefault(request.tx_id, loop.create_future()) for request in requests]
        self._put(Submitted(tuple(requests), own=True))
        return list(await asyncio.gather(*futures))

    # ---------------------------------------------------------------------------------------- stepping

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._wake.set()

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
            outputs = self._step_all()
            wake_at_ms = outputs[-1].wake_at_ms
            await self._carry_out(outputs)

    def _now(self) -> Instant:
        return Instant(time.monotonic_ns() // 1_000_000, self._clock_ms())

    def _step_all(self) -> list[Output]:
        """Step every queued event; at least a tick."""
        now = self._now()
        outputs = []
        while self._events:
            event = self._events.popleft()
            outputs.append(self._replica.step(event, now))
            if isinstance(event, Submitted) and event.own:
                self._answer(event, outputs[-1])
        return outputs or [self._replica.step(Tick(), now)]

    def _answer(self, event: Submitted, output: Output) -> None:
        refused = frozenset(output.refused)
        for request in event.requests:
            future = self._waiters.pop(request.tx_id, None)
            if future is not None and not future.done():
                future.set_result(request.tx_id not in refused)

    async def _carry_out(self, outputs: Sequence[Output]) -> None:
        """Durable first, then sent; one group of records for all steps."""
        records = [record for output in outputs for record in output.persist]
        if records:
            await self._in(self._syncing, self._wal.append, records)
        for output in outputs:
            for send in output.send:
                self._send(send)
            for execute in output.execute:
                self._executions.put_nowait(("execute", execute))
            if output.certified:
                self._executions.put_nowait(("certify", output.certified))
            if output.truncate_below is not None:
                await self._in(self._syncing, self._wal.truncate_below, output.truncate_below)
            for reject in output.rejects:
                self.rejects[reject.reason] += 1
            for alarm in output.alarms:
                self.alarms.append(alarm)
                log.error("alarm %s: %s", alarm.kind, alarm.detail)

    def _send(self, send: Send) -> None:
        self._transport.send(send.to, send.message, bulk=isinstance(send.message, _BULK))

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, call, *args)

    # --------------------------------------------------------------------------------------- executing

    async def _execute(self) -> None:
        """Blocks and certificates, in the order in which consensus settled them, on the execution thread."""
        while True:
            what, item = await self._executions.get()
            if what == "certify":
                await self._in(self._executing, self._ledger.certify, item)
                self.on_certified(item)
            else:
                await self._run_block(item)

    async def _run_block(self, item: Execute) -> None:
        report = await self._in(
            self._executing, self._ledger.execute, item.height, item.digest, item.body, item.view, item.proposer
        )
        waiting = self._stale() if report.tx_ids else []
        gone = await self._in(self._executing, self._ledger.inadmissible, waiting) if waiting else []
        self._put(Executed(report.statement, report.tx_ids, tuple(gone)))

    def _stale(self) -> list[PoolRequest]:
        """Requests that have waited long enough for their timers to matter; fresh ones need no second look."""
        patience_ms = self._config.request_timeout_ms // 2
        return self._replica.core.pool.waiting_since(self._now().timer_ms - patience_ms)

    # ------------------------------------------------------------------------------------------ receiving

    def _deliver(self, sender: int, data: bytes) -> bool:
        self._inbox.setdefault(sender, deque()).append(data)
        self._inbox_bytes[sender] += len(data)
        self._arrived.set()
        return self._inbox_bytes[sender] <= INBOX_BYTES_MAX

    async def _pass_gate(self) -> None:
        """Take what has arrived, from each peer in turn, through the gate, and queue what passes."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._take_arrived():
                decoded = self._decode(batch)
                for event in await self._in(self._verifying, self._verify, decoded):
                    self._put(event)
                for sender in {sender for sender, _ in batch}:
                    if self._inbox_bytes[sender] <= INBOX_BYTES_MAX:
                        self._transport.resume_reading(sender)

    def _take_arrived(self) -> list[tuple[int, bytes]]:
        taken: list[tuple[int, bytes]] = []
        share = max(1, BATCH_MESSAGES_MAX // max(1, len(self._inbox)))
        for sender, inbox in self._inbox.items():
            for _ in range(min(share, len(inbox))):
                data = inbox.popleft()
                self._inbox_bytes[sender] -= len(data)
                taken.append((sender, data))
        return taken

    def _decode(self, batch: Sequence[tuple[int, bytes]]) -> list[tuple[int, Message]]:
        found: list[tuple[int, Message]] = []
        for sender, data in batch:
            try:
                message = self._gate.decode(data)
            except Rejected as rejected:
                self._reject(sender, rejected.fault)
                continue
            if isinstance(message, FetchBlocks):
                self._serve(sender, message)
            else:
                found.append((sender, message))
        return found

    def _verify(self, messages: Sequence[tuple[int, Message]]) -> list[Event]:
        """In the gate's thread."""
        events: list[Event] = []
        for sender, message in messages:
            try:
                if isinstance(message, Forward):
                    events.append(self._forwarded(message))
                else:
                    events.append(self._gate.verify(sender, message))
            except Rejected as rejected:
                self._reject(sender, rejected.fault)
        return events

    def _forwarded(self, message: Forward) -> Submitted:
        checked = self._ledger.check_envelopes(message.envelopes)
        requests = tuple(item for item in checked if isinstance(item, PoolRequest))
        for item in checked:
            if isinstance(item, str):
                self.rejects[f"forwarded_{item.lower()}"] += 1
        return Submitted(requests, own=False)

    def _reject(self, sender: int, fault: GateFault) -> None:
        self.rejects[fault] += 1
        log.debug("rejected a message of replica %d: %s", sender, fault)

    # --------------------------------------------------------------------------------------------- serving

    def _serve(self, sender: int, request: FetchBlocks) -> None:
        """Send certified blocks; one request of a peer at a time, further ones are dropped."""
        name = f"serve-{sender}"
        if any(task.get_name() == name for task in self._serving):
            self.rejects["fetch_while_served"] += 1
            return
        task = asyncio.get_running_loop().create_task(self._send_blocks(sender, request), name=name)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _send_blocks(self, sender: int, request: FetchBlocks) -> None:
        last = min(request.last_height, request.first_height + self._config.fetch_blocks_max)
        blocks = await asyncio.to_thread(
            self._ledger.certified_blocks, max(1, request.first_height), last, SERVED_BYTES_MAX
        )
        for block in blocks:
            self._transport.send(sender, block, bulk=True)
