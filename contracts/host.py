"""The state API: what a contract may ask of the chain, each call charged, each value copied both ways.

One ``Host`` a thread holds the running top-level call (``session``); the functions handed to a contract are
bound to its name, so that it can write nowhere but below its own prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from contracts.authority import Authority
from contracts.catalog import SHIPPED
from contracts.codes import Trap, TrapCode
from contracts.guards import Meter
from contracts.guards.meter import out_of_gas
from contracts.reading import Keys, is_flat, make_reads
from contracts.session import (
    CALL_DEPTH_MAX,
    CALL_GAS,
    EMIT_GAS,
    EVENTS_MAX,
    KEPT_RATE,
    KEY_CHARS_MAX,
    LONGEST_ROW_GAS,
    NAME_CHARS_MAX,
    PUT_GAS,
    REMINDER_GAS,
    ROW_GAS,
    SCAN_GAS,
    SCAN_PAGE_ROWS,
    SCAN_ROWS_MAX,
    SCHEDULE_GAS,
    SCHEDULES_MAX,
    SENTENCE_CHARS_MAX,
    TIME_MS_MAX,
    Session,
    ViewReader,
    check_key,
    is_printable,
)
from contracts.writing import make_encoded
from ledger.execution import (
    DEADLINE_PREFIX,
    OK,
    REMINDER_PREFIX,
    REMINDERS_RUN_PREFIX,
    REMINDERS_SET_PREFIX,
    REMINDERS_WAITING_MAX,
    Event,
    counted,
)
from ledger.state import TransactionView
from ledger.values import SCALARS, Value, decode_value, encode_value

CallContract = Callable[[Session, str, str, list[Value]], Value]
"""How the host runs a function of another contract."""
Functions = dict[str, Callable[..., Any]]

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
VALIDATION = "VALIDATION_"
"""How the validation module's codes begin."""
RESERVED = frozenset(TrapCode) - {TrapCode.CONTRACT_INVALID}
"""What only the machine says. Of a source that is to be deployed governance says it too."""
CONTRACTS_MAX = NAMES_MAX = 64
"""Others of which one contract has keys kept, and names of events that it told."""


class Host:
    """A thread's host. ``session`` is set for the time of a top-level call."""

    def __init__(self, meter: Meter, call_contract: CallContract) -> None:
        self._meter = meter
        self._call_contract = call_contract
        self._now: list[Session] = []
        """The call in progress; contracts run only inside one."""
        self.encoded = make_encoded(meter)
        self._reads = make_reads(meter, self._now)
        self._read = self._reads.read
        self._authority = Authority(self._now, meter.charge, self._reads, self.encoded)
        self._parameters = Keys("governance/parameter/")

    def begin(self, session: Session) -> None:
        """A top-level call begins."""
        self._now[:] = [session]

    def end(self) -> None:
        """No contract runs any more."""
        self._now.clear()

    def functions_for(self, contract: str) -> Functions:
        """The host functions of one contract, by name."""
        return {
            **self._state_functions(contract + "/"),
            **self._call_functions(contract),
            **self._context_functions(),
            **self._authority.functions_for(contract),
            "parameter": self._parameter,
            "require": _require,
            "fail": _fail,
        }

    # ------------------------------------------------------------------------------------------- inside

    def _state_functions(self, prefix: str) -> Functions:
        now, gas, charge, read, encoded = self._now, self._meter.gas, self._meter.charge, self._reads.read, self.encoded
        decoded = self._reads.decoded
        own, others = Keys(prefix), dict[str, Keys]()

        def peek(other: Any, key: Any) -> Value:
            try:
                keys = others[other]
            except (KeyError, TypeError):
                keys = keys_of(other)
            return read(keys, key)

        def keys_of(other: Any) -> Keys:
            keys = Keys(check_key(other) + "/")
            if len(others) < CONTRACTS_MAX:
                others[other] = keys
            return keys

        def put(key: Any, value: Any) -> None:
            try:
                full = own.get(key) or prefix + check_key(key)
            except TypeError:  # not even hashable
                raise Trap(TrapCode.KEY_INVALID) from None
            data = encoded(value, PUT_GAS, KEPT_RATE)
            session = now[0]
            if session.read_only:
                raise Trap(TrapCode.WRITE_IN_VIEW)
            session.view.writes[full] = data

        def delete(key: Any) -> None:
            charge(PUT_GAS)
            self._writable().view.delete(prefix + check_key(key))

        def passed(rows: int, size_bytes: int) -> None:
            charge(ROW_GAS * rows + size_bytes // 16)

        def scan(start: Any, after: Any, limit: Any) -> Value:
            if type(start) is not str or type(after) is not str or type(limit) is not int:
                raise Trap(TrapCode.TYPE_MISMATCH)
            if not 1 <= limit <= SCAN_ROWS_MAX:
                raise Trap(TrapCode.VALUE_INVALID)
            if len(start) > KEY_CHARS_MAX or len(after) > KEY_CHARS_MAX:
                raise Trap(TrapCode.KEY_INVALID)
            view = now[0].view
            charge(SCAN_GAS)
            rows: list[tuple[str, bytes]] = []
            begin = prefix + after if after else ""
            while len(rows) < limit:
                # Page by page, and no more of the longest rows than the gas pays for, but one.
                wanted = min(SCAN_PAGE_ROWS, limit - len(rows), max(1, gas[0] // LONGEST_ROW_GAS))
                page = view.scan(prefix + start, begin, wanted, passed)
                charge(sum([ROW_GAS + len(data) // 16 for _, data in page]))
                rows += page
                if len(page) < wanted:
                    break
                begin = page[-1][0]
            beyond = len(prefix)
            return [[key[beyond:], decoded(key, data)] for key, data in rows]

        return {"get": partial(read, own), "peek": peek, "put": put, "delete": delete, "scan": scan}

    def _call_functions(self, contract: str) -> Functions:
        now, gas, encoded, call_contract = self._now, self._meter.gas, self.encoded, self._call_contract
        names: set[str] = set()

        def check_name(name: Any) -> None:
            if type(name) is not str or not 1 <= len(name) <= NAME_CHARS_MAX or not is_printable(name):
                raise Trap(TrapCode.VALUE_INVALID)
            if len(names) < NAMES_MAX:
                names.add(name)

        def emit(name: Any, data: Any) -> None:
            session = now[0]
            if session.read_only:
                raise Trap(TrapCode.WRITE_IN_VIEW)
            if type(data) is not dict:
                raise Trap(TrapCode.VALUE_INVALID)
            if len(session.events) >= EVENTS_MAX:
                raise Trap(TrapCode.TOO_MANY_EVENTS)
            if type(name) is not str or name not in names:
                check_name(name)
            told = encoded(data, EMIT_GAS, KEPT_RATE)
            session.events.append(Event(contract, name, data.copy() if is_flat(data) else decode_value(told)))

        def call(other: Any, function: Any, args: Any) -> Value:
            if type(other) is not str or type(function) is not str or type(args) is not list:
                raise Trap(TrapCode.TYPE_MISMATCH)
            left = gas[0] = gas[0] - CALL_GAS - len(args)
            if left < 0:
                raise out_of_gas()
            copied = args[:] if SCALARS.issuperset(map(type, args)) else decode_value(encoded(args))
            result = call_contract(now[0], other, function, copied)
            return result if type(result) in SCALARS else decode_value(encoded(result))

        def schedule(at_ms: Any, function: Any, args: Any) -> None:
            self._schedule(contract, at_ms, function, args)

        def calling_contract() -> str:
            stack = now[0].stack
            return stack[-2] if len(stack) > 1 else ""

        return {"emit": emit, "call": call, "schedule": schedule, "calling_contract": calling_contract}

    def _context_functions(self) -> Functions:
        now, gas = self._now, self._meter.gas
        return {
            "gas_left": lambda: gas[0],
            "caller": lambda: now[0].caller,
            "signers": lambda: list(now[0].call.signers),
            "tx_id": lambda: now[0].call.tx_id,
            "block_time": lambda: now[0].call.block_time_ms,
            "block_height": lambda: now[0].call.height,
            "tx_index": lambda: now[0].call.index,
        }

    def _writable(self) -> Session:
        session = self._now[0]
        if session.read_only:
            raise Trap(TrapCode.WRITE_IN_VIEW)
        return session

    def _schedule(self, contract: str, at_ms: Any, function: Any, args: Any) -> None:
        session = self._now[0]
        if type(at_ms) is not int or type(function) is not str or type(args) is not list:
            raise Trap(TrapCode.TYPE_MISMATCH)
        if not 0 <= at_ms <= TIME_MS_MAX or session.schedules >= SCHEDULES_MAX:
            raise Trap(TrapCode.VALUE_INVALID)
        shipped = contract in SHIPPED
        gas = SCHEDULE_GAS if shipped else SCHEDULE_GAS + REMINDER_GAS
        data = self.encoded({"contract": contract, "function": function, "args": args}, gas, KEPT_RATE)
        # Nothing is due before what is due now.
        at_ms = max(at_ms, session.call.block_time_ms)
        place = f"{at_ms:015d}/{session.call.height:012d}/{session.call.index:05d}/{session.schedules:03d}"
        session.schedules += 1
        view = self._writable().view
        if not shipped:
            _count_reminder(view, contract)
        view.put((DEADLINE_PREFIX if shipped else REMINDER_PREFIX) + place, data)

    def _parameter(self, name: Any) -> int:
        found = self._read(self._parameters, name, False)
        if found is None:
            raise Trap(TrapCode.PARAMETER_UNKNOWN)
        return int(found["value"])


def _count_reminder(view: TransactionView, contract: str) -> None:
    """One more of the contract's waits, if there may."""
    reader, key = ViewReader(view), REMINDERS_SET_PREFIX + contract
    ever = counted(reader, key)
    if ever - counted(reader, REMINDERS_RUN_PREFIX + contract) >= REMINDERS_WAITING_MAX:
        raise Trap(TrapCode.TOO_MANY_DEADLINES)
    view.put(key, encode_value(ever + 1))


def _require(condition: Any, code: Any, sentence: Any) -> None:
    if not condition:
        _fail(code, sentence)


def _fail(code: Any, sentence: Any) -> None:
    if type(code) is not str or type(sentence) is not str:
        raise Trap(TrapCode.TYPE_MISMATCH)
    if not _CODE.fullmatch(code) or code == OK or code in RESERVED or code.startswith(VALIDATION):
        # A failure that called itself OK would keep half of what was written; what the machine and the validation
        # module say, nobody else says.
        raise Trap(TrapCode.VALUE_INVALID)
    raise Trap(code, sentence[:SENTENCE_CHARS_MAX])


__all__ = ["CALL_DEPTH_MAX", "SCAN_ROWS_MAX", "Host", "Session"]
