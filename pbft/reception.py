"""What arrives: each peer's inbox, bounded in bytes, and the way through the gate.

Messages of a wake-up are decoded in the event loop and verified together in a thread, from each peer in turn, so
that no peer's flood is another one's wait. A turn is measured by what verifying may cost: whoever took more than its
share waits until the others that have something waiting have had as much. Votes of another epoch are dropped; what is
bound to no epoch, such as blocks and snapshots, is taken from everyone. A peer at fault too often is paused by the
transport, and so is, for a moment, one whose messages change nothing: looking at them is what costs then.
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
    Commit,
    Complaint,
    Complaints,
    FetchBatch,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Handover,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    Proposal,
    Status,
    ViewChange,
    split_frame,
)
from pbft.peers import Faults
from pbft.ports import LedgerPort
from pbft.serving import FETCHES, Fetch
from pbft.session import Session
from pbft.transport import USELESS_BYTES, Links

INBOX_BYTES_MAX = 32 << 20
"""Bytes of one peer's messages that wait for the gate; beyond it reading from that peer pauses."""
ROUND_CHECKS_MAX = 512
"""Signature checks that a round of the gate may cost, by estimate, shared among the peers who have something waiting. A
single message may cost more; its sender pays that back in the rounds after."""
FORWARD_PIECE = 64
"""Forwarded requests that are checked in one round; the others of the message wait for the next ones."""
CHECK_BYTES = 256
"""A message is taken to cost a signature check for so many of its bytes, and one at least. A vote is below this, a
request with its signature above."""
STEP_COST = 4
"""As how many useless ones a message counts that costs a signature check or a step of the core, if it is of a kind that
honest peers send a few times a second at most."""
REFUSED_PER_S_MAX = 100
"""Requests that a peer forwards and we refuse; after more of them within a second its FORWARDs are dropped unread for
``REFUSED_PAUSE_S``. Apart from the rest, since clients choose what an honest peer forwards."""
REFUSED_PAUSE_S = 1.0
REFUSED_PEERS_MAX = 1_024
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
RARE = (Status, Complaint, Complaints, ViewChange, NewView, Handover)
"""What honest peers send a few times a second at most: each counts as useless, whatever it may be good for."""
ASKING = (FetchBatch, *FETCHES)
"""Counts as useless too, but once only: a snapshot has hundreds of chunks."""
OF_LATE = frozenset({"EXPIRED", "EXPIRY_TOO_FAR", "NONCE_USED", "NONCE_OUT_OF_WINDOW"})
"""Why a forwarded request is refused that was admissible a block ago, or will be: no reason to drop others."""
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
        transport: Links,
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
        self._refused: dict[bytes, Faults] = {}
        """How many requests of each peer were refused of late."""
        self._rest: dict[bytes, deque[Forward]] = {}
        """Pieces of a message that has gone through the gate in part. What its sender sends later waits behind."""
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
            while self._inbox or self._rest:
                session = self._session()
                pieces = self._take_pieces(session)
                batch = self._take()
                decoded = pieces + self._decode(session, batch)
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
        waiting = [sender for sender in self._inbox if sender not in self._rest]
        while waiting and not taken:
            share = max(1, ROUND_CHECKS_MAX // len(self._inbox))
            # Whoever waits for nothing pays back too: time passes.
            self._owed = Counter({sender: owed - share for sender, owed in self._owed.items() if owed > share})
            for sender in waiting:
                if sender not in self._owed:
                    taken += self._take_from(sender, share)
        return taken

    def _take_pieces(self, session: Session) -> list[_Decoded]:
        """The next piece of each message that is not through yet."""
        taken: list[_Decoded] = []
        for sender, pieces in list(self._rest.items()):
            taken.append((sender, session.numbers.number(sender), pieces.popleft()))
            if not pieces:
                del self._rest[sender]
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
            before = _before(session, number, message)
            if isinstance(message, ASKING):
                self._useless(sender, data)
            elif isinstance(message, RARE) or before is not None:
                self._useless(sender, data, STEP_COST)
            if epoch != session.epoch.number and not isinstance(message, EPOCH_FREE):
                self._drop(sender, "other_epoch", data)
            elif number >= session.config.n and not isinstance(message, OF_STRANGERS):
                self._drop(sender, "not_a_validator", data)
            elif isinstance(message, FETCHES):
                self._serve(session, number, message)
            elif isinstance(message, Forward) and self._is_refused(sender):
                self.rejects["forwarded_too_many"] += 1
            elif (before is not None and _says_nothing_new(before, message)) or not session.replica.wants(message):
                self._drop(sender, "useless", data)
            else:
                found.append((sender, number, self._first_piece(sender, session.replica.condensed(message))))
        return found

    def _first_piece(self, sender: bytes, message: Message) -> Message:
        """A message as it is, but for a long FORWARD, most of which waits."""
        if not isinstance(message, Forward) or len(message.envelopes) <= FORWARD_PIECE:
            return message
        envelopes = message.envelopes
        pieces = [Forward(envelopes[at : at + FORWARD_PIECE]) for at in range(0, len(envelopes), FORWARD_PIECE)]
        self._rest.setdefault(sender, deque()).extend(pieces[1:])
        return pieces[0]

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
        return Submitted(tuple(item for item in checked if isinstance(item, PoolRequest)), False, sender)

    def useless(self, sender: bytes, count: int = 1) -> None:
        """So many messages of a peer changed nothing: too many, and what waits of it is dropped while it is paused."""
        if self._transport.useless(sender, count):
            self._drop_waiting(sender)

    def _useless(self, sender: bytes, data: bytes, cost: int = 1) -> None:
        self.useless(sender, cost + len(data) // USELESS_BYTES)

    def _drop(self, sender: bytes, reason: str, data: bytes) -> None:
        self.rejects[reason] += 1
        self._useless(sender, data)

    def _is_refused(self, sender: bytes) -> bool:
        refused = self._refused.get(sender)
        return refused is not None and _now() < refused.penalty_until_s

    def refuse(self, sender: bytes, count: int = 1) -> None:
        """So many requests that this peer forwarded are refused: as inadmissible, or since there is no room."""
        if sender not in self._refused and len(self._refused) >= REFUSED_PEERS_MAX:
            self._refused = {}
        if self._refused.setdefault(sender, Faults(REFUSED_PER_S_MAX)).add(_now(), REFUSED_PAUSE_S, count):
            self._rest.pop(sender, None)

    def _fault(self, sender: bytes, fault: str) -> None:
        """Count it; what no honest replica sends also counts against the sender."""
        self.rejects[fault] += 1
        log.debug("rejected a message of %s: %s", sender.hex()[:16], fault)
        if fault.startswith("forwarded_") and fault.removeprefix("forwarded_").upper() not in OF_LATE:
            self.refuse(sender)
        blamed = fault in BLAMED or fault.removeprefix("forwarded_").upper() in UNSIGNED
        if blamed and self._transport.fault(sender):
            self._drop_waiting(sender)

    def _drop_waiting(self, sender: bytes) -> None:
        self._rest.pop(sender, None)
        if sender in self._inbox:
            self._forget(sender)
            # Its link may be held for an inbox that was full; that it is paused is another reason.
            self._transport.resume_reading(sender)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _before(session: Session, number: int, message: Message) -> Prepare | Commit | Outcome | None:
    """What already has the sender's place for this vote: then it repeats itself, lies, or votes in ever later views."""
    core = session.replica.core
    match message:
        case Outcome(statement):
            return core.outcomes.known(statement.height, number)
        case Prepare(_, sequence) | Commit(_, sequence):
            slot = core.log.slots.get(sequence)
            votes = None if slot is None else slot.prepares if isinstance(message, Prepare) else slot.commits
            return None if votes is None else votes.get(number)
        case _:
            return None


def _says_nothing_new(before: Prepare | Commit | Outcome, message: Message) -> bool:
    """Whether a vote repeats the one before, or is of an earlier view: its sender cannot know that it has arrived."""
    if isinstance(message, Outcome) and isinstance(before, Outcome):
        return message.statement == before.statement
    if isinstance(message, Prepare | Commit) and isinstance(before, Prepare | Commit):
        return message.view < before.view or (message.view, message.digest) == (before.view, before.digest)
    return False


def checks_of(frame: bytes) -> int:
    """How many signature checks a frame may cost, by estimate."""
    return 1 + len(frame) // CHECK_BYTES


def refutes(message: Message, rejected: Rejected) -> bool:
    """Whether it proves that its sender lies about a snapshot, so that others are to be asked."""
    return isinstance(message, Manifest | Chunk) and rejected.fault in BLAMED
