"""P-256 keys. A public key is its 65-byte uncompressed SEC1 point (WebCrypto's "raw"); a signer is its hash."""

from __future__ import annotations

import os
import shlex
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

POINT_BYTES = 65
SCALAR_BYTES = 32
KEY_FILE_MODE = 0o600
OTHERS = 0o077
"""The permission bits of everybody but the owner."""
PASSPHRASE_CHARS_MIN = 12
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_CURVE = ec.SECP256R1()


class InvalidKey(Exception):
    """Bytes or a file that hold no usable P-256 key; the message says why."""


def signer_of(public_key: bytes) -> str:
    """The signer id of a 65-byte point: SHA-256, in hex."""
    return sha256(public_key).hexdigest()


def public_key_from(data: bytes) -> bytes:
    """The 65-byte point from a raw point or a DER SubjectPublicKeyInfo; ``InvalidKey`` for anything else."""
    point = data.removeprefix(_SPKI_PREFIX) if len(data) == len(_SPKI_PREFIX) + POINT_BYTES else data
    if len(point) != POINT_BYTES or point[0] != 4:
        raise InvalidKey("expected 65 bytes of an uncompressed P-256 point, or its SubjectPublicKeyInfo")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError:
        raise InvalidKey("this point is not on the curve P-256") from None
    return point


def key_is_encrypted(path: Path) -> bool:
    return path.read_bytes().startswith(_ENCRYPTED)


def _read_private(path: Path) -> bytes:
    """The bytes of a file that is its owner's alone, where files have modes; ``InvalidKey`` for one open to others."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if os.name == "posix" and mode & OTHERS:
            help_text = f"chmod 600 {shlex.quote(str(path))}"
            raise InvalidKey(f"{path}: others than its owner have access to this key (mode {mode:04o}); {help_text}")
        return file.read()


class SigningKey:
    """A private key. Signatures are ECDSA with SHA-256, 64 bytes r || s."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, deterministic: bool = False) -> None:
        self.private = private
        self._algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=deterministic)
        self.public_key = private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.signer = signer_of(self.public_key)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(ec.generate_private_key(_CURVE))

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """A key and signatures (RFC 6979) that depend on the seed alone: for the simulator and tests only."""
        number = int.from_bytes(sha256(b"wattquorum/1 key" + seed).digest(), "big") % (_ORDER - 1) + 1
        return cls(ec.derive_private_key(number, _CURVE), deterministic=True)

    @classmethod
    def load(cls, path: Path, passphrase: str = "") -> SigningKey:
        """Read a PEM file; ``InvalidKey`` if it is missing, open to others, not a P-256 key, or encrypted with another
        passphrase."""
        try:
            data = _read_private(path)
            encrypted = data.startswith(_ENCRYPTED)
            if encrypted and not passphrase:
                raise InvalidKey(f"{path}: this key is encrypted, and no passphrase was given")
            private = serialization.load_pem_private_key(data, passphrase.encode() if encrypted else None)
        except FileNotFoundError:
            raise InvalidKey(f"there is no key file {path}") from None
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidKey(f"{path}: {error}") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != _CURVE.name:
            raise InvalidKey(f"{path}: not a P-256 key")
        return cls(private)

    def save(self, path: Path, passphrase: str = "") -> None:
        """Write a PKCS#8 PEM file that only its owner reads, encrypted if there is a passphrase. Never overwrites:
        ``FileExistsError``. ``InvalidKey`` for a passphrase that is too short."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            if len(passphrase) < PASSPHRASE_CHARS_MIN:
                raise InvalidKey(f"a passphrase has at least {PASSPHRASE_CHARS_MIN} characters")
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        pem = self.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self.private.sign(message, self._algorithm))
        return r.to_bytes(SCALAR_BYTES, "big") + s.to_bytes(SCALAR_BYTES, "big")
