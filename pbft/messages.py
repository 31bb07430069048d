"""The protocol's messages: frozen, array-encoded msgpack; those that are signed live in ``pbft/signed.py``.

Decoding is strict in types; limits on lengths and counts are the edge gate's (``pbft/gate.py``).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeAlias

import msgspec

from pbft.quorum import quorum
from pbft.signed import (
    DOMAIN,
    NULL_DIGEST,
    NUMBER_MAX,
    Commit,
    Complaint,
    ExecutionCertificate,
    NewView,
    Number,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Scope,
    Statement,
    ViewChange,
    signed_bytes,
    statement_bytes,
)

__all__ = [
    "DOMAIN",
    "NULL_DIGEST",
    "NUMBER_MAX",
    "Commit",
    "Complaint",
    "ExecutionCertificate",
    "NewView",
    "Number",
    "Outcome",
    "PrePrepare",
    "Prepare",
    "PreparedCertificate",
    "Scope",
    "Statement",
    "ViewChange",
    "signed_bytes",
    "statement_bytes",
]
"""Handed on: whoever speaks of messages need not know that these live apart."""

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes of others can raise; msgspec does not wrap text that is no UTF-8."""

_encode = msgspec.msgpack.Encoder().encode


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What one sequence orders: a proposed time and opaque envelopes. Its bytes travel as ``body``."""

    channel: str
    proposed_time_ms: int
    envelopes: tuple[bytes, ...]


def batch_digest(channel: str, proposed_time_ms: int, envelope_hashes: bytes) -> bytes:
    """Digest of a batch, from the concatenated SHA-256 hashes of its envelopes; no view, no earlier sequence."""
    return sha256(_encode((DOMAIN, "batch", channel, proposed_time_ms, envelope_hashes))).digest()


class Proposal(msgspec.Struct, frozen=True, array_like=True, tag="proposal"):
    """A pre-prepare with the encoded ``Batch`` that its digest binds."""

    pre_prepare: PrePrepare
    body: bytes


class Complaints(msgspec.Struct, frozen=True, array_like=True, tag="complaints"):
    """Complaints about a view or a later one, passed on to those who still stand in it: f + 1 make everyone leave."""

    complaints: tuple[Complaint, ...]


class Handover(msgspec.Struct, frozen=True, array_like=True, tag="hand-over"):
    """Operators make everyone leave ``view`` for the next one that ``to`` leads. Signed by k organisations."""

    view: Number
    to: Number
    signatures: tuple[tuple[bytes, bytes], ...] = ()
    """(65-byte public key, signature), in ascending order of keys."""

    def signed(self, scope: Scope) -> bytes:
        return signed_bytes("hand-over", scope, self.view, 0, NULL_DIGEST, self.to)


class Status(msgspec.Struct, frozen=True, array_like=True, tag="status"):
    """Where a replica stands, so that peers resend what it lacks. Advisory: the transport names the sender.

    ``first_height``: the lowest block that it can serve. ``whole``: it serves blocks and snapshots at all.
    ``ordered_height``: what is settled for it up to there, though it may not have executed all of that yet.
    """

    epoch: Number
    view: Number
    view_active: bool
    executed_height: Number
    certified_height: Number
    first_height: Number = 1
    whole: bool = True
    ordered_height: Number = 0


class FetchBatch(msgspec.Struct, frozen=True, array_like=True, tag="fetch-batch"):
    digest: bytes


class BatchBody(msgspec.Struct, frozen=True, array_like=True, tag="batch-body"):
    body: bytes


class FetchBlocks(msgspec.Struct, frozen=True, array_like=True, tag="fetch-blocks"):
    first_height: Number
    last_height: Number


class CertifiedBlock(msgspec.Struct, frozen=True, array_like=True, tag="certified-block"):
    """A block that a laggard can execute without voting: its header, which the certificate names, and its batch.

    Where a block has no certificate of its own, ``headers`` are those of the blocks after it, each naming the one
    before by hash, up to the block of the certificate. At most a window's length.
    """

    header: bytes
    body: bytes
    view: Number
    proposer: Number
    certificate: ExecutionCertificate
    headers: tuple[bytes, ...] = ()

    @property
    def height(self) -> int:
        return self.certificate.statement.height - len(self.headers)


class FetchManifest(msgspec.Struct, frozen=True, array_like=True, tag="fetch-manifest"):
    """Asks for the newest snapshot at or above ``height_min``."""

    height_min: Number


class Manifest(msgspec.Struct, frozen=True, array_like=True, tag="manifest"):
    """What a snapshot at a certified checkpoint consists of (thesis, section 5.3.2).

    ``header``: the block's header, which the certificate names. ``branches``: the records of the state tree's top
    ``depth`` levels, (path, record) in ascending order of path; each chunk is the entries below one path of length
    ``depth`` (or shorter, where the tree ends earlier), so that it can be verified by itself. ``boundaries``: the
    boundaries from genesis to the certificate's epoch, encoded (``pbft/epoch.py``).
    """

    certificate: ExecutionCertificate
    header: bytes
    depth: Number
    branches: tuple[tuple[bytes, bytes], ...]
    boundaries: tuple[bytes, ...]
    chunks: Number

    @property
    def height(self) -> int:
        return self.certificate.statement.height


class FetchChunk(msgspec.Struct, frozen=True, array_like=True, tag="fetch-chunk"):
    height: Number
    index: Number


class Chunk(msgspec.Struct, frozen=True, array_like=True, tag="chunk"):
    """The entries of one chunk, encoded; empty when the sender has that snapshot no longer."""

    height: Number
    index: Number
    data: bytes


class Forward(msgspec.Struct, frozen=True, array_like=True, tag="forward"):
    """Client requests passed on to every replica, so that a censoring primary is noticed (section 4.1)."""

    envelopes: tuple[bytes, ...]


Message: TypeAlias = (
    Proposal
    | PrePrepare
    | Prepare
    | Commit
    | Outcome
    | ViewChange
    | NewView
    | Complaint
    | Complaints
    | Handover
    | Status
    | FetchBatch
    | BatchBody
    | FetchBlocks
    | CertifiedBlock
    | FetchManifest
    | Manifest
    | FetchChunk
    | Chunk
    | Forward
)

encode_message = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
decode_message = _decoder.decode
FRAME_BYTES_MAX = 32 << 20
_EPOCH_BYTES = 8
_VOTE_BYTES, _SIGNED_BYTES, _CLAIM_BYTES, _STATEMENT_BYTES = 136, 70, 72, 320
"""The most that a vote, a signature with its signer, a bare claim and all that a certificate states take, encoded."""


def new_view_bytes_max(n: int, window_blocks: int) -> int:
    """What a NEW-VIEW takes at most, whoever signed what: V has q members with a certificate each and claims for two
    windows, and for each of those sequences there is a prepared certificate and a pre-prepare."""
    q, sequences = quorum(n), 2 * window_blocks
    change = _STATEMENT_BYTES + n * _SIGNED_BYTES + sequences * _CLAIM_BYTES
    return n * change + sequences * (q + 1) * _VOTE_BYTES + _STATEMENT_BYTES


def encode_frame(epoch: int, message: Message) -> bytes:
    """A message as it travels between replicas: its sender's epoch, then the message."""
    return epoch.to_bytes(_EPOCH_BYTES, "big") + encode_message(message)


def split_frame(frame: bytes) -> tuple[int, bytes]:
    """A frame's epoch and message bytes; a frame that is too short has no message."""
    return int.from_bytes(frame[:_EPOCH_BYTES], "big"), frame[_EPOCH_BYTES:]


encode_batch = msgspec.msgpack.Encoder().encode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
