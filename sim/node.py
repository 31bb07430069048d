"""A simulated node's process: the real replica, gate, logs and ledger, carried out as the driver does.

A step's records become durable after a virtual fsync; what the step sends leaves only then. Blocks execute in the
order in which they were settled, behind the steps. A crash loses memory, and of the disk what was not synced.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from ca.keys import SigningKey
from contracts.validation import MarketValidator
from ledger.chain import ChainCorrupt
from ledger.envelope import Envelope
from ledger.ledger import Diverged, Ledger
from ledger.storage import set_aside
from pbft.config import OBSERVER, ReplicaConfig
from pbft.epoch import Epoch
from pbft.epoch_logs import EpochLogs
from pbft.events import (
    Alarm,
    Event,
    Execute,
    Executed,
    Instant,
    Output,
    PoolRequest,
    Recovered,
    Refuted,
    Send,
    Submitted,
    Tick,
)
from pbft.evidence import Evidence
from pbft.gate import Gate, Rejected
from pbft.messages import (
    Chunk,
    ExecutionCertificate,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Handover,
    Message,
    Statement,
    Status,
    decode_batch,
)
from pbft.numbers import Numbers
from pbft.reception import EPOCH_FREE, refutes
from pbft.records import Record
from pbft.replica import Replica
from pbft.wal import WriteAheadLog
from sim.behaviour import Behaviour
from sim.disk import LOGS, SimDisk

if TYPE_CHECKING:
    from sim.clients import SimClient
    from sim.world import World

SERVED_BYTES_MAX = 1 << 20
JOB_MS = 1
"""What any other job of the execution thread takes than a block."""
LOG_SEGMENT_BYTES_MAX = 16 << 10
"""Small, so that logs are cut within a plan's seconds as real ones are within hours."""
RESTART_MS = 600
"""How long a process takes to come back by itself after a power cut, give or take half."""
CLOCK_START_MS = 1_800_000_000_000
EVERYONE = -1
"""All other places, where a number means one peer, and None the validators."""
FETCHES = (FetchBlocks, FetchManifest, FetchChunk)
_encode = msgspec.msgpack.Encoder().encode


class SimNode:
    """One process at a place. ``up`` is False between a crash and a restart, and for ever once it has retired."""

    def __init__(self, world: World, place: int, key: SigningKey, skew_ms: int) -> None:
        self.place = place
        self.owner = world.plan.owner(place)
        self.key = key
        self.up = False
        self.retired = False
        self.behaviours: list[Behaviour] = []
        self.disk = SimDisk(place, world.chance_of(f"disk/{place}"), world.plan.disks)
        # What it did in all its lives, for the checkers.
        self.alarms: list[Alarm] = []
        self.evidence: list[Evidence] = []
        self.rejected: Counter[str] = Counter()
        self.executed: list[Statement] = []
        self.certified: dict[int, Statement] = {}
        self.ordered: list[tuple[int, bytes]] = []
        """(height, digest) of every batch that it executed."""
        self.epochs: list[Epoch] = []
        self.transfers = 0
        """Snapshots that took the place of its ledger."""
        self._world = world
        self.skew_ms = skew_ms
        """How far its clock is off."""
        self._life = 0
        self._has_voted = False
        self._waiting: dict[bytes, list[SimClient]] = {}

    @property
    def clock_ms(self) -> int:
        """What this node's clock says."""
        return CLOCK_START_MS + (self.skew_ms + self._world.now_ms) * self._world.clock_rate

    def _now(self) -> Instant:
        return Instant(self._world.now_ms, self.clock_ms)

    def _later(self, ms: int, call: Callable[[], None]) -> None:
        """``call`` in so much virtual time, unless we crash before."""
        life = self._life
        self._world.later(ms, lambda: call() if life == self._life else None)

    # ------------------------------------------------------------------------------------ life and death

    def start(self) -> None:
        """Begin, or begin again, from what is on disk."""
        if self.retired:
            return
        self.up = True
        self._life += 1
        self._waiting.clear()
        self._has_voted = False
        self.ledger, damaged = self._open_ledger()
        self._logs = EpochLogs(self.disk.directory(LOGS), self.disk.directory(""), LOG_SEGMENT_BYTES_MAX)
        self._begin(damaged)
        for behaviour in self.behaviours:
            behaviour.restarted()

    def _open_ledger(self) -> tuple[Ledger, bool]:
        """The ledger, and whether it is to be replaced since what the disk holds cannot be used."""
        try:
            return self._ledger(), False
        except (ChainCorrupt, Diverged) as error:
            self._world.note(f"node {self.place} is damaged: {error}")
            set_aside(self.disk.storage())
            return self._ledger(), True

    def _ledger(self) -> Ledger:
        return Ledger(self.disk.storage(), self._world.genesis, self._world.machine, MarketValidator())

    def _begin(self, damaged: bool = False) -> None:
        """A replica for the ledger's epoch, from ledger and log."""
        ledger, epoch = self.ledger, self.ledger.epoch
        self.numbers = Numbers(epoch.keys, self.key.public_key)
        index = self.numbers.index
        self._has_voted = self._has_voted or index != OBSERVER
        leaving = index == OBSERVER and self._has_voted
        self.config: ReplicaConfig = self._world.config_of(epoch, index, leaving=leaving)
        self._wal: WriteAheadLog = self._logs.open(epoch.number)
        self.replica = Replica(self.config, self.key.sign)
        self._gate = Gate(self.config, ledger)
        self._places: dict[int | None, Sequence[int]] = {}  # a peer's number is its key's for one epoch
        self.epochs.append(epoch)
        self._ending = False
        self._wake_at_ms: int | None = None
        self._durable_at_ms = self._world.now_ms
        self._pending: deque[Output] = deque()
        self._jobs: deque[tuple[int, Callable[[], None]]] = deque()
        records, self._wal.records = self._wal.records, ()
        self._step(
            Recovered(
                records=records,
                executed_height=ledger.height,
                certificate=ledger.last_certificate(),
                uncertified=ledger.uncertified(),
                boundary=ledger.boundary,
                first_height=ledger.first_height,
                amnesia=self._logs.amnesia,
                damaged=damaged,
            )
        )

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

    def places_of(self, to: int | None, message: Message) -> Sequence[int]:
        """Who gets a message to peer ``to``: with None the validators, or everyone if it is our status."""
        whom = EVERYONE if to is None and isinstance(message, Status) else to
        places = self._places.get(whom)
        if places is None:
            places = self._places[whom] = self._places_of(whom)
        return places

    def _places_of(self, whom: int | None) -> Sequence[int]:
        others = [node for node in self._world.nodes if node.key is not self.key]
        if whom != EVERYONE:
            keys = self.numbers.others if whom is None else (self.numbers.key(whom),)
            others = [node for node in others if node.key.public_key in keys]
        return tuple(node.place for node in others)

    def receive(self, sender: bytes, frame: bytes) -> None:
        """A frame from the holder of the key ``sender``, through the real gate."""
        if not self.up or self._ending:
            return
        number = self.numbers.number(sender)
        try:
            epoch, message = self._world.frames.open(frame, self._gate, self.config)
            if self.behaviours and not self._let_in(number, message):
                return
            if epoch != self.config.scope.epoch and not isinstance(message, EPOCH_FREE):
                self.rejected["other_epoch"] += 1
            elif isinstance(message, FETCHES):
                self._serve(number, message)
            elif isinstance(message, Forward):
                self._submit(message.envelopes, own=False)
            else:
                self._verify(number, message)
        except Rejected as rejected:
            self.rejected[rejected.fault] += 1

    def _let_in(self, sender: int, message: Message) -> bool:
        """What a liar's behaviours say."""
        return all(behaviour.incoming(sender, message) for behaviour in self.behaviours)

    def _verify(self, sender: int, message: Message) -> None:
        message = self.replica.condensed(message)
        if not self.replica.wants(message):
            self.rejected["unneeded"] += 1
            return
        try:
            event = self._gate.verify(sender, message)
        except Rejected as rejected:
            if refutes(message, rejected):
                self._step(Refuted(sender))
            raise
        self._step(event)

    def take_order(self, message: Handover) -> None:
        """Operators' orders come through the same gate."""
        if not self._ending:
            try:
                self._verify(self.numbers.operators, message)
            except Rejected as rejected:
                self.rejected[rejected.fault] += 1

    def _serve(self, peer: int, request: FetchBlocks | FetchManifest | FetchChunk) -> None:
        if self.replica.core.whole:
            for message in self._answers(request):
                self._world.send(self, Send(peer, message))

    def _answers(self, request: FetchBlocks | FetchManifest | FetchChunk) -> Sequence[Message]:
        ledger = self.ledger
        match request:
            case FetchBlocks(first, last):
                last = min(last, first + self.config.fetch_blocks_max)
                return ledger.certified_blocks(max(1, first), last, SERVED_BYTES_MAX)
            case FetchManifest(height_min):
                manifest = ledger.manifest(height_min)
                return () if manifest is None else (manifest,)
            case FetchChunk(height, index):
                return (Chunk(height, index, ledger.chunk(height, index) or b""),)

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
        requests = tuple(item for item in checked if isinstance(item, PoolRequest) and self._admits(item))
        if requests:
            self._step(Submitted(requests, own))

    def _admits(self, request: PoolRequest) -> bool:
        """What a liar's behaviours say."""
        return all(behaviour.admits(request) for behaviour in self.behaviours)

    def take_in(self, raw: bytes) -> None:
        """A liar's own request, for its pool alone."""
        self._submit((raw,), own=False)

    def take_in_again(self, envelope: Envelope) -> None:
        """Likewise one that has executed, which no honest node would take in."""
        self._step(Submitted((self.ledger.intake.request(envelope),), own=False))

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
        """One step of this epoch's replica; after its last one, nothing until the next replica begins."""
        if self._ending:
            return
        output = self.replica.step(event, self._now())
        self._ending = output.epoch_ended or output.install
        self._note(output)
        now_ms = self._world.now_ms
        if output.persist:
            self._durable_at_ms = max(self._durable_at_ms, now_ms) + self._world.fsync_ms()
        if self._pending or self._durable_at_ms > now_ms:
            # In order, also behind what becomes durable at this very moment.
            if _does_something(output):
                self._pending.append(output)
                self._later(self._durable_at_ms - now_ms, self._next_durable)
        else:
            self._durable(output)
        if output.wake_at_ms is not None and not self._ending:
            self._wake(output.wake_at_ms)
        if self._world.watch is not None:
            self._world.watch.stepped(self)

    def _note(self, output: Output) -> None:
        if output.alarms:
            self.alarms.extend(output.alarms)
            for alarm in output.alarms:
                self._world.note(f"node {self.place} alarm {alarm.kind}: {alarm.detail}")
        for evidence in output.evidence:
            self.evidence.append(evidence)
            self._world.report(self, evidence)
        for reject in output.rejects:
            self.rejected[reject.reason] += 1

    def _next_durable(self) -> None:
        self._durable(self._pending.popleft())

    def _durable(self, output: Output) -> None:
        """Write the records; only then send, execute, certify."""
        if output.persist:
            self._persist(output.persist)
        self._enqueue_all(output)
        if output.transfer is not None:
            # Its chunks, which this very output asks for, are checked against what this stages.
            self._enqueue(partial(self._send_all, output.send))
        elif output.send:
            self._send_all(output.send)
        if self._logs.amnesia and self.replica.core.votes:
            self._logs.recovered()
        if output.retired:
            self._world.note(f"node {self.place} retires")
            self.retired = True
            self.up = False
            self._life += 1
        elif output.epoch_ended or output.install:
            self._enqueue(self._begin_again)

    def _persist(self, records: Sequence[Record]) -> None:
        for behaviour in self.behaviours:
            records = behaviour.persisted(records)
        self._wal.append(records)

    def _send_all(self, sends: Sequence[Send]) -> None:
        for send in sends:
            self._world.send(self, send)

    def _begin_again(self) -> None:
        self._wal.close()
        self._begin()
        self._world.note(f"node {self.place} begins epoch {self.config.scope.epoch} at height {self.ledger.height}")

    def _wake(self, at_ms: int) -> None:
        now_ms = self._world.now_ms
        wake_at_ms = max(at_ms, now_ms + 1)
        if self._wake_at_ms is not None and self._wake_at_ms <= wake_at_ms:
            return
        self._wake_at_ms = wake_at_ms
        self._later(wake_at_ms - now_ms, partial(self._woken, wake_at_ms))

    def _woken(self, at_ms: int) -> None:
        if self._wake_at_ms == at_ms:
            self._wake_at_ms = None
            self._step(Tick())

    # ------------------------------------------------------------------------------ the execution thread

    def _enqueue_all(self, output: Output) -> None:
        for item in output.execute:
            self._enqueue(partial(self._execute, item), self._execution_ms(item))
        if output.certified:
            self._enqueue(partial(self._certify, output.certified))
        if output.truncate_below is not None:
            self._enqueue(partial(self._wal.truncate_below, output.truncate_below))
        if output.transfer is not None:
            self._enqueue(partial(self.ledger.begin_transfer, output.transfer))
        for chunk in output.stage:
            self._enqueue(partial(self.ledger.stage, chunk))
        if output.install:
            self.transfers += 1
            self._enqueue(self.ledger.install)

    def _enqueue(self, job: Callable[[], None], ms: int = JOB_MS) -> None:
        self._jobs.append((ms, job))
        if len(self._jobs) == 1:
            self._later(ms, self._work)

    def _work(self) -> None:
        """What the execution thread does, one job after another."""
        jobs = self._jobs
        jobs[0][1]()
        jobs.popleft()
        if jobs:
            self._later(jobs[0][0], self._work)

    def _execution_ms(self, item: Execute) -> int:
        cost = self._world.plan.execution
        count = len(decode_batch(item.body).envelopes) if cost.transaction_ms and item.body else 0
        return cost.block_ms + count * cost.transaction_ms

    def _execute(self, item: Execute) -> None:
        ran = self.ledger.execute(item.height, item.digest, item.body, item.view, item.proposer)
        self.executed.append(ran.statement)
        self.ordered.append((item.height, item.digest))
        waiting = self.replica.core.pool.waiting_since(self._world.now_ms)
        gone = tuple(self.ledger.inadmissible(waiting)) if waiting else ()
        self._step(Executed(ran.statement, ran.tx_ids, gone, ran.boundary, ran.admitted))

    def _certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        self.ledger.certify(certificates)
        for certificate in certificates:
            self.certified[certificate.statement.height] = certificate.statement
        for tx_id in [tx_id for tx_id in self._waiting if self.ledger.has(tx_id)]:
            self._answer(tx_id)


def _does_something(output: Output) -> bool:
    """Whether anything of it is still to be done but to wake up."""
    return bool(
        output.persist
        or output.send
        or output.execute
        or output.certified
        or output.truncate_below
        or output.transfer
        or output.stage
        or output.install
        or output.epoch_ended
        or output.retired
    )
