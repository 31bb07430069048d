"""Evidence against a validator, judged by what the state says of network and epochs; for ``governance.report``."""

from __future__ import annotations

from dataclasses import dataclass

from ca.signatures import verify
from ledger.epochs import epoch_of, past_epoch_of
from ledger.state import StateReader
from ledger.values import decode_value
from pbft.epoch import Epoch
from pbft.evidence import Evidence, EvidenceKind, decode_evidence, encode_evidence, verify_evidence
from pbft.messages import DECODE_ERRORS
from pbft.quorum import leaders_of, primary_of

NETWORK_KEY = "governance/network"
EVIDENCE_BYTES_MAX = 24_576


@dataclass(frozen=True, slots=True)
class Accusation:
    """What evidence proves: of which validator of which epoch, by its key."""

    epoch: int
    kind: str
    public_key: bytes


def read_evidence(data: bytes) -> Evidence | None:
    """Evidence in canonical bytes, or None. Its signatures are not checked yet."""
    if len(data) > EVIDENCE_BYTES_MAX:
        return None
    try:
        evidence = decode_evidence(data)
    except DECODE_ERRORS:
        return None
    return evidence if encode_evidence(evidence) == data else None


def judge(reader: StateReader, evidence: Evidence) -> Accusation | None:
    """What it proves in this network and an epoch that is remembered, or None.

    Lies stay lies, but two outcomes of one height prove none: a replica whose ledger operators rolled back signs
    another one lawfully. Complaints are of the epoch in which they were made: whoever kept some back could otherwise
    have one epoch after another end for what is long over.
    """
    entry = reader.get(NETWORK_KEY)
    if entry is None:
        return None
    network, scope = decode_value(entry.value), evidence.scope
    if (scope.chain.hex(), scope.channel) != (network["chain"], network["channel"]):
        return None
    epoch = past_epoch_of(reader, scope.epoch)
    if epoch is None or not verify_evidence(evidence, epoch.keys, lambda view: _primary(epoch, view), verify):
        return None
    if evidence.kind is EvidenceKind.TWO_OUTCOMES:
        return None
    if evidence.kind is EvidenceKind.COMPLAINTS and epoch.number != epoch_of(reader).number:
        return None
    return Accusation(epoch.number, evidence.kind.value, epoch.keys[evidence.accused])


def _primary(epoch: Epoch, view: int) -> int:
    skipped = tuple(skip.index for skip in epoch.skipped)
    return primary_of(view, leaders_of(len(epoch.validators), epoch.first_primary, skipped))
