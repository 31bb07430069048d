"""A simulated node's process: the real replica, gate, log and ledger, carried out as the driver does.

A step's records become durable after a virtual fsync; what the step sends leaves only then. Blocks execute in the
order in which they were settled, behind the steps. A crash loses memory, and of the disk what was not synced.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ca.keys import SigningKey
from ledger.envelope import Envelope
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
from pbft.gate import Gate, Rejected
from pbft.messages import (
    ExecutionCertificate,
    FetchBlocks,
    Forward,
    Message,
    Statement,
    decode_message,
)
from pbft.records import Record, sequence_of
from pbft.replica import Replica
from sim.behaviour import Behaviour
from sim.disk import SimDisk
from sim.ledger import SimLedger

if TYPE_CHECKING:
    from sim.clients import SimClient
    from sim.world import World

SERVED_BYTES_MAX = 1 << 20
EXECUTION_MS = 1
RESTART_MS = 600
"""How long a process takes to come back by itself after a power cut, give or take half."""
CLOCK_START_MS = 1_800_000_000_000
_encode = msgspec.msgpack.Encoder().encode
_Job: TypeAlias = Execute | tuple[ExecutionCertificate, ...]


class SimNode:
    """One process at a place. ``up`` is False between a crash and a restart."""

    def __init__(self, world: World, place: int, key: SigningKey, config: ReplicaConfig, skew_ms: int) -> None:
        self.place = place
        self.owner = world.plan.owner(place)
        self.key = key
        self.config = config
        self.up = False
        self.behaviours: list[Behaviour] = []
        self.alarms: list[Alarm] = []
        self.rejected: Counter[str] = Counter()
        self.executed: list[Statement] = []
        """Every execution in all lives of this node, in order."""
        self.disk = SimDisk(self, world.chance_of(f"disk/{place}"))
        self.ledger = SimLedger(world.genesis, world.machine, world.threads)
        self._world = world
        self._skew_ms = skew_ms
        self._log: list[Record] = []
        self._life = 0
        self._durable_at_ms = 0
        self._wake_at_ms: int | None = None
        self._jobs: deque[_Job] = deque()
        self._waiting: dict[bytes, list[SimClient]] = {}
        self.replica = Replica(config, key.sign)
        self._gate = Gate(config, self.ledger)

    @property
    def index(self) -> int:
        """Our number among the validators of our epoch."""
        return self.config.index

    def _now(self) -> Instant:
        now_ms = self._world.now_ms
        return Instant(now_ms, CLOCK_START_MS + self._skew_ms + now_ms)

    def _later(self, ms: int, call: Callable[[], None]) -> None:
        """``call`` in so much virtual time, unless we crash before."""
        life = self._life
        self._world.later(ms, lambda: call() if life == self._life else None)

    # ------------------------------------------------------------------------------------ life and death

    def start(self) -> None:
        """Begin, or begin again, from what is on disk."""
        self.up = True
        self._life += 1
        self._wake_at_ms = None
        self._durable_at_ms = self._now().timer_ms
        self._jobs.clear()
        self._waiting.clear()
        self.replica = Replica(self.config, self.key.sign)
        self._gate = Gate(self.config, self.ledger)
        ledger = self.ledger
        self._step(Recovered(tuple(self._log), ledger.height, ledger.last_certificate(), ledger.uncertified()))
        for behaviour in self.behaviours:
            behaviour.restarted()

    def crash(self) -> None:
        """Lose memory and whatever was not synced."""
        if self.up:
            self.up = False
            self._life += 1
            self.disk.crash()

    def power_cut(self) -> None:
        """The disk has stopped in the middle of an operation: crash, and come back by ourselves."""
        self.crash()
        self._later(RESTART_MS // 2 + self._world.chance.randrange(RESTART_MS), self._restart)

    def _restart(self) -> None:
        if not self.up:
            self.start()

    # ------------------------------------------------------------------------------------------- network

    def places_of(self, to: int | None, message: Message) -> list[int]:
        """Where a message to replica ``to`` goes: a key may live at two places, as twins do."""
        nodes = self._world.nodes
        if to is None:
            return [node.place for node in nodes if node.owner != self.owner]
        return [node.place for node in nodes if node.owner == to and node.owner != self.owner]

    def receive(self, sender: int, data: bytes) -> None:
        """Bytes from the validator ``sender``, through the real gate."""
        if not self.up:
            return
        if self.behaviours:
            message = decode_message(data)
            if not all(behaviour.incoming(sender, message) for behaviour in self.behaviours):
                return
        try:
            message = self._gate.decode(data)
            if isinstance(message, FetchBlocks):
                self._serve(sender, message)
            elif isinstance(message, Forward):
                self._submit(message.envelopes, own=False)
            else:
                self._step(self._gate.verify(sender, message))
        except Rejected as rejected:
            self.rejected[rejected.fault] += 1

    def _serve(self, sender: int, request: FetchBlocks) -> None:
        last = min(request.last_height, request.first_height + self.config.fetch_blocks_max)
        for block in self.ledger.certified_blocks(max(1, request.first_height), last, SERVED_BYTES_MAX):
            self._world.send(self, Send(sender, block))

    # ------------------------------------------------------------------------------------------- clients

    def submit(self, envelope: Envelope, client: SimClient) -> None:
        """A client's transaction; its receipt goes to ``client`` as soon as there is one."""
        if not self.up:
            return
        waiting = self._waiting.setdefault(envelope.tx_id, [])
        if client not in waiting:
            waiting.append(client)
        if self.ledger.has(envelope.tx_id):
            self._answer(envelope.tx_id)
        else:
            self._submit((envelope.raw,), own=True)

    def _submit(self, envelopes: Sequence[bytes], *, own: bool) -> None:
        checked = self.ledger.check_envelopes(envelopes)
        requests = tuple(item for item in checked if isinstance(item, PoolRequest))
        if requests:
            self._step(Submitted(requests, own))

    def _answer(self, tx_id: bytes) -> None:
        """Tell those who wait for a transaction, if it has a receipt by now."""
        receipt = self.ledger.receipt(tx_id)
        if receipt is None:
            return
        answer: bytes | None = _encode(receipt)
        for behaviour in self.behaviours:
            answer = None if answer is None else behaviour.answered(tx_id, answer)
        for client in self._waiting.pop(tx_id, []):
            if answer is not None:
                self._world.reply(client, tx_id, answer)

    # ------------------------------------------------------------------------------------------- stepping

    def _step(self, event: Event) -> None:
        self._carry_out(self.replica.step(event, self._now()))

    def _carry_out(self, output: Output) -> None:
        now_ms = self._world.now_ms
        if output.alarms:
            self.alarms.extend(output.alarms)
            self._world.note_alarms(self, output.alarms)
        if output.persist:
            self._durable_at_ms = max(self._durable_at_ms, now_ms) + self._world.fsync_ms()
        if self._durable_at_ms > now_ms:
            if output.persist or output.send or output.execute or output.certified or output.truncate_below:
                self._later(self._durable_at_ms - now_ms, lambda: self._durable(output))
        else:
            self._durable(output)
        if output.wake_at_ms is not None:
            self._wake(output.wake_at_ms)

    def _durable(self, output: Output) -> None:
        """Write the records; only then send, execute, certify."""
        if output.persist:
            records: Sequence[Record] = output.persist
            for behaviour in self.behaviours:
                records = behaviour.persisted(records)
            self._log.extend(records)
        for send in output.send:
            self._world.send(self, send)
        for item in output.execute:
            self._enqueue(item)
        if output.certified:
            self._enqueue(output.certified)
        if output.truncate_below is not None:
            low = output.truncate_below
            self._log = [record for record in self._log if (sequence_of(record) or low + 1) > low]

    def _enqueue(self, job: _Job) -> None:
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self._later(EXECUTION_MS, self._work)

    def _work(self) -> None:
        """What the execution thread does, one job after another."""
        job = self._jobs[0]
        if isinstance(job, Execute):
            self._execute(job)
        else:
            self.ledger.certify(job)
            for tx_id in [tx_id for tx_id in self._waiting if self.ledger.has(tx_id)]:
                self._answer(tx_id)
        self._jobs.popleft()
        if self._jobs:
            self._later(EXECUTION_MS, self._work)

    def _execute(self, item: Execute) -> None:
        ran = self.ledger.execute(item.height, item.digest, item.body, item.view, item.proposer)
        self.executed.append(ran.statement)
        waiting = self.replica.core.pool.waiting_since(self._world.now_ms) if ran.tx_ids else []
        gone = tuple(self.ledger.inadmissible(waiting)) if waiting else ()
        self._step(Executed(ran.statement, ran.tx_ids, gone))

    def _wake(self, at_ms: int) -> None:
        now_ms = self._world.now_ms
        wake_at_ms = max(at_ms, now_ms + 1)
        if self._wake_at_ms is not None and self._wake_at_ms <= wake_at_ms:
            return
        self._wake_at_ms = wake_at_ms
        self._later(wake_at_ms - now_ms, lambda: self._woken(wake_at_ms))

    def _woken(self, at_ms: int) -> None:
        if self._wake_at_ms == at_ms:
            self._wake_at_ms = None
            self._step(Tick())
