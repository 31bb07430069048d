"""Verification of ECDSA P-256 signatures, as people and libraries make them: r || s or DER, either s.

``verify`` spends its time in OpenSSL with the GIL released, so callers spread batches over threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

RAW_BYTES = 64
KEYS_CACHED_MAX = 8_192
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_CURVE = ec.SECP256R1()


_remembered: dict[tuple[bytes, bytes, bytes], bool] | None = None


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` over ``message`` fits the 65-byte ``public_key``. Never raises on bad bytes."""
    memory = _remembered
    if memory is None:
        return _verify(public_key, signature, message)
    question = (public_key, signature, message)
    answer = memory.get(question)
    if answer is None:
        answer = memory[question] = _verify(*question)
    return answer


@contextmanager
def remembering() -> Iterator[None]:
    """Until the block ends, answer what was asked before from memory, without bound: for simulations, whose many
    nodes share one process. The answer depends on the arguments alone."""
    global _remembered
    outer, _remembered = _remembered, {}
    try:
        yield
    finally:
        _remembered = outer


def _verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        key = _loaded(public_key)
        key.verify(_der(signature) if len(signature) == RAW_BYTES else signature, message, _ALGORITHM)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _loaded(public_key: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, public_key)


def _der(raw: bytes) -> bytes:
    """DER of r || s: two minimal, positive INTEGERs in a SEQUENCE."""
    r, s = _integer(raw[:32]), _integer(raw[32:])
    return b"\x30" + bytes([len(r) + len(s)]) + r + s


def _integer(big_endian: bytes) -> bytes:
    value = big_endian.lstrip(b"\0") or b"\0"
    if value[0] & 0x80:
        value = b"\0" + value
    return b"\x02" + bytes([len(value)]) + value
