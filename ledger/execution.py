"""Executing a block: contracts' new versions, due deadlines, then each transaction, over an overlay of committed state.

The ports say what a contract machine and a validation module owe; ``contracts/`` implements them. Whatever
fails here is a typed result in the block that changes nothing but its nonce (S3), never a view change.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

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
from ledger.state import Entry, Overlay, RangeRead, StateReader, TransactionView, Version, Write
from ledger.upgrades import UPGRADE_PREFIX, begin_upgrade, due_upgrades, end_upgrade
from ledger.values import Value, decode_value, encode_value

ENGINE_VERSION = 4
"""What contracts mean and cost, and which of their results the validation module lets stand: two engines of one version
give every call the same result, writes and gas."""
OK = "OK"
DEADLINE_PREFIX = "system/deadline/"
"""Where the shipped contracts' deadlines lie, by time."""
DEADLINES_PER_BLOCK_MAX = 256
DEADLINE_GAS_MAX = 2_000_000
MIGRATION_GAS_MAX = 125_000
"""Of each of the ``UPGRADES_MAX`` that may begin with one block."""
DEADLINE_GAS_PER_BLOCK_MAX = 6_000_000
"""So much and no more: a deadline runs if ``DEADLINE_GAS_MAX`` are left of it."""
REMINDER_PREFIX = "system/reminder/"
"""Where those of all other contracts lie, which have what the shipped ones' leave, and no more than their share."""
REMINDERS_PER_BLOCK_MAX = 64
REMINDER_GAS_PER_BLOCK_MAX = 4_000_000
"""Of the ``DEADLINE_GAS_PER_BLOCK_MAX``."""
REMINDERS_SET_PREFIX, REMINDERS_RUN_PREFIX = "system/reminders-set/", "system/reminders-run/"
"""By contract, how many it ever set, and how many of them ran. The calls count the ones, the executor the others, so
that what it writes before a call is known before those ahead of it have run."""
REMINDERS_WAITING_MAX = 10_000
"""Of one contract."""
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
    kind: Literal["transaction", "deadline", "view", "migrate"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a transaction may make it inadmissible while it waits; a small part of its payload."""

    signers: tuple[str, ...]
    contract: str
    function: str
    nonce: int
    expires_at_height: int

    def refuses(self, nonces: NonceWindow, height: int) -> RefusalCode | None:
        """Why nobody may have this executed in the block at ``height``, or None."""
        if height > self.expires_at_height:
            return RefusalCode.EXPIRED
        if self.expires_at_height > height + EXPIRY_BLOCKS_MAX:
            return RefusalCode.EXPIRY_TOO_FAR
        return nonces.refuses(self.nonce)


class Event(msgspec.Struct, frozen=True):
    contract: str
    name: str
    data: Value


class CallResult(msgspec.Struct, frozen=True):
    """``code`` is "OK" or an enumerated code; ``message`` the contract's own sentence.

    ``code_hash``: the SHA-256 (hex) of the called contract's source; "" if there is none. ``reads``, ``ranges`` and
    ``writes`` are the view's, failed calls' too.
    """

    code: str
    message: str
    value: Value
    gas_used: int
    events: tuple[Event, ...]
    code_hash: str = ""
    engine: int = ENGINE_VERSION
    reads: Mapping[str, Version | None] = msgspec.field(default_factory=dict)
    ranges: Sequence[RangeRead] = ()
    writes: Mapping[str, bytes | None] = msgspec.field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a block as it is foreseen, and what is written to the block's overlay before it."""

    before: tuple[Write, ...]
    call: Call


class BatchMachine(ABC):
    """A machine that is told a block's calls beforehand, so that it can run them elsewhere all at once.

    It is a ``Machine`` too: ``run`` is asked call by call, and answers as if nothing had been told.
    """

    @abstractmethod
    def foresee(self, overlay: Overlay, steps: Sequence[Step]) -> None:
        """These calls are likely to be run next, in this order, on this overlay, which holds nothing yet. Told again of
        the same overlay: these are instead of those that have not run."""

    @abstractmethod
    def committed(self, base: StateReader) -> None:
        """What the last foreseen block wrote is in ``base`` now, and nothing else has changed there since."""

    @abstractmethod
    def close(self) -> None:
        """Let go of whatever runs elsewhere."""


class Validator(Protocol):
    """The validation module (M10): looks at the writes before they are applied."""

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        """A code if an invariant is violated, or None."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A block's outcome. ``results``: upgrades and deadlines first, which ``deadlines`` counts, then one a transaction,
    in order; ``admitted``: the transactions that were admissible, and whose nonces the block used. ``changes``: what
    ``writes``, in their order, come to."""

    deadlines: int
    results: tuple[Result, ...]
    changes: dict[str, Entry | None]
    admitted: tuple[bytes, ...]
    writes: Sequence[Write] = ()


class BlockExecutor:
    """Runs blocks on a machine, guarded by a validator."""

    def __init__(self, machine: Machine, validator: Validator) -> None:
        self._machine = machine
        self._batch = machine if isinstance(machine, BatchMachine) else None
        self._validator = validator

    def execute(self, base: StateReader, height: int, time_ms: int, envelopes: Sequence[Envelope]) -> Executed:
        """Execute one block; pure in its arguments."""
        overlay = Overlay(base)
        block = _Block(overlay, height, time_ms)
        first: list[Step] = []
        if self._batch is not None:
            draft = _Block(Overlay(base), height, time_ms)
            first = self._foreseen_first(draft)
            rest, block.foresight = self._foreseen(draft, envelopes, len(first), 0)
            self._batch.foresee(overlay, [*first, *rest])
        results = self._run_upgrades(block)
        self._run_deadlines(block, results)
        deadlines = len(results)
        if self._batch is not None and deadlines != len(first):
            # Gas put deadlines off, or a migration set some: the transactions have other places than was foreseen.
            rest, block.foresight = self._foreseen(block, envelopes, deadlines, len(overlay.writes))
            self._batch.foresee(overlay, rest)
        for index, envelope in enumerate(envelopes, start=deadlines):
            results.append(self._run_transaction(block, envelope, index))
        epochs.end_block(overlay, height, len(results))
        return Executed(deadlines, tuple(results), overlay.changes, tuple(block.admitted), overlay.writes)

    def committed(self, base: StateReader) -> None:
        """What ``execute`` found last is in ``base`` now. Never said: each block then begins with no knowledge."""
        if self._batch is not None:
            self._batch.committed(base)

    def close(self) -> None:
        if self._batch is not None:
            self._batch.close()

    def view(self, reader: StateReader, call: Call) -> CallResult:
        """Run a view function; its writes are refused by the machine."""
        return self._machine.run(call, TransactionView(reader))

    # ------------------------------------------------------------------------------------------- inside

    def _foreseen_first(self, draft: _Block) -> list[Step]:
        """What comes before the block's transactions, if the deadlines' gas suffices."""
        steps: list[Step] = []
        begun = 0
        for name, pending in due_upgrades(draft.overlay, draft.height):
            call, _ = self._begin_upgrade(draft, name, pending, len(steps))
            steps.append(Step(tuple(draft.overlay.writes[begun:]), call))
            begun = len(draft.overlay.writes)
        due = [row for prefix, count_max, _ in _queues() for row in _due(draft, prefix, count_max)]
        for index, (key, what) in enumerate(due, start=len(steps)):
            call = self._begin_deadline(draft, key, what, index)
            steps.append(Step(tuple(draft.overlay.writes[begun:]), call))
            begun = len(draft.overlay.writes)
        return steps

    def _foreseen(
        self, block: _Block, envelopes: Sequence[Envelope], start: int, seen: int
    ) -> tuple[list[Step], _Foresight]:
        """The block's transactions, if no contract changes who is admitted; it has ``seen`` so many of its writes."""
        noting = _Noting(block.overlay)
        admission = _Block(noting, block.height, block.time_ms)
        admitted: dict[int, Step] = {}
        for index, envelope in enumerate(envelopes, start=start):
            call_or_refusal = self._begin_transaction(admission, envelope, index)
            if isinstance(call_or_refusal, Call):
                admitted[index] = Step(tuple(noting.writes[len(admitted) :]), call_or_refusal)
        return [*admitted.values()], _Foresight(noting, admitted, seen)

    def _run_upgrades(self, block: _Block) -> list[Result]:
        """Versions that begin at this height, each with its migration; one that fails changes nothing."""
        results: list[Result] = []
        for name, pending in due_upgrades(block.overlay, block.height):
            index = len(results)
            call, before = self._begin_upgrade(block, name, pending, index)
            result = self._run(block, call, (UPGRADE_PREFIX + name).encode())
            event, data = end_upgrade(block.overlay, name, before, result.code, block.height, index)
            told = EventRecord("governance", event, encode_value(data))
            results.append(
                Result(result.id, result.code, result.message, result.gas_used, result.value, (told, *result.events))
            )
        return results

    def _begin_upgrade(self, block: _Block, name: str, pending: Value, index: int) -> tuple[Call, bytes]:
        """The new version is in force; its migration, and what was in force before."""
        before = begin_upgrade(block.overlay, name, pending, block.height, index)
        call = Call(
            contract=name,
            function="migrate",
            args=[],
            signers=(),
            tx_id="",
            gas_limit=MIGRATION_GAS_MAX,
            block_time_ms=block.time_ms,
            height=block.height,
            index=index,
            kind="migrate",
        )
        return call, before

    def _run_deadlines(self, block: _Block, results: list[Result]) -> None:
        """What is due, bounded by count and gas, added to ``results``; the rest waits for the next block."""
        left = DEADLINE_GAS_PER_BLOCK_MAX
        for prefix, count_max, gas_max in _queues():
            gas = 0
            for key, what in _due(block, prefix, count_max):
                if gas + DEADLINE_GAS_MAX > min(gas_max, left):
                    break
                call = self._begin_deadline(block, key, what, len(results))
                result = self._run(block, call, key.encode())
                gas += result.gas_used
                results.append(result)
            left -= gas

    def _begin_deadline(self, block: _Block, key: str, what: Value, index: int) -> Call:
        """It waits no longer, whatever becomes of it."""
        begun: dict[str, bytes | None] = {key: None}
        if key.startswith(REMINDER_PREFIX):
            ran = REMINDERS_RUN_PREFIX + what["contract"]
            begun[ran] = encode_value(counted(block.overlay, ran) + 1)
        block.overlay.apply(begun, block.height, index)
        return Call(
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

    def _run_transaction(self, block: _Block, envelope: Envelope, index: int) -> Result:
        begun = self._begin_transaction(block, envelope, index)
        if not isinstance(begun, Call):
            return Result(envelope.tx_id, begun, SENTENCES[begun], 0, encode_value(None), ())
        return self._run(block, begun, envelope.tx_id)

    def _begin_transaction(self, block: _Block, envelope: Envelope, index: int) -> Call | RefusalCode:
        """Use the transaction's nonce, if it is admitted."""
        payload = envelope.payload
        call = block.foreseen(index)
        if call is not None:
            block.admitted.append(envelope.tx_id)
            return call
        nonces = NonceWindow.read(block.overlay, payload.signers[0])
        refusal = self.refuses(block.overlay, payload, nonces, block.height, block.time_ms)
        if refusal is not None:
            return refusal
        nonces.use(payload.nonce)
        block.admitted.append(envelope.tx_id)
        block.overlay.apply({NONCE_PREFIX + payload.signers[0]: encode_value(nonces.value())}, block.height, index)
        return Call(
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

    def refuses(
        self, reader: StateReader, payload: Payload, nonces: NonceWindow, height: int, time_ms: int
    ) -> RefusalCode | None:
        """Why a transaction may not execute in the block at ``height``, or None. Admission asks the same."""
        terms = Terms(payload.signers, payload.contract, payload.function, payload.nonce, payload.expires_at_height)
        return (
            terms.refuses(nonces, height)
            or self.bars(reader, payload.signers, payload.contract, payload.function, time_ms)
            or self._refuses_newcomer(reader, payload, time_ms)
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

    def bars(
        self, reader: StateReader, signers: tuple[str, ...], contract: str, function: str, time_ms: int
    ) -> RefusalCode | None:
        """Why these signers may not call a function, in whatever transaction, or None. What admitted a newcomer is not
        asked again."""
        entry = self._machine.entry(reader, contract, function)
        if entry is None:
            known = self._machine.knows(reader, contract)
            return RefusalCode.FUNCTION_UNKNOWN if known else RefusalCode.CONTRACT_UNKNOWN
        if entry.kind != "export":
            return RefusalCode.NOT_CALLABLE
        if entry.names == ("*",):
            return None
        for position, signer in enumerate(signers):
            refusal = authenticate(reader, signer, entry.names if position == 0 else (), time_ms)
            if refusal is not None:
                return refusal
        return None

    def _run(self, block: _Block, call: Call, identity: bytes) -> Result:
        view = TransactionView(block.overlay)
        outcome = self._machine.run(call, view)
        code = outcome.code
        if code == OK:
            code = str(self._validator.check(call, outcome, view) or OK)
        if code != OK:
            message = outcome.message if code == outcome.code else "The validation module rejected the result."
            return Result(identity, code, message, outcome.gas_used, encode_value(None), ())
        block.overlay.apply(view.writes, call.height, call.index)
        events = tuple(EventRecord(event.contract, event.name, encode_value(event.data)) for event in outcome.events)
        return Result(identity, OK, "", outcome.gas_used, encode_value(outcome.value), events)


def counted(reader: StateReader, key: str) -> int:
    """What is counted under a key; nothing yet is 0."""
    entry = reader.get(key)
    return 0 if entry is None else int(decode_value(entry.value))


def _queues() -> tuple[tuple[str, int, int], ...]:
    """Where deadlines wait, in the order in which they have their turn, and how many and how much gas a block."""
    return (
        (DEADLINE_PREFIX, DEADLINES_PER_BLOCK_MAX, DEADLINE_GAS_PER_BLOCK_MAX),
        (REMINDER_PREFIX, REMINDERS_PER_BLOCK_MAX, REMINDER_GAS_PER_BLOCK_MAX),
    )


def _due(block: _Block, prefix: str, count_max: int) -> Iterator[tuple[str, Value]]:
    """Due entries of a queue, oldest first, bounded by count."""
    for key, entry in block.overlay.scan(prefix, "", count_max):
        if int(key[len(prefix) :].split("/", 1)[0]) > block.time_ms:
            break
        yield key, decode_value(entry.value)


class _Noting(Overlay):
    """An overlay that takes note of what it is asked."""

    def __init__(self, base: StateReader) -> None:
        super().__init__(base)
        self.keys: set[str] = set()
        self.prefixes: set[str] = set()

    def get(self, key: str) -> Entry | None:
        self.keys.add(key)
        return super().get(key)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        self.prefixes.add(prefix)
        return super().scan(prefix, after, limit)


class _Foresight:
    """Admissions as they were found before any call ran. They count until anything is written that they rest on."""

    def __init__(self, noting: _Noting, admitted: dict[int, Step], seen: int) -> None:
        self._noting, self._admitted = noting, admitted
        self._seen = seen
        self._holds = True

    def step(self, index: int, writes: Sequence[Write]) -> Step | None:
        """What is to be written before the call at ``index``, and the call, after these writes of the block."""
        if self._holds:
            self._holds = not self._matter([key for key, _, _ in writes[self._seen :]])
        step = self._admitted.get(index) if self._holds else None
        self._seen = len(writes) + (0 if step is None else len(step.before))
        return step

    def _matter(self, keys: list[str]) -> bool:
        prefixes = tuple(self._noting.prefixes)
        return not self._noting.keys.isdisjoint(keys) or any(key.startswith(prefixes) for key in keys if prefixes)


@dataclass(slots=True)
class _Block:
    overlay: Overlay
    height: int
    time_ms: int
    admitted: list[bytes] = field(default_factory=list)
    foresight: _Foresight | None = None

    def foreseen(self, index: int) -> Call | None:
        """The call at ``index``, its nonce used, if it was foreseen and still counts."""
        if self.foresight is None:
            return None
        step = self.foresight.step(index, self.overlay.writes)
        if step is None:
            return None
        self.overlay.apply({key: value for key, _, value in step.before}, self.height, index)
        return step.call
