"""A dispute freezes what its party owes and names; two of seller, buyer and arbiter decide on it, once."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation, place_of
from contracts.rules.groups import ADJUSTMENTS, ARBITER, DISPUTES, SHARES, TRADES
from contracts.rules.signatures import PARTIES, has_signed, side_of
from ledger.authentication import authenticate
from ledger.execution import Call
from ledger.values import Value, encode_value

DUE = {"seller": "penalty", "buyer": "amount"}
VOTERS = (*PARTIES, "arbiter")


def disputes(call: Call, changes: Changes) -> Violation | None:
    """Who disputes has signed, for 1 up to what it owes; votes are their voters', and the others' stay; two alike
    decide. Each record is to the byte what the call makes of it: of one that lacks a vote's place nobody could decide.
    """
    for key in changes.below(DISPUTES):
        old = changes.old(key)
        record = _opened(call, changes, key) if old is None else _voted(call, changes, old)
        if record is None or changes.raw[key] != encode_value(record):
            return Violation.DISPUTE
    return None


def open_disputes(changes: Changes, trade: str) -> int:
    records = [changes.current(f"{DISPUTES}{trade}-{side}") for side in PARTIES]
    return sum(record is not None and record["status"] == "open" for record in records)


def _opened(call: Call, changes: Changes, key: str) -> Value:
    """The dispute that was signed, of the caller's side, or None where it may not be. Who disputes had not confirmed,
    and confirms the rest by it; the trade's own rule looks at its signature."""
    if (call.contract, call.function) != ("settlement", "dispute") or not isinstance(call.args, dict):
        return None
    name, amount = call.args["trade"], call.args["amount"]
    trade, before = changes.current(TRADES + name), changes.old(TRADES + name)
    side = side_of(trade, call.signers[0])
    if key != f"{DISPUTES}{name}-{side}" or not 0 < amount <= trade[DUE[side]]:
        return None
    if not has_signed(call, trade[side], trade[f"{side}_policy"]):
        return None
    confirmed = trade[f"{side}_confirmed"] and not before[f"{side}_confirmed"]
    if not confirmed or trade["status"] not in ("proposed", "overdue", "disputed"):
        return None
    if not _are_repriced(changes, trade):
        return None
    return {
        "type": "dispute",
        "id": f"{name}-{side}",
        "trade": name,
        "side": side,
        "seller": trade["seller"],
        "buyer": trade["buyer"],
        "arbiter": _in_force(changes),
        "disputed": amount,
        "paid": 0,
        "reason": call.args["reason"],
        "votes": dict.fromkeys(VOTERS),
        "status": "open",
    }


def _are_repriced(changes: Changes, trade: Value) -> bool:
    """Whether what corrections changed of the trade is priced anew, beside the disputed part."""
    _, _, count = changes.current(f"{SHARES}{place_of(trade)}/{trade['id']}")
    return all(f"{ADJUSTMENTS}{trade['id']}-{number:02d}" in changes.raw for number in range(1, count + 1))


def _in_force(changes: Changes) -> str:
    named = changes.current(ARBITER)
    return "" if named is None else str(named["signer"])


def _voted(call: Call, changes: Changes, old: Value) -> Value:
    """The dispute with the votes that this call's signers give, or None where they give none. Another arbiter decides
    in place of one who may not act any more, and that one's vote is none any more. A decision is told by the trade."""
    if (call.contract, call.function) != ("settlement", "resolve") or not isinstance(call.args, dict):
        return None
    if old["status"] != "open" or not 0 <= call.args["paid"] <= old["disputed"]:
        return None
    trade, paid = changes.current(TRADES + old["trade"]), call.args["paid"]
    arbiter, votes = old["arbiter"], dict(old["votes"])
    if not _may_decide(call, changes, trade, arbiter):
        arbiter, votes["arbiter"] = _in_force(changes), None
    voters = [side for side in PARTIES if has_signed(call, trade[side], trade[f"{side}_policy"])]
    if arbiter in call.signers and _may_decide(call, changes, trade, arbiter):
        voters.append("arbiter")
    votes |= dict.fromkeys(voters, paid)
    decided = sum(vote == paid for vote in votes.values()) > 1
    if not voters or (decided and TRADES + old["trade"] not in changes.raw):
        return None
    ended = {"paid": paid, "status": "resolved"} if decided else {}
    return {**old, "arbiter": arbiter, "votes": votes, **ended}


def _may_decide(call: Call, changes: Changes, trade: Value, arbiter: str) -> bool:
    """A third: one key has one of the three votes."""
    return not side_of(trade, arbiter) and authenticate(changes.base, arbiter, ("arbiter",), call.block_time_ms) is None
