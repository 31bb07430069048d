"""One-time admission codes: only their hashes are kept (``codes.jsonl``).

A code is never sent. Its holder shows by which name the CA knows it, and the code masked by a MAC over the application
under the code's hash, as SCRAM does (RFC 5802, section 3). Only the CA has that hash, takes the mask off, and finds the
code that fits the hash. Whoever passes the application on learns nothing of which another could be made, and whoever
reads the CA's file does not have the code: its 128 bits cannot be guessed from either.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from ca.certificates import MARKET_ROLES, InvalidCertificate, RequestFacts, Role, check_name
from ca.folder import Folder
from ca.issuing import check_attributes
from ca.keys import signer_of
from ca.messages import code_text

FILE = "codes.jsonl"
CODE_BYTES = 16


class AdmissionRefused(Exception):
    """The admission conditions are not met; ``reason`` is a stable word, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CodeTerms:
    """Whom a code admits: one holder with ``role`` and, where they are not empty, ``name`` and ``organisation``; and
    what is then vouched for."""

    role: Role
    name: str
    organisation: str
    expires_ms: int
    attributes: Mapping[str, str]

    def check(self) -> None:
        """``InvalidCertificate`` for terms that nobody could meet, or that would give a vote of any organisation."""
        check_attributes(self.attributes)
        for text in filter(None, (self.name, self.organisation)):
            check_name(text)
        if self.role not in MARKET_ROLES and not self.organisation:
            raise InvalidCertificate(f"name the organisation of who is to be {self.role}")

    @property
    def names_one(self) -> bool:
        """Whether its maker has said exactly who is meant."""
        return bool(self.name and self.organisation)

    def refuse_others(self, facts: RequestFacts) -> None:
        """``AdmissionRefused`` for whom it does not admit. Codes of before named no organisation: for those who govern
        that does not do, since an organisation is a vote."""
        if self.role != facts.role:
            raise AdmissionRefused("CODE_OTHER_ROLE", f"this admission code is for the role {self.role}")
        if self.name not in ("", facts.name):
            raise AdmissionRefused("CODE_OTHER_NAME", "this admission code is for somebody else")
        if self.organisation != facts.organisation and (self.organisation or self.role not in MARKET_ROLES):
            raise AdmissionRefused("CODE_OTHER_ORGANISATION", "this admission code is not for this organisation")


@dataclass(frozen=True, slots=True)
class CodeProof:
    """That an applicant has a code: the name by which the CA finds it (hex), and the masked code."""

    id: str
    proof: bytes


class Codes:
    """The codes of one CA. All calls belong under the folder's lock."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def new(self, terms: CodeTerms) -> str:
        """A code that will be shown this once."""
        code = secrets.token_urlsafe(CODE_BYTES)
        line = {**asdict(terms), "role": terms.role.value, "attributes": dict(terms.attributes)}
        self._folder.append(FILE, {"hash": _hash_of(code.encode()), **line})
        return code

    def proven(self, shown: CodeProof, facts: RequestFacts) -> str:
        """The hash of the code that whom the facts are of has shown to have; ``AdmissionRefused`` otherwise."""
        hashes = (line["hash"] for line in self._folder.lines(FILE) if "hash" in line)
        known = next((each for each in hashes if _id_of(each) == shown.id), "")
        if not known:
            raise AdmissionRefused("CODE_UNKNOWN", "this admission code is unknown")
        if _hash_of(_masked(shown.proof, known, facts)) != known:
            raise AdmissionRefused("PROOF_INVALID", "the proof of the code does not fit the key and the names")
        return known

    def check(self, code_hash: str, facts: RequestFacts, now_ms: int) -> CodeTerms:
        """The terms of a code that admits whom the facts are of; ``AdmissionRefused`` otherwise."""
        entry = next(line for line in self._folder.lines(FILE) if line.get("hash") == code_hash)
        terms = _terms(entry)
        if terms.expires_ms < now_ms:
            raise AdmissionRefused("CODE_EXPIRED", "this admission code has expired")
        terms.refuse_others(facts)
        return terms

    def serial_for(self, code_hash: str) -> str:
        """The serial that a code was spent for in a directory of before, or nothing: the register tells of others."""
        return next((str(line["serial"]) for line in self._folder.lines(FILE) if line.get("used") == code_hash), "")


def prove(code: str, facts: RequestFacts) -> CodeProof:
    """Show to have a code, for an application with these facts and no other."""
    data = code.encode(errors="replace")
    return CodeProof(_id_of(_hash_of(data)), _masked(data, _hash_of(data), facts))


def _hash_of(code: bytes) -> str:
    return sha256(b"wattquorum/1 admission " + code).hexdigest()


def _id_of(code_hash: str) -> str:
    return sha256(b"wattquorum/1 code id " + bytes.fromhex(code_hash)).hexdigest()


def _masked(code: bytes, code_hash: str, facts: RequestFacts) -> bytes:
    """The code under its mask, or without it again. A code has 22 bytes, the mask 32; a longer one is none of ours."""
    text = code_text(signer_of(facts.public_key), facts.name, facts.organisation, facts.role)
    mask = hmac.digest(bytes.fromhex(code_hash), text, "sha256")
    return bytes(one ^ other for one, other in zip(code, mask, strict=False))


def _terms(line: Mapping[str, Any]) -> CodeTerms:
    organisation, attributes = line.get("organisation", ""), line.get("attributes", {})
    return CodeTerms(Role(line["role"]), line["name"], organisation, line["expires_ms"], attributes)
