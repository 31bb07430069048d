"""One-time admission codes: of codes and of those used, only the hashes are kept (``codes.jsonl``)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ca.certificates import RequestFacts, Role
from ca.folder import Folder

FILE = "codes.jsonl"
CODE_BYTES = 16


class AdmissionRefused(Exception):
    """The admission conditions are not met; ``reason`` is a stable word, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CodeTerms:
    """Whom a code admits: one holder with ``role`` and, if it is not empty, ``name``; and what is then vouched for."""

    role: Role
    name: str
    expires_ms: int
    attributes: Mapping[str, str]


class Codes:
    """The codes of one CA. All calls belong under the folder's lock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def new(self, terms: CodeTerms) -> str:
        """A code that will be shown this once."""
        code = secrets.token_urlsafe(CODE_BYTES)
        line = {"role": terms.role.value, "name": terms.name, "expires_ms": terms.expires_ms}
        self._folder.append(FILE, {"hash": hash_of(code), **line, "attributes": dict(terms.attributes)})
        return code

    def check(self, code: str, facts: RequestFacts, now_ms: int) -> CodeTerms:
        """The terms of an unused code that admits whom the facts are of; ``AdmissionRefused`` otherwise."""
        lines, wanted = self._folder.lines(FILE), hash_of(code)
        entry = next((line for line in lines if line.get("hash") == wanted), None)
        if entry is None:
            raise AdmissionRefused("CODE_UNKNOWN", "this admission code is unknown")
        if self.serial_for(code):
            raise AdmissionRefused("CODE_USED", "this admission code has been used")
        terms = _terms(entry)
        if terms.expires_ms < now_ms:
            raise AdmissionRefused("CODE_EXPIRED", "this admission code has expired")
        if terms.role != facts.role:
            raise AdmissionRefused("CODE_OTHER_ROLE", f"this admission code is for the role {terms.role}")
        if terms.name not in ("", facts.name):
            raise AdmissionRefused("CODE_OTHER_NAME", "this admission code is for somebody else")
        return terms

    def spend(self, code: str, serial: str) -> None:
        """Before the certificate counts: a crash in between admits nobody twice."""
        self._folder.append(FILE, {"used": hash_of(code), "serial": serial})

    def serial_for(self, code: str) -> str:
        """The serial of the certificate that a code was used for, or nothing."""
        wanted = hash_of(code)
        return next((str(line["serial"]) for line in self._folder.lines(FILE) if line.get("used") == wanted), "")


def hash_of(code: str) -> str:
    return sha256(b"wattquorum/1 admission " + code.encode(errors="replace")).hexdigest()


def _terms(line: Mapping[str, Any]) -> CodeTerms:
    return CodeTerms(Role(line["role"]), line["name"], line["expires_ms"], line.get("attributes", {}))
