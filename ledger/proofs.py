"""Proofs of the state: what a key holds, or that it is absent, at a certified height, checked with the genesis alone.

The state tree's branches lead from the key to the state root that q validators signed. A version (height, index) is
never used twice, so an entry that is proven at a height has stood unchanged since its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from ledger.blocks import Header
from ledger.books import Books
from ledger.certificates import CertificateInvalid, check_certificate, follow
from ledger.claims import NotReadable, read_claim
from ledger.genesis import Genesis
from ledger.layout import STATE, TREE, read_entry
from ledger.layout import read_header as decode_header
from ledger.runner import pack_entry
from ledger.state import Entry, StateReader
from ledger.tree import Step, TreeProof, check_proof, prove
from ledger.undo import Rewound, certified_moment
from ledger.values import ValueInvalid, decode_value
from ledger.views import StateView
from pbft.epoch import Epoch
from pbft.messages import DECODE_ERRORS, ExecutionCertificate

STATE_PROOF_VERSION = 1
T = TypeVar("T")


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certified height: its header, its certificate, and the encoded boundaries from genesis to its epoch."""

    header: Header
    certificate: ExecutionCertificate
    boundaries: tuple[bytes, ...]


class KeyProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key, the record of its entry (None: it is absent), and the branches from the root down to it. ``other``: the
    leaf that stands in the way of an absent key."""

    key: str
    record: bytes | None
    steps: tuple[Step, ...]
    other: tuple[bytes, bytes] | None


class StateProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In JSON, bytes are base64."""

    v: int
    anchor: Anchor
    entry: KeyProof


class ProofFault(StrEnum):
    """What is wrong with a proof."""

    MALFORMED = "malformed"
    OTHER_CHAIN = "other chain"
    HEADER = "header"
    BOUNDARY = "boundary"
    CERTIFICATE = "certificate"
    BRANCHES = "branches"
    RECORD = "record"


class ProofInvalid(Exception):
    """A proof that proves nothing; ``fault`` says where it breaks."""

    def __init__(self, fault: ProofFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """What a valid proof shows of a key as of the block at ``height``. ``version``: the height and index that wrote it;
    None for a key that is absent. ``signers`` of the ``validators`` of that time signed."""

    key: str
    height: int
    time_ms: int
    version: tuple[int, int] | None
    value: Any
    signers: int
    validators: int


# -------------------------------------------------------------------------------------------------- checking


def verify_state_proof(proof: StateProof, genesis: Genesis) -> VerifiedEntry:
    """Check every link from the key to the genesis file; raises ``ProofInvalid`` at the first that breaks."""
    return verify_key(proof.entry, proof.anchor, verify_anchor(proof.anchor, genesis))


def verify_anchor(anchor: Anchor, genesis: Genesis) -> Epoch:
    """The epoch whose validators signed the anchor's state root."""
    header, certificate = anchor.header, anchor.certificate
    statement = certificate.statement
    if header.chain != genesis.chain_id or header.channel != genesis.channel:
        raise ProofInvalid(ProofFault.OTHER_CHAIN, "the header belongs to another chain or channel")
    if header.hash() != statement.header_hash or header.height != statement.height:
        raise ProofInvalid(ProofFault.HEADER, "the certificate is another block's")
    if header.epoch != certificate.epoch:
        raise ProofInvalid(ProofFault.HEADER, "the certificate is another epoch's")
    try:
        epoch = follow(genesis, anchor.boundaries)
    except CertificateInvalid as error:
        raise ProofInvalid(ProofFault.BOUNDARY, str(error)) from None
    if epoch.number != certificate.epoch:
        raise ProofInvalid(ProofFault.BOUNDARY, f"the boundaries lead to epoch {epoch.number}")
    try:
        check_certificate(certificate, genesis, epoch)
    except CertificateInvalid as error:
        raise ProofInvalid(ProofFault.CERTIFICATE, str(error)) from None
    return epoch


def verify_key(proof: KeyProof, anchor: Anchor, epoch: Epoch) -> VerifiedEntry:
    """Check one key under an anchor that has been checked."""
    root = anchor.certificate.statement.state_root
    try:
        sound = check_proof(root, proof.key, proof.record, TreeProof(proof.steps, proof.other))
    except UnicodeEncodeError:
        sound = False
    if not sound:
        raise ProofInvalid(ProofFault.BRANCHES, "they do not lead to the certified state root")
    entry = None if proof.record is None else _entry(proof.record)
    return VerifiedEntry(
        key=proof.key,
        height=anchor.header.height,
        time_ms=anchor.header.time_ms,
        version=None if entry is None else (entry.height, entry.index),
        value=None if entry is None else decode_value(entry.value),
        signers=len(anchor.certificate.signatures),
        validators=len(epoch.validators),
    )


def _entry(record: bytes) -> Entry:
    try:
        entry = read_entry(record)
        decode_value(entry.value)
    except (*DECODE_ERRORS, ValueInvalid) as error:
        raise ProofInvalid(ProofFault.RECORD, f"not an entry: {error}") from None
    if pack_entry(entry) != record:
        raise ProofInvalid(ProofFault.RECORD, "not in canonical form")
    return entry


def to_json(proof: StateProof | Anchor | KeyProof) -> dict[str, Any]:
    """Plain JSON types: bytes as base64."""
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(proof))
    return tree


def state_proof_from_json(tree: Any) -> StateProof:
    """The reverse; ``ProofInvalid`` MALFORMED for anything else."""
    proof = _converted(tree, StateProof)
    if proof.v != STATE_PROOF_VERSION:
        raise ProofInvalid(ProofFault.MALFORMED, f"version {proof.v} is unknown")
    return proof


def anchor_from_json(tree: Any) -> Anchor:
    return _converted(tree, Anchor)


def key_proof_from_json(tree: Any) -> KeyProof:
    return _converted(tree, KeyProof)


def _converted(tree: Any, kind: type[T]) -> T:
    try:
        return read_claim(tree, kind)
    except NotReadable as error:
        raise ProofInvalid(ProofFault.MALFORMED, str(error)) from None


# ---------------------------------------------------------------------------------------------------- making


class Prover:
    """Proves keys at the newest certified height, however many blocks have executed since: what those replaced is in
    their undo records, which are kept exactly as long."""

    def __init__(self, anchor: Anchor, moment: Rewound) -> None:
        self.anchor = anchor
        self._moment = moment

    @property
    def height(self) -> int:
        return self.anchor.header.height

    def reader(self) -> StateReader:
        """The whole state at that height."""
        return StateView(self._moment)

    def prove(self, key: str) -> KeyProof:
        found = prove(lambda path: self._moment.get(TREE + path), key)
        return KeyProof(key, self._moment.get(STATE + key.encode()), found.steps, found.other)

    def entry(self, key: str) -> Entry | None:
        record = self._moment.get(STATE + key.encode())
        return None if record is None else read_entry(record)

    def whole(self, key: str) -> StateProof:
        return StateProof(STATE_PROOF_VERSION, self.anchor, self.prove(key))


def prover_of(books: Books) -> Prover | None:
    """A prover for the newest certified block, or None as long as there is none, or this node disagrees with it."""
    found = certified_moment(books.store.snapshot())
    if found is None or not books.agrees(found[0]):
        return None
    certificate, moment = found
    header = decode_header(books.header(certificate.statement.height))
    return Prover(Anchor(header, certificate, books.boundaries(certificate.epoch)), moment)
