"""The edge: bytes from a peer become verified messages, or a counted reject. Only these reach the core.

Shape and limits are checked in the event loop; signatures and batches in threads, all that arrived in one
wake-up together. Material that others signed (view changes, certificates) is remembered once verified.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from ca.signatures import verify
from pbft.config import ReplicaConfig
from pbft.events import CheckedBatch, Received
from pbft.messages import (
    DECODE_ERRORS,
    BatchBody,
    CertifiedBlock,
    Chunk,
    Commit,
    Complaint,
    Complaints,
    ExecutionCertificate,
    Forward,
    Handover,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    ViewChange,
    decode_message,
    statement_bytes,
)
from pbft.ports import BatchFault, LedgerPort, SnapshotUnknown
from pbft.view_change import is_new_view, is_view_change

VERIFIED_MAX = 50_000
"""Signatures remembered as good; the oldest give way, and would be verified again."""
VOTES = (Prepare, Commit, Outcome, Complaint, PrePrepare)
"""What is no more than its sender's signature. A pre-prepare comes here as what is left of a second proposal."""
COUNTED = (Forward, ViewChange, NewView, CertifiedBlock, Complaints, Handover)
"""Messages whose parts are counted."""
FORWARD_ENVELOPES_MAX = 1_000
HANDOVER_SIGNATURES_MAX = 64


class GateFault(StrEnum):
    """Why a message went no further than the edge."""

    MALFORMED = "malformed"
    TOO_MANY = "too_many"
    NOT_THE_SENDER = "not_the_sender"
    BAD_SIGNATURE = "bad_signature"
    BAD_BATCH = "bad_batch"
    OTHER_EPOCH = "other_epoch"
    UNTRUE = "untrue"
    USELESS = "useless"


class Rejected(Exception):
    """A message that is not let in."""

    def __init__(self, fault: GateFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


class Claim(NamedTuple):
    """A signature to check: the validator's index, the signed bytes, the signature."""

    signer: int
    signed: bytes
    signature: bytes


class Gate:
    """Decodes and verifies. ``decode`` runs in the event loop, ``verify`` in a thread."""

    def __init__(self, config: ReplicaConfig, ledger: LedgerPort) -> None:
        self._config = config
        self._ledger = ledger
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    def decode(self, data: bytes) -> Message:
        """Bytes to a message of the right shape and size; raises ``Rejected``."""
        try:
            message = decode_message(data)
        except DECODE_ERRORS as error:
            raise Rejected(GateFault.MALFORMED, str(error)[:200]) from None
        if isinstance(message, PrePrepare):
            raise Rejected(GateFault.MALFORMED, "a pre-prepare travels with its batch")
        self._check_counts(message)
        return message

    def verify(self, sender: int, message: Message) -> Received:
        """Check every signature that ``message`` rests on, and its batch; raises ``Rejected``. Blocks."""
        if isinstance(message, VOTES):
            if not isinstance(message, PrePrepare):  # what is left of a proposal is passed on by anyone, as that is
                _must_be(sender, message.sender)
            self._check(Claim(message.sender, message.signed(self._config.scope), message.signature))
            return Received(sender, message, None)
        for claim in self._claims(sender, message):
            self._check(claim)
        return Received(sender, message, self._batch(message))

    # ------------------------------------------------------------------------------------------- inside

    def _check_counts(self, message: Message) -> None:
        if not isinstance(message, COUNTED):
            return
        n, window = self._config.n, 2 * self._config.window_blocks
        match message:
            case Forward(envelopes):
                many = len(envelopes) > FORWARD_ENVELOPES_MAX
            case ViewChange(_, _, prepared):
                many = len(prepared) > window
            case NewView(_, changes, proposals, prepared=prepared):
                many = len(changes) > n or len(proposals) > window or len(prepared) > window
                many = many or any(len(change.prepared) > window for change in changes)
            case CertifiedBlock():
                many = len(message.headers) > window
            case Complaints(complaints):
                many = len(complaints) > n
            case Handover():
                many = len(message.signatures) > HANDOVER_SIGNATURES_MAX
        if many:
            raise Rejected(GateFault.TOO_MANY, type(message).__name__)

    def _check(self, claim: Claim) -> None:
        if not 0 <= claim.signer < self._config.n:
            raise Rejected(GateFault.NOT_THE_SENDER, f"there is no validator {claim.signer}")
        mark = sha256(claim.signer.to_bytes(4, "big") + claim.signature + claim.signed).digest()
        if mark in self._verified:
            return
        if not verify(self._config.validators[claim.signer], claim.signature, claim.signed):
            raise Rejected(GateFault.BAD_SIGNATURE, f"of validator {claim.signer}")
        self._verified[mark] = None
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)

    def _claims(self, sender: int, message: Message) -> Iterable[Claim]:
        scope = self._config.scope
        match message:
            case Proposal(proposal, _):
                # Passed on by anyone: its own signature says whose it is.
                yield self._proposal(proposal)
            case Complaints(complaints):
                # Passed on by anyone, like NEW-VIEW.
                for complaint in complaints:
                    yield Claim(complaint.sender, complaint.signed(scope), complaint.signature)
            case ViewChange():
                _must_be(sender, message.sender)
                _must_hold(is_view_change(self._config, message), message)
                yield from self._view_change(message)
                for item in message.prepared:
                    yield from self._prepared(item)
            case NewView():
                # Passed on by anyone: its own signature says whose it is. What it says is looked at first: one that
                # cannot be true might hold a thousand signatures, all of them the liar's own.
                _must_hold(is_new_view(self._config, message), message)
                yield Claim(message.sender, message.signed(scope), message.signature)
                for change in message.view_changes:
                    yield from self._view_change(change)
                for item in message.prepared:
                    yield from self._prepared(item)
                for proposal in message.pre_prepares:
                    yield self._proposal(proposal)
            case CertifiedBlock():
                yield from self._certificate(message.certificate)
            case _:
                # Advisory, a question, or checked by the ledger: batches, manifests, chunks, hand-overs.
                return

    def _proposal(self, proposal: PrePrepare) -> Claim:
        return Claim(proposal.sender, proposal.signed(self._config.scope), proposal.signature)

    def _view_change(self, message: ViewChange) -> Iterable[Claim]:
        yield Claim(message.sender, message.signed(self._config.scope), message.signature)
        if message.certificate is not None:
            yield from self._certificate(message.certificate)

    def _prepared(self, certificate: PreparedCertificate) -> Iterable[Claim]:
        yield self._proposal(certificate.pre_prepare)
        for prepare in certificate.prepares:
            yield Claim(prepare.sender, prepare.signed(self._config.scope), prepare.signature)

    def _certificate(self, certificate: ExecutionCertificate) -> Iterable[Claim]:
        senders = [sender for sender, _ in certificate.signatures]
        if certificate.epoch != self._config.scope.epoch:
            raise Rejected(GateFault.OTHER_EPOCH, f"a certificate of epoch {certificate.epoch}")
        if senders != sorted(set(senders)):
            raise Rejected(GateFault.BAD_SIGNATURE, "a certificate's signers are not in order")
        if len(senders) < self._config.q:
            raise Rejected(GateFault.BAD_SIGNATURE, f"a certificate of {len(senders)} signatures")
        signed = statement_bytes(self._config.scope, certificate.statement)
        for sender, signature in certificate.signatures:
            yield Claim(sender, signed, signature)

    def _batch(self, message: Message) -> CheckedBatch | None:
        try:
            match message:
                case Proposal(_, body) | BatchBody(body):
                    return self._ledger.check_body(body)
                case CertifiedBlock():
                    return self._ledger.check_block(message)
                case Manifest():
                    self._ledger.check_manifest(message)
                case Chunk():
                    if message.data:
                        self._ledger.check_chunk(message)
                case Handover():
                    if not self._ledger.check_handover(message):
                        raise Rejected(GateFault.BAD_SIGNATURE, "too few organisations signed the hand-over")
        except BatchFault as fault:
            raise Rejected(GateFault.BAD_BATCH, str(fault)) from None
        except SnapshotUnknown as unknown:
            raise Rejected(GateFault.USELESS, str(unknown)) from None
        return None


def _must_hold(holds: bool, message: Message) -> None:
    if not holds:
        raise Rejected(GateFault.UNTRUE, f"a {type(message).__name__} that no honest replica sends")


def _must_be(sender: int, claimed: int) -> None:
    if sender != claimed:
        raise Rejected(GateFault.NOT_THE_SENDER, f"{sender} sent what {claimed} is said to have signed")
