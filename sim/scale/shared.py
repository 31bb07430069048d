"""What all nodes of a run share so that nothing is copied a hundred times: batches, statements, blocks."""

from __future__ import annotations

from hashlib import sha256

from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import NULL_DIGEST, CertifiedBlock, ExecutionCertificate, Statement, batch_digest, decode_batch

GAS_LIMIT = 10_000
CLIENT_BYTES = 2
"""The first bytes of an envelope say whose it is."""


class Shared:
    """Derived values by what they derive from: equal inputs give the same object at every node."""

    def __init__(self) -> None:
        self._requests: dict[bytes, PoolRequest] = {}
        self._batches: dict[bytes, CheckedBatch] = {}
        self._statements: dict[tuple[bytes, bytes], Statement] = {}
        self._blocks: dict[int, CertifiedBlock] = {}

    def request(self, envelope: bytes) -> PoolRequest:
        """A request as the edge hands it to the pool."""
        known = self._requests.get(envelope)
        if known is None:
            envelope_hash = sha256(envelope).digest()
            client = envelope[:CLIENT_BYTES].hex()
            known = PoolRequest(envelope, envelope_hash, envelope_hash, GAS_LIMIT, client)
            self._requests[envelope] = known
        return known

    def batch(self, body: bytes) -> CheckedBatch:
        """What the edge makes of a batch: its digest and ids. A transaction's id is its envelope's hash here."""
        known = self._batches.get(body)
        if known is None:
            batch = decode_batch(body)
            hashes = tuple(sha256(envelope).digest() for envelope in batch.envelopes)
            digest = batch_digest(batch.channel, batch.proposed_time_ms, b"".join(hashes))
            requests = tuple(map(self.request, batch.envelopes))
            known = CheckedBatch(body, digest, batch.proposed_time_ms, requests)
            self._batches[body] = known
        return known

    def statement(self, previous: Statement | None, height: int, digest: bytes) -> Statement:
        """Execution, as a hash chain: the outcome names everything that was executed before."""
        before = previous.header_hash if previous is not None else NULL_DIGEST
        known = self._statements.get((before, digest))
        if known is None:
            header = sha256(before + digest).digest()
            known = Statement(height, header, sha256(b"state" + header).digest(), digest, NULL_DIGEST)
            self._statements[before, digest] = known
        return known

    def keep_block(self, body: bytes, view: int, proposer: int, certificate: ExecutionCertificate) -> None:
        height = certificate.statement.height
        if height not in self._blocks:
            self._blocks[height] = CertifiedBlock(b"", body, view, proposer, certificate)

    def block(self, height: int) -> CertifiedBlock | None:
        return self._blocks.get(height)
