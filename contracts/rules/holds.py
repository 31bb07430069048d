"""A hold equals its open obligations: an account holds what its offers, trades and disputes may cost, no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from contracts.rules.changes import Changes, Violation
from contracts.rules.groups import ACCOUNTS, ADJUSTMENTS, DISPUTES, OFFERS, SEALED, TRADES
from contracts.rules.signatures import PARTIES
from ledger.execution import Call
from ledger.values import Value

Debts = list[tuple[str, int]]
"""Accounts, and how much of each is to be held, in micro-currency."""


def holds(call: Call, changes: Changes) -> Violation | None:
    """What this call adds to held parts, by account, is what it adds to obligations."""
    held: Counter[str] = Counter()
    for key in changes.below(ACCOUNTS):
        new, old = changes.new(key), changes.old(key)
        held[key[len(ACCOUNTS) :]] += new["held"] - (0 if old is None else old["held"])
    for prefix, debts in OBLIGATIONS:
        for key in changes.below(prefix):
            for value, sign in ((changes.new(key), 1), (changes.old(key), -1)):
                for account, amount in [] if value is None else debts(value):
                    held[account] -= sign * amount
    return Violation.HOLD if any(held.values()) else None


def _offer(offer: Value) -> Debts:
    """Rounded up: no offer is free, and none is held for less than its trades may cost."""
    if offer["status"] != "open":
        return []
    if "seller" in offer:
        return [(offer["seller"], -(-offer["remaining_wh"] * offer["imbalance_price"] // 1000))]
    return [(offer["owner"], -(-offer["remaining_wh"] * offer["collateral_price"] // 1000))]


def _sealed(order: Value) -> Debts:
    return [(order["owner"], order["collateral"])] if order["status"] == "sealed" else []


def _trade(trade: Value) -> Debts:
    """All that it can cost until it is metered, then what is due; of a disputed part the dispute takes care. Where no
    reading was the ground, a late one may make the buyer owe all of it."""
    if trade["status"] == "matched":
        buyers, sellers = trade["price"], trade["imbalance_price"]
        return [
            (trade["buyer"], trade["energy_wh"] * buyers // 1000),
            (trade["seller"], trade["energy_wh"] * sellers // 1000),
        ]
    if trade["status"] in ("proposed", "overdue"):
        bought = trade["energy_wh"] * trade["price"] // 1000 if trade.get("unread") else trade["amount"]
        return [
            (trade["buyer"], bought - trade["buyer_disputed"]),
            (trade["seller"], trade["penalty"] - trade["seller_disputed"]),
        ]
    return []


def _dispute(dispute: Value) -> Debts:
    return [(dispute[dispute["side"]], dispute["disputed"])] if dispute["status"] == "open" else []


def _adjustment(record: Value) -> Debts:
    """Who has signed holds what it costs, and the buyer whose trade's hold has covered it."""
    if record["status"] not in ("proposed", "overdue"):
        return []
    earned = record["amount"] - record["grid_amount"] - record["fee"] - record["penalty"]
    costs = {"seller": max(0, -earned), "buyer": max(0, record["amount"])}
    covered = {"seller": False, "buyer": record.get("covered", False)}
    return [(record[side], costs[side]) for side in PARTIES if record[f"{side}_confirmed"] or covered[side]]


OBLIGATIONS: tuple[tuple[str, Callable[[Value], Debts]], ...] = (
    *((prefix, _offer) for prefix in OFFERS),
    (SEALED, _sealed),
    (TRADES, _trade),
    (DISPUTES, _dispute),
    (ADJUSTMENTS, _adjustment),
)
