"""TLS 1.3 contexts. Between nodes both sides show a certificate of the network's CA; who it is, the key says."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


def server_context(certificate: Path, key: Path, root_pem: str) -> ssl.SSLContext:
    """For the accepting node: asks for, and verifies, the other node's certificate."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, certificate, key)
    context.load_verify_locations(cadata=root_pem)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(certificate: Path, key: Path, root_pem: str) -> ssl.SSLContext:
    """For the dialling node. The hello binds the peer's key to a validator, so its host name decides nothing."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, certificate, key)
    context.check_hostname = False
    context.load_verify_locations(cadata=root_pem)
    return context


def public_server_context(certificate: Path, key: Path, passphrase: str = "") -> ssl.SSLContext:
    """For REST, the client socket and the CA: no client certificate, since what they are told is signed."""
    return _context(ssl.PROTOCOL_TLS_SERVER, certificate, key, passphrase)


def welcoming_server_context(certificate: Path, key: Path, root_pem: str) -> ssl.SSLContext:
    """For the client socket: whoever shows a certificate of the network's CA is known by it; nobody has to."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, certificate, key)
    context.load_verify_locations(cadata=root_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def trusting_context(root_pem: str) -> ssl.SSLContext:
    """For clients: trusts the network's CA alone; nobody, if the network has none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if root_pem:
        context.load_verify_locations(cadata=root_pem)
    return context


def user_context(root_pem: str, certificate: Path, key: Path) -> ssl.SSLContext:
    """For clients with a certificate: trusts the network's CA alone, and shows whom it has certified."""
    context = trusting_context(root_pem)
    context.load_cert_chain(certificate, key)
    return context


def pem_of(roots: Iterable[bytes]) -> str:
    """Root certificates (DER) as the text that the contexts take."""
    return "".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode() for der in roots)


def _context(protocol: int, certificate: Path, key: Path, passphrase: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key, passphrase)  # which an unencrypted key does not use
    return context
