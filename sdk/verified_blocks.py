"""Blocks of a stream, checked against the genesis file: each is what a quorum of validators has certified.

A block without a certificate of its own waits for the next one that has: headers name those before them by hash.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.blocks import Header
from ledger.certificates import CertificateInvalid, check_certificate
from ledger.claims import NotReadable, read_claim
from ledger.genesis import Genesis
from ledger.proofs import Anchor, ProofFault, ProofInvalid, verify_anchor
from sdk.methods import HeaderRecord
from sdk.streams import StreamEvent


class _Proof(msgspec.Struct, frozen=True):
    header: Header
    certificate: Any
    boundaries: tuple[bytes, ...] = ()


class BlockVerifier:
    """For one stream of one node. ``before``: the hash of the block before the first one, if it is known."""

    def __init__(self, genesis: Genesis, before: bytes | None = None) -> None:
        self._genesis = genesis
        self._epoch = genesis.epoch
        self._waiting: list[tuple[StreamEvent, Header]] = []
        self.last_hash = before
        """Of the last block that was verified."""

    def verified(self, event: StreamEvent) -> list[StreamEvent]:
        """The blocks that are proven once this one has come, in order. In each, ``state_root`` is what was certified,
        empty where the certificate is a later block's; ``transactions``, ``view`` and ``proposer`` are the node's word.
        ``ProofInvalid`` if the node lies."""
        try:
            proof = read_claim(event.data.get("proof") if isinstance(event.data, dict) else None, _Proof)
            record = read_claim(event.data, HeaderRecord)
            anchor = None if proof.certificate is None else read_claim(msgspec.structs.asdict(proof), Anchor)
        except NotReadable as error:
            raise ProofInvalid(ProofFault.MALFORMED, str(error)) from None
        self._check_header(event, record, proof.header)
        self._waiting.append((msgspec.structs.replace(event, data=record), proof.header))
        if anchor is None:
            return []
        self._check_certificate(anchor)
        found = [_certified(each, None) for each, _ in self._waiting[:-1]]
        found.append(_certified(self._waiting[-1][0], anchor.certificate.statement.state_root))
        self.last_hash = anchor.header.hash()
        self._waiting = []
        return found

    def _check_header(self, event: StreamEvent, record: HeaderRecord, header: Header) -> None:
        if header.chain != self._genesis.chain_id or header.channel != self._genesis.channel:
            raise ProofInvalid(ProofFault.OTHER_CHAIN, "the header belongs to another chain or channel")
        before = self._waiting[-1][1].hash() if self._waiting else self.last_hash
        if before is not None and header.previous_hash != before:
            raise ProofInvalid(ProofFault.HEADER, f"block {header.height} does not follow the one before")
        if len(self._waiting) >= self._genesis.limits.window_blocks:
            raise ProofInvalid(ProofFault.HEADER, "more blocks lead to a certificate than a window has")
        told = (event.height, record.height, record.hash, record.previous_hash, record.time_ms, record.transaction_root)
        said = (header.height, header.height, header.hash().hex(), header.previous_hash.hex(), header.time_ms)
        if told != (*said, header.transaction_root.hex()):
            raise ProofInvalid(ProofFault.HEADER, f"block {event.height} is not what its header says")

    def _check_certificate(self, anchor: Anchor) -> None:
        certificate = anchor.certificate
        if any(header.epoch != certificate.epoch for _, header in self._waiting):
            raise ProofInvalid(ProofFault.HEADER, "the certificate is another epoch's")
        if certificate.epoch != self._epoch.number:
            self._epoch = verify_anchor(anchor, self._genesis)
            return
        if anchor.header.hash() != certificate.statement.header_hash:
            raise ProofInvalid(ProofFault.HEADER, "the certificate is another block's")
        try:
            check_certificate(certificate, self._genesis, self._epoch)
        except CertificateInvalid as error:
            raise ProofInvalid(ProofFault.CERTIFICATE, str(error)) from None


def _certified(event: StreamEvent, state_root: bytes | None) -> StreamEvent:
    data: Any = msgspec.structs.replace(event.data, certified=True, state_root=state_root and state_root.hex())
    return msgspec.structs.replace(event, data=data)
