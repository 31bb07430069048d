"""Records say what they are: whoever reads the state, an index or a proof, goes by it."""

from __future__ import annotations

from contracts.rules.certificates import CERTIFICATES, MINTED
from contracts.rules.changes import TRADES, Changes, Violation
from contracts.rules.consents import METERS
from contracts.rules.deliveries import ADJUSTMENTS, READINGS, SUPERSEDED
from contracts.rules.disputes import DISPUTES
from contracts.rules.fills import AUCTIONED, DIRECTED, LISTINGS, ORDERS, RUNS
from contracts.rules.money import ACCOUNTS, SEALED
from contracts.rules.settings import REVOKED
from contracts.rules.signatures import MANDATES, POLICIES
from ledger.authentication import USER_PREFIX
from ledger.execution import Call

TYPES = {
    LISTINGS: "listing", ORDERS: "order", AUCTIONED: "order", DIRECTED: "offer", SEALED: "sealed", RUNS: "auction",
    TRADES: "trade", ADJUSTMENTS: "adjustment", DISPUTES: "dispute", READINGS: "reading", SUPERSEDED: "reading",
    MANDATES: "mandate", CERTIFICATES: "certificate", MINTED: "minted", POLICIES: "policy", ACCOUNTS: "account",
    METERS: "meter", USER_PREFIX: "user", REVOKED: "revocation",
}  # fmt: skip


def types(call: Call, changes: Changes) -> Violation | None:
    for group in changes.groups:
        named = TYPES.get(group)
        if named is None:
            continue
        for key in changes.below(group):
            record = changes.new(key)
            if record is not None and record["type"] != named:
                return Violation.SHAPE
    return None
