"""What clients hold: certificates of one height that differ, and proof against whoever signed both.

Two quorums meet in an honest replica where at most f lie, and an honest replica signs one outcome of a height.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ledger.genesis import Genesis
from pbft.evidence import EvidenceKind, conflict
from pbft.evidence_store import VERSION, StoredEvidence
from pbft.messages import ExecutionCertificate, Outcome, Scope


class Promise(NamedTuple):
    """A certificate, and the encoded boundaries that lead from genesis to its epoch."""

    certificate: ExecutionCertificate
    boundaries: tuple[bytes, ...]


class Promises:
    """Of each height the first certificate that a client verified, and those that differ from it."""

    def __init__(self) -> None:
        self._first: dict[int, Promise] = {}
        self.broken: dict[int, tuple[Promise, Promise]] = {}
        """By height; one pair is enough."""

    def hold(self, promise: Promise) -> None:
        """A client has verified it."""
        statement = promise.certificate.statement
        first = self._first.setdefault(statement.height, promise)
        if first.certificate.statement != statement:
            self.broken.setdefault(statement.height, (first, promise))

    def evidence(self, genesis: Genesis) -> Iterator[StoredEvidence]:
        """Against each validator that signed two outcomes of one height."""
        for first, second in self.broken.values():
            certificate, other = first.certificate, second.certificate
            if certificate.epoch != other.epoch:
                continue  # no validator's key is bound to both
            signed, scope = dict(other.signatures), Scope(genesis.chain_id, genesis.channel, other.epoch)
            for sender, signature in certificate.signatures:
                if sender in signed:
                    outcomes = (
                        Outcome(certificate.statement, sender, signature),
                        Outcome(other.statement, sender, signed[sender]),
                    )
                    proof = conflict(EvidenceKind.TWO_OUTCOMES, scope, *outcomes)
                    yield StoredEvidence(VERSION, proof, first.boundaries)
