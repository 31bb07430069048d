"""Signatures: r || s and DER, either s, what openssl makes and checks, and tampering."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from ca.keys import SigningKey
from ca.signatures import RAW_BYTES, verify

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = SigningKey.from_seed(b"signatures")
MESSAGE = b"sell 2000 Wh"
SIGNATURE = KEY.sign(MESSAGE)


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def numbers(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


def test_our_signatures_are_r_and_s_of_fixed_width(key: SigningKey) -> None:
    signatures = [key.sign(b"%d" % n) for n in range(300)]
    assert {len(signature) for signature in signatures} == {RAW_BYTES}
    # One number in 128 has a leading zero byte, which DER leaves out and r || s keeps.
    assert all(verify(key.public_key, signature, b"%d" % n) for n, signature in enumerate(signatures))


def test_short_numbers_survive_the_way_to_der() -> None:
    """Of many deterministic signatures some have r or s below 2^248; both ways must verify them."""
    signed = [(b"%d" % n, KEY.sign(b"%d" % n)) for n in range(1_000)]
    short = [(message, signature) for message, signature in signed if 0 in (signature[0], signature[32])]
    assert short
    assert all(verify(KEY.public_key, signature, message) for message, signature in short)
    assert all(verify(KEY.public_key, encode_dss_signature(*numbers(sig)), message) for message, sig in short)


def test_either_s_in_either_form() -> None:
    r, s = numbers(SIGNATURE)
    for value in (s, ORDER - s):
        assert verify(KEY.public_key, raw(r, value), MESSAGE)
        assert verify(KEY.public_key, encode_dss_signature(r, value), MESSAGE)


def test_numbers_out_of_range_fit_nothing() -> None:
    r, s = numbers(SIGNATURE)
    for pair in ((0, s), (r, 0), (0, 0), (ORDER, s), (r, ORDER), (2**256 - 1, 2**256 - 1)):
        assert not verify(KEY.public_key, raw(*pair), MESSAGE)


@given(st.integers(0, RAW_BYTES * 8 - 1))
def test_one_changed_bit_of_the_signature(bit: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[bit // 8] ^= 1 << bit % 8
    assert not verify(KEY.public_key, bytes(changed), MESSAGE)


def test_another_message_or_key() -> None:
    assert verify(KEY.public_key, SIGNATURE, MESSAGE)
    assert not verify(KEY.public_key, SIGNATURE, MESSAGE + b" ")
    assert not verify(SigningKey.from_seed(b"other").public_key, SIGNATURE, MESSAGE)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_arbitrary_bytes_never_raise(public_key: bytes, signature: bytes) -> None:
    assert verify(public_key, signature, MESSAGE) is False
    assert verify(KEY.public_key, signature, MESSAGE) is False


@pytest.mark.needs("openssl")
def test_openssl_signs_and_we_verify(tmp_path: Path) -> None:
    KEY.save(tmp_path / "a.key")
    command = ["openssl", "dgst", "-sha256", "-sign", str(tmp_path / "a.key")]
    highs = set()
    for n in range(24):  # all low or all high once in 2^23 runs
        message = b"message %d" % n
        der = subprocess.run(command, input=message, capture_output=True, check=True).stdout
        r, s = decode_dss_signature(der)
        highs.add(s > ORDER // 2)
        assert verify(KEY.public_key, der, message)
        assert verify(KEY.public_key, raw(r, s), message)
    assert highs == {True, False}


@pytest.mark.needs("openssl")
def test_we_sign_and_openssl_verifies(tmp_path: Path) -> None:
    KEY.save(tmp_path / "a.key")
    (tmp_path / "a.sig").write_bytes(encode_dss_signature(*numbers(SIGNATURE)))
    command = ["openssl", "dgst", "-sha256", "-prverify", str(tmp_path / "a.key")]
    command += ["-signature", str(tmp_path / "a.sig")]
    assert subprocess.run(command, input=MESSAGE, capture_output=True, check=False).returncode == 0
    assert subprocess.run(command, input=MESSAGE + b"!", capture_output=True, check=False).returncode == 1
