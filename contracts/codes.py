"""What can end a contract call besides success: enumerated codes, never an interpreter's message."""

from __future__ import annotations

from enum import StrEnum


class TrapCode(StrEnum):
    """The machine's own codes; contracts add theirs through ``require`` and ``fail``."""

    OUT_OF_GAS = "OUT_OF_GAS"
    INTEGER_TOO_LARGE = "INTEGER_TOO_LARGE"
    DIVISION_BY_ZERO = "DIVISION_BY_ZERO"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    KEY_MISSING = "KEY_MISSING"
    INDEX_OUT_OF_RANGE = "INDEX_OUT_OF_RANGE"
    NAME_UNBOUND = "NAME_UNBOUND"
    VALUE_INVALID = "VALUE_INVALID"
    TOO_LARGE = "TOO_LARGE"
    TOO_MANY_EVENTS = "TOO_MANY_EVENTS"
    TOO_MANY_DEADLINES = "TOO_MANY_DEADLINES"
    TOO_DEEP = "TOO_DEEP"
    KEY_INVALID = "KEY_INVALID"
    ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
    FUNCTION_UNKNOWN = "FUNCTION_UNKNOWN"
    CONTRACT_UNKNOWN = "CONTRACT_UNKNOWN"
    NOT_CALLABLE = "NOT_CALLABLE"
    REENTRY = "REENTRY"
    WRITE_IN_VIEW = "WRITE_IN_VIEW"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    EVIDENCE_INVALID = "EVIDENCE_INVALID"
    PARAMETER_UNKNOWN = "PARAMETER_UNKNOWN"
    CONTRACT_INVALID = "CONTRACT_INVALID"
    INTERNAL = "INTERNAL"


SENTENCES: dict[TrapCode, str] = {
    TrapCode.OUT_OF_GAS: "The call used more gas than it declared.",
    TrapCode.INTEGER_TOO_LARGE: "An integer left the range of 256 bits.",
    TrapCode.DIVISION_BY_ZERO: "The contract divided by zero.",
    TrapCode.TYPE_MISMATCH: "The contract used a value of the wrong type.",
    TrapCode.KEY_MISSING: "The contract asked a dictionary for a key that it lacks.",
    TrapCode.INDEX_OUT_OF_RANGE: "The contract used an index out of range.",
    TrapCode.NAME_UNBOUND: "The contract used a variable before giving it a value.",
    TrapCode.VALUE_INVALID: "A value cannot be stored or passed on.",
    TrapCode.TOO_LARGE: "A text, list or stored value is larger than allowed.",
    TrapCode.TOO_MANY_EVENTS: "The call would tell of more than 256 events; do it in several.",
    TrapCode.TOO_MANY_DEADLINES: "As many deadlines of this contract wait as may; there is room once some have run.",
    TrapCode.TOO_DEEP: "Calls or values are nested too deeply.",
    TrapCode.KEY_INVALID: "A state key is not 1 to 256 printable ASCII characters.",
    TrapCode.ARGUMENTS_INVALID: "The arguments do not fit the function's parameters.",
    TrapCode.FUNCTION_UNKNOWN: "The contract has no such function.",
    TrapCode.CONTRACT_UNKNOWN: "There is no such contract.",
    TrapCode.NOT_CALLABLE: "This function cannot be called from here.",
    TrapCode.REENTRY: "A contract was called while it was already running.",
    TrapCode.WRITE_IN_VIEW: "A view function tried to write, or to emit an event.",
    TrapCode.CERTIFICATE_INVALID: "The certificate is malformed or was issued by no CA of this network.",
    TrapCode.EVIDENCE_INVALID: "The evidence proves nothing against a validator of this network.",
    TrapCode.PARAMETER_UNKNOWN: "There is no such market parameter.",
    TrapCode.CONTRACT_INVALID: "The source is no contract of this language; wattq contract check says where and why.",
    TrapCode.INTERNAL: "The machine met a case that its guards should have caught; the call has no effect.",
}


class Trap(Exception):
    """Ends a call and undoes what it wrote. Contracts cannot catch it."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message or SENTENCES.get(TrapCode(code), "") if code in TrapCode.__members__ else message


class ReplicaFault(Exception):
    """This machine ran out of stack or memory: a fault of the replica, never a transaction's result."""
