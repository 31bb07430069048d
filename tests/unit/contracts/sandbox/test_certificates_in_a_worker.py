"""Certificates of every kind end in a worker as they do elsewhere: reading them loads nothing that is not there yet."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import random
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp  # noqa: F401  # so that this process has loaded it too
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from governed import OPERATORS, ROOT_DER, certificate
from walled import Workers

from ca.keys import SigningKey
from contracts.machine import PythonMachine
from contracts.sandbox.machine import WorkerMachine
from contracts.testing import Chain

READERS = """
@export("*")
def read(text: str):
    return certificate(text)

@export("*")
def root(text: str):
    return root_certificate(text)

@export("*")
def judge(text: str):
    return accused(text)
"""
MUTATIONS = 300
_SIGNER = ec.generate_private_key(ec.SECP256R1())
_RSA = rsa.generate_private_key(65_537, 2_048)
KEYS = {
    "P-256": _SIGNER,
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "RSA": _RSA,
    "DSA": dsa.generate_private_key(1_024),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "X25519": x25519.X25519PrivateKey.generate(),
    "X448": x448.X448PrivateKey.generate(),
}
EXTENSIONS: tuple[x509.ExtensionType, ...] = (
    x509.BasicConstraints(ca=True, path_length=0),
    x509.SubjectAlternativeName(
        [
            x509.DNSName("xn--bcher-kva.example"),
            x509.IPAddress(ipaddress.ip_address("::1")),
            x509.RFC822Name("somebody@example.org"),
            x509.UniformResourceIdentifier("https://example.org"),
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
        ]
    ),
    x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], None),
    x509.CertificatePolicies(
        [
            x509.PolicyInformation(
                x509.ObjectIdentifier("1.2.3"), [x509.UserNotice(x509.NoticeReference("\u00e9", [1]), "text")]
            )
        ]
    ),
    x509.CRLDistributionPoints([x509.DistributionPoint([x509.DNSName("a.b")], None, None, None)]),
    x509.TLSFeature([x509.TLSFeatureType.status_request]),
    x509.InhibitAnyPolicy(0),
    x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"),
)


def made(key: object, name: x509.Name, extensions: tuple[x509.ExtensionType, ...], signer: object = _SIGNER) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[attr-defined]  # of all kinds
        .serial_number(7)
        .not_valid_before(dt.datetime(2026, 1, 1))
        .not_valid_after(dt.datetime(2036, 1, 1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if signer is _RSA else None
    return builder.sign(signer, hashes.SHA256(), rsa_padding=pss).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def name_of(kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "name", kind)])


def kinds() -> Iterator[bytes]:
    plain = name_of(_ASN1Type.UTF8String)
    for key in KEYS.values():
        yield made(key, plain, ())
    for extension in EXTENSIONS:
        yield made(_SIGNER, plain, (extension,))
    for kind in (_ASN1Type.BMPString, _ASN1Type.UniversalString, _ASN1Type.T61String, _ASN1Type.PrintableString):
        yield made(_SIGNER, name_of(kind), EXTENSIONS[:1])
    yield made(_RSA, plain, EXTENSIONS, signer=_RSA)
    yield ROOT_DER
    yield b""


def broken() -> Iterator[bytes]:
    """A good one, and one with every extension, each with a few bytes changed: the same ones each time."""
    draw = random.Random(5)
    good = certificate(SigningKey.from_seed(b"somebody"), "somebody", "north", "buyer", 77)
    for number in range(MUTATIONS):
        data = bytearray(good if number % 2 else made(_SIGNER, name_of(_ASN1Type.UTF8String), EXTENSIONS))
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        yield bytes(data)
    yield good


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", [kinds, broken])
@pytest.mark.parametrize("function", ["read", "root", "judge"])
def test_a_certificate_ends_alike_and_no_worker(source: type[Iterator[bytes]], function: str) -> None:
    workers = Workers()
    there = WorkerMachine(workers)
    chains = [Chain({"main": READERS}, {}, machine=machine) for machine in (PythonMachine(), there)]
    for chain in chains:
        text = base64.b64encode(ROOT_DER).decode()
        chain.put("governance/root/" + "0" * 64, {"certificate": text})
    try:
        for der in source():
            call = "main", function, {"text": base64.b64encode(der).decode()}, [OPERATORS[0].signer]
            here, found = (chain.call(*call) for chain in chains)
            assert (found.code, found.value, found.gas_used) == (here.code, here.value, here.gas_used), der.hex()
        assert len(workers.all) == 1
    finally:
        there.close()
