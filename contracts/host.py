"""The state API: what a contract may ask of the chain, each call charged, each value copied both ways.

One ``Host`` a thread holds the running top-level call (``session``); the functions handed to a contract are
bound to its name, so that it can write nowhere but below its own prefix.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.compiler import BYTE_GAS, deployment_fault, deployment_gas
from contracts.guards import Meter
from ledger.accusations import judge, read_evidence
from ledger.authentication import authenticate, read_certificate, read_root
from ledger.codes import SENTENCES, RefusalCode
from ledger.epochs import EpochInvalid, check_pending, epoch_of, limits_of
from ledger.execution import DEADLINE_PREFIX, OK, Call, Event
from ledger.state import Entry, TransactionView
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import Value, ValueInvalid, decode_value, encode_value

KEY_CHARS_MAX = 256
VALUE_BYTES_MAX = 65_536
SCAN_ROWS_MAX = 1_000
EVENTS_MAX = 256
CALL_DEPTH_MAX = 8
NAME_CHARS_MAX = 64
SENTENCE_CHARS_MAX = 256
SCHEDULES_MAX = 999
TIME_MS_MAX = 10**15 - 1

GOVERNANCE = "governance"

GET_GAS, PUT_GAS, EMIT_GAS, CALL_GAS, SCAN_GAS = 50, 200, 100, 1_000, 100
AUTHENTICATE_GAS, CERTIFICATE_GAS, SCHEDULE_GAS = 200, 5_000, 400
SIGNATURE_GAS = 5_000

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

CallContract = Callable[[str, str, list[Value]], Value]
"""How the host runs a function of another contract."""


@dataclass(slots=True)
class Session:
    """One top-level call in progress. ``stack``: the contracts that are running, outermost first."""

    call: Call
    view: TransactionView
    stack: list[str]
    events: list[Event] = field(default_factory=list)
    code_hash: str = ""
    schedules: int = 0
    read_only: int = 0
    """How many view functions are on the stack: while there is one, nothing may be written."""


class _Reader:
    """The transaction's view as a state reader, for authentication."""

    def __init__(self, view: TransactionView) -> None:
        self._view = view

    def get(self, key: str) -> Entry | None:
        value = self._view.get(key)
        return None if value is None else Entry(0, 0, value)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, Entry]]:
        return [(key, Entry(0, 0, value)) for key, value in self._view.scan(prefix, after, limit)]


def check_key(key: Any) -> str:
    """Printable ASCII without space, 1 to 256 characters."""
    if type(key) is not str or not 1 <= len(key) <= KEY_CHARS_MAX or not key.isascii() or not _printable(key):
        raise Trap(TrapCode.KEY_INVALID)
    return key


def _printable(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)


class Host:
    """A thread's host. ``session`` is set for the time of a top-level call."""

    def __init__(self, meter: Meter, call_contract: CallContract) -> None:
        self._meter = meter
        self._call_contract = call_contract
        self.session: Session | None = None

    @property
    def _now(self) -> Session:
        assert self.session is not None, "contracts run only inside a call"
        return self.session

    def functions_for(self, contract: str) -> dict[str, Callable[..., Any]]:
        """The host functions of one contract, by name."""
        prefix = contract + "/"
        charge = self._meter.charge

        def get(key: Any) -> Value:
            return self._read(prefix + check_key(key))

        def peek(other: Any, key: Any) -> Value:
            return self._read(check_key(other) + "/" + check_key(key))

        def put(key: Any, value: Any) -> None:
            full = prefix + check_key(key)
            data = self.encoded(value)
            charge(PUT_GAS + len(data))
            self._writable().put(full, data)

        def delete(key: Any) -> None:
            charge(PUT_GAS)
            self._writable().delete(prefix + check_key(key))

        def scan(start: Any, after: Any, limit: Any) -> Value:
            if type(start) is not str or type(after) is not str or type(limit) is not int:
                raise Trap(TrapCode.TYPE_MISMATCH)
            if not 1 <= limit <= SCAN_ROWS_MAX:
                raise Trap(TrapCode.VALUE_INVALID)
            if len(start) > KEY_CHARS_MAX or len(after) > KEY_CHARS_MAX:
                raise Trap(TrapCode.KEY_INVALID)
            charge(SCAN_GAS + len(self._now.view.writes) // 4)  # what was written is looked through each time
            rows = self._now.view.scan(prefix + start, prefix + after if after else "", limit)
            charge(sum(GET_GAS + len(data) // 16 for _, data in rows))
            return [[key[len(prefix) :], decode_value(data)] for key, data in rows]

        def emit(name: Any, data: Any) -> None:
            session = self._now
            if type(name) is not str or type(data) is not dict or len(session.events) >= EVENTS_MAX:
                raise Trap(TrapCode.VALUE_INVALID)
            if not 1 <= len(name) <= NAME_CHARS_MAX or not _printable(name):
                raise Trap(TrapCode.VALUE_INVALID)
            encoded = self.encoded(data)
            charge(EMIT_GAS + len(encoded))
            session.events.append(Event(contract, name, decode_value(encoded)))

        def call(other: Any, function: Any, args: Any) -> Value:
            if type(other) is not str or type(function) is not str or type(args) is not list:
                raise Trap(TrapCode.TYPE_MISMATCH)
            charge(CALL_GAS)
            copied = decode_value(self.encoded(args))
            return decode_value(self.encoded(self._call_contract(other, function, copied)))

        def schedule(at_ms: Any, function: Any, args: Any) -> None:
            self._schedule(contract, at_ms, function, args)

        def contract_fault(name: Any, source: Any) -> str:
            if contract != GOVERNANCE:
                raise Trap(TrapCode.NOT_CALLABLE)
            return self._contract_fault(name, source)

        def calling_contract() -> str:
            stack = self._now.stack
            return stack[-2] if len(stack) > 1 else ""

        return {
            "get": get,
            "peek": peek,
            "put": put,
            "delete": delete,
            "scan": scan,
            "emit": emit,
            "call": call,
            "schedule": schedule,
            "calling_contract": calling_contract,
            "caller": lambda: self._now.call.signers[0] if self._now.call.signers else "",
            "signers": lambda: list(self._now.call.signers),
            "tx_id": lambda: self._now.call.tx_id,
            "block_time": lambda: self._now.call.block_time_ms,
            "block_height": lambda: self._now.call.height,
            "tx_index": lambda: self._now.call.index,
            "require": _require,
            "fail": _fail,
            "authenticate": self._authenticate,
            "standing": self._standing,
            "certificate": self._certificate,
            "parameter": self._parameter,
            "root_certificate": self._root_certificate,
            "accused": self._accused,
            "epoch_fault": self._epoch_fault,
            "contract_fault": contract_fault,
            "contract_hash": self._contract_hash,
        }

    # ------------------------------------------------------------------------------------------- inside

    def _read(self, key: str) -> Value:
        data = self._now.view.get(key)
        if data is None:
            self._meter.charge(GET_GAS)
            return None
        self._meter.charge(GET_GAS + len(data) // 16)
        return decode_value(data)

    def _writable(self) -> TransactionView:
        if self._now.read_only:
            raise Trap(TrapCode.WRITE_IN_VIEW)
        return self._now.view

    def encoded(self, value: Value) -> bytes:
        """Canonical bytes of what is stored, passed on or returned: weighed, then charged, bounded."""
        self._meter.charge(self._meter.weigh(value))
        try:
            data = encode_value(value)
        except (ValueInvalid, UnicodeEncodeError):
            raise Trap(TrapCode.VALUE_INVALID) from None
        self._meter.charge(len(data) // 16)
        if len(data) > VALUE_BYTES_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        return data

    def _schedule(self, contract: str, at_ms: Any, function: Any, args: Any) -> None:
        session = self._now
        if type(at_ms) is not int or type(function) is not str or type(args) is not list:
            raise Trap(TrapCode.TYPE_MISMATCH)
        if not 0 <= at_ms <= TIME_MS_MAX or session.schedules >= SCHEDULES_MAX:
            raise Trap(TrapCode.VALUE_INVALID)
        data = self.encoded({"contract": contract, "function": function, "args": args})
        self._meter.charge(SCHEDULE_GAS + len(data))
        place = f"{at_ms:015d}/{session.call.height:012d}/{session.call.index:05d}/{session.schedules:03d}"
        session.schedules += 1
        self._writable().put(DEADLINE_PREFIX + place, data)

    def _authenticate(self, signer: Any, roles: Any) -> None:
        """End the call unless ``signer`` may act in one of ``roles`` at block time."""
        code = self._standing(signer, roles)
        if code:
            raise Trap(code, SENTENCES[RefusalCode(code)])

    def _standing(self, signer: Any, roles: Any) -> str:
        """Why ``signer`` may not act in one of ``roles`` at block time, or ''."""
        if type(signer) is not str or type(roles) is not list:
            raise Trap(TrapCode.TYPE_MISMATCH)
        self._meter.charge(AUTHENTICATE_GAS + len(roles))
        if len(signer) > KEY_CHARS_MAX or not _printable(signer):
            return str(RefusalCode.NOT_REGISTERED)
        refusal = authenticate(_Reader(self._now.view), signer, roles, self._now.call.block_time_ms)
        return "" if refusal is None else str(refusal)

    def _certificate(self, text: Any) -> Value:
        der = self._bytes_of(text, TrapCode.CERTIFICATE_INVALID)
        facts = read_certificate(_Reader(self._now.view), der)
        if facts is None:
            raise Trap(TrapCode.CERTIFICATE_INVALID)
        return {
            "signer": facts.signer,
            "name": facts.name,
            "organisation": facts.organisation,
            "role": facts.role,
            "serial": facts.serial,
            "issuer": facts.issuer,
            "not_before_ms": facts.not_before_ms,
            "not_after_ms": facts.not_after_ms,
        }

    def _root_certificate(self, text: Any) -> str:
        """The fingerprint of a CA root's certificate (base64 DER)."""
        fingerprint = read_root(self._bytes_of(text, TrapCode.CERTIFICATE_INVALID))
        if fingerprint is None:
            raise Trap(TrapCode.CERTIFICATE_INVALID)
        return fingerprint

    def _accused(self, text: Any) -> Value:
        """Whom evidence (base64) convicts, of which epoch, of what."""
        evidence = read_evidence(self._bytes_of(text, TrapCode.EVIDENCE_INVALID))
        if evidence is None:
            raise Trap(TrapCode.EVIDENCE_INVALID)
        self._meter.charge(SIGNATURE_GAS * (len(evidence.messages) + len(evidence.complaints)))
        found = judge(_Reader(self._now.view), evidence)
        if found is None:
            raise Trap(TrapCode.EVIDENCE_INVALID)
        return {
            "epoch": found.epoch,
            "kind": found.kind,
            "public_key": base64.b64encode(found.public_key).decode(),
        }

    def _epoch_fault(self, value: Any) -> str:
        """Why ``value`` cannot be the next epoch, or ''."""
        data = self.encoded(value)
        reader = _Reader(self._now.view)
        limits = limits_of(reader)
        if limits is None:
            return "this network knows no epochs"
        try:
            check_pending(decode_value(data), epoch_of(reader), self._now.call.height, limits)
        except EpochInvalid as error:
            return str(error)
        return ""

    def _contract_fault(self, name: Any, source: Any) -> str:
        """Why ``source`` cannot be the contract ``name``, or ''."""
        if type(name) is not str or type(source) is not str:
            raise Trap(TrapCode.TYPE_MISMATCH)
        self._meter.charge(BYTE_GAS * len(source))
        current = self._now.view.get(CONTRACT_PREFIX + name) if len(name) <= NAME_CHARS_MAX and name.isascii() else None
        fault = deployment_fault(name, source, None if current is None else decode_value(current)["source"])
        if not fault:
            self._meter.charge(deployment_gas(source))
        return fault

    def _contract_hash(self, name: Any) -> str:
        """The SHA-256 of the contract in force under ``name``, so that a caller can insist on one; '' if none is."""
        found = self._read(CONTRACT_PREFIX + check_key(name))
        return "" if found is None else str(found["sha256"])

    def _bytes_of(self, text: Any, otherwise: TrapCode) -> bytes:
        """What a base64 text spells; charged as the expensive reading that follows."""
        self._meter.charge(CERTIFICATE_GAS)
        if type(text) is not str:
            raise Trap(TrapCode.TYPE_MISMATCH)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Trap(otherwise) from None

    def _parameter(self, name: Any) -> int:
        found = self._read("governance/parameter/" + check_key(name))
        if found is None:
            raise Trap(TrapCode.PARAMETER_UNKNOWN)
        return int(found["value"])


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
