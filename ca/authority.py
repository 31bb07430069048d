"""A CA's directory: its key, what it issued and revoked, one-time admission codes, and its audit log (M8, S1).

Files: ``root.key`` (0600, encrypted if its keeper wants that) and ``root.crt``; for an intermediate CA
``intermediate.key`` and ``intermediate.crt``, with its root's ``root.crt``. Beside them ``issued.jsonl``,
``revoked.jsonl``, ``pardoned.jsonl``, ``codes.jsonl``, ``registrations.jsonl`` and ``audit.jsonl``, which only grow,
under one lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.audit import AuditLog, Entry
from ca.certificates import (
    MARKET_ROLES,
    InvalidCertificate,
    RequestFacts,
    Role,
    certificate_facts,
    request_facts,
    requested_key,
)
from ca.codes import AdmissionRefused, Codes, CodeTerms, prove
from ca.folder import AuthorityError, Folder
from ca.issuing import (
    NO_ATTRIBUTES,
    key_id_of,
    make_certificate,
    make_intermediate,
    make_root,
    make_server,
)
from ca.keys import SigningKey, key_is_encrypted, signer_of
from ca.likeness import likeness
from ca.messages import REASON_CHARS_MAX
from ca.register import ISSUED, Issued, Register

CERTIFICATE_DAYS = 365
ROOT_DAYS = 3_650
CODE_VALID_HOURS = 72
HOUR_MS = 3_600_000
REVOKED, PARDONED = "revoked.jsonl", "pardoned.jsonl"
ROOT, INTERMEDIATE = "root", "intermediate"
PASSPHRASE_VARIABLE = "WATTQ_CA_PASSPHRASE"
"""The environment variable with the passphrase of a CA's encrypted key; it is in no file."""


class Authority:
    """Issues, lists and revokes. ``init`` makes a directory, ``open`` uses one."""

    def __init__(self, directory: Path, passphrase: str = "") -> None:
        self.folder = Folder(directory)
        self.audit = AuditLog(self.folder)
        self.codes = Codes(self.folder)
        self.register = Register(self.folder)
        kind = INTERMEDIATE if (directory / f"{INTERMEDIATE}.crt").exists() else ROOT
        try:
            files = dict.fromkeys((kind, ROOT))
            found = [x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes()) for name in files]
        except (OSError, ValueError) as error:
            raise AuthorityError(f"{directory} holds no CA: {error}") from None
        self.certificate = found[0]
        self.chain = tuple(each.public_bytes(Encoding.DER) for each in found)
        """The CA's own certificate (DER), and its root's if that is another."""
        self.root_der = self.chain[-1]
        self.is_intermediate = kind == INTERMEDIATE
        self.key_id = key_id_of(self.certificate)
        self._key = SigningKey.load(directory / f"{kind}.key", passphrase)
        self.revoked_elsewhere: Callable[[str], bool] = lambda serial: False
        """Whether a certificate is revoked, of which this directory need not know."""

    @classmethod
    def init(cls, directory: Path, organisation: str, days: int = ROOT_DAYS, passphrase: str = "") -> Authority:
        """Make a root key and certificate in ``directory``; ``AuthorityError`` if one is there already."""
        key = SigningKey.generate()
        root = make_root(key, organisation, days)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            key.save(directory / f"{ROOT}.key", passphrase)
        except FileExistsError:
            raise AuthorityError(f"{directory} holds a CA already") from None
        (directory / f"{ROOT}.crt").write_bytes(root.public_bytes(Encoding.PEM))
        return cls(directory, passphrase)

    @classmethod
    def open(cls, directory: Path, passphrase: str = "") -> Authority:
        return cls(directory, passphrase)

    @staticmethod
    def check_log(directory: Path, known_hash: str = "") -> list[Entry]:
        """The audit log's entries; ``AuthorityError`` if it is broken, or lacks a certificate or revocation."""
        folder = Folder(directory)
        if not (directory / f"{ROOT}.crt").exists():
            raise AuthorityError(f"{directory} holds no CA")
        entries = AuditLog(folder).check(known_hash)
        for what, register in (("issued", ISSUED), ("revoked", REVOKED)):
            told = {entry.facts.get("serial") for entry in entries if entry.what == what}
            for line in folder.lines(register):
                if line["serial"] not in told:
                    raise AuthorityError(f"{directory / register}: {line['serial']} is not in the audit log")
        return entries

    def issue(
        self,
        request_der: bytes,
        name: str,
        organisation: str,
        role: Role | str,
        days: int = CERTIFICATE_DAYS,
        hosts: Sequence[str] = (),
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
        pardon: bool = False,
    ) -> Issued:
        """Certify the key of a request under the given names; the request proves possession of the key.

        ``pardon``: even if a certificate of that key was revoked; from then on it is as any other."""
        facts = RequestFacts(name, organisation, Role(role).value, requested_key(request_der))
        with self.locked():
            if pardon:
                self._pardon(signer_of(facts.public_key))
            issued = self.certify(facts, days, hosts, attributes)
            self.record(issued, local_user())
        return issued

    def issue_intermediate(self, request_der: bytes, organisation: str, days: int) -> bytes:
        """Certify the key of an intermediate CA (DER); ``InvalidCertificate`` if this is no root."""
        made = make_intermediate(self._key, self.certificate, organisation, requested_key(request_der), days)
        with self.locked():
            serial = f"{made.serial_number:x}"
            self.audit.note(now_ms(), "intermediate", local_user(), serial=serial, organisation=organisation)
        return made.public_bytes(Encoding.DER)

    def issue_server(self, key: SigningKey, days: int, hosts: Sequence[str]) -> bytes:
        """A certificate for the CA's own HTTPS server, with what is above it, as PEM."""
        made = make_server(self._key, self.certificate, key.public_key, days, hosts)
        chain = [made] if len(self.chain) == 1 else [made, self.certificate]
        return b"".join(each.public_bytes(Encoding.PEM) for each in chain)

    def revoke(self, serial: str, reason: str, foreign: bool = False) -> None:
        """Note a revocation here. The network learns of it by a ``governance.revoke`` transaction.

        ``foreign``: a certificate that another CA issued, of somebody who is known here, as operators are."""
        if self.show(serial) is None and not foreign:
            raise AuthorityError(f"no certificate with serial {serial}")
        if len(reason) > REASON_CHARS_MAX:
            raise AuthorityError(f"a reason has at most {REASON_CHARS_MAX} characters")
        with self.locked():
            if self.is_revoked(serial):
                raise AuthorityError(f"the certificate with serial {serial} is revoked already")
            self.audit.note(now_ms(), "revoked", local_user(), serial=serial, reason=reason)
            self.folder.append(REVOKED, {"serial": serial, "reason": reason, "time_ms": now_ms()})

    def revocation_noted_ms(self) -> int:
        """When a revocation was last noted here (UTC ms); 0 if none was."""
        return max((int(line["time_ms"]) for line in self.folder.lines(REVOKED)), default=0)

    def is_revoked(self, serial: str) -> bool:
        known = any(line["serial"] == serial for line in self.folder.lines(REVOKED))
        return known or self.revoked_elsewhere(serial)

    def is_barred(self, signer: str) -> bool:
        """Whether a certificate of a key was revoked, and nobody has pardoned that: such a key is certified no more."""
        pardoned = {serial for line in self.folder.lines(PARDONED) for serial in line["serials"]}
        held = (issued.serial for issued in self.register.of(signer))
        return any(serial not in pardoned and self.is_revoked(serial) for serial in held)

    def refuse_barred(self, signer: str) -> None:
        if self.is_barred(signer):
            raise AdmissionRefused("CERTIFICATE_REVOKED", "a certificate of this key has been revoked; make a new key")

    def _pardon(self, signer: str) -> None:
        serials = [issued.serial for issued in self.register.of(signer) if self.is_revoked(issued.serial)]
        if serials:
            self.audit.note(now_ms(), "pardoned", local_user(), signer=signer)
            self.folder.append(PARDONED, {"signer": signer, "serials": serials, "time_ms": now_ms()})

    def others_in_force(self, serial: str) -> list[str]:
        """The serials of what else the same key holds, neither ended nor revoked."""
        known, now = self.show(serial), now_ms()
        held = [] if known is None else self.register.of(known.signer)
        alive = [each.serial for each in held if now <= each.not_after_ms and each.serial != serial]
        return [each for each in alive if not self.is_revoked(each)]

    def issued(self) -> list[Issued]:
        """Everything issued, oldest first."""
        return self.register.all()

    def show(self, serial: str) -> Issued | None:
        return self.register.find(serial)

    def is_taken(self, facts: RequestFacts) -> bool:
        """Whether another key has a certificate that is in force under names that look the same."""
        signer, now = signer_of(facts.public_key), now_ms()
        wanted = (likeness(facts.name), likeness(facts.organisation))
        return any(
            (likeness(line["name"]), likeness(line["organisation"])) == wanted
            and line["signer"] != signer
            and now <= line["not_after_ms"]
            and not self.is_revoked(line["serial"])
            for line in self.register.lines()
        )

    def new_admission_code(
        self,
        role: Role | str,
        name: str = "",
        organisation: str = "",
        valid_hours: int = CODE_VALID_HOURS,
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
    ) -> str:
        """A one-time code that admits one holder with ``role`` and, if given, ``name`` and ``organisation``; only its
        hash is kept. ``InvalidCertificate`` for a code that would admit nobody, or a vote of any organisation."""
        if self.is_intermediate and role not in MARKET_ROLES:
            raise InvalidCertificate(f"only a root CA admits who is to be {role}")
        terms = CodeTerms(Role(role), name, organisation, now_ms() + valid_hours * HOUR_MS, attributes)
        terms.check()
        with self.locked():
            facts = {"role": terms.role.value, "name": name, "organisation": organisation}
            self.audit.note(now_ms(), "code", local_user(), **facts)
            return self.codes.new(terms)

    def enrol(self, request_der: bytes, code: str) -> Issued:
        """Trade a request and an unused code for a certificate; ``AdmissionRefused`` or ``InvalidCertificate``."""
        facts = request_facts(request_der)
        with self.locked():
            return self.admit_by_code(facts, self.codes.proven(prove(code, facts), facts))

    # ------------------------------------------------------------------------- steps, for admissions too

    def admit_by_code(self, facts: RequestFacts, code_hash: str) -> Issued:
        """By a code that was proven. Under the lock."""
        if self.brought_by(code_hash) is not None:
            raise AdmissionRefused("CODE_USED", "this admission code has been used")
        terms = self.codes.check(code_hash, facts, now_ms())
        if not terms.names_one and self.is_taken(facts):
            message = "somebody else has this name in this organisation; take another, or a code that names both"
            raise AdmissionRefused("NAME_TAKEN", message)
        issued = replace(self.certify(facts, CERTIFICATE_DAYS, (), terms.attributes), code=code_hash)
        self.record(issued, "code")
        return issued

    def brought_by(self, code_hash: str) -> Issued | None:
        """What a code was spent for, if it was."""
        return self.register.by_code(code_hash) or self.show(self.codes.serial_for(code_hash))

    def certify(
        self, facts: RequestFacts, days: int, hosts: Sequence[str] = (), attributes: Mapping[str, str] = NO_ATTRIBUTES
    ) -> Issued:
        """A certificate that counts once it is recorded. ``InvalidCertificate`` for what this CA may not certify,
        ``AdmissionRefused`` for a key that a revocation bars."""
        self.refuse_barred(signer_of(facts.public_key))
        if self.certificate.not_valid_after_utc.timestamp() * 1000 <= now_ms():
            raise AuthorityError("the CA's own certificate has ended")
        made = make_certificate(self._key, self.certificate, facts, days, hosts, attributes)
        der = made.public_bytes(Encoding.DER)
        read = certificate_facts(der, self.chain)
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

    def record(self, issued: Issued, by: str) -> None:
        """Have a certificate count. Under the lock."""
        self.audit.note(now_ms(), "issued", by, serial=issued.serial, signer=issued.signer, role=issued.role)
        self.register.add(issued)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.folder.locked():
            yield


def is_encrypted(directory: Path) -> bool:
    """Whether a CA's directory holds an encrypted key."""
    keys = [directory / f"{name}.key" for name in (ROOT, INTERMEDIATE)]
    return any(key.exists() and key_is_encrypted(key) for key in keys)


def read_roots(file: Path) -> tuple[bytes, ...]:
    """CA roots (DER) from a PEM file, none if there is no file; ``AuthorityError`` if it holds anything else."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes()) if file.exists() else []
    except (OSError, ValueError) as error:
        raise AuthorityError(f"{file}: {error}") from None
    return tuple(root.public_bytes(Encoding.DER) for root in found)


def local_user() -> str:
    """Who acts at the CA's directory itself."""
    return f"uid {os.getuid()}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["AdmissionRefused", "Authority", "AuthorityError", "InvalidCertificate", "Issued"]
