"""Executing a block: due deadlines, then each transaction, in order, over an overlay of committed state.

The ports say what a contract machine and a validation module owe; ``contracts/`` implements them. Whatever
fails here is a typed result in the block that changes nothing but its nonce (S3), never a view change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ledger import epochs
from ledger.authentication import (
    NONCE_PREFIX,
    NonceWindow,
    authenticate,
    authenticate_newcomer,
    is_registered,
)
from ledger.blocks import EventRecord, Result
from ledger.codes import SENTENCES, RefusalCode
from ledger.envelope import Envelope, Payload
from ledger.state import Entry, Overlay, StateReader, TransactionView, Write
from ledger.values import Value, decode_value, encode_value

OK = "OK"
DEADLINE_PREFIX = "system/deadline/"
DEADLINES_PER_BLOCK_MAX = 256
DEADLINE_GAS_MAX = 2_000_000
DEADLINE_GAS_PER_BLOCK_MAX = 20_000_000
EXPIRY_BLOCKS_MAX = 1_000_000
CERTIFICATE_ARGUMENT = "certificate_der"
"""The argument by which a function that anybody may call takes the caller's certificate."""


@dataclass(frozen=True, slots=True)
class Call:
    """One top-level call of a contract function. ``args``: by name from a transaction, by position otherwise."""

    contract: str
    function: str
    args: dict[str, Value] | list[Value]
    signers: tuple[str, ...]
    tx_id: str
    gas_limit: int
    block_time_ms: int
    height: int
    index: int
    kind: Literal["transaction", "deadline", "view"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a transaction may make it inadmissible while it waits; a small part of its payload."""

    signers: tuple[str, ...]
    contract: str
    function: str
    nonce: int
    expires_at_height: int


@dataclass(frozen=True, slots=True)
class Event:
    contract: str
    name: str
    data: Value


@dataclass(frozen=True, slots=True)
class CallResult:
    """``code`` is "OK" or an enumerated code; ``message`` the contract's own sentence."""

    code: str
    message: str
    value: Value
    gas_used: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A function that can be called from outside: ``names`` are roles (export) or contracts (internal)."""

    contract: str
    function: str
    kind: Literal["export", "internal", "deadline", "view"]
    names: tuple[str, ...]
    parameters: tuple[str, ...]


class Machine(Protocol):
    """Runs contracts. Deterministic; raises only for a fault of this replica, never for a transaction's."""

    def entry(self, reader: StateReader, contract: str, function: str) -> EntryPoint | None: ...

    def knows(self, reader: StateReader, contract: str) -> bool: ...

    def run(self, call: Call, view: TransactionView) -> CallResult: ...


class Validator(Protocol):
    """The validation module (M10): looks at the writes before they are applied."""

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        """A code if an invariant is violated, or None."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A block's outcome. ``results``: deadlines first, then one a transaction, in order; ``admitted``: the transactions
    that were admissible, and whose nonces the block used. ``changes``: what ``writes``, in their order, come to."""

    deadlines: int
    results: tuple[Result, ...]
    changes: dict[str, Entry | None]
    admitted: tuple[bytes, ...]
    writes: Sequence[Write] = ()


class BlockExecutor:
    """Runs blocks on a machine, guarded by a validator."""

    def __init__(self, machine: Machine, validator: Validator) -> None:
        self._machine = machine
        self._validator = validator

    def execute(self, base: StateReader, height: int, time_ms: int, envelopes: Sequence[Envelope]) -> Executed:
        """Execute one block; pure in its arguments."""
        overlay = Overlay(base)
        block = _Block(overlay, height, time_ms)
        results = self._run_deadlines(block)
        deadlines = len(results)
        for index, envelope in enumerate(envelopes, start=deadlines):
            results.append(self._run_transaction(block, envelope, index))
        epochs.end_block(overlay, height, len(results))
        return Executed(deadlines, tuple(results), overlay.changes, tuple(block.admitted), overlay.writes)

    def view(self, reader: StateReader, call: Call) -> CallResult:
        """Run a view function; its writes are refused by the machine."""
        return self._machine.run(call, TransactionView(reader))

    # ------------------------------------------------------------------------------------------- inside

    def _run_deadlines(self, block: _Block) -> list[Result]:
        """Due entries of the time index, oldest first, bounded by count and gas; the rest waits for the next block."""
        due = block.overlay.scan(DEADLINE_PREFIX, "", DEADLINES_PER_BLOCK_MAX)
        results: list[Result] = []
        gas = 0
        for key, entry in due:
            at_ms = int(key[len(DEADLINE_PREFIX) :].split("/", 1)[0])
            if at_ms > block.time_ms or gas >= DEADLINE_GAS_PER_BLOCK_MAX:
                break
            result = self._run_deadline(block, key, decode_value(entry.value), len(results))
            gas += result.gas_used
            results.append(result)
        return results

    def _run_deadline(self, block: _Block, key: str, what: Value, index: int) -> Result:
        block.overlay.apply({key: None}, block.height, index)
        call = Call(
            contract=what["contract"],
            function=what["function"],
            args=what["args"],
            signers=(),
            tx_id="",
            gas_limit=DEADLINE_GAS_MAX,
            block_time_ms=block.time_ms,
            height=block.height,
            index=index,
            kind="deadline",
        )
        return self._run(block, call, key.encode())

    def _run_transaction(self, block: _Block, envelope: Envelope, index: int) -> Result:
        payload = envelope.payload
        nonces = NonceWindow.read(block.overlay, payload.signers[0])
        refusal = self.refuses(block.overlay, payload, nonces, block.height, block.time_ms)
        if refusal is not None:
            return Result(envelope.tx_id, refusal, SENTENCES[refusal], 0, encode_value(None), ())
        nonces.use(payload.nonce)
        block.admitted.append(envelope.tx_id)
        block.overlay.apply({NONCE_PREFIX + payload.signers[0]: encode_value(nonces.value())}, block.height, index)
        call = Call(
            contract=payload.contract,
            function=payload.function,
            args=payload.args,
            signers=payload.signers,
            tx_id=envelope.tx_id.hex(),
            gas_limit=payload.gas_limit,
            block_time_ms=block.time_ms,
            height=block.height,
            index=index,
            kind="transaction",
        )
        return self._run(block, call, envelope.tx_id)

    def refuses(
        self, reader: StateReader, payload: Payload, nonces: NonceWindow, height: int, time_ms: int
    ) -> RefusalCode | None:
        """Why a transaction may not execute in the block at ``height``, or None. Admission asks the same."""
        terms = Terms(payload.signers, payload.contract, payload.function, payload.nonce, payload.expires_at_height)
        return self.still_refuses(reader, terms, nonces, height, time_ms) or self._refuses_newcomer(
            reader, payload, time_ms
        )

    def _refuses_newcomer(self, reader: StateReader, payload: Payload, time_ms: int) -> RefusalCode | None:
        """Keys cost nothing to make up: one that the chain does not know shows a certificate, where that is what it
        calls for, before it uses up a nonce, which is kept for ever."""
        signer = payload.signers[0]
        if is_registered(reader, signer):
            return None
        entry = self._machine.entry(reader, payload.contract, payload.function)
        if entry is None or CERTIFICATE_ARGUMENT not in entry.parameters:
            return None
        return authenticate_newcomer(reader, signer, payload.args.get(CERTIFICATE_ARGUMENT), time_ms)

    def still_refuses(
        self, reader: StateReader, terms: Terms, nonces: NonceWindow, height: int, time_ms: int
    ) -> RefusalCode | None:
        """The like, of one that was admissible before: whoever showed a certificate need not show it again."""
        if height > terms.expires_at_height:
            return RefusalCode.EXPIRED
        if terms.expires_at_height > height + EXPIRY_BLOCKS_MAX:
            return RefusalCode.EXPIRY_TOO_FAR
        refusal = nonces.refuses(terms.nonce)
        if refusal is not None:
            return refusal
        entry = self._machine.entry(reader, terms.contract, terms.function)
        if entry is None:
            known = self._machine.knows(reader, terms.contract)
            return RefusalCode.FUNCTION_UNKNOWN if known else RefusalCode.CONTRACT_UNKNOWN
        if entry.kind != "export":
            return RefusalCode.NOT_CALLABLE
        if entry.names == ("*",):
            return None
        for position, signer in enumerate(terms.signers):
            refusal = authenticate(reader, signer, entry.names if position == 0 else (), time_ms)
            if refusal is not None:
                return refusal
        return None

    def _run(self, block: _Block, call: Call, identity: bytes) -> Result:
        view = TransactionView(block.overlay)
        outcome = self._machine.run(call, view)
        code = outcome.code
        if code == OK:
            code = self._validator.check(call, outcome, view) or OK
        if code != OK:
            message = outcome.message if code == outcome.code else "The validation module rejected the result."
            return Result(identity, code, message, outcome.gas_used, encode_value(None), ())
        block.overlay.apply(view.writes, call.height, call.index)
        events = tuple(EventRecord(event.contract, event.name, encode_value(event.data)) for event in outcome.events)
        return Result(identity, OK, "", outcome.gas_used, encode_value(outcome.value), events)


@dataclass(frozen=True, slots=True)
class _Block:
    overlay: Overlay
    height: int
    time_ms: int
    admitted: list[bytes] = field(default_factory=list)
