"""View changes as pure functions, the same for the new primary and for those who check it (OSDI '99, section 4.4).

Signatures are verified at the edge; here is what they must say. With signed votes a prepared certificate is
transferable, so that P alone suffices and the thesis's Q-set, needed for MACs, has no counterpart (docs/PROTOCOL.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pbft.config import ReplicaConfig
from pbft.messages import NULL_DIGEST, ExecutionCertificate, NewView, PreparedCertificate, PrePrepare, ViewChange


def base_height(config: ReplicaConfig, certificate: ExecutionCertificate | None) -> int:
    """The height that a certificate settles; without one, the epoch's beginning."""
    return certificate.statement.height if certificate is not None else config.first_height - 1


def is_prepared_certificate(config: ReplicaConfig, certificate: PreparedCertificate) -> bool:
    """A pre-prepare of its view's primary and q - 1 prepares of distinct backups that match it."""
    proposal = certificate.pre_prepare
    if proposal.sender != config.primary(proposal.view):
        return False
    senders = [prepare.sender for prepare in certificate.prepares]
    if len(senders) < config.q - 1 or senders != sorted(set(senders)) or proposal.sender in senders:
        return False
    wanted = (proposal.view, proposal.sequence, proposal.digest)
    return all((p.view, p.sequence, p.digest) == wanted and 0 <= p.sender < config.n for p in certificate.prepares)


def is_view_change(config: ReplicaConfig, message: ViewChange) -> bool:
    """Whether its P-set is well formed: ascending sequences between the watermarks, earlier views, proven."""
    return _claims_in_order(config, message) and all(is_prepared_certificate(config, item) for item in message.prepared)


def _claims_in_order(config: ReplicaConfig, message: ViewChange) -> bool:
    base = base_height(config, message.certificate)
    sequences = [item.pre_prepare.sequence for item in message.prepared]
    if message.view < 1 or sequences != sorted(set(sequences)):
        return False
    if sequences and not (base < sequences[0] and sequences[-1] <= base + 2 * config.window_blocks):
        return False
    return all(item.pre_prepare.view < message.view for item in message.prepared)


def bare(message: ViewChange) -> ViewChange:
    """As a NEW-VIEW holds it: with its claims, without their proof. The signature stays good."""
    return msgspec.structs.replace(message, prepared=tuple(_bare(item.pre_prepare) for item in message.prepared))


def _bare(proposal: PrePrepare) -> PreparedCertificate:
    return PreparedCertificate(msgspec.structs.replace(proposal, signature=b""), ())


def base_of(config: ReplicaConfig, view_changes: Sequence[ViewChange]) -> int:
    """What the new view begins above: the highest certified block among V."""
    return max(base_height(config, message.certificate) for message in view_changes)


def chosen(config: ReplicaConfig, view_changes: Sequence[ViewChange]) -> dict[int, PreparedCertificate]:
    """For each sequence above the base at which V says that something prepared, what did so in the highest view."""
    base = base_of(config, view_changes)
    found: dict[int, PreparedCertificate] = {}
    for message in view_changes:
        for item in message.prepared:
            proposal = item.pre_prepare
            best = found.get(proposal.sequence)
            if proposal.sequence > base and (best is None or proposal.view > best.pre_prepare.view):
                found[proposal.sequence] = item
    return dict(sorted(found.items()))


def open_sequences(config: ReplicaConfig, view_changes: Sequence[ViewChange]) -> list[tuple[int, bytes]]:
    """O: for each sequence above the base up to the highest prepared, the digest of the highest view, or null."""
    base, prepared = base_of(config, view_changes), chosen(config, view_changes)
    top = max(prepared, default=base)
    return [(s, prepared[s].pre_prepare.digest if s in prepared else NULL_DIGEST) for s in range(base + 1, top + 1)]


def is_new_view(config: ReplicaConfig, message: NewView) -> bool:
    """Whether V is a quorum of well-formed view changes for this view, what it leads to is proven, and O is that."""
    if message.view < 1 or message.sender != config.primary(message.view):
        return False
    senders = [change.sender for change in message.view_changes]
    if len(senders) < config.q or senders != sorted(set(senders)):
        return False
    for change in message.view_changes:
        if change.view != message.view or change != bare(change) or not _claims_in_order(config, change):
            return False
    if not _proves(config, message.prepared, chosen(config, message.view_changes).values()):
        return False
    proposed = [(proposal.sequence, proposal.digest) for proposal in message.pre_prepares]
    if any(p.view != message.view or p.sender != message.sender for p in message.pre_prepares):
        return False
    return proposed == open_sequences(config, message.view_changes)


def _proves(
    config: ReplicaConfig, certificates: Sequence[PreparedCertificate], claims: Iterable[PreparedCertificate]
) -> bool:
    """Whether the certificates are those of the claims, in order, one each."""
    proven, claimed = ([_what(item.pre_prepare) for item in items] for items in (certificates, claims))
    return proven == claimed and all(is_prepared_certificate(config, item) for item in certificates)


def _what(proposal: PrePrepare) -> tuple[int, int, bytes]:
    return proposal.view, proposal.sequence, proposal.digest
