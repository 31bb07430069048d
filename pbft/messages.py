"""The protocol's messages: frozen, array-encoded msgpack, each with the bytes that its signature covers.

Every signature binds domain, message kind, chain (genesis hash), channel, epoch, view, sequence, digest and
sender (DESIGN "Agree"), so that no vote can be replayed as another kind, in another view or on another
chain. Decoding is strict in types; limits on lengths and counts are the edge gate's (``pbft/gate.py``).
Digests and roots are 32-byte SHA-256 values; signatures are 64-byte ECDSA P-256 r || s; senders are indexes
into the epoch's validator list; heights and sequences are the same number and start at 1.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, TypeAlias

import msgspec

from pbft.quorum import quorum

DOMAIN = "wattquorum/1"
NULL_DIGEST = bytes(32)
"""The digest of a null request (OSDI '99, section 4.4): an empty block that fills a gap after a view change."""

NUMBER_MAX = 2**53
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
"""Views, sequences, heights, counts and indexes. Anything else is malformed, and gets no further than decoding."""
Digest: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=32)]
Signature: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=64)]

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes of others can raise; msgspec does not wrap text that is no UTF-8."""

_encode = msgspec.msgpack.Encoder().encode


class Scope(msgspec.Struct, frozen=True, array_like=True):
    """What every signature of one epoch of one channel is bound to."""

    chain: bytes
    channel: str
    epoch: Number


def signed_bytes(kind: str, scope: Scope, view: int, sequence: int, digest: bytes, sender: int) -> bytes:
    """The bytes under a vote's signature."""
    return _encode((DOMAIN, kind, scope.chain, scope.channel, scope.epoch, view, sequence, digest, sender))


class PrePrepare(msgspec.Struct, frozen=True, array_like=True, tag="pre-prepare"):
    """The primary assigns ``sequence`` to a batch (section 4.2). The body travels beside it in ``Proposal``."""

    view: Number
    sequence: Number
    digest: Digest
    sender: Number
    signature: Signature = b""

    def signed(self, scope: Scope) -> bytes:
        return signed_bytes("pre-prepare", scope, self.view, self.sequence, self.digest, self.sender)


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="prepare"):
    view: Number
    sequence: Number
    digest: Digest
    sender: Number
    signature: Signature = b""

    def signed(self, scope: Scope) -> bytes:
        return signed_bytes("prepare", scope, self.view, self.sequence, self.digest, self.sender)


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="commit"):
    view: Number
    sequence: Number
    digest: Digest
    sender: Number
    signature: Signature = b""

    def signed(self, scope: Scope) -> bytes:
        return signed_bytes("commit", scope, self.view, self.sequence, self.digest, self.sender)


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What executing the block at ``height`` led to: checkpoint and reply in one (DESIGN "Certify").

    ``header_hash`` and ``results_hash`` cover the headers and the results of every block before, so that one
    certificate proves what became of all of them.
    """

    height: Number
    header_hash: bytes
    state_root: bytes
    results_hash: bytes
    next_validators_hash: bytes


def statement_bytes(scope: Scope, statement: Statement) -> bytes:
    """The bytes under an outcome's signature: without a sender, so that a certificate is one text, q signatures."""
    return _encode((DOMAIN, "outcome", scope.chain, scope.channel, scope.epoch, statement))


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="outcome"):
    statement: Statement
    sender: Number
    signature: Signature = b""

    def signed(self, scope: Scope) -> bytes:
        return statement_bytes(scope, self.statement)


class ExecutionCertificate(msgspec.Struct, frozen=True, array_like=True):
    """q signatures, by distinct validators in ascending order, under one statement."""

    epoch: Number
    statement: Statement
    signatures: tuple[tuple[Number, Signature], ...]


class PreparedCertificate(msgspec.Struct, frozen=True, array_like=True):
    """Proof that a batch prepared: its pre-prepare and q - 1 matching prepares of distinct backups (section 4.4, P)."""

    pre_prepare: PrePrepare
    prepares: tuple[Prepare, ...]


class ViewChange(msgspec.Struct, frozen=True, array_like=True, tag="view-change"):
    """A replica leaves for ``view`` with its last certificate and what prepared above it (section 4.4).

    Signed is what it claims to have prepared; the proof of each claim, pre-prepare's signature and prepares, goes
    with it to the others. A NEW-VIEW holds it bare, without those (``view_change.bare``).
    """

    view: Number
    certificate: ExecutionCertificate | None
    prepared: tuple[PreparedCertificate, ...]
    sender: Number
    signature: Signature = b""

    def signed(self, scope: Scope) -> bytes:
        claims = [(item.pre_prepare.view, item.pre_prepare.sequence, item.pre_prepare.digest) for item in self.prepared]
        content = sha256(_encode((self.certificate, claims))).digest()
        height = self.certificate.statement.height if self.certificate else 0
        return signed_bytes("view-change", scope, self.view, height, content, self.sender)


class NewView(msgspec.Struct, frozen=True, array_like=True, tag="new-view"):
    """The new primary's proof (V) and its pre-prepares (O) for the sequences that V leaves open (section 4.4).

    Of what V claims only that counts which O repeats: ``prepared`` proves it, one certificate a sequence, so that the
    message grows with n * L and not with n * n * L.
    """

    view: Number
    view_changes: tuple[ViewChange, ...]
    pre_prepares: tuple[PrePrepare, ...]
    sender: Number
    signature: Signature = b""
    prepared: tuple[PreparedCertificate, ...] = ()

    def signed(self, scope: Scope) -> bytes:
        content = sha256(_encode((self.view_changes, self.pre_prepares, self.prepared))).digest()
        return signed_bytes("new-view", scope, self.view, 0, content, self.sender)


COMPLAINT_BLOCKS = 64
"""How far from a complaint's height its view is still what it was about. Whoever goes on complaining signs anew with
each status: these are the blocks of about a second, or of a minute where nobody trades."""


class Complaint(msgspec.Struct, frozen=True, array_like=True, tag="complaint"):
    """A replica asks to leave ``view``; f + 1 of them make everyone leave (DESIGN "Leaving a view"). ``height``: the
    highest certified block that it knows, so that a complaint is void once the view has gone on."""

    view: Number
    sender: Number
    signature: Signature = b""
    height: Number = 0

    def signed(self, scope: Scope) -> bytes:
        return signed_bytes("complaint", scope, self.view, self.height, NULL_DIGEST, self.sender)


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
