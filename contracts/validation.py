"""The validation module (M10): looks at every write before it is applied, and trusts nothing the machine returned.

It knows the shipped contracts' invariants, not their code: money is neither made nor lost, no part of an account
is negative, nothing is sold twice, nothing is delivered beyond contract and meter, nobody pays without both signatures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from contracts.constitution import (
    channels_are_sound,
    is_fixed,
    next_epoch_is_sound,
    organisations_are_sound,
    roots_are_sound,
)
from ledger.execution import DEADLINE_PREFIX, Call, CallResult
from ledger.state import TransactionView
from ledger.values import Value, decode_value

WRITES_MAX = 2_000
VALUE_BYTES_MAX = 65_536
KEY_CHARS_MAX = 320
WRITERS = {
    "settlement": frozenset({"settlement", "credit"}),
    "market": frozenset({"market", "settlement", "credit"}),
}
"""Whose state a call may change besides its own contract's."""
ACCOUNTS, SOLD, TRADES = "credit/account/", "market/sold/", "settlement/trade/"
BALANCING = "balancing"
QUARTERS_AN_HOUR = 4
MALFORMED = (TypeError, KeyError, AttributeError, ValueError, msgspec.MsgspecError)
"""What reading a record raises that is not what the shipped contracts write."""


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
    SHAPE = "VALIDATION_SHAPE"
    EPOCH = "VALIDATION_EPOCH"
    ORGANISATIONS = "VALIDATION_ORGANISATIONS"
    ROOTS = "VALIDATION_ROOTS"
    CHANNELS = "VALIDATION_CHANNELS"


class MarketValidator:
    """Implements ``ledger.execution.Validator``."""

    def check(self, call: Call, result: CallResult, view: TransactionView) -> str | None:
        """The first violation, or None."""
        if not view.writes:
            return None
        changes = _Changes(view)
        for rule in (_namespace, _sizes, _constitution, _money, _energy, _trades):
            try:
                violation = rule(call, changes)
            except MALFORMED:
                violation = Violation.SHAPE
            if violation is not None:
                return violation
        return None


class _Changes:
    """Old and new values of every written key."""

    def __init__(self, view: TransactionView) -> None:
        self.raw: Mapping[str, bytes | None] = view.writes
        self.base = view.base

    def old(self, key: str) -> Value:
        entry = self.base.get(key)
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
    allowed = WRITERS.get(call.contract, frozenset({call.contract}))
    for key, data in changes.raw.items():
        if key.startswith(DEADLINE_PREFIX):
            if data is None:
                return Violation.NAMESPACE
        elif key.partition("/")[0] not in allowed or is_fixed(key):
            return Violation.NAMESPACE
    return None


def _sizes(call: Call, changes: _Changes) -> Violation | None:
    if len(changes.raw) > WRITES_MAX:
        return Violation.SIZE
    for key, data in changes.raw.items():
        if len(key) > KEY_CHARS_MAX or (data is not None and len(data) > VALUE_BYTES_MAX):
            return Violation.SIZE
    return None


def _constitution(call: Call, changes: _Changes) -> Violation | None:
    """The network's own rules stay such that it can go on."""
    if not channels_are_sound(changes.base, changes.raw):
        return Violation.CHANNELS
    if call.contract != "governance":
        return None
    if not next_epoch_is_sound(call, changes.base, changes.raw):
        return Violation.EPOCH
    if not organisations_are_sound(changes.raw):
        return Violation.ORGANISATIONS
    return None if roots_are_sound(changes.base, changes.raw) else Violation.ROOTS


# --------------------------------------------------------------------------------------------------- money


def _money(call: Call, changes: _Changes) -> Violation | None:
    """An account gains what the trades that this call settles bring it; the rest is one deposit or withdrawal, and
    that takes two operators."""
    gained: Counter[str] = Counter()
    for key in changes.below(ACCOUNTS):
        new, old = changes.new(key), changes.old(key)
        if not _is_account(new) or new["available"] < 0 or new["held"] < 0:
            return Violation.NEGATIVE_BALANCE
        gained[key[len(ACCOUNTS) :]] += _sum(new) - _sum(old)
    entered = _total(changes, new=True) - _total(changes, new=False) if "credit/total" in changes.raw else 0
    if gained.total() != entered:
        return Violation.MONEY
    if entered and len(set(call.signers)) < 2:
        return Violation.OPERATORS
    gained.subtract(_settled(changes))
    unexplained = [amount for amount in gained.values() if amount]
    return None if unexplained == ([entered] if entered else []) else Violation.PAYMENT


def _settled(changes: _Changes) -> Counter[str]:
    """What the trades that are settled now move, by account."""
    moved: Counter[str] = Counter()
    for key in changes.below(TRADES):
        new, old = changes.new(key), changes.old(key)
        if new["status"] == "settled" and (old is None or old["status"] != "settled"):
            moved[new["buyer"]] -= new["amount"]
            moved[new["seller"]] += new["amount"] - new["fee"] - new["penalty"]
            moved[BALANCING] += new["fee"] + new["penalty"]
    return moved


def _is_account(value: Value) -> bool:
    return isinstance(value, dict) and type(value.get("available")) is int and type(value.get("held")) is int


def _sum(account: Value) -> int:
    return 0 if account is None else int(account["available"]) + int(account["held"])


def _total(changes: _Changes, *, new: bool) -> int:
    value = changes.new("credit/total") if new else changes.old("credit/total")
    return 0 if value is None else int(value["total"])


# -------------------------------------------------------------------------------------------------- energy


def _energy(call: Call, changes: _Changes) -> Violation | None:
    """By meter and interval: trades take exactly what offers lose, and what is sold grows exactly by what is offered,
    never beyond what the meter can deliver."""
    drawn: Counter[str] = Counter()
    offered: Counter[str] = Counter()
    for prefix in ("market/listing/", "market/order/"):
        for key in changes.below(prefix):
            new, old = changes.new(key), changes.old(key)
            if not 0 <= new["remaining_wh"] <= new["energy_wh"] or not _is_offer_kept(old, new):
                return Violation.OVERSOLD
            if new.get("side") == "bid":
                continue
            place = _place(new)
            drawn[place] += (new["energy_wh"] if old is None else old["remaining_wh"]) - new["remaining_wh"]
            offered[place] += new["energy_wh"] if old is None else 0
            if new["status"] not in ("open", "taken", "filled"):
                offered[place] -= new["remaining_wh"]
    for key in changes.below(TRADES):
        if changes.old(key) is None:
            trade = changes.new(key)
            drawn[_place(trade)] -= trade["energy_wh"]
    if any(drawn.values()):
        return Violation.OVERSOLD
    return _sold(changes, offered)


def _place(record: Value) -> str:
    return f"{record['meter']}/{record['interval']:010d}"


def _is_offer_kept(old: Value, new: Value) -> bool:
    """An offer's terms never change, it never grows, and once closed it stays as it is."""
    if old is None:
        return True
    fixed = all(old.get(name) == new.get(name) for name in ("meter", "interval", "price", "energy_wh", "side"))
    return fixed and old["status"] == "open" and bool(new["remaining_wh"] <= old["remaining_wh"])


def _sold(changes: _Changes, offered: Counter[str]) -> Violation | None:
    written = {key[len(SOLD) :] for key in changes.below(SOLD)}
    for place in sorted(written | set(offered)):
        old, new = changes.old(SOLD + place) or 0, changes.current(SOLD + place) or 0
        if new < 0 or new - old != offered[place]:
            return Violation.OVERSOLD
        if new > old:
            # A capacity that was lowered meanwhile must not keep offers from being withdrawn.
            meter = changes.current("registry/meter/" + place.rpartition("/")[0])
            if meter is None or new * QUARTERS_AN_HOUR > meter["capacity_w"]:
                return Violation.OVERSOLD
    return None


# -------------------------------------------------------------------------------------------------- trades


def _trades(call: Call, changes: _Changes) -> Violation | None:
    """A trade's terms never change; trades of one meter and interval deliver at most what was metered; one is paid
    once, what it delivered, with both signatures."""
    delivered: Counter[str] = Counter()
    for key in changes.below(TRADES):
        new, old = changes.new(key), changes.old(key)
        if new is None or not 0 <= new["delivered_wh"] <= new["energy_wh"]:
            return Violation.DELIVERY
        if not (_is_new(new) if old is None else _continues(old, new)):
            return Violation.DELIVERY
        if not _is_signed(call, old, new):
            return Violation.SIGNATURES
        if old is not None and old["status"] == "matched":
            delivered[_place(new)] += new["delivered_wh"]
    for place, energy_wh in delivered.items():
        reading = changes.current("settlement/reading/" + place)
        usable = reading is not None and reading["quality"] in ("good", "estimated")
        if energy_wh > (reading["export_wh"] if usable else 0):
            return Violation.DELIVERY
    return None


def _is_new(new: Value) -> bool:
    return new["status"] == "matched" and not any(new[name] for name in ("delivered_wh", "amount", "penalty", "fee"))


def _continues(old: Value, new: Value) -> bool:
    """Terms stay; delivery and payment are fixed once, by the terms; what is settled is over."""
    fixed = ["id", "interval", "meter", "seller", "buyer", "price", "imbalance_price", "energy_wh"]
    if old["status"] != "matched":
        fixed += ["delivered_wh", "amount", "penalty", "fee"]
    if old["status"] == "settled" or any(old[name] != new[name] for name in fixed):
        return False
    if new["status"] == "matched":
        return _is_new(new)
    shortfall = new["energy_wh"] - new["delivered_wh"]
    paid = new["amount"] == new["delivered_wh"] * new["price"] // 1000
    return bool(
        paid and new["penalty"] == shortfall * new["imbalance_price"] // 1000 and 0 <= new["fee"] <= new["amount"]
    )


def _is_signed(call: Call, old: Value, new: Value) -> bool:
    for party in ("seller", "buyer"):
        before = old is not None and old[f"{party}_confirmed"]
        after = new[f"{party}_confirmed"]
        if (before and not after) or (after and not before and new[party] not in call.signers):
            return False
    return bool(new["status"] != "settled" or (new["seller_confirmed"] and new["buyer_confirmed"]))
