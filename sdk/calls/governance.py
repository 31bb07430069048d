"""Calls of the contract `governance`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from typing import Any

from sdk.calling import Call, View


def revoke(*, serial: str, reason: str) -> Call:
    """Revoke a certificate by its serial (hex), from this transaction on.

    Errors: CONSENT_LACKING, ALREADY_REVOKED. Source: market rules, "Admission".
    """
    return Call("governance", "revoke", {"serial": serial, "reason": reason})


def set_parameter(*, name: str, value: int) -> Call:
    """Change a parameter.

    Errors: CONSENT_LACKING, PARAMETER_UNKNOWN, PARAMETER_INVALID. Source: market rules, "Governance".
    """
    return Call("governance", "set_parameter", {"name": name, "value": value})


def set_grid_fee(*, from_zone: str, to_zone: str, fee: int, from_ms: int) -> Call:
    """Set what the grid gets of each kWh from one zone's meters to another's, in micro-currency, for deliveries from
    the time `from_ms` on.

    A fee falls only for intervals that do not trade yet, a week and a quarter of an hour ahead, so that no book is ever
    left crossed. Errors: CONSENT_LACKING, ZONE_INVALID, FEE_INVALID, FEE_TOO_SOON, CHANGE_PENDING. Source: market
    rules, "Grid fee".
    """
    return Call(
        "governance", "set_grid_fee", {"from_zone": from_zone, "to_zone": to_zone, "fee": fee, "from_ms": from_ms}
    )


def set_product(*, name: str, zones: list[Any], mechanism: str, grid_fee: int, ties: str) -> Call:
    """Say how a group of zones trades: "continuous", "auction" (uniform price), or by a contract with a view `clear`.

    `grid_fee`, in micro-currency per kWh, is that of an auction's trades; `ties` at its margin go by "time" or "pro
    rata". A zone is in one product at most; those in none share one continuous book. Offers that stand keep the terms
    they were made under. Errors: CONSENT_LACKING, NAME_INVALID, ZONE_INVALID, ZONE_TAKEN, MECHANISM_UNKNOWN,
    FEE_INVALID, TIES_INVALID. Source: market rules, "Governance".
    """
    return Call(
        "governance",
        "set_product",
        {"name": name, "zones": zones, "mechanism": mechanism, "grid_fee": grid_fee, "ties": ties},
    )


def add_root(*, certificate_der: str) -> Call:
    """Accept certificates of another CA root (base64 DER).

    Errors: CONSENT_LACKING, CERTIFICATE_INVALID, ROOT_KNOWN. Source: market rules, "Admission".
    """
    return Call("governance", "add_root", {"certificate_der": certificate_der})


def remove_root(*, fingerprint: str) -> Call:
    """Accept no more registrations under a root.

    Errors: CONSENT_LACKING, NOT_FOUND, LAST_ROOT. Source: market rules, "Admission".
    """
    return Call("governance", "remove_root", {"fingerprint": fingerprint})


def deploy(*, name: str, source: str) -> Call:
    """Put a new contract in force after this transaction; returns its source's SHA-256 (hex).

    Checking takes 10 gas a byte and 50 a node. Errors: CONSENT_LACKING, CONTRACT_KNOWN, NAME_INVALID, CONTRACT_INVALID.
    Source: market rules, "Governance".
    """
    return Call("governance", "deploy", {"name": name, "source": source})


def upgrade(*, name: str, source: str, at_height: int) -> Call:
    """Have a contract's next version begin with the block at `at_height`; returns its source's SHA-256 (hex).

    The new source's `migrate()`, if it has one, runs there first, for 125,000 gas at most; if it fails, the version in
    force stays, and the event `upgrade_failed` says why. Contracts that the ledger and the market rely on keep every
    way in. Errors: CONSENT_LACKING, NOT_FOUND, UPGRADE_PENDING, TOO_MANY_UPGRADES, HEIGHT_INVALID, CONTRACT_INVALID,
    INTERFACE_LOST. Source: market rules, "Governance".
    """
    return Call("governance", "upgrade", {"name": name, "source": source, "at_height": at_height})


def cancel_upgrade(*, name: str) -> Call:
    """Drop a pending upgrade. Errors: CONSENT_LACKING, NOTHING_PENDING. Source: market rules, "Governance"."""
    return Call("governance", "cancel_upgrade", {"name": name})


def set_organisations(*, names: list[Any], threshold: int) -> Call:
    """Change who decides. Those who sign must be enough under the new rule too, so that nobody is locked out.

    Errors: CONSENT_LACKING, ORGANISATIONS_INVALID. Source: market rules, "Governance".
    """
    return Call("governance", "set_organisations", {"names": names, "threshold": threshold})


def set_validators(*, validators: list[Any], first_primary: int, at_height: int) -> Call:
    """Schedule other validators: a list of {"name", "public_key" (base64), "address"}; `first_primary` leads first.

    They take over after a boundary at or above `at_height`, a window from now at the soonest; it is returned. Errors:
    CONSENT_LACKING, CHANGE_PENDING, TOO_FEW_VALIDATORS, TOO_FAR_AHEAD, EPOCH_INVALID. Source: market rules,
    "Validators".
    """
    return Call(
        "governance",
        "set_validators",
        {"validators": validators, "first_primary": first_primary, "at_height": at_height},
    )


def cancel_change() -> Call:
    """Drop the change of validators that is pending.

    Errors: CONSENT_LACKING, NOTHING_PENDING. Source: market rules, "Validators".
    """
    return Call("governance", "cancel_change", {})


def report(*, evidence: str) -> Call:
    """Have a validator skipped as primary for `skip_blocks` blocks, on evidence (base64) that it lied or was slow.

    Errors: EVIDENCE_INVALID, NOT_A_VALIDATOR, ALREADY_REPORTED, ALREADY_SKIPPED, TOO_MANY_SKIPPED, CHANGE_PENDING.
    Source: market rules, "Validators".
    """
    return Call("governance", "report", {"evidence": evidence})


def get_epoch() -> View:
    """The epoch in force and the pending change, or None for it. Source: market rules, "Validators"."""
    return View("governance", "get_epoch", {})


def get_contract(*, name: str) -> View:
    """The version in force: {"sha256", "version", "source"}, with the pending upgrade or None as "next"; or None.

    Source: market rules, "Governance".
    """
    return View("governance", "get_contract", {"name": name})


def get_versions(*, name: str, after: int) -> View:
    """Versions above `after` that took over, 100 at most, in order; the first is listed from the second on.

    Source: market rules, "Governance".
    """
    return View("governance", "get_versions", {"name": name, "after": after})


def get_source(*, sha256_hex: str) -> View:
    """A source by its SHA-256 (hex), in force or not; or None. Source: market rules, "Governance"."""
    return View("governance", "get_source", {"sha256_hex": sha256_hex})
