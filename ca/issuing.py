"""Making certificates: roots, intermediate CAs, their servers' own, and everybody else's.

A root may have one intermediate below it, which issues end certificates only. Attributes that the CA vouches for beside
name, organisation and role are JSON in an extension of ours (``ATTRIBUTES_OID``); the chain does not read them.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca.certificates import InvalidCertificate, RequestFacts, Role, name_of, subject_of
from ca.keys import SigningKey

BACKDATE = timedelta(minutes=5)
"""Certificates start a little earlier than now, for clocks that are late."""
ATTRIBUTES_OID = x509.ObjectIdentifier("2.25.235271772499025254146038975583569679001")
ATTRIBUTES_MAX = 16
ATTRIBUTE_CHARS_MAX = 64
ATTRIBUTES_BYTES_MAX = 1_024
NO_ATTRIBUTES: Mapping[str, str] = {}


def make_root(key: SigningKey, organisation: str, days: int) -> x509.Certificate:
    """A self-signed root that may issue end certificates, and have intermediates that may."""
    name = name_of({NameOID.COMMON_NAME: f"{organisation} root", NameOID.ORGANIZATION_NAME: organisation})
    public = key.private.public_key()
    builder = (
        _dated(name, name, public, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(key.private, hashes.SHA256())


def make_intermediate(
    root_key: SigningKey, root: x509.Certificate, organisation: str, public_key: bytes, days: int
) -> x509.Certificate:
    """A CA's certificate below a root's, for end certificates only. ``InvalidCertificate`` if there may be none."""
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    if root.subject != root.issuer or constraints.path_length == 0:
        raise InvalidCertificate("this CA may issue end certificates only; an intermediate is made by a root that may")
    name = name_of({NameOID.COMMON_NAME: f"{organisation} CA", NameOID.ORGANIZATION_NAME: organisation})
    if name == root.subject:
        raise InvalidCertificate("an intermediate has another name than its root")
    builder = (
        _issued(name, root_key, root, public_key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
    )
    return builder.sign(root_key.private, hashes.SHA256())


def make_server(
    ca_key: SigningKey, ca: x509.Certificate, public_key: bytes, days: int, hosts: Sequence[str]
) -> x509.Certificate:
    """For the CA's own HTTPS server. It has no role, so it is nobody's identity on the chain."""
    organisation = ca.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value
    name = name_of({NameOID.COMMON_NAME: "enrolment", NameOID.ORGANIZATION_NAME: str(organisation)})
    builder = (
        _issued(name, ca_key, ca, public_key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    )
    return builder.sign(ca_key.private, hashes.SHA256())


def make_certificate(
    root_key: SigningKey,
    root: x509.Certificate,
    facts: RequestFacts,
    days: int,
    hosts: Sequence[str],
    attributes: Mapping[str, str] = NO_ATTRIBUTES,
) -> x509.Certificate:
    """A certificate for what ``facts`` ask. Nodes get server and client authentication and their ``hosts``."""
    subject = subject_of(facts.name, facts.organisation, Role(facts.role))
    builder = (
        _issued(subject, root_key, root, facts.public_key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
    )
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if facts.role == Role.NODE:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    if attributes:
        value = x509.UnrecognizedExtension(ATTRIBUTES_OID, _packed(attributes))
        builder = builder.add_extension(value, critical=False)
    return builder.sign(root_key.private, hashes.SHA256())


def attributes_of(certificate: x509.Certificate) -> dict[str, str]:
    """The attributes in a certificate that a CA of ours issued; none if it has none."""
    try:
        value = certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID).value
    except x509.ExtensionNotFound:
        return {}
    assert isinstance(value, x509.UnrecognizedExtension), "the library does not know it"
    data = value.value
    start = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
    return msgspec.json.decode(data[start:], type=dict[str, str])


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names and IP addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


def key_id_of(ca: x509.Certificate) -> str:
    """By what a CA's certificates name the CA: its key's identifier (RFC 5280, section 4.2.1.2), in hex."""
    public = ca.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey), "a CA of ours has such a key"
    return x509.SubjectKeyIdentifier.from_public_key(public).digest.hex()


def issuer_id_of(certificate: x509.Certificate) -> str:
    """The identifier of the CA that issued a certificate, or nothing if that is not said."""
    try:
        named = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return ""
    return (named.key_identifier or b"").hex()


def check_attributes(attributes: Mapping[str, str]) -> None:
    """``InvalidCertificate`` for too many or too long ones."""
    texts = [text for pair in attributes.items() for text in pair]
    good = all(0 < len(text) <= ATTRIBUTE_CHARS_MAX and text.isprintable() for text in texts)
    if len(attributes) > ATTRIBUTES_MAX or not good or len(_json(attributes)) > ATTRIBUTES_BYTES_MAX:
        raise InvalidCertificate(
            f"attributes are at most {ATTRIBUTES_MAX} and {ATTRIBUTES_BYTES_MAX} bytes, "
            f"each name and value 1 to {ATTRIBUTE_CHARS_MAX} characters"
        )


def _json(attributes: Mapping[str, str]) -> bytes:
    return json.dumps(dict(attributes), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _packed(attributes: Mapping[str, str]) -> bytes:
    """A DER UTF8String that holds JSON."""
    check_attributes(attributes)
    data = _json(attributes)
    size = len(data)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2) if size > 0xFF else b"\x81" + bytes([size])
    return b"\x0c" + length + data


def _issued(
    subject: x509.Name, ca_key: SigningKey, ca: x509.Certificate, public_key: bytes, days: int
) -> x509.CertificateBuilder:
    """What all that a CA issues have in common. Nothing outlives the certificate of its issuer."""
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    issuer_key = ca_key.private.public_key()
    return (
        _dated(subject, ca.subject, public, days, ca.not_valid_after_utc)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _dated(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    days: int,
    end: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    until = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(until if end is None else min(until, end))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not (host and host.isascii()):
            raise InvalidCertificate(f"{host!r} is neither an IP address nor an ASCII host name") from None
        return x509.DNSName(host)
