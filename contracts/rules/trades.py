"""A trade keeps its terms, delivers no more than was metered, and is paid once, with both signatures."""

from __future__ import annotations

from collections import Counter

from contracts.rules.changes import TRADES, Changes, Violation, place_of
from ledger.execution import Call
from ledger.values import Value

TERMS = (
    "id", "interval", "meter", "buyer_meter", "seller", "buyer", "price", "grid_fee", "imbalance_price", "energy_wh",
    "source",
)  # fmt: skip
OWED = ("amount", "grid_amount", "fee", "penalty")


def trades(call: Call, changes: Changes) -> Violation | None:
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
            delivered[place_of(new)] += new["delivered_wh"]
    for place, energy_wh in delivered.items():
        reading = changes.current("settlement/reading/" + place)
        usable = reading is not None and reading["quality"] in ("good", "estimated")
        if energy_wh > (reading["export_wh"] if usable else 0):
            return Violation.DELIVERY
    return None


def _is_new(new: Value) -> bool:
    return (
        new["status"] == "matched"
        and 0 <= new["grid_fee"] <= new["price"]
        and not any(new[name] for name in ("delivered_wh", *OWED))
    )


def _continues(old: Value, new: Value) -> bool:
    """Terms stay; delivery and payment are fixed once, by the terms; what is settled is over."""
    fixed = TERMS if old["status"] == "matched" else (*TERMS, "delivered_wh", *OWED)
    if old["status"] == "settled" or any(old[name] != new[name] for name in fixed):
        return False
    if new["status"] == "matched":
        return _is_new(new)
    shortfall = new["energy_wh"] - new["delivered_wh"]
    return bool(
        new["amount"] == new["delivered_wh"] * new["price"] // 1000
        and new["grid_amount"] == new["delivered_wh"] * new["grid_fee"] // 1000
        and 0 <= new["fee"] <= new["amount"] - new["grid_amount"]
        and new["penalty"] == shortfall * new["imbalance_price"] // 1000
    )


def _is_signed(call: Call, old: Value, new: Value) -> bool:
    for party in ("seller", "buyer"):
        before = old is not None and old[f"{party}_confirmed"]
        after = new[f"{party}_confirmed"]
        if (before and not after) or (after and not before and new[party] not in call.signers):
            return False
    return bool(new["status"] != "settled" or (new["seller_confirmed"] and new["buyer_confirmed"]))
