"""Why a transaction is refused (S3): stable codes, each with a sentence for people."""

from __future__ import annotations

from enum import StrEnum


class RefusalCode(StrEnum):
    """Decided by bytes alone (the first group, at the edge) or by state and block time (the second, in the block)."""

    PAYLOAD_INVALID = "PAYLOAD_INVALID"
    TOO_LARGE = "TOO_LARGE"
    SIGNERS_MISMATCH = "SIGNERS_MISMATCH"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    WRONG_CHAIN = "WRONG_CHAIN"
    WRONG_CHANNEL = "WRONG_CHANNEL"
    GAS_LIMIT_TOO_HIGH = "GAS_LIMIT_TOO_HIGH"

    EXPIRED = "EXPIRED"
    EXPIRY_TOO_FAR = "EXPIRY_TOO_FAR"
    NONCE_USED = "NONCE_USED"
    NONCE_OUT_OF_WINDOW = "NONCE_OUT_OF_WINDOW"
    CONTRACT_UNKNOWN = "CONTRACT_UNKNOWN"
    FUNCTION_UNKNOWN = "FUNCTION_UNKNOWN"
    NOT_CALLABLE = "NOT_CALLABLE"
    NOT_REGISTERED = "NOT_REGISTERED"
    CERTIFICATE_NOT_YET_VALID = "CERTIFICATE_NOT_YET_VALID"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"
    SUSPENDED = "SUSPENDED"
    ROLE_REQUIRED = "ROLE_REQUIRED"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    NOT_YOUR_CERTIFICATE = "NOT_YOUR_CERTIFICATE"

    POOL_FULL = "POOL_FULL"


SENTENCES: dict[RefusalCode, str] = {
    RefusalCode.PAYLOAD_INVALID: "The payload is not the strict JSON that docs/API.md describes.",
    RefusalCode.TOO_LARGE: "The transaction is larger than this network allows.",
    RefusalCode.SIGNERS_MISMATCH: "There must be exactly one signature per signer, in the signers' order.",
    RefusalCode.SIGNATURE_INVALID: "A signature does not fit the payload's bytes and its key.",
    RefusalCode.WRONG_CHAIN: "This transaction was signed for another chain.",
    RefusalCode.WRONG_CHANNEL: "This transaction was signed for another channel.",
    RefusalCode.GAS_LIMIT_TOO_HIGH: "The gas limit exceeds what one transaction may declare.",
    RefusalCode.EXPIRED: "The chain has passed expires_at_height. Sign a new transaction.",
    RefusalCode.EXPIRY_TOO_FAR: "expires_at_height is too far ahead.",
    RefusalCode.NONCE_USED: "This nonce has been used. Sign with a higher one.",
    RefusalCode.NONCE_OUT_OF_WINDOW: "This nonce is too far from the highest one used.",
    RefusalCode.CONTRACT_UNKNOWN: "There is no such contract.",
    RefusalCode.FUNCTION_UNKNOWN: "The contract has no such function.",
    RefusalCode.NOT_CALLABLE: "This function cannot be called by a transaction.",
    RefusalCode.NOT_REGISTERED: "A signer is not registered. Register with a certificate first.",
    RefusalCode.CERTIFICATE_NOT_YET_VALID: "A certificate is not valid yet.",
    RefusalCode.CERTIFICATE_EXPIRED: "A certificate has expired. Renew it and register it again.",
    RefusalCode.CERTIFICATE_REVOKED: "A certificate has been revoked.",
    RefusalCode.SUSPENDED: "An operator has suspended this user.",
    RefusalCode.ROLE_REQUIRED: "This function takes another role than the signer's.",
    RefusalCode.CERTIFICATE_INVALID: "The certificate is malformed or was issued by no CA of this network.",
    RefusalCode.NOT_YOUR_CERTIFICATE: "The certificate is for another key.",
    RefusalCode.POOL_FULL: "The node has too many transactions waiting. Try again shortly.",
}


class Refusal(Exception):
    """A typed refusal of somebody's transaction; never our own fault."""

    def __init__(self, code: RefusalCode, detail: str = "") -> None:
        self.code = code
        self.message = f"{SENTENCES[code]} ({detail})" if detail else SENTENCES[code]
        super().__init__(f"{code}: {self.message}")
