"""What arrives: each peer's inbox, bounded in bytes, and the way through the gate.

Messages of a wake-up are decoded in the event loop and verified together in a thread, from each peer in turn, so
that no peer's flood is another one's wait. A turn is measured by what verifying may cost: whoever took more than its
share waits until the others that have something waiting have had as much. Votes of another epoch are dropped; what is
bound to no epoch, such as blocks and snapshots, is taken from everyone. A peer at fault too often is paused by the
transport.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from pbft.events import Event, PoolRequest, Refuted, Submitted
from pbft.gate import GateFault, Rejected
from pbft.messages import (
    CertifiedBlock,
    Chunk,
    FetchBatch,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Handover,
    Manifest,
    Message,
    NewView,
    Proposal,
    Status,
    split_frame,
)
from pbft.ports import LedgerPort
from pbft.serving import FETCHES, Fetch
from pbft.session import Session
from pbft.transport import Transport

INBOX_BYTES_MAX = 32 << 20
"""Bytes of one peer's messages that wait for the gate; beyond it reading from that peer pauses."""
ROUND_CHECKS_MAX = 512
"""Signature checks that a round of the gate may cost, by estimate, shared among the peers who have something waiting. A
single message may cost more; its sender pays that back in the rounds after."""
CHECK_BYTES = 256
"""A message is taken to cost a signature check for so many of its bytes, and one at least. A vote is below this, a
request with its signature above."""
EPOCH_FREE = (
    Status,
    FetchBlocks,
    CertifiedBlock,
    FetchManifest,
    Manifest,
    FetchChunk,
    Chunk,
    Forward,
)
"""Taken from peers in another epoch, and from those who do not vote."""
OF_STRANGERS = (*EPOCH_FREE, FetchBatch, Handover)
"""What peers that are no validators may send."""
UNSIGNED = frozenset({"PAYLOAD_INVALID", "TOO_LARGE", "SIGNERS_MISMATCH", "SIGNATURE_INVALID", "WRONG_CHAIN"})
"""Why an envelope is refused that no honest replica forwards, whatever its state: bytes alone decide these."""

BLAMED = frozenset(
    {
        GateFault.MALFORMED,
        GateFault.TOO_MANY,
        GateFault.NOT_THE_SENDER,
        GateFault.BAD_SIGNATURE,
        GateFault.BAD_BATCH,
        GateFault.UNTRUE,
    }
)
"""What no honest replica sends."""
_Decoded: TypeAlias = tuple[bytes, int, Message]
"""The sender's key, its number in this epoch, and what it sent."""

log = logging.getLogger("wattq.pbft")


class Reception:
    """``put(session, event)`` takes what passes; ``serve(session, peer, request)`` the requests for our data."""

    def __init__(
        self,
        ledger: LedgerPort,
        transport: Transport,
        session: Callable[[], Session],
        put: Callable[[Session, Event], None],
        serve: Callable[[Session, int, Fetch], None],
    ) -> None:
        self._ledger = ledger
        self._transport = transport
        self._session = session
        self._put = put
        self._serve = serve
        self._inbox: dict[bytes, deque[bytes]] = {}
        self._bytes: Counter[bytes] = Counter()
        self._owed: Counter[bytes] = Counter()
        """Checks that a peer had beyond its share, and pays back."""
        self._begun: tuple[Session, int] | None = None
        """The newest view whose NEW-VIEW passed, which the replica may not have seen yet."""
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gate")
        self.rejects: Counter[str] = Counter()
        transport.deliver = self._deliver

    async def run(self) -> None:
        """Take what has arrived, from each peer in turn, through the gate, and hand on what passes."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._take():
                session = self._session()
                decoded = self._decode(session, batch)
                events, faults = await loop.run_in_executor(self._thread, self._verify, session, decoded)
                for event in events:
                    self._put(session, event)
                for peer, fault in faults:
                    self._fault(peer, fault)
                for key in {key for key, _ in batch}:
                    if self._bytes[key] <= INBOX_BYTES_MAX:
                        self._transport.resume_reading(key)

    def close(self) -> None:
        self._thread.shutdown()

    # ------------------------------------------------------------------------------------------- inside

    def _deliver(self, sender: bytes, data: bytes) -> bool:
        self._inbox.setdefault(sender, deque()).append(data)
        self._bytes[sender] += len(data)
        self._arrived.set()
        return self._bytes[sender] <= INBOX_BYTES_MAX

    def _take(self) -> list[tuple[bytes, bytes]]:
        """The next round: as many rounds' shares as it takes until somebody who waits owes nothing."""
        taken: list[tuple[bytes, bytes]] = []
        while self._inbox and not taken:
            share = max(1, ROUND_CHECKS_MAX // len(self._inbox))
            # Whoever waits for nothing pays back too: time passes.
            self._owed = Counter({sender: owed - share for sender, owed in self._owed.items() if owed > share})
            for sender in [sender for sender in self._inbox if sender not in self._owed]:
                taken += self._take_from(sender, share)
        return taken

    def _take_from(self, sender: bytes, share: int) -> list[tuple[bytes, bytes]]:
        inbox, taken = self._inbox[sender], []
        while inbox and share > 0:
            data = inbox.popleft()
            self._bytes[sender] -= len(data)
            taken.append((sender, data))
            share -= checks_of(data)
        if share < 0:
            self._owed[sender] = -share
        if not inbox:
            self._forget(sender)
        return taken

    def _forget(self, sender: bytes) -> None:
        del self._inbox[sender]
        del self._bytes[sender]

    def _decode(self, session: Session, batch: Sequence[tuple[bytes, bytes]]) -> list[_Decoded]:
        found: list[_Decoded] = []
        for sender, data in batch:
            epoch, content = split_frame(data)
            try:
                message = session.gate.decode(content)
            except Rejected as rejected:
                self._fault(sender, rejected.fault)
                continue
            number = session.numbers.number(sender)
            if epoch != session.epoch.number and not isinstance(message, EPOCH_FREE):
                self.rejects["other_epoch"] += 1
            elif number >= session.config.n and not isinstance(message, OF_STRANGERS):
                self.rejects["not_a_validator"] += 1
            elif isinstance(message, FETCHES):
                self._serve(session, number, message)
            elif not session.replica.wants(message):
                self.rejects["useless"] += 1
            else:
                found.append((sender, number, session.replica.condensed(message)))
        return found

    def _verify(self, session: Session, messages: Sequence[_Decoded]) -> tuple[list[Event], list[tuple[bytes, str]]]:
        """In the gate's thread: what passed, and who was at fault for what."""
        events: list[Event] = []
        faults: list[tuple[bytes, str]] = []
        for sender, number, message in messages:
            if isinstance(message, Proposal) and not self._has_begun(session, message.pre_prepare.view):
                faults.append((sender, "useless"))
                continue
            try:
                if isinstance(message, Forward):
                    events.append(self._forwarded(sender, message, faults))
                else:
                    events.append(session.gate.verify(number, message))
                if isinstance(message, NewView):
                    self._begun = (session, message.view)
            except Rejected as rejected:
                faults.append((sender, rejected.fault))
                if refutes(message, rejected):
                    events.append(Refuted(number))
        return events, faults

    def _has_begun(self, session: Session, view: int) -> bool:
        """Whether the replica is in this view, or its NEW-VIEW is on the way there: else a proposal is none yet."""
        return session.replica.view == view or self._begun == (session, view)

    def _forwarded(self, sender: bytes, message: Forward, faults: list[tuple[bytes, str]]) -> Submitted:
        checked = self._ledger.check_envelopes(message.envelopes)
        faults += [(sender, f"forwarded_{item.lower()}") for item in checked if isinstance(item, str)]
        return Submitted(tuple(item for item in checked if isinstance(item, PoolRequest)), own=False)

    def _fault(self, sender: bytes, fault: str) -> None:
        """Count it; what no honest replica sends also counts against the sender."""
        self.rejects[fault] += 1
        log.debug("rejected a message of %s: %s", sender.hex()[:16], fault)
        blamed = fault in BLAMED or fault.removeprefix("forwarded_").upper() in UNSIGNED
        if blamed and self._transport.fault(sender) and sender in self._inbox:
            self._forget(sender)


def checks_of(frame: bytes) -> int:
    """How many signature checks a frame may cost, by estimate."""
    return 1 + len(frame) // CHECK_BYTES


def refutes(message: Message, rejected: Rejected) -> bool:
    """Whether it proves that its sender lies about a snapshot, so that others are to be asked."""
    return isinstance(message, Manifest | Chunk) and rejected.fault in BLAMED
