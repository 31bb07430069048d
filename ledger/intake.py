"""Client signatures, checked once a node: a bounded cache by envelope hash stands between the gates.

An envelope that came from a client, was forwarded by a peer and then arrives in a batch is decoded, hashed and
verified the first time only. Signatures are checked in two threads, since OpenSSL releases the GIL.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope, envelope_from_bytes
from ledger.execution import Terms
from ledger.genesis import Genesis
from pbft.events import CheckedBatch, PoolRequest
from pbft.messages import DECODE_ERRORS, batch_digest, decode_batch
from pbft.ports import BatchFault

VERIFIED_MAX = 20_000
"""Envelopes remembered as verified; the oldest give way, and would be verified again."""
VERIFIED_BYTES_MAX = 64 << 20
"""What these may have in all, as they travel."""
SLICE = 16
"""Envelopes that one thread verifies at a time."""
TIME_MS_MAX = 2**53
NEWCOMER = "newcomer"
"""The one client that all signers are whom the chain does not know: keys cost nothing to make up."""


class BadBatch(BatchFault):
    """A batch that no honest primary proposes; the message says why."""


class Intake:
    """Turns bytes into verified envelopes."""

    def __init__(self, genesis: Genesis, threads: ThreadPoolExecutor) -> None:
        self._chain = genesis.chain_id.hex()
        self._channel = genesis.channel
        self._limits = genesis.limits
        self._threads = threads
        self._verified: OrderedDict[bytes, Envelope] = OrderedDict()
        self._verified_bytes = 0
        self._lock = threading.Lock()
        self.is_registered: Callable[[str], bool] = lambda signer: True
        """Whether the chain knows a signer."""

    def request(self, envelope: Envelope) -> PoolRequest:
        """A verified envelope as the ordering module takes it."""
        payload = envelope.payload
        signer = payload.signers[0]
        terms = Terms(payload.signers, payload.contract, payload.function, payload.nonce, payload.expires_at_height)
        client = signer if self.is_registered(signer) else NEWCOMER
        return PoolRequest(envelope.raw, envelope.hash, envelope.tx_id, payload.gas_limit, client, terms)

    def check_many(
        self, envelopes: Sequence[bytes], refuses: Callable[[Envelope], Refusal | None] = lambda envelope: None
    ) -> list[Envelope | Refusal]:
        """Decode and verify; for each the envelope or why not. ``refuses`` is asked before a signature is checked.
        Blocks; not for the threads it uses itself."""
        slices = [envelopes[start : start + SLICE] for start in range(0, len(envelopes), SLICE)]
        if len(slices) <= 1:
            return [self._check(raw, refuses) for raw in envelopes]
        checked = self._threads.map(lambda part: [self._check(raw, refuses) for raw in part], slices)
        return [item for part in checked for item in part]

    def _check(self, raw: bytes, refuses: Callable[[Envelope], Refusal | None]) -> Envelope | Refusal:
        known = self._verified.get(sha256(raw).digest())
        if known is not None:
            return refuses(known) or known
        try:
            envelope = envelope_from_bytes(raw)
        except Refusal as refusal:
            return refusal
        return self.check(envelope, refuses)

    def check(
        self, envelope: Envelope, refuses: Callable[[Envelope], Refusal | None] = lambda envelope: None
    ) -> Envelope | Refusal:
        """Verify one decoded envelope, unless that was done before or ``refuses`` gives a reason not to. Blocks."""
        try:
            self._check_scope(envelope)
            refused = refuses(envelope)
            if refused is not None:
                return refused
            self._verify(envelope)
        except Refusal as refusal:
            return refusal
        self._remember(envelope)
        return envelope

    def check_signed(self, envelope: Envelope, refuses: Callable[[Envelope], Refusal | None]) -> Envelope | Refusal:
        """The like, but signatures first: a reason not to that ``refuses`` gives is then the signer's doing. Blocks."""
        try:
            self._check_scope(envelope)
            self._verify(envelope)
        except Refusal as refusal:
            return refusal
        refused = refuses(envelope)
        if refused is None:
            self._remember(envelope)
        return refused or envelope

    def _verify(self, envelope: Envelope) -> None:
        if envelope.hash not in self._verified:
            envelope.verify()

    def _remember(self, envelope: Envelope) -> None:
        with self._lock:
            if envelope.hash in self._verified:
                return
            self._verified[envelope.hash] = envelope
            self._verified_bytes += len(envelope.raw)
            while len(self._verified) > VERIFIED_MAX or self._verified_bytes > VERIFIED_BYTES_MAX:
                _, gone = self._verified.popitem(last=False)
                self._verified_bytes -= len(gone.raw)

    def _check_scope(self, envelope: Envelope) -> None:
        if len(envelope.raw) > self._limits.envelope_bytes_max:
            raise Refusal(RefusalCode.TOO_LARGE)
        if envelope.payload.chain != self._chain:
            raise Refusal(RefusalCode.WRONG_CHAIN)
        if envelope.payload.channel != self._channel:
            raise Refusal(RefusalCode.WRONG_CHANNEL)

    def check_body(self, body: bytes, digest: bytes | None = None) -> CheckedBatch:
        """Everything that a vote depends on: bytes and epoch parameters only (DESIGN "Admit"). ``digest``: of the one
        batch that is wanted; another one costs no signature check."""
        limits = self._limits
        if len(body) > limits.batch_bytes_max:
            raise BadBatch(f"{len(body)} bytes; at most {limits.batch_bytes_max}")
        try:
            batch = decode_batch(body)
        except DECODE_ERRORS as error:
            raise BadBatch(f"not a batch: {error}") from None
        if batch.channel != self._channel or not 0 <= batch.proposed_time_ms < TIME_MS_MAX:
            raise BadBatch("another channel's batch, or an impossible time")
        if len(batch.envelopes) > limits.batch_transactions_max:
            raise BadBatch(f"{len(batch.envelopes)} transactions; at most {limits.batch_transactions_max}")
        hashes = tuple(sha256(raw).digest() for raw in batch.envelopes)
        found = batch_digest(batch.channel, batch.proposed_time_ms, b"".join(hashes))
        if digest is not None and digest != found:
            raise BadBatch("the batch is another block's")
        envelopes = []
        for item in self.check_many(batch.envelopes):
            if isinstance(item, Refusal):
                raise BadBatch(f"a transaction is unlawful: {item}")
            envelopes.append(item)
        self._check_together(envelopes)
        return CheckedBatch(
            body=body,
            digest=found,
            proposed_time_ms=batch.proposed_time_ms,
            requests=tuple(map(self.request, envelopes)),
        )

    def _check_together(self, envelopes: Sequence[Envelope]) -> None:
        gas = sum(envelope.payload.gas_limit for envelope in envelopes)
        if gas > self._limits.block_gas_max:
            raise BadBatch(f"{gas} gas declared; at most {self._limits.block_gas_max}")
        if len({envelope.tx_id for envelope in envelopes}) != len(envelopes):
            raise BadBatch("a transaction is in it twice")

    def envelopes(self, raws: Sequence[bytes]) -> list[Envelope]:
        """The envelopes of a batch that agreement has settled. Verified before, unless it came with a certificate."""
        found = []
        for raw in raws:
            known = self._verified.get(sha256(raw).digest())
            found.append(known if known is not None else envelope_from_bytes(raw))
        return found
