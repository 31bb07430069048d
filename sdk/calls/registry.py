"""Calls of the contract `registry`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from typing import Any

from sdk.calling import Call, View


def register(*, certificate_der: str) -> Call:
    """Register the caller with its base64 DER certificate, or renew an earlier registration.

    Errors: CERTIFICATE_INVALID, NOT_YOUR_CERTIFICATE, MEMBERS_ONLY, NOT_ADMITTED, CERTIFICATE_NOT_YET_VALID,
    CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, OLDER_CERTIFICATE. Source: market rules, "Admission".
    """
    return Call("registry", "register", {"certificate_der": certificate_der})


def admit(*, certificate_der: str) -> Call:
    """Register somebody with its base64 DER certificate, the way it would itself; its signer is returned.

    For a key whose certificate was revoked, operators of enough organisations sign. Errors: CERTIFICATE_INVALID,
    CONSENT_LACKING, NOT_ADMITTED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED,
    OLDER_CERTIFICATE. Source: market rules, "Admission".
    """
    return Call("registry", "admit", {"certificate_der": certificate_der})


def set_admission(*, organisations: list[Any], roles: list[Any], zones: list[Any], capacity_max_w: int) -> Call:
    """Say who may register or renew, by organisation and role, and which meters may be bound, by zone and capacity in
    W. An empty list demands nothing. Who and what is there already stays.

    Operators of enough organisations sign. Errors: CONSENT_LACKING, ADMISSION_INVALID, CAPACITY_INVALID. Source: market
    rules, "Admission".
    """
    return Call(
        "registry",
        "set_admission",
        {"organisations": organisations, "roles": roles, "zones": zones, "capacity_max_w": capacity_max_w},
    )


def set_arbiter(*, user: str) -> Call:
    """Name the arbiter of disputes that begin from now on; operators of enough organisations sign.

    Errors: CONSENT_LACKING, and why that user may not act as arbiter. Source: market rules, "Dispute".
    """
    return Call("registry", "set_arbiter", {"user": user})


def suspend(*, user: str, reason: str) -> Call:
    """Bar a user from acting until resumed. Errors: NOT_FOUND. Source: market rules, "Admission"."""
    return Call("registry", "suspend", {"user": user, "reason": reason})


def resume(*, user: str) -> Call:
    """Let a suspended user act again. Errors: NOT_FOUND. Source: market rules, "Admission"."""
    return Call("registry", "resume", {"user": user})


def bind_meter(*, meter: str, owner: str, zone: str, capacity_w: int, gateway: str) -> Call:
    """Bind a meter to its owner, grid zone, rated capacity in W, and the gateway that signs its readings.

    Bound again, a meter gets new terms; what was offered and traded keeps its own. Errors: METER_INVALID, ZONE_INVALID,
    CAPACITY_INVALID, or why owner or gateway may not act. Source: market rules, "Meters".
    """
    return Call(
        "registry",
        "bind_meter",
        {"meter": meter, "owner": owner, "zone": zone, "capacity_w": capacity_w, "gateway": gateway},
    )


def suspend_meter(*, meter: str, reason: str) -> Call:
    """Let nothing more be offered or bought with a meter until resumed; its trades go on.

    Errors: NOT_FOUND. Source: market rules, "Meters".
    """
    return Call("registry", "suspend_meter", {"meter": meter, "reason": reason})


def resume_meter(*, meter: str) -> Call:
    """Let a suspended meter be used again. Errors: NOT_FOUND. Source: market rules, "Meters"."""
    return Call("registry", "resume_meter", {"meter": meter})


def get_user(*, signer: str) -> View:
    """A user's record, or None. Source: market rules, "Admission"."""
    return View("registry", "get_user", {"signer": signer})


def get_meter(*, serial: str) -> View:
    """A meter's record, or None. Its capacity is in W. Source: market rules, "Meters"."""
    return View("registry", "get_meter", {"serial": serial})


def get_arbiter() -> View:
    """The signer of the arbiter in force, or None. Source: market rules, "Dispute"."""
    return View("registry", "get_arbiter", {})


def get_admission() -> View:
    """What is demanded of users and meters, or None. `capacity_max_w` is in W. Source: market rules, "Admission"."""
    return View("registry", "get_admission", {})
