"""The state API: what a contract may ask of the chain, each call charged, each value copied both ways.

One ``Host`` a thread holds the running top-level call (``session``); the functions handed to a contract are
bound to its name, so that it can write nowhere but below its own prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from contracts.authority import Authority
from contracts.codes import Trap, TrapCode
from contracts.guards import Meter
from contracts.guards.meter import out_of_gas
from contracts.session import (
    CALL_DEPTH_MAX,
    CALL_GAS,
    EMIT_GAS,
    EVENTS_MAX,
    GET_GAS,
    KEY_CHARS_MAX,
    NAME_CHARS_MAX,
    NODE_GAS,
    PUT_GAS,
    SCAN_GAS,
    SCAN_PAGE_ROWS,
    SCAN_ROWS_MAX,
    SCHEDULE_GAS,
    SCHEDULES_MAX,
    SENTENCE_CHARS_MAX,
    TIME_MS_MAX,
    VALUE_BYTES_MAX,
    Session,
    check_key,
    is_printable,
)
from ledger.execution import DEADLINE_PREFIX, OK, Event
from ledger.values import Value, ValueInvalid, decode_value, encode_plain, encode_value

CallContract = Callable[[Session, str, str, list[Value]], Value]
"""How the host runs a function of another contract."""
Functions = dict[str, Callable[..., Any]]

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SCALARS = frozenset({str, int, bool, type(None)})
"""What needs no copy, since nothing can change it."""
KNOWN_MAX, KNOWN_BYTES_MAX = 4_096, 1_024
FLAT_MAX = 64
"""Items of a dictionary of scalars that is charged by their number. Texts in it may be long: what comes to more bytes
than a value may have ends the call, and whoever has such texts has paid for them."""


class Host:
    """A thread's host. ``session`` is set for the time of a top-level call."""

    _now: Session
    """The call in progress; contracts run only inside one."""

    def __init__(self, meter: Meter, call_contract: CallContract) -> None:
        self._meter = meter
        self._gas = meter.gas
        self._call_contract = call_contract
        self._authority = Authority(lambda: self._now, meter.charge, self._read, self.encoded)
        self._known: dict[str, tuple[bytes, dict[str, Value], int]] = {}
        """Flat dictionaries that were read, by key, with the very bytes that they came from and what they cost: while a
        key has these bytes, they need not be decoded again."""

    def begin(self, session: Session) -> None:
        """A top-level call begins."""
        self._now = session

    def end(self) -> None:
        """No contract runs any more."""
        del self._now

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
        charge, read, encoded = self._meter.charge, self._read, self.encoded

        def get(key: Any) -> Value:
            return read(prefix + check_key(key))

        def peek(other: Any, key: Any) -> Value:
            return read(check_key(other) + "/" + check_key(key))

        def put(key: Any, value: Any) -> None:
            full = prefix + check_key(key)
            data = encoded(value, PUT_GAS, 1)
            session = self._now
            if session.read_only:
                raise Trap(TrapCode.WRITE_IN_VIEW)
            session.view.put(full, data)

        def delete(key: Any) -> None:
            charge(PUT_GAS)
            self._writable().view.delete(prefix + check_key(key))

        def scan(start: Any, after: Any, limit: Any) -> Value:
            if type(start) is not str or type(after) is not str or type(limit) is not int:
                raise Trap(TrapCode.TYPE_MISMATCH)
            if not 1 <= limit <= SCAN_ROWS_MAX:
                raise Trap(TrapCode.VALUE_INVALID)
            if len(start) > KEY_CHARS_MAX or len(after) > KEY_CHARS_MAX:
                raise Trap(TrapCode.KEY_INVALID)
            view = self._now.view
            charge(SCAN_GAS + len(view.writes))  # deleted rows are gone through each time
            rows: list[tuple[str, bytes]] = []
            begin = prefix + after if after else ""
            while len(rows) < limit:
                # Page by page, so that nobody has more read than one page that the gas does not pay for.
                wanted = min(SCAN_PAGE_ROWS, limit - len(rows))
                page = view.scan(prefix + start, begin, wanted)
                charge(sum([GET_GAS + len(data) // 16 for _, data in page]))
                rows += page
                if len(page) < wanted:
                    break
                begin = page[-1][0]
            own = len(prefix)
            return [[key[own:], self._decoded(key, data)] for key, data in rows]

        return {"get": get, "peek": peek, "put": put, "delete": delete, "scan": scan}

    def _call_functions(self, contract: str) -> Functions:
        charge = self._meter.charge

        def emit(name: Any, data: Any) -> None:
            session = self._writable()
            if type(name) is not str or type(data) is not dict or len(session.events) >= EVENTS_MAX:
                raise Trap(TrapCode.VALUE_INVALID)
            if not 1 <= len(name) <= NAME_CHARS_MAX or not is_printable(name):
                raise Trap(TrapCode.VALUE_INVALID)
            encoded = self.encoded(data, EMIT_GAS, 1)
            session.events.append(Event(contract, name, dict(data) if _is_flat(data) else decode_value(encoded)))

        def call(other: Any, function: Any, args: Any) -> Value:
            if type(other) is not str or type(function) is not str or type(args) is not list:
                raise Trap(TrapCode.TYPE_MISMATCH)
            charge(CALL_GAS + len(args))
            copied = args[:] if _is_flat(args) else decode_value(self.encoded(args))
            result = self._call_contract(self._now, other, function, copied)
            return result if type(result) in _SCALARS else decode_value(self.encoded(result))

        def schedule(at_ms: Any, function: Any, args: Any) -> None:
            self._schedule(contract, at_ms, function, args)

        def calling_contract() -> str:
            stack = self._now.stack
            return stack[-2] if len(stack) > 1 else ""

        return {"emit": emit, "call": call, "schedule": schedule, "calling_contract": calling_contract}

    def _context_functions(self) -> Functions:
        return {
            "caller": lambda: self._now.caller,
            "signers": lambda: list(self._now.call.signers),
            "tx_id": lambda: self._now.call.tx_id,
            "block_time": lambda: self._now.call.block_time_ms,
            "block_height": lambda: self._now.call.height,
            "tx_index": lambda: self._now.call.index,
        }

    def _read(self, key: str) -> Value:
        data = self._now.view.get(key)
        gas = self._gas
        left = gas[0] = gas[0] - (GET_GAS if data is None else GET_GAS + len(data) // 16)
        if left < 0:
            raise out_of_gas()
        return None if data is None else self._decoded(key, data)

    def _decoded(self, key: str, data: bytes) -> Value:
        """A stored value, charged by its nodes: a byte of what is stored may become an object of many."""
        known = self._known.get(key)
        if known is None or known[0] is not data:
            value = decode_value(data)
            kind = type(value)
            if kind is not dict and kind is not list:
                return value
            if kind is list or not _is_flat(value):
                self._meter.charge(NODE_GAS * self._meter.weigh(value))
                return value
            known = (data, value, NODE_GAS * len(value))
            if len(data) <= KNOWN_BYTES_MAX:
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known[key] = known
        _, value, weight = known
        left = self._gas[0] = self._gas[0] - weight
        if left < 0:
            raise out_of_gas()
        return value.copy()

    def _writable(self) -> Session:
        session = self._now
        if session.read_only:
            raise Trap(TrapCode.WRITE_IN_VIEW)
        return session

    def encoded(self, value: Value, gas: int = 0, byte_gas: int = 0) -> bytes:
        """Canonical bytes of what is stored, passed on or returned: weighed, then charged, bounded."""
        if type(value) is dict and len(value) <= FLAT_MAX and _SCALARS.issuperset(map(type, value.values())):
            gas += NODE_GAS * len(value)
        else:
            self._meter.charge(NODE_GAS * self._meter.weigh(value))
        try:
            data = encode_plain(value)
        except (TypeError, OverflowError, UnicodeEncodeError):
            data = _bytes_of(value)
        size = len(data)
        left = self._gas[0] = self._gas[0] - gas - size // 16 - byte_gas * size
        if left < 0:
            raise out_of_gas()
        if size > VALUE_BYTES_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        return data

    def _schedule(self, contract: str, at_ms: Any, function: Any, args: Any) -> None:
        session = self._now
        if type(at_ms) is not int or type(function) is not str or type(args) is not list:
            raise Trap(TrapCode.TYPE_MISMATCH)
        if not 0 <= at_ms <= TIME_MS_MAX or session.schedules >= SCHEDULES_MAX:
            raise Trap(TrapCode.VALUE_INVALID)
        data = self.encoded({"contract": contract, "function": function, "args": args}, SCHEDULE_GAS, 1)
        place = f"{at_ms:015d}/{session.call.height:012d}/{session.call.index:05d}/{session.schedules:03d}"
        session.schedules += 1
        self._writable().view.put(DEADLINE_PREFIX + place, data)

    def _parameter(self, name: Any) -> int:
        found = self._read("governance/parameter/" + check_key(name))
        if found is None:
            raise Trap(TrapCode.PARAMETER_UNKNOWN)
        return int(found["value"])


def _is_flat(value: dict[Any, Any] | list[Any]) -> bool:
    """Whether nothing below it is a container."""
    return _SCALARS.issuperset(map(type, value.values() if type(value) is dict else value))


def _bytes_of(value: Value) -> bytes:
    """The long way, for what is no value or holds a wide integer."""
    try:
        return encode_value(value)
    except (ValueInvalid, UnicodeEncodeError):
        raise Trap(TrapCode.VALUE_INVALID) from None


def _require(condition: Any, code: Any, sentence: Any) -> None:
    if not condition:
        _fail(code, sentence)


def _fail(code: Any, sentence: Any) -> None:
    if type(code) is not str or type(sentence) is not str:
        raise Trap(TrapCode.TYPE_MISMATCH)
    if not _CODE.fullmatch(code) or code == OK:
        # A failure that called itself OK would keep half of what was written.
        raise Trap(TrapCode.VALUE_INVALID)
    raise Trap(code, sentence[:SENTENCE_CHARS_MAX])


__all__ = ["CALL_DEPTH_MAX", "SCAN_ROWS_MAX", "Host", "Session"]
