"""How long certificates still hold, and what to say of those that soon end."""

from __future__ import annotations

import msgspec
from cryptography import x509

DAY_MS = 86_400_000
WARNING_DAYS = (1, 7, 30)
"""From so many days before its end on, a certificate is spoken of, each time in other words."""


class CertificateStatus(msgspec.Struct, frozen=True):
    """``holder``: "node", or "root" for the CA root that ends first. ``days``: whole days left, negative once it has
    ended. ``warning_days``: within which of 30, 7 and 1 days it ends; 0 if later than that."""

    holder: str
    not_after_ms: int
    days: int
    warning_days: int = 0


def status_of(holder: str, not_after_ms: int, now_ms: int) -> CertificateStatus:
    days = (not_after_ms - now_ms) // DAY_MS
    return CertificateStatus(holder, not_after_ms, days, next((mark for mark in WARNING_DAYS if days < mark), 0))


def not_after_ms_of(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * 1000


def sentence_about(status: CertificateStatus) -> str:
    """What a person should know of a certificate that ends soon, and do; nothing of others."""
    if not status.warning_days:
        return ""
    what = "this node's certificate" if status.holder == "node" else "a CA root's certificate"
    left = {True: "has ended", False: f"ends in {status.days} days"}[status.days < 0]
    if status.days in (0, 1):
        left = "ends today" if status.days == 0 else "ends tomorrow"
    todo = (
        "renew it: wattq ca renew" if status.holder == "node" else "have another root accepted before: wattq ca accept"
    )
    return f"{what} {left}; {todo}"
