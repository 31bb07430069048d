"""A node's certificate that ends while the node runs, and the one that its operator has issued in its place."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from ca.keys import SigningKey

BEGAN = timedelta(minutes=5)
"""Before now: when a certificate begins to hold."""
TAKEN_UP_S = 7.0
"""A node looks for a new certificate every 5 s (``api/certificates.py``), and takes up none that has ended."""
RENEWED = timedelta(days=365)


def end_in(directory: Path, home: Path, seconds: float) -> None:
    """Give the node of ``home`` a certificate that ends so soon. ``directory``: the network's, which has the CA."""
    _issue(directory, home, timedelta(seconds=seconds))


def renew(directory: Path, home: Path) -> None:
    """Give it one that holds."""
    _issue(directory, home, RENEWED)


def serial_in(home: Path) -> str:
    """The serial (hex) of the certificate that a node has now."""
    return f"{x509.load_pem_x509_certificate((home / 'node.crt').read_bytes()).serial_number:x}"


def _issue(directory: Path, home: Path, holds: timedelta) -> None:
    """As the CA would, but for the dates: it knows days alone. The file is whole at every moment."""
    path, now = home / "node.crt", datetime.now(UTC)
    old = x509.load_pem_x509_certificate(path.read_bytes())
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), x509.random_serial_number(), now - BEGAN, now + holds
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(SigningKey.load(directory / "ca" / "root.key").private, hashes.SHA256())
    draft = path.with_suffix(".draft")
    draft.write_bytes(made.public_bytes(Encoding.PEM))
    os.replace(draft, path)
