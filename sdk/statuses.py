"""The HTTP status of every refusal of a transaction, in one place: at the edge and after it has executed alike.

401 is left to sessions, 404 to what is read, 5xx to what another node, or the same one later, may answer otherwise.
"""

from __future__ import annotations

FAILED = 422
"""Whatever is not listed: the contract, the machine or the validation module refused what the call asks for."""
RETRIED_STATUS = frozenset({421, 429, 500, 503, 504})
"""Refusals that another node, or the same one later, may not repeat."""

_CODES: dict[int, frozenset[str]] = {
    400: frozenset({"PAYLOAD_INVALID", "SIGNERS_MISMATCH"}),
    403: frozenset({
        "NOT_REGISTERED", "CERTIFICATE_NOT_YET_VALID", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "SUSPENDED",
        "ROLE_REQUIRED", "TWO_OPERATORS", "NOT_YOURS", "NOT_YOUR_METER", "NOT_YOUR_CERTIFICATE", "NOT_PARTY",
        "VALIDATION_OPERATORS", "VALIDATION_SIGNATURES",
    }),
    409: frozenset({
        "NONCE_USED", "NOT_OPEN", "NOT_ENOUGH_LEFT", "READING_CONFLICT", "SEQUENCE_NOT_RISING", "ALREADY_REVOKED",
        "OLDER_CERTIFICATE",
    }),
    503: frozenset({"POOL_FULL"}),
}  # fmt: skip
STATUSES: dict[str, int] = {code: status for status, codes in _CODES.items() for code in codes}


def status_of(code: str) -> int:
    """The HTTP status with which a transaction's refusal is answered."""
    return STATUSES.get(code, FAILED)
