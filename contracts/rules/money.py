"""Money is neither made nor lost, no part of an account is negative, and it moves only as settled trades say."""

from __future__ import annotations

from collections import Counter

from contracts.rules.changes import Changes, Violation
from contracts.rules.groups import ACCOUNTS, ADJUSTMENTS, DISPUTES, POLICIES, SEALED, TOTAL, TRADES
from contracts.rules.signatures import are_two_operators, has_signed
from contracts.rules.trades import PAID, fees_of
from ledger.execution import Call
from ledger.values import Value

BALANCING, GRID = "balancing", "grid"
AMOUNT_MAX = 10**15
"""Micro-currency that one call moves."""
PAYMENTS = (("credit", "deposit"), ("credit", "withdraw"), ("credit", "transfer"))


def money(call: Call, changes: Changes) -> Violation | None:
    """An account gains what is settled, decided, adjusted or forfeited by this call; the rest is one deposit or
    withdrawal, which takes operators of two organisations, or one transfer, which takes the payer."""
    gained: Counter[str] = Counter()
    for key in changes.below(ACCOUNTS):
        new, old = changes.new(key), changes.old(key)
        if not _is_account(new, key[len(ACCOUNTS) :]) or new["available"] < 0 or new["held"] < 0:
            return Violation.NEGATIVE_BALANCE
        gained[key[len(ACCOUNTS) :]] += _sum(new) - _sum(old)
    entered = _total(changes, new=True) - _total(changes, new=False) if TOTAL in changes.raw else 0
    if gained.total() != entered:
        return Violation.MONEY
    if entered and not are_two_operators(call, changes):
        return Violation.OPERATORS
    for moved in (_settled(changes), _decided(changes), _adjusted(changes), _forfeited(changes)):
        if moved:
            gained.subtract(moved)
    unexplained = {account: amount for account, amount in gained.items() if amount}
    said = (call.contract, call.function) in PAYMENTS and call.kind == "transaction"
    return Violation.PAYMENT if (said or unexplained) and not _is_said(call, changes, unexplained) else None


def _is_said(call: Call, changes: Changes, moved: dict[str, int]) -> bool:
    """A deposit, a withdrawal, or a transfer by who signs for the payer, of the amount that was signed."""
    if call.contract != "credit" or not isinstance(call.args, dict):
        return False
    account, amount = call.args["account"], call.args["amount"]
    if type(amount) is not int or not 0 < amount <= AMOUNT_MAX:
        return False
    if call.function != "transfer":
        return moved == {account: {"deposit": amount, "withdraw": -amount}.get(call.function)}
    said = {account: -amount, call.args["to"]: amount}
    return moved == said and has_signed(call, account, changes.old(POLICIES + account))


def _settled(changes: Changes) -> Counter[str]:
    """What the trades that both parties have signed now move, by account: all but what is disputed."""
    moved: Counter[str] = Counter()
    for key in changes.below(TRADES):
        new, old = changes.new(key), changes.old(key)
        if new["status"] in PAID and (old is None or old["status"] not in PAID):
            _pay_part(moved, new, 0, new["amount"] - new["buyer_disputed"])
            _pay_penalty(moved, new, new["penalty"] - new["seller_disputed"])
    return moved


def _decided(changes: Changes) -> Counter[str]:
    """What decisions on disputes move."""
    moved: Counter[str] = Counter()
    for key in changes.below(DISPUTES):
        new, old = changes.new(key), changes.old(key)
        if new["status"] == "resolved" and old["status"] == "open":
            trade = changes.current(TRADES + new["trade"])
            if new["side"] == "buyer":
                before = trade["amount"] - new["disputed"]
                _pay_part(moved, trade, before, before + new["paid"])
            else:
                _pay_penalty(moved, trade, new["paid"])
    return moved


def _adjusted(changes: Changes) -> Counter[str]:
    """What the adjustments that are settled now move."""
    moved: Counter[str] = Counter()
    for key in changes.below(ADJUSTMENTS):
        new, old = changes.new(key), changes.old(key)
        if new["status"] == "settled" and (old is None or old["status"] != "settled"):
            moved[new["buyer"]] -= new["amount"]
            moved[new["seller"]] += new["amount"] - new["grid_amount"] - new["fee"] - new["penalty"]
            moved[GRID] += new["grid_amount"]
            moved[BALANCING] += new["fee"] + new["penalty"]
    return moved


def _pay_part(moved: Counter[str], trade: Value, before: int, paid: int) -> None:
    """The buyer's debt, paid further from ``before`` to ``paid``; both fees in proportion, rounded down."""
    grid_part, fee_part = (now - then for now, then in zip(fees_of(trade, paid), fees_of(trade, before), strict=True))
    moved[trade["buyer"]] -= paid - before
    moved[trade["seller"]] += paid - before - grid_part - fee_part
    moved[GRID] += grid_part
    moved[BALANCING] += fee_part


def _pay_penalty(moved: Counter[str], trade: Value, paid: int) -> None:
    moved[trade["seller"]] -= paid
    moved[BALANCING] += paid


def _forfeited(changes: Changes) -> Counter[str]:
    """What sealed orders lose that were not revealed: each its collateral, once."""
    moved: Counter[str] = Counter()
    for key in changes.below(SEALED):
        new, old = changes.new(key), changes.old(key)
        if new is not None and new["status"] == "forfeited" and old is not None and old["status"] == "sealed":
            moved[old["owner"]] -= old["collateral"]
            moved[BALANCING] += old["collateral"]
    return moved


def _is_account(value: Value, name: str) -> bool:
    parts = [value["available"], value["held"]] if isinstance(value, dict) else []
    return [*map(type, parts)] == [int, int] and len(value) == 4 and bool(value["signer"] == name)


def _sum(account: Value) -> int:
    return 0 if account is None else int(account["available"]) + int(account["held"])


def _total(changes: Changes, *, new: bool) -> int:
    value = changes.new(TOTAL) if new else changes.old(TOTAL)
    return 0 if value is None else int(value["total"])
