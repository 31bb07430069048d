"""Certificates and requests: what they say, who may have issued them, and the forms that are refused."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.authority import Authority, Issued
from ca.certificates import (
    CERTIFICATE_BYTES_MAX,
    InvalidCertificate,
    RequestFacts,
    Role,
    certificate_facts,
    create_request,
    request_facts,
)
from ca.issuing import make_certificate, make_root
from ca.keys import SigningKey

ROOT_KEY = SigningKey.from_seed(b"root")
HOLDER = SigningKey.from_seed(b"holder")
ROOT = make_root(ROOT_KEY, "Grid North", 10)
ROOT_DER = ROOT.public_bytes(Encoding.DER)
REQUEST = create_request(HOLDER, "alice", "house", Role.SELLER)
ASKED = RequestFacts("alice", "house", "seller", HOLDER.public_key)
CERTIFICATE = make_certificate(ROOT_KEY, ROOT, ASKED, 1, ()).public_bytes(Encoding.DER)

NOW = datetime.now(UTC).replace(microsecond=0)
CN, O, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME  # noqa: E741
NAMES = ((CN, "alice"), (O, "house"), (OU, "seller"))
END = x509.BasicConstraints(ca=False, path_length=None)
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def signed_by_root(
    names: tuple[tuple[x509.ObjectIdentifier, str], ...] = NAMES,
    public: PublicKey | None = None,
    constraints: x509.BasicConstraints | None = END,
    algorithm: hashes.SHA256 | hashes.SHA384 | None = None,
    padding: int = 0,
) -> bytes:
    """A certificate that the true root signed, unusual in whatever the arguments say."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in names]))
        .issuer_name(ROOT.subject)
        .public_key(public or HOLDER.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if padding:
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, bytes(padding)), critical=False)
    return builder.sign(ROOT_KEY.private, algorithm or hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_says_what_was_issued(authority: Authority, issued: Issued, key: SigningKey) -> None:
    facts = certificate_facts(issued.certificate_der, [ROOT_DER, authority.root_der])
    assert (facts.name, facts.organisation, facts.role) == ("alice", "Alice's house", "seller")
    assert (facts.public_key, facts.signer) == (key.public_key, key.signer)
    assert facts.issuer == sha256(authority.root_der).hexdigest()
    assert (facts.serial, facts.not_after_ms) == (issued.serial, issued.not_after_ms)
    assert facts.not_after_ms - facts.not_before_ms == (365 * 24 * 60 + 5) * 60_000


def test_the_usual_form_passes_so_the_refusals_below_mean_something() -> None:
    assert certificate_facts(signed_by_root(), [ROOT_DER]).name == "alice"


@pytest.mark.parametrize(
    ("der", "why"),
    [
        (signed_by_root(constraints=x509.BasicConstraints(ca=True, path_length=0)), "CA's certificate"),
        (signed_by_root(constraints=None), "well-formed"),
        (signed_by_root(algorithm=hashes.SHA384()), "SHA-256"),
        (signed_by_root(public=ec.generate_private_key(ec.SECP384R1()).public_key()), "P-256"),
        (signed_by_root(public=rsa.generate_private_key(65_537, 2_048).public_key()), "P-256"),
        (signed_by_root(names=NAMES[:2]), "organizationalUnitName"),
        (signed_by_root(names=(*NAMES, (CN, "bob"))), "commonName"),
        (signed_by_root(names=(*NAMES[:2], (OU, "emperor"))), "role"),
        (signed_by_root(names=(NAMES[0], (O, "o" * 65), NAMES[2])), "too long"),
        (signed_by_root(padding=CERTIFICATE_BYTES_MAX), "at most"),
        (ROOT_DER, "CA's certificate"),
        (CERTIFICATE + b"\0", "well-formed"),
        (x509.load_der_x509_certificate(CERTIFICATE).public_bytes(Encoding.PEM), "well-formed"),
        (b"", "well-formed"),
    ],
)
def test_forms_that_are_refused_though_the_root_signed(der: bytes, why: str) -> None:
    with pytest.raises(InvalidCertificate, match=why):
        certificate_facts(der, [ROOT_DER])


def test_another_ca_of_the_same_name_is_not_this_networks() -> None:
    impostor = make_root(SigningKey.from_seed(b"impostor"), "Grid North", 10).public_bytes(Encoding.DER)
    for roots in ([impostor], []):
        with pytest.raises(InvalidCertificate, match="no CA of this network"):
            certificate_facts(CERTIFICATE, roots)


def test_dates_are_not_judged_here() -> None:
    expired = make_certificate(ROOT_KEY, ROOT, ASKED, 0, ()).public_bytes(Encoding.DER)
    facts = certificate_facts(expired, [ROOT_DER])
    assert facts.not_after_ms <= int(datetime.now(UTC).timestamp() * 1000)


def test_a_request_proves_possession_of_its_key() -> None:
    """A request for somebody else's public key, signed with one's own, is refused."""
    own = create_request(SigningKey.from_seed(b"thief"), "alice", "house", Role.SELLER)
    stolen = own.replace(SigningKey.from_seed(b"thief").public_key, HOLDER.public_key)
    assert stolen != own
    with pytest.raises(InvalidCertificate, match="does not fit its key"):
        request_facts(stolen)


def test_a_changed_name_breaks_the_request() -> None:
    assert request_facts(REQUEST) == ASKED
    with pytest.raises(InvalidCertificate, match="does not fit its key"):
        request_facts(REQUEST.replace(b"alice", b"mally"))


@pytest.mark.parametrize(("name", "organisation"), [("", "o"), ("n", ""), ("n" * 65, "o"), ("n", "o" * 65)])
def test_names_have_bounds(name: str, organisation: str) -> None:
    with pytest.raises(InvalidCertificate, match="1 to 64"):
        create_request(HOLDER, name, organisation, Role.BUYER)


def test_only_nodes_may_serve() -> None:
    for role, serves in ((Role.NODE, True), (Role.SELLER, False)):
        facts = RequestFacts("n", "o", role.value, HOLDER.public_key)
        made = make_certificate(ROOT_KEY, ROOT, facts, 1, ("localhost", "127.0.0.1"))
        usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (ExtendedKeyUsageOID.SERVER_AUTH in usage) is serves
        hosts = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert hosts.get_values_for_type(x509.DNSName) == ["localhost"]
        assert [str(address) for address in hosts.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["", "büro"])
def test_hosts_that_no_certificate_can_name(host: str) -> None:
    with pytest.raises(InvalidCertificate, match="host name"):
        make_certificate(ROOT_KEY, ROOT, ASKED, 1, (host,))


def refuses_or_reads(der: bytes) -> bool:
    """Whether both readers refuse; any exception but InvalidCertificate ends the test."""
    refused = 0
    for read in (lambda data: certificate_facts(data, [ROOT_DER]), request_facts):
        try:
            read(der)
        except InvalidCertificate:
            refused += 1
    return refused == 2


@given(st.binary(max_size=600))
def test_noise_raises_nothing_but_invalid_certificate(noise: bytes) -> None:
    assert refuses_or_reads(noise)


@settings(max_examples=1_500, deadline=None)
@given(st.sampled_from([CERTIFICATE, REQUEST]), st.data())
def test_damage_raises_nothing_but_invalid_certificate(der: bytes, data: st.DataObject) -> None:
    """Bytes replaced, cut out or put in. Warnings are errors here, so the library's complaints count too."""
    place = data.draw(st.integers(0, len(der) - 1))
    removed = data.draw(st.integers(0, 4))
    damaged = der[:place] + data.draw(st.binary(max_size=4)) + der[place + removed :]
    assert damaged == der or refuses_or_reads(damaged)


@pytest.mark.parametrize("value", [0x00, 0x01, 0x03, 0x13, 0x30, 0x7F, 0x80, 0xFF])
def test_every_byte_of_a_certificate_counts(value: int) -> None:
    """Position by position: the version, the curve, the serial's sign, each length and each tag."""
    for place, byte in enumerate(CERTIFICATE):
        if byte != value:
            assert refuses_or_reads(CERTIFICATE[:place] + bytes([value]) + CERTIFICATE[place + 1 :]), place


def test_unused_bits_of_the_signature_give_no_second_encoding() -> None:
    made = (make_certificate(ROOT_KEY, ROOT, ASKED, 1, (f"h{n}",)) for n in range(100))
    even = next(certificate for certificate in made if certificate.signature[-1] % 2 == 0)
    der = even.public_bytes(Encoding.DER)
    at = len(der) - len(even.signature) - 1
    assert certificate_facts(der, [ROOT_DER]).name == "alice"
    with pytest.raises(InvalidCertificate, match="whole bytes"):
        certificate_facts(der[:at] + b"\1" + der[at + 1 :], [ROOT_DER])


@pytest.mark.needs("openssl")
def test_openssl_accepts_our_chain_in_its_strict_mode(tmp_path: Path, issued: Issued) -> None:
    (tmp_path / "a.crt").write_bytes(issued.certificate_pem)
    (tmp_path / "other.crt").write_bytes(ROOT.public_bytes(Encoding.PEM))
    for root, code in ((tmp_path / "ca" / "root.crt", 0), (tmp_path / "other.crt", 2)):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", str(root), str(tmp_path / "a.crt")]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code


@pytest.mark.needs("openssl")
def test_a_request_that_openssl_made(tmp_path: Path, authority: Authority) -> None:
    HOLDER.save(tmp_path / "a.key")
    command = ["openssl", "req", "-new", "-key", str(tmp_path / "a.key"), "-subj", "/CN=alice/O=house/OU=seller"]
    der = subprocess.run([*command, "-outform", "DER"], capture_output=True, check=True).stdout
    assert request_facts(der) == ASKED
    assert authority.enrol(der, authority.new_admission_code(Role.SELLER)).signer == HOLDER.signer
