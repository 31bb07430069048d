"""The register of what a CA has issued (``issued.jsonl``): one line a certificate, and what it was issued for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.folder import Folder

ISSUED = "issued.jsonl"


@dataclass(frozen=True, slots=True)
class Issued:
    """An entry of the register. ``code``: the hash of the admission code that it has spent; one line does both, so that
    no crash comes in between."""

    serial: str
    signer: str
    name: str
    organisation: str
    role: str
    not_before_ms: int
    not_after_ms: int
    certificate_der: bytes
    code: str = ""

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.certificate_der)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


class Register:
    """One CA's. ``add`` belongs under the folder's lock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def add(self, issued: Issued) -> None:
        certificate = base64.b64encode(issued.certificate_der).decode()
        self._folder.append(ISSUED, {**asdict(issued), "certificate_der": certificate})

    def lines(self) -> list[dict[str, Any]]:
        """Everything, oldest first, the certificates in base64."""
        return self._folder.lines(ISSUED)

    def all(self) -> list[Issued]:
        return [_issued(line) for line in self.lines()]

    def find(self, serial: str) -> Issued | None:
        return next((_issued(line) for line in self.lines() if line["serial"] == serial), None)

    def of(self, signer: str) -> list[Issued]:
        """What a key was certified with."""
        return [_issued(line) for line in self.lines() if line["signer"] == signer]

    def by_code(self, code_hash: str) -> Issued | None:
        """What a code has brought."""
        return next((_issued(line) for line in self.lines() if line.get("code") == code_hash), None)


def _issued(line: Mapping[str, Any]) -> Issued:
    return Issued(**{**line, "certificate_der": base64.b64decode(line["certificate_der"])})
