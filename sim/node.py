"""A simulated node: the real replica, gate and ledger; a disk that forgets what was not synced.

A step's records become durable after a virtual fsync; what the step sends leaves only then. A crash loses
both, so that the rule "persist before send" is really at stake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.events import (
    Alarm,
    Event,
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
from pbft.messages import FetchBlocks, Forward, decode_message, encode_message
from pbft.records import Record, sequence_of
from pbft.replica import Replica
from sim.ledger import SimLedger

SERVED_BYTES_MAX = 1 << 20
Later = Callable[[int, Callable[[], None]], None]
"""``later(ms, call)``: run ``call`` after so much virtual time."""
Emit = Callable[[int, Send], None]
"""``emit(sender, send)``: put a message on the network."""


class SimNode:
    """One replica's process. ``up`` is False between a crash and a restart."""

    def __init__(
        self,
        config: ReplicaConfig,
        key: SigningKey,
        ledger: SimLedger,
        now: Callable[[], Instant],
        later: Later,
        emit: Emit,
        fsync_ms: Callable[[], int],
    ) -> None:
        self.index = config.index
        self.ledger = ledger
        self.key = key
        self.config = config
        self.up = False
        self.alarms: list[Alarm] = []
        self.rejected = 0
        self._now = now
        self._later = later
        self._emit = emit
        self._fsync_ms = fsync_ms
        self._disk: list[Record] = []
        self._life = 0
        self._durable_at_ms = 0
        self._wake_at_ms: int | None = None
        self.replica = Replica(config, key.sign)
        self._gate = Gate(config, ledger)

    # ------------------------------------------------------------------------------------ life and death

    def start(self) -> None:
        """Begin, or begin again, from what is on disk."""
        self.up = True
        self._life += 1
        self._wake_at_ms = None
        self._durable_at_ms = self._now().timer_ms
        self.replica = Replica(self.config, self.key.sign)
        self._gate = Gate(self.config, self.ledger)
        ledger = self.ledger
        self._step(Recovered(tuple(self._disk), ledger.height, ledger.last_certificate(), ledger.uncertified()))

    def crash(self) -> None:
        """Lose memory and whatever was not synced."""
        self.up = False
        self._life += 1

    # ------------------------------------------------------------------------------------------- inputs

    def receive(self, sender: int, data: bytes) -> None:
        """A message from the network, through the real gate."""
        if not self.up:
            return
        message = decode_message(data)
        if isinstance(message, FetchBlocks):
            blocks = self.ledger.certified_blocks(message.first_height, message.last_height, SERVED_BYTES_MAX)
            for block in blocks:
                self._emit(self.index, Send(sender, block))
        elif isinstance(message, Forward):
            self._submit(message.envelopes, own=False)
        else:
            try:
                event = self._gate.verify(sender, self._gate.decode(data))
            except Rejected:
                self.rejected += 1
                return
            self._step(event)

    def submit(self, envelope: bytes) -> None:
        """A client's transaction."""
        if self.up:
            self._submit((envelope,), own=True)

    def _submit(self, envelopes: Sequence[bytes], *, own: bool) -> None:
        checked = self.ledger.check_envelopes(envelopes)
        requests = tuple(item for item in checked if isinstance(item, PoolRequest))
        if requests:
            self._step(Submitted(requests, own))

    # ------------------------------------------------------------------------------------------- stepping

    def _step(self, event: Event) -> None:
        self._carry_out(self.replica.step(event, self._now()))

    def _carry_out(self, output: Output) -> None:
        now_ms = self._now().timer_ms
        if output.persist:
            self._durable_at_ms = max(self._durable_at_ms, now_ms) + self._fsync_ms()
        life = self._life
        self._later(max(0, self._durable_at_ms - now_ms), lambda: self._synced(life, output))
        self.alarms.extend(output.alarms)
        if output.wake_at_ms is not None:
            self._wake(output.wake_at_ms)

    def _synced(self, life: int, output: Output) -> None:
        """The records are durable: now send, execute, certify."""
        if life != self._life:
            return
        self._disk.extend(output.persist)
        for send in output.send:
            self._emit(self.index, send)
        for item in output.execute:
            ran = self.ledger.execute(item.height, item.digest, item.body, item.view, item.proposer)
            waiting = self.replica.core.pool.waiting_since(self._now().timer_ms) if ran.tx_ids else []
            gone = tuple(self.ledger.inadmissible(waiting))
            self._step(Executed(ran.block.statement, ran.tx_ids, gone))
        self.ledger.certify(output.certified)
        if output.truncate_below is not None:
            self._truncate(output.truncate_below)

    def _truncate(self, low: int) -> None:
        """As the real log does: records of later sequences stay, and those that say which view we are in."""
        self._disk = [record for record in self._disk if (sequence_of(record) or low + 1) > low]

    def _wake(self, at_ms: int) -> None:
        now_ms = self._now().timer_ms
        wake_at_ms = max(at_ms, now_ms + 1)
        if self._wake_at_ms is not None and self._wake_at_ms <= wake_at_ms:
            return
        self._wake_at_ms = wake_at_ms
        life = self._life
        self._later(wake_at_ms - now_ms, lambda: self._woken(life, wake_at_ms))

    def _woken(self, life: int, at_ms: int) -> None:
        if life == self._life and self.up and self._wake_at_ms == at_ms:
            self._wake_at_ms = None
            self._step(Tick())


def encoded(send: Send) -> bytes:
    """A message as it travels."""
    return encode_message(send.message)
