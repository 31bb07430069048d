"""X.509 certificates: names, roles, and the strict reading that enters consensus.

Subject: CN the name, O the organisation, OU the role. ``certificate_facts`` is a pure function of bytes: it
checks form and signature, never dates, which block time decides elsewhere (DESIGN "Admit").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from ca.keys import SigningKey, signer_of
from ca.likeness import hides_something

CERTIFICATE_BYTES_MAX = 4_096
NAME_CHARS_MAX = 64
_UNREADABLE = (
    ValueError,
    TypeError,
    UserWarning,  # how the library objects to some malformed fields where warnings are errors
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises on malformed bytes. It parses lazily, so reading any field may raise them."""


class Role(StrEnum):
    """What a certificate's holder may be; OU of the subject."""

    NODE = "node"
    SELLER = "seller"
    BUYER = "buyer"
    PROSUMER = "prosumer"
    GATEWAY = "gateway"
    OPERATOR = "operator"
    ARBITER = "arbiter"
    REGULATOR = "regulator"


MARKET_ROLES = frozenset({Role.SELLER, Role.BUYER, Role.PROSUMER, Role.GATEWAY})
"""Who trades and meters. Whoever governs, judges, reads all or validates is certified by a root, by its keeper's hand:
neither intermediate CAs nor a policy nor an operator over the network admit anybody in another role."""


class InvalidCertificate(Exception):
    """Bytes that are no certificate (or request) of ours; the message says why."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. ``issuer`` is the SHA-256 of the root's DER in hex; times are UTC ms."""

    signer: str
    name: str
    organisation: str
    role: str
    serial: str
    issuer: str
    not_before_ms: int
    not_after_ms: int
    public_key: bytes


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a PKCS#10 request asks for; its signature proves possession of the key."""

    name: str
    organisation: str
    role: str
    public_key: bytes


def certificate_facts(der: bytes, roots: Sequence[bytes]) -> CertificateFacts:
    """Read a certificate that one of ``roots`` (DER) issued; ``InvalidCertificate`` otherwise. Dates are not judged."""
    with _reading("not a well-formed DER X.509 certificate"):
        certificate = _load(der)
        point = _point(certificate.public_key())
        _check_form(certificate)
        subject = certificate.subject
        issuer = _issuer(certificate, roots)
        role = _role(_one(subject, NameOID.ORGANIZATIONAL_UNIT_NAME))
        if role not in MARKET_ROLES and is_intermediate(issuer):
            raise InvalidCertificate(f"an intermediate CA certifies no {role}, only who trades and meters")
        return CertificateFacts(
            signer=signer_of(point),
            name=_one(subject, NameOID.COMMON_NAME),
            organisation=_one(subject, NameOID.ORGANIZATION_NAME),
            role=role,
            serial=f"{certificate.serial_number:x}",
            issuer=sha256(issuer).hexdigest(),
            not_before_ms=_ms(certificate.not_valid_before_utc),
            not_after_ms=_ms(certificate.not_valid_after_utc),
            public_key=point,
        )


def root_fingerprint(der: bytes) -> str:
    """The SHA-256, in hex, of the certificate of a CA that the network may trust; ``InvalidCertificate`` for any other.

    A root signs itself. Who signed an intermediate's is not asked here: the operators who enter it vouch for that.
    """
    with _reading("not a well-formed DER X.509 certificate of a CA root"):
        certificate = _load(der)
        _point(certificate.public_key())
        if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise InvalidCertificate("the signature is not ECDSA with SHA-256")
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise InvalidCertificate("not a CA's certificate")
        if not is_intermediate(der):
            _issuer(certificate, (der,))
    return sha256(der).hexdigest()


def is_intermediate(der: bytes) -> bool:
    """Whether a CA's certificate names somebody else as its issuer."""
    certificate = x509.load_der_x509_certificate(der)
    return certificate.subject != certificate.issuer


def request_facts(der: bytes) -> RequestFacts:
    """Read and check a PKCS#10 request; ``InvalidCertificate`` otherwise."""
    point = requested_key(der)
    with _reading("not a well-formed DER PKCS#10 request"):
        subject = x509.load_der_x509_csr(der).subject
        return asked_facts(
            _one(subject, NameOID.COMMON_NAME),
            _one(subject, NameOID.ORGANIZATION_NAME),
            _one(subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
            point,
        )


def requested_key(der: bytes) -> bytes:
    """The key (65-byte point) that a PKCS#10 request proves possession of; ``InvalidCertificate`` if it does not."""
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise InvalidCertificate(f"a request is at most {CERTIFICATE_BYTES_MAX} bytes")
    with _reading("not a well-formed DER PKCS#10 request"):
        request = x509.load_der_x509_csr(der)
        _check_signature_bits(der, request.signature)
        point = _point(request.public_key())
        if not request.is_signature_valid:
            raise InvalidCertificate("the request's signature does not fit its key")
        return point


def asked_facts(name: str, organisation: str, role: str, public_key: bytes) -> RequestFacts:
    """What somebody asks for; ``InvalidCertificate`` if a name is empty, too long, or would not show as it is."""
    check_name(name)
    check_name(organisation)
    return RequestFacts(name, organisation, _role(role), public_key)


def check_name(text: str) -> None:
    """``InvalidCertificate`` for what nobody is certified as."""
    shows = text.isprintable() and text == text.strip() and not hides_something(text)
    if not 1 <= len(text) <= NAME_CHARS_MAX or not shows:
        raise InvalidCertificate(f"a name is 1 to {NAME_CHARS_MAX} printable characters without blanks round it")


def create_request(key: SigningKey, name: str, organisation: str, role: Role | str) -> bytes:
    """A PKCS#10 request in DER, signed with ``key``."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_of(name, organisation, Role(role)))
    return builder.sign(key.private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# ------------------------------------------------------------------------------------------------ details


@contextmanager
def _reading(complaint: str) -> Iterator[None]:
    """Whatever the library raises on malformed bytes becomes ``InvalidCertificate(complaint)``.

    The complaint is ours: a library's wording differs between versions, and replicas must agree.
    """
    try:
        yield
    except _UNREADABLE:
        raise InvalidCertificate(complaint) from None


def _load(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise InvalidCertificate(f"a certificate is at most {CERTIFICATE_BYTES_MAX} bytes")
    certificate = x509.load_der_x509_certificate(der)
    if certificate.public_bytes(serialization.Encoding.DER) != der:
        raise InvalidCertificate("not in canonical DER")
    _check_signature_bits(der, certificate.signature)
    return certificate


def _check_signature_bits(der: bytes, signature: bytes) -> None:
    """The signature ends the bytes and leaves no bit unused; the library would drop such bits unseen."""
    if not der.endswith(b"\0" + signature):
        raise InvalidCertificate("the signature is not made of whole bytes")


def _check_form(certificate: x509.Certificate) -> None:
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise InvalidCertificate("the signature is not ECDSA with SHA-256")
    if certificate.serial_number <= 0:
        raise InvalidCertificate("the serial number is not positive")
    if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise InvalidCertificate("a CA's certificate is nobody's identity")


def _issuer(certificate: x509.Certificate, roots: Sequence[bytes]) -> bytes:
    """Which of ``roots`` signed it."""
    for der in roots:
        try:
            certificate.verify_directly_issued_by(x509.load_der_x509_certificate(der))
        except (InvalidSignature, ValueError, TypeError):
            continue
        return der
    raise InvalidCertificate("issued by no CA of this network")


def _point(public: object) -> bytes:
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise InvalidCertificate("the key is not P-256")
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _one(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    if len(found) != 1:
        raise InvalidCertificate(f"the subject needs exactly one {oid._name}")
    value = found[0].value
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_CHARS_MAX:
        raise InvalidCertificate(f"the subject's {oid._name} is empty, too long or not text")
    return value


def _role(text: str) -> str:
    try:
        return Role(text).value
    except ValueError:
        raise InvalidCertificate(f"unknown role {text!r}; there are {', '.join(Role)}") from None


def subject_of(name: str, organisation: str, role: Role) -> x509.Name:
    """Subject of a certificate or request; ``InvalidCertificate`` for names that cannot be."""
    return name_of(
        {
            NameOID.COMMON_NAME: name,
            NameOID.ORGANIZATION_NAME: organisation,
            NameOID.ORGANIZATIONAL_UNIT_NAME: role.value,
        }
    )


def name_of(parts: dict[x509.ObjectIdentifier, str]) -> x509.Name:
    """An X.509 name of these parts; ``InvalidCertificate`` for texts that cannot be."""
    if not all(1 <= len(value) <= NAME_CHARS_MAX for value in parts.values()):
        raise InvalidCertificate(f"each part of a name is 1 to {NAME_CHARS_MAX} characters")
    try:
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])
    except ValueError as error:
        raise InvalidCertificate(f"the name is malformed: {error}") from None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
