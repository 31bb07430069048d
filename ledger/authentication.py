"""The authentication module (M9): is a transaction lawful, given its bytes, the state and block time?

``authenticate`` decides one signer; the executor asks it for every signer, and contracts ask it for the
counterparty. Admission asks the same of committed state beforehand; only execution has authority.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence

from ca.certificates import CertificateFacts, InvalidCertificate, certificate_facts, root_fingerprint
from ledger.codes import RefusalCode
from ledger.state import StateReader
from ledger.values import Value, decode_value

USER_PREFIX = "registry/user/"
ROOT_PREFIX = "governance/root/"
ROOTS_MAX = 64
NONCE_WINDOW = 1_024
NONCE_PREFIX = "system/nonce/"


def authenticate(reader: StateReader, signer: str, roles: Sequence[str], time_ms: int) -> RefusalCode | None:
    """Why ``signer`` may not act in one of ``roles`` (none: any) at block time ``time_ms``, or None."""
    entry = reader.get(USER_PREFIX + signer)
    if entry is None:
        return RefusalCode.NOT_REGISTERED
    return standing(decode_value(entry.value), roles, time_ms, reader.get)


def standing(user: Value, roles: Sequence[str], time_ms: int, get: Callable[[str], object]) -> RefusalCode | None:
    """Why a registered user may not act, or None. ``get``: what the state has under a key, or None."""
    if time_ms < user["not_before_ms"]:
        return RefusalCode.CERTIFICATE_NOT_YET_VALID
    if time_ms > user["not_after_ms"]:
        return RefusalCode.CERTIFICATE_EXPIRED
    if get(f"governance/revoked/{user['serial']}") is not None:
        return RefusalCode.CERTIFICATE_REVOKED
    if user["suspended"]:
        return RefusalCode.SUSPENDED
    if roles and user["role"] not in roles:
        return RefusalCode.ROLE_REQUIRED
    return None


def read_certificate(reader: StateReader, der: bytes) -> CertificateFacts | None:
    """The facts of a certificate that a CA root in state issued, or None."""
    try:
        return certificate_facts(der, roots_of(reader))
    except InvalidCertificate:
        return None


def authenticate_newcomer(reader: StateReader, signer: str, certificate: Value, time_ms: int) -> RefusalCode | None:
    """Why ``signer``, who is not registered, does not prove by this certificate (base64 DER) that a CA of this network
    knows it, or None. Whether it is valid yet is left to the contract: the last block's time lies behind."""
    try:
        der = base64.b64decode(certificate, validate=True) if isinstance(certificate, str) else b""
    except (binascii.Error, ValueError):
        return RefusalCode.CERTIFICATE_INVALID
    facts = read_certificate(reader, der)
    if facts is None:
        return RefusalCode.CERTIFICATE_INVALID
    if facts.signer != signer:
        return RefusalCode.NOT_YOUR_CERTIFICATE
    if time_ms > facts.not_after_ms:
        return RefusalCode.CERTIFICATE_EXPIRED
    if reader.get(f"governance/revoked/{facts.serial}") is not None:
        return RefusalCode.CERTIFICATE_REVOKED
    return None


def is_registered(reader: StateReader, signer: str) -> bool:
    """Whether the chain knows somebody, in whatever standing."""
    return reader.get(USER_PREFIX + signer) is not None


def roots_of(reader: StateReader) -> tuple[bytes, ...]:
    """The CA roots in state, each a certificate in DER."""
    rows = reader.scan(ROOT_PREFIX, "", ROOTS_MAX)
    return tuple(base64.b64decode(decode_value(entry.value)["certificate"]) for _, entry in rows)


def read_root(der: bytes) -> str | None:
    """The fingerprint of a CA root's certificate, or None if it is none."""
    try:
        return root_fingerprint(der)
    except InvalidCertificate:
        return None


class NonceWindow:
    """The nonces that one signer has used: the highest, and a bitmap of the ``NONCE_WINDOW`` up to it."""

    def __init__(self, highest: int, bits: int) -> None:
        self.highest = highest
        self.bits = bits

    @classmethod
    def read(cls, reader: StateReader, signer: str) -> NonceWindow:
        entry = reader.get(NONCE_PREFIX + signer)
        if entry is None:
            return cls(-1, 0)
        value = decode_value(entry.value)
        return cls(value["highest"], int(value["bits"], 16))

    def refuses(self, nonce: int) -> RefusalCode | None:
        """Why ``nonce`` may not be used, or None."""
        if abs(nonce - self.highest) > NONCE_WINDOW or nonce <= self.highest - NONCE_WINDOW:
            return RefusalCode.NONCE_OUT_OF_WINDOW
        if nonce <= self.highest and self.bits >> (self.highest - nonce) & 1:
            return RefusalCode.NONCE_USED
        return None

    def use(self, nonce: int) -> None:
        if nonce > self.highest:
            self.bits = (self.bits << (nonce - self.highest) | 1) & ((1 << NONCE_WINDOW) - 1)
            self.highest = nonce
        else:
            self.bits |= 1 << (self.highest - nonce)

    def value(self) -> dict[str, object]:
        return {"highest": self.highest, "bits": f"{self.bits:x}"}
