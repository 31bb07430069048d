"""What a replica signs: votes, certificates of them, and view changes, each with the bytes under its signature.

Every signature binds domain, message kind, chain (genesis hash), channel, epoch, view, sequence, digest and
sender (DESIGN "Agree"), so that no vote can be replayed as another kind, in another view or on another
chain. Digests and roots are 32-byte SHA-256 values; signatures are 64-byte ECDSA P-256 r || s; senders are indexes
into the epoch's validator list; heights and sequences are the same number and start at 1.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, TypeAlias

import msgspec

DOMAIN = "wattquorum/1"
NULL_DIGEST = bytes(32)
"""The digest of a null request (OSDI '99, section 4.4): an empty block that fills a gap after a view change."""

NUMBER_MAX = 2**53
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
"""Views, sequences, heights, counts and indexes. Anything else is malformed, and gets no further than decoding."""
Digest: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=32)]
Signature: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=64)]

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


class Complaint(msgspec.Struct, frozen=True, array_like=True, tag="complaint"):
    """A replica asks to leave ``view``; f + 1 of them make everyone leave (DESIGN "Leaving a view")."""

    view: Number
    sender: Number
    signature: Signature = b""

    def signed(self, scope: Scope) -> bytes:
        return signed_bytes("complaint", scope, self.view, 0, NULL_DIGEST, self.sender)
