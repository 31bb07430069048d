"""Accountability: two messages that one honest replica never signs both, kept as proof that anyone can check.

What an honest replica never says twice: OSDI '99, sections 4.2 to 4.4. The papers mask such lies and keep no proof.
Signed votes make one of them, as in PeerReview (Haeberlen, Kouznetsov and Druschel, SOSP '07).

Also f + 1 complaints against one primary: not a lie proven, but at least one honest replica's word, which is what
the blacklist of primaries goes by (``governance.report``).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from pbft.messages import (
    COMPLAINT_BLOCKS,
    Commit,
    Complaint,
    NewView,
    Outcome,
    Prepare,
    PrePrepare,
    Scope,
    ViewChange,
)
from pbft.quorum import weak_quorum

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""``verify(public key, signature, signed bytes)``."""
Conflicting: TypeAlias = PrePrepare | Prepare | Commit | Outcome | ViewChange | NewView


class EvidenceKind(StrEnum):
    """What the accused did."""

    TWO_PROPOSALS = "two_proposals"
    TWO_PREPARES = "two_prepares"
    TWO_COMMITS = "two_commits"
    TWO_OUTCOMES = "two_outcomes"
    TWO_VIEW_CHANGES = "two_view_changes"
    TWO_NEW_VIEWS = "two_new_views"
    COMPLAINTS = "complaints"


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """Proof against the validator ``accused`` of the scope's epoch."""

    kind: EvidenceKind
    scope: Scope
    accused: int
    messages: tuple[Conflicting, ...] = ()
    complaints: tuple[Complaint, ...] = ()


encode_evidence = msgspec.msgpack.Encoder().encode
decode_evidence = msgspec.msgpack.Decoder(Evidence).decode

_KINDS: dict[EvidenceKind, type[Conflicting]] = {
    EvidenceKind.TWO_PROPOSALS: PrePrepare,
    EvidenceKind.TWO_PREPARES: Prepare,
    EvidenceKind.TWO_COMMITS: Commit,
    EvidenceKind.TWO_OUTCOMES: Outcome,
    EvidenceKind.TWO_VIEW_CHANGES: ViewChange,
    EvidenceKind.TWO_NEW_VIEWS: NewView,
}


def conflict(kind: EvidenceKind, scope: Scope, first: Conflicting, second: Conflicting) -> Evidence:
    """Evidence that the sender of both messages signed both."""
    assert first.sender == second.sender, "one replica's two messages"
    return Evidence(kind, scope, first.sender, (first, second))


def verify_evidence(evidence: Evidence, keys: tuple[bytes, ...], primary: Callable[[int], int], verify: Verify) -> bool:
    """Whether it convicts ``accused``, one of the validators with ``keys``; ``primary(view)`` says who leads a view."""
    if not 0 <= evidence.accused < len(keys):
        return False
    if evidence.kind is EvidenceKind.COMPLAINTS:
        return not evidence.messages and _are_complaints(evidence, keys, primary, verify)
    if evidence.complaints or len(evidence.messages) != 2:
        return False
    first, second = evidence.messages
    wanted = _KINDS[evidence.kind]
    if not (type(first) is type(second) is wanted and _is_conflict(first, second)):
        return False
    key = keys[evidence.accused]
    return all(
        message.sender == evidence.accused and verify(key, message.signature, message.signed(evidence.scope))
        for message in evidence.messages
    )


def _is_conflict(first: Conflicting, second: Conflicting) -> bool:
    """Of two messages of one kind: whether they say different things about the same."""
    about, says = _said(first)
    other, contradicts = _said(second)
    return about == other and says != contradicts


def _said(message: Conflicting) -> tuple[tuple[int, ...], object]:
    """What a message is about, and what it says of it."""
    match message:
        case Outcome(statement):
            return (statement.height,), statement
        case ViewChange(view) | NewView(view):
            return (view,), message.signed(_ANY)
        case _:
            return (message.view, message.sequence), message.digest


_ANY = Scope(b"", "", 0)


def _are_complaints(evidence: Evidence, keys: tuple[bytes, ...], primary: Callable[[int], int], verify: Verify) -> bool:
    """f + 1 distinct validators complain about one view, which the accused leads, at about one height."""
    complaints = evidence.complaints
    senders = [complaint.sender for complaint in complaints]
    views = {complaint.view for complaint in complaints}
    if len(senders) < weak_quorum(len(keys)) or senders != sorted(set(senders)) or len(views) != 1:
        return False
    heights = [complaint.height for complaint in complaints]
    if max(heights) - min(heights) > 2 * COMPLAINT_BLOCKS:
        return False
    if primary(complaints[0].view) != evidence.accused or not all(0 <= sender < len(keys) for sender in senders):
        return False
    return all(verify(keys[c.sender], c.signature, c.signed(evidence.scope)) for c in complaints)
