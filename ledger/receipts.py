"""Receipts: everything that proves one transaction's fate, checked with nothing but the genesis file (S45).

The envelope hangs on a Merkle proof under its block's header, the result on one under the hash of all results up to
that block. Both lead on, block by block, to the next one that has a certificate: its statement carries q signatures
of validators, and those are the genesis file's or those to which the boundaries lead from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from ledger.blocks import Header, Result, encode_result, results_hash
from ledger.certificates import CertificateInvalid, check_certificate, follow
from ledger.claims import NotReadable, read_claim
from ledger.codes import Refusal
from ledger.envelope import envelope_from_bytes
from ledger.genesis import Genesis
from ledger.merkle import root_from_proof
from ledger.values import ValueInvalid, decode_value
from pbft.epoch import Epoch
from pbft.messages import DECODE_ERRORS, ExecutionCertificate

RECEIPT_VERSION = 2


class Branch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Merkle path: the leaf's place among ``count``, and its siblings upwards."""

    index: int
    count: int
    path: tuple[bytes, ...]


class Later(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A block on the way to the certificate: its header, and the Merkle root of its results."""

    header: Header
    results_root: bytes


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In JSON, bytes are base64. ``results_before``: the hash of all results before the block. ``later``: the blocks
    after it up to that of the certificate, none where it has one of its own. ``boundaries``: encoded, from genesis to
    the certificate's epoch."""

    v: int
    envelope: bytes
    result: Result
    header: Header
    transaction: Branch
    outcome: Branch
    results_before: bytes
    certificate: ExecutionCertificate
    later: tuple[Later, ...] = ()
    boundaries: tuple[bytes, ...] = ()


class ReceiptFault(StrEnum):
    """What is wrong with a receipt."""

    MALFORMED = "malformed"
    OTHER_CHAIN = "other chain"
    ENVELOPE = "envelope"
    TRANSACTION_PROOF = "transaction proof"
    RESULT_PROOF = "result proof"
    HEADER = "header"
    BOUNDARY = "boundary"
    CERTIFICATE = "certificate"


class ReceiptInvalid(Exception):
    """A receipt that proves nothing; ``fault`` says where it breaks."""

    def __init__(self, fault: ReceiptFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a valid receipt proves. ``signers`` of the ``validators`` of that time signed.

    ``executed``: whether the transaction was admitted there, which uses its nonce and so happens once. If it was not,
    the receipt tells of this place in the chain alone: what is ordered again has a second receipt, of a refusal.
    """

    tx_id: str
    height: int
    index: int
    time_ms: int
    code: str
    message: str
    value: Any
    executed: bool
    payload: bytes
    signers: int
    validators: int


def verify_receipt(receipt: Receipt, genesis: Genesis, trusted: Receipt | None = None) -> VerifiedReceipt:
    """Check every link from the envelope to the genesis file; raises ``ReceiptInvalid`` at the first that breaks.

    ``trusted``: a receipt that was checked before. Receipts share their block's certificate: an equal one is good.
    """
    _check_headers(receipt, genesis)
    epoch = _epoch_of(receipt, genesis)
    if trusted is None or receipt.certificate != trusted.certificate:
        _check_certificate(receipt, genesis, epoch)
    try:
        envelope = envelope_from_bytes(receipt.envelope)
        envelope.verify()
    except Refusal as refusal:
        raise ReceiptInvalid(ReceiptFault.ENVELOPE, str(refusal)) from None
    if envelope.tx_id != receipt.result.id:
        raise ReceiptInvalid(ReceiptFault.ENVELOPE, "the result is another transaction's")
    place = receipt.transaction
    if root_from_proof(envelope.hash, place.index, place.count, place.path) != receipt.header.transaction_root:
        raise ReceiptInvalid(ReceiptFault.TRANSACTION_PROOF, "does not lead to the header's transaction root")
    _check_result(receipt)
    try:
        value = decode_value(receipt.result.value)
    except (*DECODE_ERRORS, ValueInvalid) as error:
        raise ReceiptInvalid(ReceiptFault.MALFORMED, f"the result's value: {error}") from None
    return VerifiedReceipt(
        tx_id=envelope.tx_id.hex(),
        height=receipt.header.height,
        index=receipt.outcome.index,
        time_ms=receipt.header.time_ms,
        code=receipt.result.code,
        message=receipt.result.message,
        value=value,
        executed=receipt.result.gas_used > 0,
        payload=envelope.payload_bytes,
        signers=len(receipt.certificate.signatures),
        validators=len(epoch.validators),
    )


def _check_headers(receipt: Receipt, genesis: Genesis) -> None:
    header, statement = receipt.header, receipt.certificate.statement
    if header.chain != genesis.chain_id or header.channel != genesis.channel:
        raise ReceiptInvalid(ReceiptFault.OTHER_CHAIN, "the header belongs to another chain or channel")
    if len(receipt.later) > genesis.limits.window_blocks:
        raise ReceiptInvalid(ReceiptFault.HEADER, "more blocks lead to the certificate than a window has")
    for later in receipt.later:
        if later.header.previous_hash != header.hash() or later.header.height != header.height + 1:
            raise ReceiptInvalid(ReceiptFault.HEADER, f"block {header.height + 1} does not follow the one before")
        header = later.header
    if header.hash() != statement.header_hash or header.height != statement.height:
        raise ReceiptInvalid(ReceiptFault.HEADER, "the certificate is another block's")
    if not receipt.header.epoch == header.epoch == receipt.certificate.epoch:
        raise ReceiptInvalid(ReceiptFault.HEADER, "the certificate is another epoch's")


def _check_result(receipt: Receipt) -> None:
    place = receipt.outcome
    root = root_from_proof(encode_result(receipt.result), place.index, place.count, place.path)
    if root is None:
        raise ReceiptInvalid(ReceiptFault.RESULT_PROOF, "no path from that place")
    found = results_hash(receipt.results_before, root)
    for later in receipt.later:
        found = results_hash(found, later.results_root)
    if found != receipt.certificate.statement.results_hash:
        raise ReceiptInvalid(ReceiptFault.RESULT_PROOF, "does not lead to the certified results")


def _epoch_of(receipt: Receipt, genesis: Genesis) -> Epoch:
    """The certificate's epoch, to which the boundaries lead."""
    try:
        epoch = follow(genesis, receipt.boundaries)
    except CertificateInvalid as error:
        raise ReceiptInvalid(ReceiptFault.BOUNDARY, str(error)) from None
    if epoch.number != receipt.certificate.epoch:
        raise ReceiptInvalid(
            ReceiptFault.BOUNDARY, f"the boundaries lead to epoch {epoch.number}, not to {receipt.certificate.epoch}"
        )
    return epoch


def _check_certificate(receipt: Receipt, genesis: Genesis, epoch: Epoch) -> None:
    try:
        check_certificate(receipt.certificate, genesis, epoch)
    except CertificateInvalid as error:
        raise ReceiptInvalid(ReceiptFault.CERTIFICATE, str(error)) from None


def receipt_to_json(receipt: Receipt) -> dict[str, Any]:
    """Plain JSON types: bytes as base64."""
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(receipt))
    return tree


def receipt_from_json(tree: Any) -> Receipt:
    """The reverse; ``ReceiptInvalid`` MALFORMED for anything else."""
    try:
        receipt = read_claim(tree, Receipt)
    except NotReadable as error:
        raise ReceiptInvalid(ReceiptFault.MALFORMED, str(error)) from None
    if receipt.v != RECEIPT_VERSION:
        raise ReceiptInvalid(ReceiptFault.MALFORMED, f"version {receipt.v} is unknown")
    return receipt
