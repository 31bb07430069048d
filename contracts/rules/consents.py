"""What takes the consent of those who govern."""

from __future__ import annotations

from contracts.rules.changes import Changes, Violation
from contracts.rules.groups import ADMISSION, ARBITER, CHANNELS, ORGANISATIONS, REPORTS
from contracts.rules.signatures import operators
from ledger.epochs import EPOCH_KEY, NEXT_KEY
from ledger.execution import Call

DECIDING = frozenset({"governance", "channels", "registry"})
"""No other contract may write what takes consent."""


def consent(call: Call, changes: Changes) -> Violation | None:
    """Governance, channels, the arbiter and the conditions of admission take operators of as many organisations as the
    rule in force says, and another rule as many as it says itself. What a version's migration writes, they agreed on
    with its source."""
    if call.contract not in DECIDING or call.kind == "migrate":
        return None
    if not any(_takes_consent(call, key, changes) for key in changes.raw):
        return None
    return None if have_consented(call, changes) else Violation.SIGNATURES


def have_consented(call: Call, changes: Changes) -> bool:
    agreed = set(operators(call, changes))
    rules = [changes.old(ORGANISATIONS), changes.current(ORGANISATIONS)]
    return all(len(agreed & set(rule["names"])) >= rule["threshold"] for rule in rules)


def _takes_consent(call: Call, key: str, changes: Changes) -> bool:
    if call.contract == "governance" and call.function == "report":
        # Evidence has validators skipped as primaries, and changes nothing else.
        kept = key == NEXT_KEY and _has_same_validators(changes)
        return key.startswith("governance/") and not kept and not key.startswith(REPORTS)
    return key.startswith(("governance/", CHANNELS)) or key in (ARBITER, ADMISSION)


def _has_same_validators(changes: Changes) -> bool:
    pending = changes.new(NEXT_KEY)
    return pending is not None and pending["epoch"]["validators"] == changes.old(EPOCH_KEY)["validators"]
