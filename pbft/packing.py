"""How a NEW-VIEW (OSDI '99, section 4.4) travels and is logged: every vote in it once, however many vouch for it.

Its V holds q VIEW-CHANGEs, which mostly carry the same signed votes as each other; written out, that grows with
q * q * L. Packed, the votes stand in a table, by what they are for (``Ballot``), and prepared certificates refer to
them. Nothing is lost: what was signed is what comes out, so that nobody but encoder and decoder knows of it.

A reference costs a byte at least and stands for a vote of bounded length, so that what comes out is as bounded as
what came in; the edge gate counts the parts before they are unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from pbft.quorum import quorum
from pbft.signed import (
    Digest,
    ExecutionCertificate,
    NewView,
    Number,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Signature,
    ViewChange,
)

Vote: TypeAlias = tuple[Number, Signature]
"""Whose it is, and the signature."""
_VOTE_BYTES, _PLACE_BYTES = 70, 3
_BALLOT_BYTES, _CERTIFICATE_BYTES, _PROPOSAL_BYTES, _MESSAGE_BYTES = 64, 10, 136, 320
"""The most that each part takes, encoded, without what it holds a number of; up to 65,536 replicas and sequences."""


class Ballot(msgspec.Struct, frozen=True, array_like=True):
    """What was signed about one digest at one sequence in one view: by primaries, and by backups."""

    view: Number
    sequence: Number
    digest: Digest
    proposals: tuple[Vote, ...]
    prepares: tuple[Vote, ...]


class PackedCertificate(msgspec.Struct, frozen=True, array_like=True):
    """Places in the table: of the ballot, of the pre-prepare in it, and of the prepares.

    A prepare below 0 is a stray, which does not match its pre-prepare: -1 is the first of them. Only liars send any.
    """

    ballot: Number
    proposal: Number
    prepares: tuple[int, ...]


class PackedViewChange(msgspec.Struct, frozen=True, array_like=True):
    view: Number
    certificate: ExecutionCertificate | None
    prepared: tuple[PackedCertificate, ...]
    sender: Number
    signature: Signature


class PackedNewView(msgspec.Struct, frozen=True, array_like=True, tag="new-view"):
    view: Number
    ballots: tuple[Ballot, ...]
    strays: tuple[tuple[Number, Number, Digest, Number, Signature], ...]
    view_changes: tuple[PackedViewChange, ...]
    pre_prepares: tuple[PrePrepare, ...]
    sender: Number
    signature: Signature


def new_view_bytes_max(n: int, window_blocks: int) -> int:
    """What a NEW-VIEW packs to at most, where every replica signs a vote once and what a sequence prepared in is one
    view: V's members may differ by a window in what is certified, each has a full window above that."""
    q, window = quorum(n), 2 * window_blocks
    table = window * (_BALLOT_BYTES + n * _VOTE_BYTES)
    change = _MESSAGE_BYTES + q * _VOTE_BYTES + window_blocks * (_CERTIFICATE_BYTES + (q - 1) * _PLACE_BYTES)
    return table + q * change + window * _PROPOSAL_BYTES + _MESSAGE_BYTES


def pack(message: NewView) -> PackedNewView:
    """The table of all votes, and V in terms of it."""
    packer = _Packer()
    changes = tuple(
        PackedViewChange(c.view, c.certificate, tuple(map(packer.certificate, c.prepared)), c.sender, c.signature)
        for c in message.view_changes
    )
    ballots, strays = packer.table()
    return PackedNewView(
        message.view, ballots, strays, changes, message.pre_prepares, message.sender, message.signature
    )


def unpack(packed: PackedNewView) -> NewView:
    """What was packed; raises ``msgspec.ValidationError`` for places that are not in the table."""
    strays = tuple(Prepare(*stray) for stray in packed.strays)
    ballots = [_Ballot(ballot, strays) for ballot in packed.ballots]
    changes = tuple(
        ViewChange(c.view, c.certificate, tuple(_certificate(ballots, p) for p in c.prepared), c.sender, c.signature)
        for c in packed.view_changes
    )
    return NewView(packed.view, changes, packed.pre_prepares, packed.sender, packed.signature)


class _Packer:
    """Gives every vote its place, in the order in which they come."""

    def __init__(self) -> None:
        self._ballots: dict[tuple[int, int, bytes], tuple[int, dict[Vote, int], dict[Vote, int]]] = {}
        self._strays: dict[tuple[int, int, bytes, int, bytes], int] = {}

    def certificate(self, item: PreparedCertificate) -> PackedCertificate:
        first = item.pre_prepare
        subject = (first.view, first.sequence, first.digest)
        place, proposals, prepares = self._ballots.setdefault(subject, (len(self._ballots), {}, {}))
        proposal = proposals.setdefault((first.sender, first.signature), len(proposals))
        places = tuple(
            prepares.setdefault((p.sender, p.signature), len(prepares))
            if (p.view, p.sequence, p.digest) == subject
            else self._stray(p)
            for p in item.prepares
        )
        return PackedCertificate(place, proposal, places)

    def _stray(self, vote: Prepare) -> int:
        whole = (vote.view, vote.sequence, vote.digest, vote.sender, vote.signature)
        return -1 - self._strays.setdefault(whole, len(self._strays))

    def table(self) -> tuple[tuple[Ballot, ...], tuple[tuple[int, int, bytes, int, bytes], ...]]:
        ballots = (
            Ballot(*subject, tuple(proposals), tuple(prepares))
            for subject, (_, proposals, prepares) in self._ballots.items()
        )
        return tuple(ballots), tuple(self._strays)


class _Ballot:
    """A ballot's votes as the messages that they were."""

    def __init__(self, packed: Ballot, strays: Sequence[Prepare]) -> None:
        subject = (packed.view, packed.sequence, packed.digest)
        self.proposals = [PrePrepare(*subject, *vote) for vote in packed.proposals]
        self.prepares = [Prepare(*subject, *vote) for vote in packed.prepares]
        self._strays = strays

    def prepare(self, place: int) -> Prepare:
        return self.prepares[place] if place >= 0 else self._strays[-1 - place]


def _certificate(ballots: Sequence[_Ballot], packed: PackedCertificate) -> PreparedCertificate:
    try:
        ballot = ballots[packed.ballot]
        return PreparedCertificate(ballot.proposals[packed.proposal], tuple(map(ballot.prepare, packed.prepares)))
    except IndexError:
        raise msgspec.ValidationError("a prepared certificate refers to a vote that is not there") from None
