"""Keys: their files, their two public forms, and what is refused."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from ca.keys import POINT_BYTES, InvalidKey, SigningKey, public_key_from, signer_of


def spki(key: SigningKey) -> bytes:
    return key.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_a_saved_key_is_its_owners_alone_and_loads_again(tmp_path: Path, key: SigningKey) -> None:
    key.save(tmp_path / "a.key")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(tmp_path / "a.key").public_key == key.public_key


def test_saving_never_overwrites(tmp_path: Path, key: SigningKey) -> None:
    key.save(tmp_path / "a.key")
    before = (tmp_path / "a.key").read_bytes()
    with pytest.raises(FileExistsError):
        SigningKey.generate().save(tmp_path / "a.key")
    assert (tmp_path / "a.key").read_bytes() == before


def test_a_signer_is_the_hash_of_the_65_byte_point(key: SigningKey) -> None:
    assert len(key.public_key) == POINT_BYTES
    assert key.signer == signer_of(key.public_key) == sha256(key.public_key).hexdigest()


def test_both_public_forms_give_the_same_point(key: SigningKey) -> None:
    assert public_key_from(spki(key)) == public_key_from(key.public_key) == key.public_key


def test_other_points_are_refused(key: SigningKey) -> None:
    compressed = key.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    off_the_curve = key.public_key[:-1] + bytes([key.public_key[-1] ^ 1])
    for data in (compressed, off_the_curve, b"", b"\0", key.public_key + b"\0", spki(key)[:-1], b"\4" + bytes(64)):
        with pytest.raises(InvalidKey):
            public_key_from(data)


@given(st.one_of(st.binary(max_size=100), st.binary(min_size=64, max_size=64).map(lambda tail: b"\4" + tail)))
def test_arbitrary_bytes_are_a_point_or_an_invalid_key(data: bytes) -> None:
    try:
        point = public_key_from(data)
    except InvalidKey:
        return
    assert len(point) == POINT_BYTES


def write_private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_key_that_others_can_reach_is_refused_with_what_helps(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a key"
    key = SigningKey.generate()
    key.save(path)
    path.chmod(mode)
    with pytest.raises(InvalidKey, match=rf"a key: .*mode 0{mode:o}\); chmod 600 '.*a key'$"):
        SigningKey.load(path)
    path.chmod(0o400)
    assert SigningKey.load(path).signer == key.signer


def test_files_that_hold_no_usable_key(tmp_path: Path) -> None:
    contents = {
        "rsa": pem(rsa.generate_private_key(65_537, 2_048)),
        "p384": pem(ec.generate_private_key(ec.SECP384R1())),
        "encrypted": pem(ec.generate_private_key(ec.SECP256R1()), b"secret"),
        "noise": b"\x80 not PEM",
        "empty": b"",
    }
    for name, content in contents.items():
        write_private(tmp_path / name, content)
    for name in (*contents, "missing"):
        with pytest.raises(InvalidKey, match=name):
            SigningKey.load(tmp_path / name)


@given(st.binary(max_size=200))
def test_a_damaged_key_file_is_an_invalid_key(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("key") / "a.key"
    write_private(path, b"-----BEGIN PRIVATE KEY-----\n" + noise + b"\n-----END PRIVATE KEY-----\n")
    with pytest.raises(InvalidKey):
        SigningKey.load(path)


def test_a_seed_decides_key_and_signatures() -> None:
    first, second = SigningKey.from_seed(b"one"), SigningKey.from_seed(b"one")
    assert first.sign(b"message") == second.sign(b"message")
    assert SigningKey.from_seed(b"two").public_key != first.public_key


@pytest.mark.needs("openssl")
def test_a_key_that_openssl_made(tmp_path: Path) -> None:
    file = tmp_path / "o.key"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", file], check=True)
    out = subprocess.run(["openssl", "ec", "-in", file, "-pubout", "-outform", "DER"], capture_output=True, check=True)
    assert public_key_from(out.stdout) == SigningKey.load(file).public_key
