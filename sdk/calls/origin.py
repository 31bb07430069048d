"""Calls of the contract `origin`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

from typing import Any

from sdk.calling import Call, View


def mint(*, meter: str, intervals: list[Any]) -> Call:
    """Certify what a meter exported in up to 100 intervals and is not certified yet; returns the certificates' ids.

    Whoever asks, they belong to the meter's owner at the reading. Errors: TOO_MANY, INTERVAL_INVALID, NOT_METERED.
    Source: market rules, "Origin".
    """
    return Call("origin", "mint", {"meter": meter, "intervals": intervals})


def transfer(*, certificate_id: str, to: str, energy_wh: int) -> Call:
    """Pass one's certificate on, whole or in part; returns the id of the one that the other now has.

    Errors: NOT_FOUND, NOT_YOURS, NOT_ACTIVE, ENERGY_INVALID, SAME_OWNER, TOO_MANY_PARTS, and why the other may not act.
    Source: market rules, "Origin".
    """
    return Call("origin", "transfer", {"certificate_id": certificate_id, "to": to, "energy_wh": energy_wh})


def claim(*, certificate_id: str, energy_wh: int, purpose: str) -> Call:
    """Use one's certificate up, whole or in part, for a purpose; returns the claimed one's id. It cannot be undone.

    Errors: NOT_FOUND, NOT_YOURS, NOT_ACTIVE, ENERGY_INVALID, PURPOSE_INVALID, TOO_MANY_PARTS. Source: market rules,
    "Origin".
    """
    return Call("origin", "claim", {"certificate_id": certificate_id, "energy_wh": energy_wh, "purpose": purpose})


def get_certificate(*, certificate_id: str) -> View:
    """A certificate's record, or None. Energy is Wh. Source: market rules, "Origin"."""
    return View("origin", "get_certificate", {"certificate_id": certificate_id})


def certificates_of(*, meter: str, interval: int) -> View:
    """All certificates of a meter's interval, at most 100. Energy is Wh. Source: market rules, "Origin"."""
    return View("origin", "certificates_of", {"meter": meter, "interval": interval})
