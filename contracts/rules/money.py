"""Money is neither made nor lost, no part of an account is negative, and it moves only as settled trades say."""

from __future__ import annotations

from collections import Counter

from contracts.rules.changes import TRADES, Changes, Violation
from ledger.execution import Call
from ledger.values import Value

ACCOUNTS = "credit/account/"
SEALED = "auction/sealed/"
BALANCING, GRID = "balancing", "grid"


def money(call: Call, changes: Changes) -> Violation | None:
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
    gained.subtract(_forfeited(changes))
    unexplained = [amount for amount in gained.values() if amount]
    return None if unexplained == ([entered] if entered else []) else Violation.PAYMENT


def _settled(changes: Changes) -> Counter[str]:
    """What the trades that are settled now move, by account."""
    moved: Counter[str] = Counter()
    for key in changes.below(TRADES):
        new, old = changes.new(key), changes.old(key)
        if new["status"] == "settled" and (old is None or old["status"] != "settled"):
            moved[new["buyer"]] -= new["amount"]
            moved[new["seller"]] += new["amount"] - new["grid_amount"] - new["fee"] - new["penalty"]
            moved[GRID] += new["grid_amount"]
            moved[BALANCING] += new["fee"] + new["penalty"]
    return moved


def _forfeited(changes: Changes) -> Counter[str]:
    """What sealed orders lose that were not revealed: each its collateral, once."""
    moved: Counter[str] = Counter()
    for key in changes.below(SEALED):
        new, old = changes.new(key), changes.old(key)
        if new is not None and new["status"] == "forfeited" and old is not None and old["status"] == "sealed":
            moved[old["owner"]] -= old["collateral"]
            moved[BALANCING] += old["collateral"]
    return moved


def _is_account(value: Value) -> bool:
    return isinstance(value, dict) and type(value.get("available")) is int and type(value.get("held")) is int


def _sum(account: Value) -> int:
    return 0 if account is None else int(account["available"]) + int(account["held"])


def _total(changes: Changes, *, new: bool) -> int:
    value = changes.new("credit/total") if new else changes.old("credit/total")
    return 0 if value is None else int(value["total"])
