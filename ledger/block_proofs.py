"""Proofs of blocks: which block stands at a height, checked with the genesis alone.

A block without a certificate of its own is proven by the next one that has: the headers in between name each other by
hash, up to the certificate's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from ledger.blocks import Header
from ledger.certificates import CertificateInvalid, check_certificate, follow
from ledger.claims import NotReadable, read_claim
from ledger.genesis import Genesis
from ledger.proofs import ProofFault, ProofInvalid
from pbft.messages import ExecutionCertificate


class BlockProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``later``: the headers after it up to that of the certificate's block. In JSON, bytes are base64."""

    header: Header
    later: tuple[Header, ...]
    certificate: ExecutionCertificate
    boundaries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """What a valid proof shows. ``state_root``: None where the certificate is a later block's."""

    height: int
    hash: bytes
    time_ms: int
    state_root: bytes | None
    signers: int
    validators: int


def verify_block_proof(proof: BlockProof, genesis: Genesis) -> VerifiedBlock:
    """Check every link from the block to the genesis file; raises ``ProofInvalid`` at the first that breaks."""
    _check_headers(proof, genesis)
    try:
        epoch = follow(genesis, proof.boundaries)
    except CertificateInvalid as error:
        raise ProofInvalid(ProofFault.BOUNDARY, str(error)) from None
    if epoch.number != proof.certificate.epoch:
        raise ProofInvalid(ProofFault.BOUNDARY, f"the boundaries lead to epoch {epoch.number}")
    try:
        check_certificate(proof.certificate, genesis, epoch)
    except CertificateInvalid as error:
        raise ProofInvalid(ProofFault.CERTIFICATE, str(error)) from None
    return VerifiedBlock(
        height=proof.header.height,
        hash=proof.header.hash(),
        time_ms=proof.header.time_ms,
        state_root=None if proof.later else proof.certificate.statement.state_root,
        signers=len(proof.certificate.signatures),
        validators=len(epoch.validators),
    )


def _check_headers(proof: BlockProof, genesis: Genesis) -> None:
    header, statement = proof.header, proof.certificate.statement
    if header.chain != genesis.chain_id or header.channel != genesis.channel:
        raise ProofInvalid(ProofFault.OTHER_CHAIN, "the header belongs to another chain or channel")
    if len(proof.later) > genesis.limits.window_blocks:
        raise ProofInvalid(ProofFault.HEADER, "more blocks lead to the certificate than a window has")
    for later in proof.later:
        if later.previous_hash != header.hash() or later.height != header.height + 1:
            raise ProofInvalid(ProofFault.HEADER, f"block {header.height + 1} does not follow the one before")
        header = later
    if header.hash() != statement.header_hash or header.height != statement.height:
        raise ProofInvalid(ProofFault.HEADER, "the certificate is another block's")
    if not proof.header.epoch == header.epoch == proof.certificate.epoch:
        raise ProofInvalid(ProofFault.HEADER, "the certificate is another epoch's")


def block_proof_from_json(tree: Any) -> BlockProof:
    """``ProofInvalid`` MALFORMED for anything that is none."""
    try:
        return read_claim(tree, BlockProof)
    except NotReadable as error:
        raise ProofInvalid(ProofFault.MALFORMED, str(error)) from None


def block_proof_to_json(proof: BlockProof) -> dict[str, Any]:
    """Plain JSON types: bytes as base64."""
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(proof))
    return tree
