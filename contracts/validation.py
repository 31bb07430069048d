"""The validation module (M10): looks at every write before it is applied, and trusts nothing the machine returned.

It knows the shipped contracts' invariants, not their code: money is neither made nor lost, no part of an account
is negative, nothing is sold twice, nothing is delivered beyond the contract, nobody pays without both signatures.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ledger.execution import DEADLINE_PREFIX, Call, CallResult
from ledger.state import TransactionView
from ledger.values import Value, decode_value

WRITES_MAX = 2_000
VALUE_BYTES_MAX = 65_536
KEY_CHARS_MAX = 320
WRITERS = frozenset({"registry", "governance", "credit", "market", "settlement"})
QUARTERS_AN_HOUR = 4


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


class MarketValidator:
    """Implements ``ledger.execution.Validator``."""

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        """The first violation, or None."""
        if not view.writes:
            return None
        changes = _Changes(view)
        for rule in (_namespace, _sizes, _money, _energy, _trades):
            violation = rule(call, changes)
            if violation is not None:
                return violation
        return None


class _Changes:
    """Old and new values of every written key."""

    def __init__(self, view: TransactionView) -> None:
        self.raw: Mapping[str, bytes | None] = view.writes
        self._base = view.base

    def old(self, key: str) -> Value:
        entry = self._base.get(key)
        return None if entry is None else decode_value(entry.value)

    def new(self, key: str) -> Value:
        data = self.raw[key]
        return None if data is None else decode_value(data)

    def current(self, key: str) -> Value:
        """The value as it will be, written or not."""
        return self.new(key) if key in self.raw else self.old(key)

    def below(self, prefix: str) -> list[str]:
        return [key for key in self.raw if key.startswith(prefix)]


def _namespace(call: Call, changes: _Changes) -> Violation | None:
    for key in changes.raw:
        owner = key.partition("/")[0]
        if owner not in WRITERS and owner != call.contract and not key.startswith(DEADLINE_PREFIX):
            return Violation.NAMESPACE
        if key.startswith(("governance/contract/", "governance/root/", "governance/validators")):
            return Violation.NAMESPACE
    return None


def _sizes(call: Call, changes: _Changes) -> Violation | None:
    if len(changes.raw) > WRITES_MAX:
        return Violation.SIZE
    for key, data in changes.raw.items():
        if len(key) > KEY_CHARS_MAX or (data is not None and len(data) > VALUE_BYTES_MAX):
            return Violation.SIZE
    return None


def _money(call: Call, changes: _Changes) -> Violation | None:
    """What accounts gain together is what was deposited less withdrawn, and that takes two operators."""
    gained = 0
    for key in changes.below("credit/account/"):
        new, old = changes.new(key), changes.old(key)
        if not _is_account(new) or new["available"] < 0 or new["held"] < 0:
            return Violation.NEGATIVE_BALANCE
        gained += _sum(new) - _sum(old)
    entered = _total(changes, new=True) - _total(changes, new=False) if "credit/total" in changes.raw else 0
    if gained != entered:
        return Violation.MONEY
    if entered and len(set(call.signers)) < 2:
        return Violation.OPERATORS
    return None


def _is_account(value: Value) -> bool:
    return isinstance(value, dict) and type(value.get("available")) is int and type(value.get("held")) is int


def _sum(account: Value) -> int:
    return 0 if account is None else int(account["available"]) + int(account["held"])


def _total(changes: _Changes, *, new: bool) -> int:
    value = changes.new("credit/total") if new else changes.old("credit/total")
    return 0 if value is None else int(value["total"])


def _energy(call: Call, changes: _Changes) -> Violation | None:
    """Nothing remains below zero or beyond what was offered; a meter never offers beyond its capacity."""
    for prefix in ("market/listing/", "market/order/"):
        for key in changes.below(prefix):
            offer = changes.new(key)
            if not 0 <= offer["remaining_wh"] <= offer["energy_wh"]:
                return Violation.OVERSOLD
    for key in changes.below("market/sold/"):
        sold = changes.new(key)
        meter = changes.current("registry/meter/" + key.split("/")[2])
        if sold < 0 or meter is None or sold * QUARTERS_AN_HOUR > meter["capacity_w"]:
            return Violation.OVERSOLD
    return None


def _trades(call: Call, changes: _Changes) -> Violation | None:
    """A trade's terms never change; it delivers at most what it contracted; it is paid once, with both signatures."""
    for key in changes.below("settlement/trade/"):
        new, old = changes.new(key), changes.old(key)
        if new is None or not 0 <= new["delivered_wh"] <= new["energy_wh"]:
            return Violation.DELIVERY
        if old is not None and not _continues(old, new):
            return Violation.DELIVERY
        if not _is_signed(call, old, new):
            return Violation.SIGNATURES
    return None


def _continues(old: Any, new: Any) -> bool:
    fixed = ("id", "interval", "meter", "seller", "buyer", "price", "imbalance_price", "energy_wh")
    return all(old[name] == new[name] for name in fixed) and old["status"] != "settled"


def _is_signed(call: Call, old: Any, new: Any) -> bool:
    for party in ("seller", "buyer"):
        before = old is not None and old[f"{party}_confirmed"]
        after = new[f"{party}_confirmed"]
        if (before and not after) or (after and not before and new[party] not in call.signers):
            return False
    return bool(new["status"] != "settled" or (new["seller_confirmed"] and new["buyer_confirmed"]))
