"""A dispute freezes what its party owes and names; two of seller, buyer and arbiter decide on it, once."""

from __future__ import annotations

from contracts.rules.changes import TRADES, Changes, Violation
from contracts.rules.signatures import ARBITER, PARTIES, has_signed
from ledger.authentication import authenticate
from ledger.execution import Call
from ledger.values import Value

DISPUTES = "settlement/dispute/"
TERMS = ("id", "trade", "side", "seller", "buyer", "disputed", "reason")
DUE = {"seller": "penalty", "buyer": "amount"}


def disputes(call: Call, changes: Changes) -> Violation | None:
    """Who disputes has signed, for 1 up to what it owes; votes are their voters'; two alike decide."""
    for key in changes.below(DISPUTES):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != f"{DISPUTES}{new['trade']}-{new['side']}" or key != DISPUTES + new["id"]:
            return Violation.DISPUTE
        trade = changes.current(TRADES + new["trade"])
        before = changes.old(TRADES + new["trade"])
        if not (_opens(new, before, trade, changes) if old is None else _continues(call, old, new, trade, changes)):
            return Violation.DISPUTE
    return None


def open_disputes(changes: Changes, trade: str) -> int:
    records = [changes.current(f"{DISPUTES}{trade}-{side}") for side in PARTIES]
    return sum(record is not None and record["status"] == "open" for record in records)


def _opens(new: Value, before: Value, trade: Value, changes: Changes) -> bool:
    """Who disputes had not confirmed, and confirms the rest by it; the trade's own rule looks at its signature."""
    side = new["side"]
    named = changes.current(ARBITER)
    return bool(
        new["arbiter"] == ("" if named is None else named["signer"])
        and 0 < new["disputed"] <= trade[DUE[side]]
        and new["status"] == "open"
        and new["paid"] == 0
        and not any(vote is not None for vote in new["votes"].values())
        and trade[f"{side}_confirmed"]
        and not before[f"{side}_confirmed"]
        and trade["status"] in ("proposed", "overdue", "disputed")
        and new["seller"] == trade["seller"]
        and new["buyer"] == trade["buyer"]
    )


def _continues(call: Call, old: Value, new: Value, trade: Value, changes: Changes) -> bool:
    if old["status"] != "open" or any(old[name] != new[name] for name in TERMS):
        return False
    named = changes.current(ARBITER)
    if new["arbiter"] != old["arbiter"]:
        replaced = authenticate(changes.base, old["arbiter"], ("arbiter",), call.block_time_ms) is not None
        if not replaced or new["arbiter"] != ("" if named is None else named["signer"]):
            return False
    votes = new["votes"]
    for voter, vote in votes.items():
        if vote == old["votes"][voter]:
            continue
        if voter == "arbiter":
            if new["arbiter"] not in call.signers:
                return False
        elif not has_signed(call, trade[voter], trade[f"{voter}_policy"]):
            return False
    if new["status"] == "open":
        return bool(new["paid"] == 0)
    agreed = sum(votes[voter] == new["paid"] for voter in ("seller", "buyer", "arbiter"))
    return bool(new["status"] == "resolved" and agreed > 1 and 0 <= new["paid"] <= new["disputed"])
