"""A key's backup under a passphrase: the file that the page saves and restores, so that a key can go from one to the
other. PBKDF2-HMAC-SHA-256 and AES-256-GCM over PKCS#8 DER, with the signer as additional data; JSON, bytes in base64.
"""

from __future__ import annotations

import json
import os
import unicodedata
from base64 import b64decode, b64encode
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from ca.keys import PASSPHRASE_CHARS_MIN, InvalidKey, SigningKey

FORMAT = "wattquorum/1 key backup"
ITERATIONS, ITERATIONS_MAX = 600_000, 10_000_000
"""OWASP's least number for PBKDF2 with SHA-256; a file that asks for more than the most would only keep one waiting."""
SALT_BYTES, IV_BYTES, KEY_BYTES = 16, 12, 32


def backup_of(key: SigningKey, passphrase: str) -> str:
    """The backup file's text; ``InvalidKey`` for too short a passphrase."""
    if len(passphrase) < PASSPHRASE_CHARS_MIN:
        raise InvalidKey(f"a passphrase has at least {PASSPHRASE_CHARS_MIN} characters")
    salt, iv = os.urandom(SALT_BYTES), os.urandom(IV_BYTES)
    secret = key.private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    cipher = AESGCM(_stretched(passphrase, salt, ITERATIONS))
    file = {
        "format": FORMAT,
        "signer": key.signer,
        "public_key": _text(key.public_key),
        "kdf": {"name": "PBKDF2", "hash": "SHA-256", "iterations": ITERATIONS, "salt": _text(salt)},
        "cipher": {"name": "AES-GCM", "iv": _text(iv)},
        "data": _text(cipher.encrypt(iv, secret, key.signer.encode())),
    }
    return json.dumps(file, indent=1) + "\n"


def key_of(text: str, passphrase: str) -> SigningKey:
    """The key in a backup; ``InvalidKey`` for a wrong passphrase, and for a file that is damaged or none."""
    try:
        file = json.loads(text)
        salt, iv, data = (b64decode(each, validate=True) for each in _sealed(file))
        iterations, signer = file["kdf"]["iterations"], file["signer"]
        sound = file["format"] == FORMAT and ITERATIONS <= iterations <= ITERATIONS_MAX and len(iv) == IV_BYTES
        stretched = _stretched(passphrase, salt, iterations) if sound else b""
        secret = AESGCM(stretched).decrypt(iv, data, signer.encode())
        private = serialization.load_der_private_key(secret, None)
    except InvalidTag:
        raise InvalidKey("the passphrase is wrong, or the file was changed") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidKey("this is no backup of a key, or it is damaged") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or SigningKey(private).signer != signer:
        raise InvalidKey("this backup holds another key than it says")
    return SigningKey(private)


def _sealed(file: Any) -> tuple[str, str, str]:
    return file["kdf"]["salt"], file["cipher"]["iv"], file["data"]


def _stretched(passphrase: str, salt: bytes, iterations: int) -> bytes:
    kdf = PBKDF2HMAC(SHA256(), KEY_BYTES, salt, iterations)
    return kdf.derive(unicodedata.normalize("NFKC", passphrase).encode())


def _text(data: bytes) -> str:
    return b64encode(data).decode()
