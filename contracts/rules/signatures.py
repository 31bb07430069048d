"""Who has signed: for an account by its policy, as a party of a trade, as an operator of an organisation."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation
from contracts.rules.groups import ARBITER, MANDATES, ORGANISATIONS, POLICIES
from ledger.authentication import USER_PREFIX
from ledger.execution import Call
from ledger.values import Value

PARTIES = ("seller", "buyer")
KEYS_MAX = 16
"""Who sign for one account."""


def has_signed(call: Call, account: str, policy: Value) -> bool:
    """Whether this transaction alone carries enough signatures for an account; no policy: its owner's key."""
    if policy is None:
        return account in call.signers
    return bool(len(set(call.signers) & set(policy["keys"])) >= policy["threshold"] > 0)


def is_confirmed_lawfully(call: Call, old: Value, new: Value, side: str, *, by_mandate: bool) -> bool:
    """A party's confirmation is never taken back; it comes by its keys' signatures, or by its mandate."""
    before, after = old is not None and old[f"{side}_confirmed"], new[f"{side}_confirmed"]
    policy, earlier = new[f"{side}_policy"], None if old is None else old[f"{side}_policy"]
    if before and not after:
        return False
    if policy is None:
        return before == after or by_mandate or new[side] in call.signers
    known = [] if earlier is None else earlier["signed"]
    signed = policy["signed"]
    fresh = signed[len(known) :]
    if signed[: len(known)] != known or len(set(signed)) != len(signed):
        return False
    if not set(fresh) <= set(call.signers) & set(policy["keys"]):
        return False
    if not after and len(signed) >= policy["threshold"]:
        return False
    return before == after or by_mandate or len(signed) >= policy["threshold"] > 0


def has_mandate(changes: Changes, account: str) -> bool:
    """Whether who signs for an account now has given a mandate."""
    mandate, policy = changes.current(MANDATES + account), changes.current(POLICIES + account)
    return mandate is not None and (policy is None or policy.get("height", 0) < mandate["height"])


def side_of(record: Value, signer: str) -> str:
    """Whose key it is: the seller's first, as the contract asks."""
    for side in PARTIES:
        policy = record[f"{side}_policy"]
        if signer in ([record[side]] if policy is None else policy["keys"]):
            return side
    return ""


def is_decided(call: Call, old: Value, new: Value, changes: Changes) -> bool:
    """Whether the arbiter in force, neither of the two, signs here what one of them has signed."""
    named = changes.current(ARBITER)
    signed = named is not None and named["signer"] == new.get("arbiter") and named["signer"] in call.signers
    signed = signed and call.function.startswith("decide_") and not side_of(new, named["signer"])
    return bool(
        signed and old is not None and old["status"] == "overdue" and any(old[f"{s}_confirmed"] for s in PARTIES)
    )


def share_control(trade: Value) -> bool:
    """Whether those who sign for one of the parties can be enough to sign for the other."""
    sides = [trade[f"{side}_policy"] or {"keys": [trade[side]], "threshold": 1} for side in PARTIES]
    common = set(sides[0]["keys"]) & set(sides[1]["keys"])
    return bool(len(common) >= min(side["threshold"] for side in sides))


def terms_of(policy: Value) -> Value:
    """A policy without what was signed under it."""
    return None if policy is None else [policy["keys"], policy["threshold"]]


def policies(call: Call, changes: Changes) -> Violation | None:
    """Who signs for an account changes only by who signs for it, and nobody signs for it unasked; a mandate is given by
    the account that it is for."""
    for key in changes.below(POLICIES):
        account = key[len(POLICIES) :]
        new, old = changes.new(key), changes.old(key)
        if not has_signed(call, account, old) or not has_signed(call, account, new):
            return Violation.SIGNATURES
        if new is not None and not 0 < new["threshold"] <= len({*new["keys"]}) == len(new["keys"]) <= KEYS_MAX:
            return Violation.SIGNATURES
        if new is not None and new.get("height") != call.height:
            return Violation.SIGNATURES
        known = {account} if old is None else {*old["keys"]}
        if new is not None and not {*new["keys"]} <= known | {*call.signers}:
            return Violation.SIGNATURES
    for key in changes.below(MANDATES):
        account = key[len(MANDATES) :]
        if not has_signed(call, account, changes.current(POLICIES + account)):
            return Violation.SIGNATURES
    return None


def are_two_operators(call: Call, changes: Changes) -> bool:
    """Whether operators of two organisations that govern sign, or two of the only one."""
    names = changes.old(ORGANISATIONS)["names"]
    organisations = [name for name in operators(call, changes) if name in names]
    return len(organisations) >= 2 and (len(set(organisations)) >= 2 or len(names) == 1)


def operators(call: Call, changes: Changes) -> list[str]:
    """The organisations of the operators that sign, one for each."""
    users = [changes.old(USER_PREFIX + signer) for signer in sorted(set(call.signers))]
    return [user["organisation"] for user in users if user is not None and user["role"] == "operator"]
