"""Certificates and the boundaries that lead from genesis to the validators of any later epoch.

Each boundary holds the certificate of an epoch's last block, by that epoch's validators, and the next epoch, which
the certificate names by hash. Nothing but the genesis file is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ca.signatures import verify
from ledger.epochs import EpochInvalid, check_epoch
from ledger.genesis import Genesis
from ledger.layout import pack, read_boundary
from pbft.epoch import Boundary, Epoch
from pbft.messages import DECODE_ERRORS, ExecutionCertificate, Scope, statement_bytes
from pbft.quorum import quorum

BOUNDARIES_MAX = 100_000


class CertificateInvalid(Exception):
    """A certificate or a chain of boundaries that proves nothing; the message says where it breaks."""


def check_certificate(certificate: ExecutionCertificate, genesis: Genesis, epoch: Epoch) -> None:
    """At least q signatures, by distinct validators of ``epoch`` in ascending order, each good."""
    validators = epoch.validators
    if certificate.epoch != epoch.number:
        raise CertificateInvalid(f"a certificate of epoch {certificate.epoch}, not of {epoch.number}")
    senders = [sender for sender, _ in certificate.signatures]
    if senders != sorted(set(senders)) or not all(0 <= sender < len(validators) for sender in senders):
        raise CertificateInvalid("signers are not distinct validators in order")
    if len(senders) < quorum(len(validators)):
        raise CertificateInvalid(f"{len(senders)} of {quorum(len(validators))} signatures")
    signed = statement_bytes(Scope(genesis.chain_id, genesis.channel, certificate.epoch), certificate.statement)
    for sender, signature in certificate.signatures:
        if not verify(validators[sender].public_key, signature, signed):
            raise CertificateInvalid(f"the signature of {validators[sender].name} is wrong")


def follow(genesis: Genesis, boundaries: Sequence[bytes]) -> Epoch:
    """The epoch to which encoded boundaries lead from genesis, each verified; raises ``CertificateInvalid``."""
    if len(boundaries) > BOUNDARIES_MAX:
        raise CertificateInvalid(f"more than {BOUNDARIES_MAX} boundaries")
    epoch = genesis.epoch
    for raw in boundaries:
        try:
            boundary = read_boundary(raw)
        except DECODE_ERRORS as error:
            raise CertificateInvalid(f"not a boundary: {error}") from None
        if pack(boundary) != raw:
            raise CertificateInvalid("a boundary is not in canonical form")
        epoch = _step(genesis, epoch, boundary)
    return epoch


def _step(genesis: Genesis, epoch: Epoch, boundary: Boundary) -> Epoch:
    following, statement = boundary.epoch, boundary.certificate.statement
    if following.number != epoch.number + 1 or following.first_height != statement.height + 1:
        raise CertificateInvalid(f"epoch {following.number} does not follow {epoch.number} at that height")
    if statement.height < epoch.first_height:
        raise CertificateInvalid(f"the boundary at {statement.height} lies before epoch {epoch.number}")
    try:
        check_epoch(following)
    except EpochInvalid as error:
        raise CertificateInvalid(f"epoch {following.number}: {error}") from None
    check_certificate(boundary.certificate, genesis, epoch)
    if statement.next_validators_hash != following.hash():
        raise CertificateInvalid(f"the boundary at {statement.height} names other validators")
    return following
