"""Who floods: one process with a validator's key, an observer's, or a client's, that sends as fast as it is let.

A peer speaks the nodes' own protocol through the nodes' own transport, so that it gets as far as a real node gone mad
would: past TLS and hello, up to what the gate, the core and the budgets let through. Whatever can be made before the
flood is, so that the machine's cores go to those who are flooded.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle
from pathlib import Path

import msgspec

from ca.keys import SigningKey
from ca.tls import client_context, pem_of, server_context
from ledger.genesis import Genesis, load_genesis
from pbft.exchange import CHANNEL_ID_BYTES
from pbft.link import PROTOCOL_VERSION, Hello
from pbft.messages import (
    DECODE_ERRORS,
    Batch,
    Commit,
    FetchBatch,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Message,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Scope,
    Status,
    ViewChange,
    batch_digest,
    decode_message,
    encode_batch,
    encode_frame,
    split_frame,
)
from pbft.quorum import quorum
from pbft.transport import Transport, TransportLimits
from pbft.view_change import bare
from sdk import methods
from sdk.errors import Refused, TransportError
from sdk.methods import SubmitParams
from sdk.transports import connect

QUEUED_BYTES_MAX = 2_000_000
"""What the flooder keeps waiting for each node: always more than the node is about to read."""
MESSAGES_AT_ONCE = 100
PAUSE_S = 0.002
BATCH_ENVELOPES = 500
GARBAGE_BYTES = 200
GARBAGE_KINDS = 64
WINDOW = 64
"""How far ahead of what the others have executed votes go: all of it lies within the watermarks."""
CALLS_IN_FLIGHT = 256
LINK_TIMEOUT_S = 20.0
RETRIED = frozenset(
    {"POOL_FULL", "NONCE_OUT_OF_WINDOW", "TOO_MANY_WAITERS", "TOO_MANY_REQUESTS", "TOO_BUSY", "TOO_SLOW"}
)
"""Refusals of an admissible request that the same one may not meet again."""


@dataclass(frozen=True, slots=True)
class PeerFlood:
    """A node's part: ``kind`` is one of ``PEER_FLOODS``. ``home`` holds key and certificate."""

    kind: str
    genesis: Path
    home: Path
    port: int
    envelopes: tuple[bytes, ...]
    """Well-signed requests of a key that nobody registered, more than a node remembers as verified."""
    from_s: float
    until_s: float
    """Wall clock."""


@dataclass(frozen=True, slots=True)
class ClientFlood:
    """A client's part: the same envelopes again and again, or until each has been taken in."""

    endpoint: str
    requests: tuple[SubmitParams, ...]
    again: bool
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Flooded:
    """What was sent, by the flooder's own count, and the processor time that it took for that."""

    messages: int
    megabytes: float
    cpu_s: float


def flood(plan: PeerFlood | ClientFlood) -> Flooded:
    """The process's entry."""
    began = time.process_time()
    run = Flooder(plan).run() if isinstance(plan, PeerFlood) else flood_as_client(plan)
    messages, size = asyncio.run(run)
    return Flooded(messages, round(size / 1e6, 1), round(time.process_time() - began, 1))


# ------------------------------------------------------------------------------------------------- peers


class Flooder:
    """A node's links, and frames to send over them. ``run`` ends at the plan's end, or when it is cancelled."""

    def __init__(self, plan: PeerFlood) -> None:
        self._plan = plan
        self.genesis: Genesis = load_genesis(plan.genesis)
        self.key = SigningKey.load(plan.home / "node.key")
        self.epoch = 0
        keys = self.genesis.epoch.keys
        self.n = len(keys)
        self.index = keys.index(self.key.public_key) if self.key.public_key in keys else self.n
        self.height = 0
        """The highest block that somebody says to have executed; ``epoch`` is the newest that somebody stands in."""
        self.envelopes = plan.envelopes
        self._others = [key for key in keys if key != self.key.public_key]
        self._missing = set(self._others)
        self._linked, self._told = asyncio.Event(), asyncio.Event()

    def sign(self, message: Prepare | Commit | PrePrepare | ViewChange | NewView) -> Message:
        scope = Scope(self.genesis.chain_id, self.genesis.channel, self.epoch)
        return msgspec.structs.replace(message, signature=self.key.sign(message.signed(scope)))

    def frame(self, message: Message) -> bytes:
        return self.genesis.chain_id[:CHANNEL_ID_BYTES] + encode_frame(self.epoch, message)

    async def run(self) -> tuple[int, int]:
        """Link with all nodes and flood them; messages and bytes sent."""
        files = (self._plan.home / "node.crt", self._plan.home / "node.key", pem_of(self.genesis.roots))
        transport = Transport(
            Hello(PROTOCOL_VERSION, self.genesis.chain_id, self.genesis.channel, self.key.public_key),
            lambda: self.genesis.roots,
            server_context(*files),
            client_context(*files),
            TransportLimits(peer_queue_bytes_max=2 * QUEUED_BYTES_MAX),
        )
        transport.deliver = self._hear
        transport.on_ready = self._link
        transport.set_validators(self.genesis.epoch.validators)
        await transport.start("127.0.0.1", self._plan.port)
        try:
            async with asyncio.timeout(LINK_TIMEOUT_S):
                await self._linked.wait()
                await self._told.wait()
            frames = PEER_FLOODS[self._plan.kind](self)
            await asyncio.sleep(max(0.0, self._plan.from_s - time.time()))
            return await self._flood(transport, frames)
        finally:
            await transport.stop()

    def _link(self, key: bytes) -> None:
        self._missing.discard(key)
        if not self._missing:
            self._linked.set()

    def _hear(self, _: bytes, frame: bytes) -> bool:
        """Follow the others' heights; whatever else they say is of no interest."""
        try:
            message = decode_message(split_frame(frame[CHANNEL_ID_BYTES:])[1])
        except DECODE_ERRORS:
            return True
        if isinstance(message, Status):
            self.height = max(self.height, message.executed_height)
            self.epoch = max(self.epoch, message.epoch)
            self._told.set()
        return True

    async def _flood(self, transport: Transport, frames: Iterator[bytes]) -> tuple[int, int]:
        messages = size = 0
        while time.time() < self._plan.until_s:
            for other in self._others:
                for _ in range(MESSAGES_AT_ONCE):
                    if transport.queued_bytes(other) > QUEUED_BYTES_MAX:
                        break
                    frame = next(frames)
                    transport.send([other], frame, bulk=False)
                    messages += 1
                    size += len(frame)
            await asyncio.sleep(PAUSE_S)
        return messages, size


def _garbage(peer: Flooder) -> Iterator[bytes]:
    channel = peer.genesis.chain_id[:CHANNEL_ID_BYTES]
    return cycle([channel + bytes(8) + os.urandom(GARBAGE_BYTES) for _ in range(GARBAGE_KINDS)])


def _forged_votes(peer: Flooder) -> Iterator[bytes]:
    """Votes within the watermarks whose signatures are nobody's."""
    digest = os.urandom(32)
    while True:
        for ahead in range(1, WINDOW + 1):
            yield peer.frame(Prepare(0, peer.height + ahead, digest, peer.index, os.urandom(64)))


def _votes(peer: Flooder) -> Iterator[bytes]:
    """Well-signed votes within the watermarks, for ever later views: each takes the place of the one before."""
    view, digest = 0, os.urandom(32)
    while True:
        view += 1
        for ahead in range(1, WINDOW + 1):
            kind = Prepare if ahead % 2 else Commit
            yield peer.frame(peer.sign(kind(view, peer.height + ahead, digest, peer.index)))


def _proposals(peer: Flooder) -> Iterator[bytes]:
    """Well-signed proposals of somebody who does not lead, full of requests that nobody has seen."""
    bodies = []
    for envelopes in _parts(peer.envelopes):
        hashes = b"".join(sha256(raw).digest() for raw in envelopes)
        body = encode_batch(Batch(peer.genesis.channel, 1, envelopes))
        bodies.append((body, batch_digest(peer.genesis.channel, 1, hashes)))
    for number, (body, digest) in enumerate(cycle(bodies)):
        proposal = peer.sign(PrePrepare(0, peer.height + 1 + number % WINDOW, digest, peer.index))
        assert isinstance(proposal, PrePrepare), "signing keeps the kind"
        yield peer.frame(Proposal(proposal, body))


def _new_views(peer: Flooder) -> Iterator[bytes]:
    """NEW-VIEWs for a view that the flooder would lead, well formed, but every signature in them is its own."""
    return cycle([peer.frame(_new_view(peer)) for _ in range(4)])


def _new_view(peer: Flooder) -> Message:
    view = peer.n + peer.index
    voters = [sender for sender in range(peer.n) if sender != peer.index][: quorum(peer.n) - 1]
    sequences = range(1, peer.genesis.limits.window_blocks + 1)
    prepared = tuple(_prepared(peer, sequence, voters) for sequence in sequences)
    changes = tuple(
        bare(peer.sign(ViewChange(view, None, prepared, sender)))  # type: ignore[arg-type]  # signing keeps the kinds
        for sender in sorted([*voters, peer.index])
    )
    again = tuple(
        peer.sign(PrePrepare(view, item.pre_prepare.sequence, item.pre_prepare.digest, peer.index)) for item in prepared
    )
    return peer.sign(NewView(view, changes, again, peer.index, prepared=prepared))  # type: ignore[arg-type]  # signing keeps the kinds


def _prepared(peer: Flooder, sequence: int, voters: list[int]) -> PreparedCertificate:
    digest = os.urandom(32)
    proposal = peer.sign(PrePrepare(peer.index, sequence, digest, peer.index))
    votes = tuple(peer.sign(Prepare(peer.index, sequence, digest, voter)) for voter in voters)
    return PreparedCertificate(proposal, votes)  # type: ignore[arg-type]  # signing keeps the kinds


def _statuses(peer: Flooder) -> Iterator[bytes]:
    """A replica that says to have nothing: each is answered with all that it could lack."""
    return cycle([peer.frame(Status(peer.epoch, 0, True, 0, 0))])


def _forwards(peer: Flooder) -> Iterator[bytes]:
    return cycle([peer.frame(Forward(envelopes)) for envelopes in _parts(peer.envelopes)])


def _fetches(peer: Flooder) -> Iterator[bytes]:
    """Blocks, snapshots, chunks and batches, for all that there is."""
    interval = peer.genesis.limits.checkpoint_interval_blocks
    while True:
        for index in range(16):
            yield peer.frame(FetchBlocks(1 + index * interval, 10**6))
            yield peer.frame(FetchManifest(1))
            yield peer.frame(FetchChunk(peer.height // interval * interval, index))
            yield peer.frame(FetchBatch(os.urandom(32)))


def _parts(envelopes: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    return [envelopes[start : start + BATCH_ENVELOPES] for start in range(0, len(envelopes), BATCH_ENVELOPES)]


PEER_FLOODS: dict[str, Callable[[Flooder], Iterator[bytes]]] = {
    "garbage": _garbage,
    "forged votes": _forged_votes,
    "votes": _votes,
    "proposals": _proposals,
    "new views": _new_views,
    "statuses": _statuses,
    "forwards": _forwards,
    "fetches": _fetches,
}
"""Frames without end, by kind."""


# ------------------------------------------------------------------------------------------------ a client


async def flood_as_client(plan: ClientFlood) -> tuple[int, int]:
    """Until the plan's end, or until every request has been taken in; messages and bytes sent."""
    transport = connect(plan.endpoint)
    waiting = cycle(plan.requests) if plan.again else iter(plan.requests)
    sent = size = 0

    async def send() -> None:
        nonlocal sent, size
        request: SubmitParams | None = None
        while time.time() < plan.until_s:
            request = request or next(waiting, None)
            if request is None:
                return
            sent += 1
            size += len(request.payload)
            try:
                await transport.call(methods.SUBMIT, request)
                request = None
            except Refused as refusal:
                request = request if refusal.code in RETRIED and not plan.again else None
            except TransportError:
                pass

    try:
        await asyncio.sleep(max(0.0, plan.from_s - time.time()))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CALLS_IN_FLIGHT):
                tasks.create_task(send())
    finally:
        await transport.close()
    return sent, size
