"""What a call would change, old and new, and how a rule says no."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from contracts.rules.shapes import shaped
from ledger.execution import Call
from ledger.state import TransactionView
from ledger.values import Value, decode_value


class Violation(StrEnum):
    """Why a result is rejected (S4)."""

    NAMESPACE = "VALIDATION_NAMESPACE"
    SIZE = "VALIDATION_SIZE"
    MONEY = "VALIDATION_MONEY"
    NEGATIVE_BALANCE = "VALIDATION_NEGATIVE_BALANCE"
    OPERATORS = "VALIDATION_OPERATORS"
    OVERSOLD = "VALIDATION_OVERSOLD"
    DELIVERY = "VALIDATION_DELIVERY"
    SIGNATURES = "VALIDATION_SIGNATURES"
    PAYMENT = "VALIDATION_PAYMENT"
    HOLD = "VALIDATION_HOLD"
    READING = "VALIDATION_READING"
    DISPUTE = "VALIDATION_DISPUTE"
    ADJUSTMENT = "VALIDATION_ADJUSTMENT"
    CERTIFICATE = "VALIDATION_CERTIFICATE"
    SHAPE = "VALIDATION_SHAPE"
    EPOCH = "VALIDATION_EPOCH"
    CONTRACTS = "VALIDATION_CONTRACTS"
    ORGANISATIONS = "VALIDATION_ORGANISATIONS"
    ROOTS = "VALIDATION_ROOTS"
    CHANNELS = "VALIDATION_CHANNELS"
    LIMIT = "VALIDATION_LIMIT"
    SEALED = "VALIDATION_SEALED"
    AUCTION = "VALIDATION_AUCTION"
    DEADLINE = "VALIDATION_DEADLINE"
    STANDING = "VALIDATION_STANDING"


class Changes:
    """Old and new values of every written key, each read once; rules look at them and change nothing."""

    def __init__(self, view: TransactionView) -> None:
        self.raw: Mapping[str, bytes | None] = view.writes
        self.base = view.base
        self._old: dict[str, Value] = {}
        self._new: dict[str, Value] = {}
        self.groups: dict[str, list[str]] = {}
        """The written keys by group, ``contract/kind/``."""
        self._group_of: dict[str, str] = {}
        for key in self.raw:
            contract, _, rest = key.partition("/")
            group = self._group_of[key] = f"{contract}/{rest.partition('/')[0]}/"
            self.groups.setdefault(group, []).append(key)

    def old(self, key: str) -> Value:
        if key not in self._old:
            entry = self.base.get(key)
            self._old[key] = None if entry is None else decode_value(entry.value)
        return self._old[key]

    def new(self, key: str) -> Value:
        if key not in self._new:
            data = self.raw[key]
            self._new[key] = None if data is None else shaped(self._group_of[key], data)
        return self._new[key]

    def current(self, key: str) -> Value:
        """The value as it will be, written or not."""
        return self.new(key) if key in self.raw else self.old(key)

    def rows(self, prefix: str, limit: int) -> list[tuple[str, Value]]:
        """What will stand below a prefix, in no order: up to ``limit`` of what is there, and all that is written."""
        written = [key for key in self.raw if key.startswith(prefix) and self.raw[key] is not None]
        rows = [(key, self.new(key)) for key in written]
        known = self.base.scan(prefix, "", limit)
        return rows + [(key, decode_value(entry.value)) for key, entry in known if key not in self.raw]

    def below(self, group: str) -> list[str]:
        """The written keys of a group, ``contract/kind/``."""
        return self.groups.get(group, [])


def place_of(record: Value) -> str:
    """The meter and interval of an offer or a trade, as it stands in keys."""
    return f"{record['meter']}/{record['interval']:010d}"


def id_of(call: Call) -> str:
    """What an offer is called that the call makes, and its trades begin with: where it stands in the chain, so that
    what came first comes first."""
    return f"{call.height:012d}-{call.index:05d}"


def args_of(call: Call) -> list[Value]:
    """A deadline's arguments, in the order in which they were set."""
    assert isinstance(call.args, list)
    return call.args
