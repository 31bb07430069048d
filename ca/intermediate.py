"""Beginning an intermediate CA: its key is made where it will stay, and only a request goes to the root.

``begin`` makes key and request, the root's keeper answers with a certificate, and ``install`` puts that beside the key.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.authority import INTERMEDIATE, ROOT
from ca.certificates import InvalidCertificate, is_intermediate, name_of, root_fingerprint
from ca.folder import AuthorityError
from ca.keys import SigningKey


def begin(directory: Path, organisation: str, passphrase: str = "") -> bytes:
    """Make the key of an intermediate CA; its PKCS#10 request (DER). ``AuthorityError`` if a CA is there already."""
    key = SigningKey.generate()
    name = name_of({NameOID.COMMON_NAME: f"{organisation} CA", NameOID.ORGANIZATION_NAME: organisation})
    if (directory / f"{ROOT}.key").exists():
        raise AuthorityError(f"{directory} holds a CA already")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        key.save(directory / f"{INTERMEDIATE}.key", passphrase)
    except FileExistsError:
        raise AuthorityError(f"{directory} holds a CA already") from None
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key.private, hashes.SHA256()).public_bytes(Encoding.DER)


def install(directory: Path, chain: bytes, passphrase: str = "") -> None:
    """Put what the root issued (PEM: the intermediate's certificate, then the root's) beside the key that it is for.

    ``InvalidCertificate`` if it is for another key, or the second did not issue the first."""
    try:
        intermediate, root = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise InvalidCertificate("expected two certificates in PEM: the intermediate's, then the root's") from None
    key = SigningKey.load(directory / f"{INTERMEDIATE}.key", passphrase)
    ders = [each.public_bytes(Encoding.DER) for each in (intermediate, root)]
    for der in ders:
        root_fingerprint(der)
    if [is_intermediate(der) for der in ders] != [True, False]:
        raise InvalidCertificate("expected the intermediate's certificate first, and then one that signs itself")
    try:
        intermediate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        raise InvalidCertificate("the root did not issue this certificate") from None
    if intermediate.public_key() != key.private.public_key():
        raise InvalidCertificate(f"the certificate is for another key than {directory}/{INTERMEDIATE}.key")
    (directory / f"{ROOT}.crt").write_bytes(root.public_bytes(Encoding.PEM))
    (directory / f"{INTERMEDIATE}.crt").write_bytes(intermediate.public_bytes(Encoding.PEM))
