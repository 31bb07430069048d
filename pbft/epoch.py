"""Epochs: who votes, and who leads first, from one boundary to the next (DESIGN "Membership").

The papers fix the set of replicas (OSDI '99, section 3). Here a change is an ordered request that takes effect so far
ahead that nobody can have voted there yet (Lamport, Malkhi and Zhou, "Reconfiguring a State Machine", 2010).

An epoch ends at its boundary B, a multiple of the checkpoint interval. The certificate of block B names the next
epoch by hash, so that a chain of boundary certificates leads from genesis to any later validator set.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from pbft.messages import DOMAIN, ExecutionCertificate

_encode = msgspec.msgpack.Encoder().encode


class Validator(msgspec.Struct, frozen=True, array_like=True):
    """A replica: its name, its 65-byte voting key and "host:port", where peers reach it. Its place is its index."""

    name: str
    public_key: bytes
    address: str = ""


class Skip(msgspec.Struct, frozen=True, array_like=True):
    """A primary caught lying or slow: it does not lead until block ``until_height`` has executed."""

    index: int
    until_height: int


class Epoch(msgspec.Struct, frozen=True, array_like=True):
    """In force from ``first_height`` on. ``first_primary`` leads view 0; ``skipped`` validators never lead."""

    number: int
    first_height: int
    validators: tuple[Validator, ...]
    first_primary: int = 0
    skipped: tuple[Skip, ...] = ()

    def hash(self) -> bytes:
        """What a block's outcome says of the validators of the block after it."""
        return sha256(_encode((DOMAIN, "epoch", self))).digest()

    @property
    def keys(self) -> tuple[bytes, ...]:
        return tuple(validator.public_key for validator in self.validators)


class Boundary(msgspec.Struct, frozen=True, array_like=True):
    """An epoch, and the certificate of the block before its first, by the validators of the epoch before it."""

    epoch: Epoch
    certificate: ExecutionCertificate
