"""Whose offers they are: nobody is bound without a signature."""

from __future__ import annotations

from hashlib import sha256

from contracts.rules.changes import Changes, Violation
from contracts.rules.groups import AUCTIONED, DIRECTED, OFFERS, POLICIES, SEALED, TRADES
from contracts.rules.signatures import has_signed
from contracts.rules.terms import owner_of
from ledger.execution import Call

SEALED_TERMS = ("owner", "product", "interval", "meter", "commitment", "collateral")


def consents(call: Call, changes: Changes) -> Violation | None:
    """Who offers, takes a listing or accepts an offer has signed, and so has who signs for the account; a sealed order
    is revealed as it was committed."""
    for prefix in OFFERS:
        for key in changes.below(prefix):
            new, old = changes.new(key), changes.old(key)
            if old is None and not _consents(call, changes, owner_of(new)):
                return Violation.SIGNATURES
            if prefix == DIRECTED and new["status"] == "accepted" and not _consents(call, changes, new["to"]):
                return Violation.SIGNATURES
    for key in changes.below(TRADES):
        if changes.old(key) is None:
            trade = changes.new(key)
            if trade["source"] == "listing" and not _consents(call, changes, trade["buyer"]):
                return Violation.SIGNATURES
            if trade["source"] == "offer" and not {trade["seller"], trade["buyer"]} & set(call.signers):
                return Violation.SIGNATURES
    return None if all(_is_sealed_lawfully(call, changes, key) for key in changes.below(SEALED)) else Violation.SEALED


def _consents(call: Call, changes: Changes, account: str) -> bool:
    return account in call.signers and has_signed(call, account, changes.current(POLICIES + account))


def _is_sealed_lawfully(call: Call, changes: Changes, key: str) -> bool:
    """Sealed by its owner; then revealed by its owner as what it was, or forfeited by time."""
    new, old = changes.new(key), changes.old(key)
    if old is None:
        return bool(new["status"] == "sealed" and new["owner"] in call.signers)
    if old["status"] != "sealed" or any(old[name] != new[name] for name in SEALED_TERMS):
        return False
    if new["status"] == "forfeited":
        return call.kind == "deadline"
    order = changes.new(AUCTIONED + key[len(SEALED) :])
    said = [order[name] for name in ("owner", "meter", "interval", "side", "energy_wh", "price")]
    text = "/".join(str(part) for part in [*said, new["salt"]])
    return bool(new["status"] == "revealed" and sha256(text.encode()).hexdigest() == old["commitment"])
