"""The root CA's directory: its key, what it issued and revoked, and one-time admission codes (M8, S1).

Files: ``root.key`` (0600), ``root.crt``, ``issued.jsonl``, ``revoked.jsonl``, ``codes.jsonl`` (hashes of codes and
of codes used). All are append-only but the key, and every change happens under a lock on the directory.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificates import (
    InvalidCertificate,
    RequestFacts,
    Role,
    certificate_facts,
    make_certificate,
    make_root,
    request_facts,
)
from ca.keys import SigningKey

CERTIFICATE_DAYS = 365
ROOT_DAYS = 3_650
CODE_VALID_HOURS = 72
CODE_BYTES = 16
HOUR_MS = 3_600_000


class AuthorityError(Exception):
    """The CA's directory is missing, exists already or is damaged; the message says which."""


class AdmissionRefused(Exception):
    """The admission conditions are not met; ``reason`` is a stable word, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Issued:
    """An entry of the register of certificates."""

    serial: str
    signer: str
    name: str
    organisation: str
    role: str
    not_before_ms: int
    not_after_ms: int
    certificate_der: bytes

    @property
    def certificate_pem(self) -> bytes:
        return x509.load_der_x509_certificate(self.certificate_der).public_bytes(Encoding.PEM)


class Authority:
    """Issues, lists and revokes. ``init`` makes a directory, ``open`` uses one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            self._root = x509.load_pem_x509_certificate((directory / "root.crt").read_bytes())
        except (OSError, ValueError) as error:
            raise AuthorityError(f"{directory} holds no CA: {error}") from None
        self._key = SigningKey.load(directory / "root.key")
        self.root_der = self._root.public_bytes(Encoding.DER)

    @classmethod
    def init(cls, directory: Path, organisation: str, days: int = ROOT_DAYS) -> Authority:
        """Make a root key and certificate in ``directory``; ``AuthorityError`` if one is there already."""
        key = SigningKey.generate()
        root = make_root(key, organisation, days)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            key.save(directory / "root.key")
        except FileExistsError:
            raise AuthorityError(f"{directory} holds a CA already") from None
        (directory / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))
        return cls(directory)

    @classmethod
    def open(cls, directory: Path) -> Authority:
        return cls(directory)

    def issue(
        self,
        request_der: bytes,
        name: str,
        organisation: str,
        role: Role | str,
        days: int = CERTIFICATE_DAYS,
        hosts: Sequence[str] = (),
    ) -> Issued:
        """Certify the key of a request under the given names; the request proves possession of the key."""
        facts = RequestFacts(name, organisation, Role(role).value, request_facts(request_der).public_key)
        issued = self._certify(facts, days, hosts)
        with self._locked():
            self._register(issued)
        return issued

    def revoke(self, serial: str, reason: str) -> None:
        """Note a revocation here. The network learns of it by a ``governance.revoke`` transaction."""
        if self.show(serial) is None:
            raise AuthorityError(f"no certificate with serial {serial}")
        with self._locked():
            if self.is_revoked(serial):
                raise AuthorityError(f"the certificate with serial {serial} is revoked already")
            self._append("revoked.jsonl", {"serial": serial, "reason": reason, "time_ms": _now_ms()})

    def is_revoked(self, serial: str) -> bool:
        return any(line["serial"] == serial for line in self._lines("revoked.jsonl"))

    def issued(self) -> list[Issued]:
        """Everything issued, oldest first."""
        return [_issued(line) for line in self._lines("issued.jsonl")]

    def show(self, serial: str) -> Issued | None:
        return next((issued for issued in self.issued() if issued.serial == serial), None)

    def new_admission_code(self, role: Role | str, name: str = "", valid_hours: int = CODE_VALID_HOURS) -> str:
        """A one-time code that admits one holder with ``role`` (and, if given, ``name``). Only its hash is kept."""
        code = secrets.token_urlsafe(CODE_BYTES)
        entry = {
            "hash": _hash(code),
            "role": Role(role).value,
            "name": name,
            "expires_ms": _now_ms() + valid_hours * HOUR_MS,
        }
        with self._locked():
            self._append("codes.jsonl", entry)
        return code

    def enrol(self, request_der: bytes, code: str) -> Issued:
        """Trade a request and an unused code for a certificate; ``AdmissionRefused`` or ``InvalidCertificate``."""
        facts = request_facts(request_der)
        with self._locked():
            self._check_code(code, facts)
            issued = self._certify(facts, CERTIFICATE_DAYS, ())
            # The code is spent before the certificate counts: a crash in between admits nobody twice.
            self._append("codes.jsonl", {"used": _hash(code), "serial": issued.serial})
            self._register(issued)
        return issued

    # ------------------------------------------------------------------------------------------- inside

    def _check_code(self, code: str, facts: RequestFacts) -> None:
        lines = self._lines("codes.jsonl")
        entry = next((line for line in lines if line.get("hash") == _hash(code)), None)
        if entry is None:
            raise AdmissionRefused("CODE_UNKNOWN", "this admission code is unknown")
        if any(line.get("used") == entry["hash"] for line in lines):
            raise AdmissionRefused("CODE_USED", "this admission code has been used")
        if entry["expires_ms"] < _now_ms():
            raise AdmissionRefused("CODE_EXPIRED", "this admission code has expired")
        if entry["role"] != facts.role:
            raise AdmissionRefused("CODE_OTHER_ROLE", f"this admission code is for the role {entry['role']}")
        if entry["name"] not in ("", facts.name):
            raise AdmissionRefused("CODE_OTHER_NAME", "this admission code is for somebody else")

    def _certify(self, facts: RequestFacts, days: int, hosts: Sequence[str]) -> Issued:
        certificate = make_certificate(self._key, self._root, facts, days, hosts)
        der = certificate.public_bytes(Encoding.DER)
        read = certificate_facts(der, [self.root_der])
        return Issued(
            serial=read.serial,
            signer=read.signer,
            name=read.name,
            organisation=read.organisation,
            role=read.role,
            not_before_ms=read.not_before_ms,
            not_after_ms=read.not_after_ms,
            certificate_der=der,
        )

    def _register(self, issued: Issued) -> None:
        certificate = base64.b64encode(issued.certificate_der).decode()
        self._append("issued.jsonl", {**asdict(issued), "certificate_der": certificate})

    def _append(self, name: str, line: dict[str, Any]) -> None:
        with (self._directory / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self._directory / name
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except ValueError as error:
            raise AuthorityError(f"{path} is damaged: {error}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._directory / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _issued(line: dict[str, Any]) -> Issued:
    return Issued(**{**line, "certificate_der": base64.b64decode(line["certificate_der"])})


def _hash(code: str) -> str:
    return sha256(b"wattquorum/1 admission " + code.encode(errors="replace")).hexdigest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["AdmissionRefused", "Authority", "AuthorityError", "InvalidCertificate", "Issued"]


def read_roots(file: Path) -> tuple[bytes, ...]:
    """CA roots (DER) from a PEM file, none if there is no file; ``AuthorityError`` if it holds anything else."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes()) if file.exists() else []
    except (OSError, ValueError) as error:
        raise AuthorityError(f"{file}: {error}") from None
    return tuple(root.public_bytes(Encoding.DER) for root in found)
