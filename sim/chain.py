"""A ledger of one hash chain, for scenarios in which only the order matters: no contracts, no files."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from pbft.events import CheckedBatch, Execute, PoolRequest
from pbft.messages import (
    DECODE_ERRORS,
    NULL_DIGEST,
    CertifiedBlock,
    ExecutionCertificate,
    Statement,
    batch_digest,
    decode_batch,
)
from pbft.ports import BatchFault

SERVED_BLOCKS_MAX = 64
RECONFIGURE = b"reconfigure"
"""The request that ends the epoch, as ``governance`` does: at the first checkpoint a window ahead."""


class _Header(msgspec.Struct, frozen=True, array_like=True):
    height: int
    previous: bytes
    digest: bytes


def request_of(envelope: bytes) -> PoolRequest:
    """A request as the edge would pass it on; its text is all there is to it: "client: what", or "what"."""
    name = sha256(envelope).digest()
    client, colon, _ = envelope.partition(b":")
    return PoolRequest(envelope, name, name, 1, client.decode(errors="replace") if colon else "")


class HashChain:
    """The parts of ``LedgerPort`` that gate and ordering need. A request that was ordered twice takes effect once."""

    def __init__(self, interval_blocks: int, window_blocks: int) -> None:
        self._interval_blocks = interval_blocks
        self._window_blocks = window_blocks
        self.boundary: int | None = None
        self.blocks: list[tuple[bytes, Execute]] = []
        self.statements: list[Statement] = []
        self.executed: set[bytes] = set()
        self.certificates: dict[int, ExecutionCertificate] = {}

    @property
    def height(self) -> int:
        return len(self.statements)

    def has(self, envelope: bytes) -> bool:
        return sha256(envelope).digest() in self.executed

    def check_body(self, body: bytes) -> CheckedBatch:
        try:
            batch = decode_batch(body)
        except DECODE_ERRORS as error:
            raise BatchFault(str(error)) from None
        names = tuple(sha256(envelope).digest() for envelope in batch.envelopes)
        digest = batch_digest(batch.channel, batch.proposed_time_ms, b"".join(names))
        return CheckedBatch(body, digest, batch.proposed_time_ms, tuple(map(request_of, batch.envelopes)))

    def check_block(self, block: CertifiedBlock) -> CheckedBatch | None:
        raw = (block.header, *block.headers)
        try:
            headers = [msgspec.msgpack.decode(header, type=_Header) for header in raw]
        except DECODE_ERRORS as error:
            raise BatchFault(str(error)) from None
        hashes = [sha256(header).digest() for header in raw]
        if [header.previous for header in headers[1:]] != hashes[:-1]:
            raise BatchFault("a header does not follow the one before")
        if hashes[-1] != block.certificate.statement.header_hash:
            raise BatchFault("the certificate is another block's")
        batch = self.check_body(block.body) if block.body else None
        if headers[0].digest != (batch.digest if batch is not None else NULL_DIGEST):
            raise BatchFault("the batch is another block's")
        return batch

    def execute(self, item: Execute) -> tuple[Statement, tuple[bytes, ...], tuple[bytes, ...]]:
        """Append a block; its outcome is a hash of all before it. Also what was in it, and what of that was new."""
        assert item.height == self.height + 1, "blocks are executed in order"
        previous = self.statements[-1].header_hash if self.statements else bytes(32)
        header = msgspec.msgpack.encode(_Header(item.height, previous, item.digest))
        names = self.check_body(item.body).tx_ids if item.body else ()
        admitted = tuple(name for name in names if name not in self.executed)
        self.executed.update(names)
        if self.boundary is None and self.has(RECONFIGURE):
            self.boundary = -(-(item.height + self._window_blocks) // self._interval_blocks) * self._interval_blocks
        state = sha256(header + b"".join(sorted(self.executed))).digest()
        statement = Statement(item.height, sha256(header).digest(), state, bytes(32), bytes(32))
        self.blocks.append((header, item))
        self.statements.append(statement)
        return statement, names, admitted

    def certify(self, certificates: Sequence[ExecutionCertificate]) -> None:
        for certificate in certificates:
            self.certificates[certificate.statement.height] = certificate

    def certified_blocks(self, first: int, last: int, bytes_max: int = 0) -> list[CertifiedBlock]:
        found = []
        for height in range(max(first, 1), min(last, self.height, first + SERVED_BLOCKS_MAX) + 1):
            above = min((known for known in self.certificates if known >= height), default=None)
            if above is None:
                break
            header, item = self.blocks[height - 1]
            later = tuple(following for following, _ in self.blocks[height:above])
            found.append(CertifiedBlock(header, item.body, item.view, item.proposer, self.certificates[above], later))
        return found

    def last_certificate(self) -> ExecutionCertificate | None:
        return self.certificates.get(max(self.certificates, default=0))

    def uncertified(self) -> tuple[Statement, ...]:
        return tuple(self.statements[max(self.certificates, default=0) :])
