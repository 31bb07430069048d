"""What the write-ahead log keeps, so that a replica never contradicts itself after a crash.

These are the messages of OSDI '99, sections 4.2 (pre-prepares, prepared certificates) and 4.4 (view changes) that the
papers' replicas hold in memory; one that crashes there is faulty.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pbft.messages import Complaints, Handover, NewView, PreparedCertificate, PrePrepare, ViewChange


class Accepted(msgspec.Struct, frozen=True, array_like=True, tag="accepted"):
    """A pre-prepare that we proposed or are about to prepare, with its batch. Before PREPARE (or PROPOSAL)."""

    pre_prepare: PrePrepare
    body: bytes


class Prepared(msgspec.Struct, frozen=True, array_like=True, tag="prepared"):
    """A prepared certificate. Before COMMIT."""

    certificate: PreparedCertificate


class Left(msgspec.Struct, frozen=True, array_like=True, tag="left"):
    """We have left for ``view_change.view``, because of ``reason`` if it is one to be passed on. Before VIEW-CHANGE."""

    view_change: ViewChange
    reason: Complaints | Handover | None = None


class Entered(msgspec.Struct, frozen=True, array_like=True, tag="entered"):
    """A view has begun with this NEW-VIEW. Before acting in it."""

    new_view: NewView


class Muted(msgspec.Struct, frozen=True, array_like=True, tag="muted"):
    """We lost our log, and vote again once a block above ``until_height`` is certified; None: not known yet.

    ``view``: once we vote again, the highest view that we may have asked for before; we ask for none up to it.
    """

    until_height: int | None
    view: int | None = None


class Cut(msgspec.Struct, frozen=True, array_like=True, tag="cut"):
    """Records of sequences up to ``below`` are forgotten: a certified checkpoint stands for them. Before they go.

    A ledger that does not reach as far, damaged or older than the log, must not be voted on: we may have voted on
    what it lacks.
    """

    below: int


Record: TypeAlias = Accepted | Prepared | Left | Entered | Muted | Cut

encode_record = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
decode_record = _decoder.decode


def sequence_of(record: Record) -> int | None:
    """The sequence that a record is about, or None for a view's."""
    match record:
        case Accepted(pre_prepare, _):
            return pre_prepare.sequence
        case Prepared(certificate):
            return certificate.pre_prepare.sequence
        case _:
            return None
