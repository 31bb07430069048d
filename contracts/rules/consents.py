"""What takes the consent of those who govern, and who may write of users and meters: a certificate, or an operator."""

from __future__ import annotations

import base64

from contracts.rules.changes import Changes, Violation
from contracts.rules.signatures import ARBITER, operators
from ledger.authentication import USER_PREFIX, read_certificate
from ledger.epochs import EPOCH_KEY, NEXT_KEY
from ledger.execution import Call
from ledger.values import Value

ADMISSION, METERS = "registry/admission", "registry/meter/"
ORGANISATIONS = "governance/organisations"
REPORTS = "governance/report/"
DECIDING = frozenset({"governance", "channels", "registry"})
"""No other contract may write what takes consent."""
CERTIFIED = ("signer", "name", "organisation", "role", "serial", "issuer", "not_before_ms", "not_after_ms")
"""What a user's record has from its certificate."""


def consent(call: Call, changes: Changes) -> Violation | None:
    """Governance, channels, the arbiter and the conditions of admission take operators of as many organisations as the
    rule in force says, and another rule as many as it says itself. What a version's migration writes, they agreed on
    with its source."""
    if call.contract not in DECIDING or call.kind == "migrate":
        return None
    if not any(_takes_consent(call, key, changes) for key in changes.raw):
        return None
    agreed = set(operators(call, changes))
    rules = [changes.old(ORGANISATIONS), changes.current(ORGANISATIONS)]
    enough = all(len(agreed & set(rule["names"])) >= rule["threshold"] for rule in rules)
    return None if enough else Violation.SIGNATURES


def _takes_consent(call: Call, key: str, changes: Changes) -> bool:
    if call.contract == "governance" and call.function == "report":
        # Evidence has validators skipped as primaries, and changes nothing else.
        kept = key == NEXT_KEY and _has_same_validators(changes)
        return key.startswith("governance/") and not kept and not key.startswith(REPORTS)
    return key.startswith(("governance/", "channels/")) or key in (ARBITER, ADMISSION)


def _has_same_validators(changes: Changes) -> bool:
    pending = changes.new(NEXT_KEY)
    return pending is not None and pending["epoch"]["validators"] == changes.old(EPOCH_KEY)["validators"]


def people(call: Call, changes: Changes) -> Violation | None:
    """A user is who a certificate of this network says, that the call shows, and suspended or not by who may; meters
    are bound by operators."""
    for key in changes.below(USER_PREFIX):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != USER_PREFIX + new["signer"]:
            return Violation.SIGNATURES
        entered = _is_certified(call, new, changes) and new["suspended"] == (old is not None and old["suspended"])
        if not entered and not _is_suspension(call, old, new, changes):
            return Violation.SIGNATURES
    for key in changes.below(METERS):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != METERS + new["meter"]:
            return Violation.SIGNATURES
        if not operators(call, changes) and not _is_suspension(call, old, new, changes):
            return Violation.SIGNATURES
    return None


def _is_certified(call: Call, user: Value, changes: Changes) -> bool:
    shown = call.args.get("certificate_der") if isinstance(call.args, dict) else None
    if not isinstance(shown, str):
        return False
    facts = read_certificate(changes.base, base64.b64decode(shown))
    return facts is not None and all(user[name] == getattr(facts, name) for name in CERTIFIED)


def _is_suspension(call: Call, old: Value, new: Value, changes: Changes) -> bool:
    """Operators and regulators say who or what is suspended, and nothing else of it."""
    if old is None or {**old, "suspended": None} != {**new, "suspended": None}:
        return False
    signers = [changes.old(USER_PREFIX + signer) for signer in call.signers]
    return any(user is not None and user["role"] in ("operator", "regulator") for user in signers)
