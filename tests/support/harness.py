"""A few replicas in one process: messages are lists, time is a number, execution is a hash chain. No I/O at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ca.keys import SigningKey
from pbft.config import OBSERVER, ReplicaConfig
from pbft.events import (
    Alarm,
    CheckedBatch,
    Event,
    Execute,
    Executed,
    Instant,
    Output,
    PoolRequest,
    Received,
    Recovered,
    Refuted,
    RejectReason,
    Submitted,
    Tick,
)
from pbft.evidence import Evidence
from pbft.messages import (
    BatchBody,
    CertifiedBlock,
    Chunk,
    ExecutionCertificate,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Manifest,
    Message,
    Proposal,
    Scope,
    Statement,
    batch_digest,
    decode_batch,
)
from pbft.records import Cut, Record, sequence_of
from pbft.replica import Replica

SCOPE = Scope(sha256(b"a chain").digest(), "main", 0)
START_CLOCK_MS = 1_000_000
CHUNKS = 5
BAD_MANIFEST = Manifest(ExecutionCertificate(0, Statement(0, b"", b"", b"", b""), ()), b"bad", 0, (), (), 0)
BAD_CHUNK = Chunk(0, 0, b"bad")


def checked(body: bytes) -> CheckedBatch:
    batch = decode_batch(body)
    hashes = tuple(sha256(envelope).digest() for envelope in batch.envelopes)
    digest = batch_digest(batch.channel, batch.proposed_time_ms, b"".join(hashes))
    requests = tuple(request(envelope.decode()) for envelope in batch.envelopes)
    return CheckedBatch(body, digest, batch.proposed_time_ms, requests)


def request(text: str) -> PoolRequest:
    """What stands before a colon is the client."""
    data = text.encode()
    return PoolRequest(data, sha256(data).digest(), sha256(data).digest(), 1, text.partition(":")[0])


def fake_signer(index: int) -> Callable[[bytes], bytes]:
    """Signatures that nobody checks: the edge's work is not tested here."""
    return lambda data: sha256(bytes([index]) + data).digest() * 2


@dataclass
class Node:
    """A replica, what survives its crash (log, blocks, certificates), and what it did.

    ``base``: the height of the snapshot that its ledger began with; ``boundary``: the epoch's last height, set by
    the request "boundary:<height>". A transferred chunk is only its number; ``lies`` makes a node serve bad ones.
    """

    index: int
    replica: Replica
    up: bool = True
    wal: list[Record] = field(default_factory=list)
    blocks: list[tuple[bytes, bytes, int, int]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    executed: set[bytes] = field(default_factory=set)
    certificates: dict[int, ExecutionCertificate] = field(default_factory=dict)
    wake_at_ms: int = 0
    rejects: list[RejectReason] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    base: int = 0
    boundary: int | None = None
    staged: list[int] = field(default_factory=list)
    transfer: Manifest | None = None
    ended: bool = False
    retired: bool = False
    lies: bool = False
    snapshots: bool = True
    salt: bytes = b""
    """What makes its execution differ from others'."""

    @property
    def height(self) -> int:
        return len(self.statements)

    def texts(self) -> list[str]:
        """Every executed request, in order. One ordered again executes no second time: the client table sees to it."""
        ordered = [e.decode() for _, body, _, _ in self.blocks if body for e in decode_batch(body).envelopes]
        return list(dict.fromkeys(ordered))


class Net:
    """n nodes. ``filter(sender, receiver, message)`` decides whether a message is delivered."""

    def __init__(self, n: int = 4, *, real_signatures: bool = False, seed: int = 0, **options: int) -> None:
        keys = [SigningKey.from_seed(bytes([i])) for i in range(n)]
        self.random = random.Random(seed)
        self.config = ReplicaConfig(SCOPE, tuple(key.public_key for key in keys), 0, **options)  # type: ignore[arg-type]
        self._signs: list[Callable[[bytes], bytes]] = [
            key.sign if real_signatures else fake_signer(i) for i, key in enumerate(keys)
        ]
        self.now_ms = 0
        self.filter: Callable[[int, int, Message], bool] = lambda sender, receiver, message: True
        self.wire: list[tuple[int, int, Message]] = []
        self.nodes = [Node(i, self._replica(i)) for i in range(n)]
        for node in self.nodes:
            self.give(node, Recovered((), 0, None, ()))

    def _replica(self, index: int) -> Replica:
        return Replica(replace(self.config, index=index if index < self.config.n else OBSERVER), self._signs[index])

    def observe(self) -> Node:
        """Add an observer."""
        node = Node(len(self.nodes), Replica(replace(self.config, index=OBSERVER), fake_signer(0)))
        self._signs.append(fake_signer(0))
        self.nodes.append(node)
        self.give(node, Recovered((), 0, None, ()))
        return node

    @property
    def instant(self) -> Instant:
        return Instant(self.now_ms, START_CLOCK_MS + self.now_ms)

    # ------------------------------------------------------------------------------------------ acting

    def give(self, node: Node, event: Event) -> None:
        if node.up:
            self._carry_out(node, node.replica.step(event, self.instant))

    def _carry_out(self, node: Node, output: Output) -> None:
        node.wal.extend(output.persist)
        node.rejects.extend(reject.reason for reject in output.rejects)
        node.alarms.extend(output.alarms)
        node.wake_at_ms = output.wake_at_ms if output.wake_at_ms is not None else self.now_ms + 1_000
        if output.truncate_below is not None:
            low = output.truncate_below
            node.wal = [*(record for record in node.wal if (sequence_of(record) or low + 1) > low), Cut(low)]
        for certificate in output.certified:
            node.certificates[certificate.statement.height] = certificate
        node.evidence.extend(output.evidence)
        node.ended = node.ended or output.epoch_ended
        node.retired = node.retired or output.retired
        if output.transfer is not None:
            node.transfer, node.staged = output.transfer, []
        node.staged.extend(chunk.index for chunk in output.stage)
        for send in output.send:
            node.sent.append(send.message)
            for to in range(len(self.nodes)) if send.to is None else (send.to,):
                if to != node.index:
                    self.wire.append((node.index, to, send.message))
        for item in output.execute:
            self._execute(node, item)
        if output.install:
            self._install(node)

    def _execute(self, node: Node, item: Execute) -> None:
        assert item.height == node.height + 1, "executes in order"
        header = sha256(repr([s.header_hash for s in node.statements[-1:]]).encode() + item.digest).digest()
        statement = Statement(item.height, header, sha256(b"state" + node.salt + header).digest(), bytes(32), bytes(32))
        node.blocks.append((item.digest, item.body, item.view, item.proposer))
        node.statements.append(statement)
        for text in decode_batch(item.body).envelopes if item.body else ():
            if text.startswith(b"boundary:"):
                node.boundary = int(text[9:])
        tx_ids = checked(item.body).tx_ids if item.body else ()
        admitted = tuple(tx_id for tx_id in tx_ids if tx_id not in node.executed)
        node.executed.update(tx_ids)
        done = Executed(statement, tx_ids, (), node.boundary, admitted)
        self._carry_out(node, node.replica.step(done, self.instant))

    def _install(self, node: Node) -> None:
        """All chunks are staged: take over the blocks of somebody who has them, and start anew."""
        assert node.transfer is not None, "a transfer was begun"
        assert sorted(node.staged) == list(range(CHUNKS)), "every chunk was staged once"
        height = node.transfer.height
        source = next(n for n in self.nodes if n is not node and n.height >= height)
        node.blocks, node.statements = source.blocks[:height], source.statements[:height]
        node.boundary = source.boundary
        node.certificates, node.base = {height: node.transfer.certificate}, height
        self.restart(node.index)

    def submit(self, node: int, *texts: str) -> None:
        self.give(self.nodes[node], Submitted(tuple(map(request, texts)), own=True))

    def crash(self, index: int) -> None:
        self.nodes[index].up = False
        self.wire = [item for item in self.wire if item[0] != index and item[1] != index]

    def restart(self, index: int, **how: bool) -> None:
        """Start from what is on disk. ``amnesia``: the log is lost. ``damaged``: the ledger is."""
        node = self.nodes[index]
        node.up, node.replica = True, self._replica(index)
        if how.get("amnesia"):
            node.wal = []
        if how.get("damaged"):
            node.blocks, node.statements, node.certificates, node.base = [], [], {}, 0
        certified = max(node.certificates, default=0)
        recovered = Recovered(
            records=tuple(node.wal),
            executed_height=node.height,
            certificate=node.certificates.get(certified),
            uncertified=tuple(node.statements[certified:]),
            boundary=node.boundary,
            first_height=node.base + 1,
            amnesia=how.get("amnesia", False),
            damaged=how.get("damaged", False),
        )
        self.give(node, recovered)

    # ---------------------------------------------------------------------------------------- delivering

    def deliver(self, sender: int, to: int, message: Message) -> None:
        node = self.nodes[to]
        if not node.up or not self.filter(sender, to, message):
            return
        whole = node.replica.core.whole
        if isinstance(message, FetchBlocks | FetchManifest | FetchChunk):
            if whole:
                self._serve(node, sender, message)
        elif isinstance(message, Manifest | Chunk) and message in (BAD_MANIFEST, BAD_CHUNK):
            self.give(node, Refuted(sender))
        elif isinstance(message, Forward):
            done = set(node.texts())
            fresh = tuple(request(e.decode()) for e in message.envelopes if e.decode() not in done)
            self.give(node, Submitted(fresh, own=False))
        else:
            body = message.body if isinstance(message, Proposal | BatchBody | CertifiedBlock) else b""
            self.give(node, Received(sender, message, checked(body) if body else None))

    def _serve(self, node: Node, to: int, wanted: FetchBlocks | FetchManifest | FetchChunk) -> None:
        match wanted:
            case FetchBlocks():
                self._serve_blocks(node, to, wanted)
            case FetchManifest(height_min):
                interval = self.config.checkpoint_interval_blocks
                height = max((h for h in node.certificates if h % interval == 0), default=0)
                if height >= height_min and height > 0 and node.snapshots:
                    manifest = Manifest(node.certificates[height], b"", 0, (), (), CHUNKS)
                    self.wire.append((node.index, to, BAD_MANIFEST if node.lies else manifest))
            case FetchChunk(height, index):
                data = b"chunk" if node.snapshots and height in node.certificates else b""
                self.wire.append((node.index, to, BAD_CHUNK if node.lies else Chunk(height, index, data)))

    def _serve_blocks(self, node: Node, to: int, wanted: FetchBlocks) -> None:
        """Blocks with their own certificate, or with as many headers as lie between them and the next one."""
        for height in range(max(wanted.first_height, node.base + 1), wanted.last_height + 1):
            above = min((h for h in node.certificates if height <= h <= node.height), default=None)
            if above is not None:
                _, body, view, proposer = node.blocks[height - 1]
                headers = (b"",) * (above - height)
                block = CertifiedBlock(b"", body, view, proposer, node.certificates[above], headers)
                self.wire.append((node.index, to, block))

    def drain(self, limit: int = 200_000) -> None:
        """Deliver everything in flight, in order."""
        while self.wire and limit:
            limit -= 1
            self.deliver(*self.wire.pop(0))
        assert limit, "messages never end"

    def advance(self, ms: int) -> None:
        """Let time pass, waking whoever asked for it."""
        end = self.now_ms + ms
        while True:
            self.drain()
            due = [node for node in self.nodes if node.up and node.wake_at_ms <= end]
            if not due:
                break
            node = min(due, key=lambda item: (item.wake_at_ms, item.index))
            self.now_ms = max(self.now_ms + 1, node.wake_at_ms)
            if self.now_ms > end:
                break
            for other in [n for n in self.nodes if n.up and n.wake_at_ms <= self.now_ms]:
                self.give(other, Tick())
        self.now_ms = end
        self.drain()

    def until(self, condition: Callable[[], bool], within_ms: int = 60_000) -> None:
        """Advance until ``condition`` holds; fails when it does not in time."""
        end = self.now_ms + within_ms
        while not condition():
            assert self.now_ms < end, f"did not happen within {within_ms} ms: {self.picture()}"
            self.advance(20)

    # ------------------------------------------------------------------------------------------ looking

    def picture(self) -> str:
        return " ".join(
            f"{n.index}:v{n.replica.view}{'' if n.replica.active else '?'} h{n.height}"
            f" c{max(n.certificates, default=0)}"
            for n in self.nodes
            if n.up
        )

    def check_agreement(self, honest: Iterable[int] = ()) -> None:
        """Every pair of logs agrees on their common prefix, and nothing executed twice."""
        nodes = [self.nodes[i] for i in honest] if honest else self.nodes
        longest = max(nodes, key=lambda node: node.height)
        for node in nodes:
            assert node.statements == longest.statements[: node.height], f"{node.index} differs from {longest.index}"

    def all_executed(self, *texts: str) -> bool:
        return all(set(texts) <= set(node.texts()) for node in self.nodes if node.up)
