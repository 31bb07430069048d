"""Who may write of users and meters: a certificate, or an operator; and who and what is admitted."""

from __future__ import annotations

import base64

from contracts.rules.changes import Changes, Violation
from contracts.rules.consents import have_consented
from contracts.rules.groups import ADMISSION, METERS, PARAMETERS, REVOKED
from contracts.rules.signatures import operators
from ledger.authentication import USER_PREFIX, read_certificate
from ledger.execution import Call
from ledger.values import Value

CERTIFIED = ("signer", "name", "organisation", "role", "serial", "issuer", "not_before_ms", "not_after_ms")
"""What a user's record has from its certificate."""
MEMBERS_ONLY = PARAMETERS + "members_only"
CAPACITY_W_MAX, NAME_CHARS_MAX = 10**9, 64


def people(call: Call, changes: Changes) -> Violation | None:
    """A user is who a certificate of this network says, that the call shows, and suspended or not by who may; meters
    are bound by operators."""
    for key in changes.below(USER_PREFIX):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != USER_PREFIX + new["signer"]:
            return Violation.SIGNATURES
        if not _is_suspension(call, old, new, changes) and not _enters(call, old, new, changes):
            return Violation.SIGNATURES
    for key in changes.below(METERS):
        new, old = changes.new(key), changes.old(key)
        if new is None or key != METERS + new["meter"]:
            return Violation.SIGNATURES
        if _is_suspension(call, old, new, changes):
            continue
        if not operators(call, changes) or not _is_meter_admitted(new, changes):
            return Violation.SIGNATURES
    return None


def _enters(call: Call, old: Value, user: Value, changes: Changes) -> bool:
    """By itself or by an operator, with a valid certificate that is no older, on the conditions of admission; what was
    decided about it before stays."""
    if not _is_certified(call, user, changes) or not _may_enter(call, old, user, changes):
        return False
    kept = [False, call.height] if old is None else [old["suspended"], old["registered_height"]]
    return bool([user["suspended"], user["registered_height"]] == kept)


def _is_certified(call: Call, user: Value, changes: Changes) -> bool:
    shown = call.args.get("certificate_der") if isinstance(call.args, dict) else None
    if not isinstance(shown, str):
        return False
    facts = read_certificate(changes.base, base64.b64decode(shown))
    if facts is None or any(user[name] != getattr(facts, name) for name in CERTIFIED):
        return False
    in_time = user["not_before_ms"] <= call.block_time_ms <= user["not_after_ms"]
    return bool(in_time and changes.current(REVOKED + user["serial"]) is None)


def _may_enter(call: Call, old: Value, user: Value, changes: Changes) -> bool:
    """For whose certificate was revoked, those who govern consent."""
    if old is not None and user["not_after_ms"] < old["not_after_ms"]:
        return False
    barred = old is not None and changes.current(REVOKED + old["serial"]) is not None
    if call.function == "register":
        closed = changes.current(MEMBERS_ONLY)
        open_to_all = old is not None or closed is None or closed["value"] == 0
        if barred or not open_to_all or user["signer"] != call.signers[0]:
            return False
    elif call.function != "admit" or (barred and not have_consented(call, changes)):
        return False
    rule = changes.current(ADMISSION)
    if rule is None or user["role"] in ("operator", "node"):
        return True
    return all(
        not rule[condition] or user[name] in rule[condition]
        for condition, name in (("organisations", "organisation"), ("roles", "role"))
    )


def _is_meter_admitted(meter: Value, changes: Changes) -> bool:
    rule = changes.current(ADMISSION)
    most_w = CAPACITY_W_MAX if rule is None else rule["capacity_max_w"]
    named = all(0 < len(meter[name]) <= NAME_CHARS_MAX and "/" not in meter[name] for name in ("meter", "zone"))
    in_zone = rule is None or not rule["zones"] or meter["zone"] in rule["zones"]
    return bool(named and in_zone and 0 < meter["capacity_w"] <= most_w)


def _is_suspension(call: Call, old: Value, new: Value, changes: Changes) -> bool:
    """Operators and regulators say who or what is suspended, and nothing else of it."""
    if old is None or {**old, "suspended": None} != {**new, "suspended": None}:
        return False
    signers = [changes.old(USER_PREFIX + signer) for signer in call.signers]
    return any(user is not None and user["role"] in ("operator", "regulator") for user in signers)
