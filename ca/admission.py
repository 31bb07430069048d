"""Admission to a CA over the network: by code, by policy, or by an operator; renewal; and who decides (S1).

An application that is repeated gets the answer that it got before, so nothing depends on an answer's arriving, and who
replays one gains nothing. What is refused changes nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from ca.applications import entry_of, facts_of
from ca.authority import Authority, Issued, now_ms
from ca.certificates import (
    MARKET_ROLES,
    CertificateFacts,
    InvalidCertificate,
    RequestFacts,
    Role,
    certificate_facts,
)
from ca.codes import AdmissionRefused, CodeProof
from ca.folder import AuthorityError
from ca.issuing import NO_ATTRIBUTES, attributes_of, hosts_of
from ca.keys import signer_of
from ca.likeness import is_mixed
from ca.messages import (
    REASON_CHARS_MAX,
    Application,
    Decision,
    Registration,
    Renewal,
    Waiting,
    WaitingList,
    decision_text,
    renewal_text,
    waiting_text,
)
from ca.policy import load_policy
from ca.signatures import verify

FILE = "registrations.jsonl"
WAITING_MAX = 1_000
WAITING_PER_ORIGIN_MAX = 100
"""Of these, at most so many from one address, which may be a node's that passes on what its users send,"""
WAITING_PER_CALLER_MAX = 10
"""and at most so many of one of that node's users."""
DAY_MS = 86_400_000
WAITING_MS_MAX = 30 * DAY_MS
CLOCK_TOLERANCE_MS = 300_000
"""How far an operator's clock may be from the CA's."""
RENEWABLE_SHARE = 3
"""A certificate may be renewed in the last third of its time."""


class Terms(NamedTuple):
    """On what terms somebody is certified who waited."""

    days: int = 365
    hosts: tuple[str, ...] = ()
    attributes: Mapping[str, str] = NO_ATTRIBUTES


class Admissions:
    """One CA's. Every call may block on the directory's lock and on the disk; ``AdmissionRefused`` says why not."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._folder = authority.folder
        self._asked: dict[tuple[str, int], int] = {}
        """Of the lists that operators asked for lately: by whom and of when, and when that was here (ms)."""

    # ------------------------------------------------------------------------------------- who applies

    def apply(self, asked: Application, origin: str = "") -> Registration:
        """Certify, keep waiting or refuse; ``InvalidCertificate`` for what is no application."""
        facts = facts_of(asked)
        with self._authority.locked():
            self._authority.refuse_barred(signer_of(facts.public_key))
            code = self._code(asked, facts)
            known = self._known(facts, code)
            if known is not None:
                return self._told(known)
            entry = {**entry_of(facts, code, now_ms()), "origin": origin, "caller": asked.caller}
            if code:
                issued = self._had_for(facts, code) or self._authority.admit_by_code(facts, code)
                return self._issued(entry, issued)
            policy = load_policy(self._folder.directory)
            rule = policy.decide(facts)
            if rule.then == "refuse":
                raise AdmissionRefused("ADMISSION_REFUSED", "this CA admits no such role or organisation")
            crowded = self._issued_by_policy_today() >= policy.issues_per_day_max
            doubtful = is_mixed(facts.name) or is_mixed(facts.organisation) or self._authority.is_taken(facts)
            if rule.then == "issue" and not crowded and not doubtful:
                issued = self._authority.certify(facts, rule.days, (), rule.attributes)
                self._authority.record(issued, "policy")
                return self._issued(entry, issued)
            return self._wait(entry)

    def find(self, registration: str) -> Registration:
        """How a registration stands."""
        return self._told(self._line(registration))

    def renew(self, asked: Renewal) -> Issued:
        """The next certificate of a key in the last third of the present one's time; the same one if asked again."""
        authority, now = self._authority, now_ms()
        with authority.locked():
            old = authority.show(asked.serial)
            if old is None:
                raise AdmissionRefused("CERTIFICATE_UNKNOWN", "this CA has issued no certificate with that serial")
            facts = certificate_facts(old.certificate_der, authority.chain)
            if not verify(facts.public_key, asked.proof, renewal_text(asked.serial)):
                raise AdmissionRefused("PROOF_INVALID", "the signature does not fit the certificate's key")
            newest = authority.register.of(old.signer)[-1]
            authority.refuse_barred(old.signer)
            if authority.is_revoked(old.serial):
                raise AdmissionRefused("CERTIFICATE_REVOKED", "this certificate has been revoked; renew the newest one")
            if newest.not_after_ms < now:
                raise AdmissionRefused("CERTIFICATE_EXPIRED", "this certificate has expired; enrol anew")
            if newest.serial != old.serial:
                return newest
            lasts_ms = old.not_after_ms - old.not_before_ms
            if old.not_after_ms - now > lasts_ms // RENEWABLE_SHARE:
                raise AdmissionRefused("RENEWAL_TOO_EARLY", "a certificate is renewed in the last third of its time")
            read = old.certificate
            again = RequestFacts(old.name, old.organisation, old.role, facts.public_key)
            days = max(1, lasts_ms // DAY_MS)
            issued = authority.certify(again, days, hosts_of(read), attributes_of(read))
            authority.record(issued, f"renewal of {old.serial}")
            return issued

    # ------------------------------------------------------------------------------------- who decides

    def waiting_for(self, asked: WaitingList) -> tuple[Waiting, ...]:
        """All who wait, for an operator who proves to be one."""
        text = waiting_text(self._authority.key_id, asked.time_ms)
        operator = self._operator(asked.certificate, asked.time_ms, asked.proof, text)
        self._use_once(operator.signer, asked.time_ms)
        return self.waiting()

    def _use_once(self, signer: str, time_ms: int) -> None:
        """Who passed an operator's question on does not ask it again."""
        now = now_ms()
        self._asked = {key: at for key, at in self._asked.items() if now - at <= 2 * CLOCK_TOLERANCE_MS}
        if (signer, time_ms) in self._asked:
            raise AdmissionRefused("PROOF_USED", "this was asked before; sign anew")
        self._asked[signer, time_ms] = now

    def waiting(self) -> tuple[Waiting, ...]:
        """All who wait, the oldest first."""
        return tuple(
            Waiting(
                line["registration"], line["name"], line["organisation"], line["role"], line["signer"], line["time_ms"]
            )
            for line in self._lines().values()
            if _waits(line)
        )

    def decide(self, asked: Decision) -> Registration:
        """An operator's decision that came over the network: about who trades and meters."""
        text = decision_text(self._authority.key_id, asked.registration, asked.verdict, asked.reason, asked.time_ms)
        operator = self._operator(asked.certificate, asked.time_ms, asked.proof, text)
        role = self._line(asked.registration)["role"]
        if asked.verdict == "approve" and role not in MARKET_ROLES:
            message = f"who is to be {role} is admitted where the CA's key is: wattq ca approve"
            raise AdmissionRefused("ROLE_NOT_FROM_AFAR", message)
        if asked.verdict == "approve":
            return self.approve(asked.registration, operator.signer)
        return self.refuse(asked.registration, operator.signer, asked.reason)

    def approve(self, registration: str, by: str, terms: Terms | None = None) -> Registration:
        """Certify somebody who waits."""
        with self._authority.locked():
            line = self._waiting_line(registration)
            facts = RequestFacts(line["name"], line["organisation"], line["role"], base64.b64decode(line["public_key"]))
            issued = self._authority.certify(facts, *(terms or Terms()))
            self._authority.record(issued, by)
            return self._issued(line, issued)

    def refuse(self, registration: str, by: str, reason: str) -> Registration:
        """Turn somebody away who waits, and say why."""
        with self._authority.locked():
            line = self._waiting_line(registration)
            if len(reason) > REASON_CHARS_MAX:
                raise AuthorityError(f"a reason has at most {REASON_CHARS_MAX} characters")
            facts = {"registration": registration, "signer": line["signer"], "reason": reason}
            self._authority.audit.note(now_ms(), "refused", by, **facts)
            return self._keep({**line, "state": "refused", "reason": reason})

    def _operator(self, certificate: bytes, time_ms: int, proof: bytes, text: bytes) -> CertificateFacts:
        """Who signed, if that is an operator in good standing whose clock agrees with ours."""
        try:
            facts = certificate_facts(certificate, self._authority.chain)
        except InvalidCertificate as error:
            raise AdmissionRefused("CERTIFICATE_INVALID", f"the certificate: {error}") from None
        now = now_ms()
        if facts.role != Role.OPERATOR:
            raise AdmissionRefused("ROLE_REQUIRED", "only operators decide who is admitted")
        if not verify(facts.public_key, proof, text):
            raise AdmissionRefused("PROOF_INVALID", "the signature does not fit the certificate's key")
        if not facts.not_before_ms <= now <= facts.not_after_ms:
            raise AdmissionRefused("CERTIFICATE_EXPIRED", "the operator's certificate is not in force")
        if self._authority.is_revoked(facts.serial):
            raise AdmissionRefused("CERTIFICATE_REVOKED", "the operator's certificate has been revoked")
        if abs(now - time_ms) > CLOCK_TOLERANCE_MS:
            minutes = CLOCK_TOLERANCE_MS // 60_000
            message = (
                f"your clock is {(time_ms - now) / 60_000:+.0f} minutes off the CA's; at most {minutes} are allowed"
            )
            raise AdmissionRefused("CLOCK_OFF", message)
        return facts

    # --------------------------------------------------------------------------------------- the records

    def _lines(self) -> dict[str, dict[str, Any]]:
        """The last line of every registration, in the order of their beginnings."""
        found: dict[str, dict[str, Any]] = {}
        for line in self._folder.lines(FILE):
            found[line["registration"]] = line
        return found

    def _line(self, registration: str) -> dict[str, Any]:
        line = self._lines().get(registration)
        if line is None:
            raise AdmissionRefused("REGISTRATION_UNKNOWN", "there is no such registration here")
        return line

    def _waiting_line(self, registration: str) -> dict[str, Any]:
        line = self._line(registration)
        if not _waits(line):
            raise AdmissionRefused("ALREADY_DECIDED", "this registration does not wait any more")
        return line

    def _code(self, asked: Application, facts: RequestFacts) -> str:
        """The hash of the code that comes with an application, or nothing."""
        if not asked.code_id:
            return ""
        return self._authority.codes.proven(CodeProof(asked.code_id, asked.code_proof), facts)

    def _known(self, facts: RequestFacts, code: str) -> dict[str, Any] | None:
        """What the same applicant was told before under the same code, or without one; nothing if that is over."""
        wanted = (signer_of(facts.public_key), facts.name, facts.organisation, facts.role, code)
        for line in reversed(self._lines().values()):
            if (line["signer"], line["name"], line["organisation"], line["role"], line["code"]) == wanted:
                return None if self._is_over(line) else line
        return None

    def _had_for(self, facts: RequestFacts, code: str) -> Issued | None:
        """What the applicant's code brought, if the CA was interrupted before it could keep the registration."""
        had = self._authority.brought_by(code)
        wanted = (signer_of(facts.public_key), facts.name, facts.organisation, facts.role)
        ours = had is not None and (had.signer, had.name, had.organisation, had.role) == wanted
        return had if ours and had is not None and not self._authority.is_revoked(had.serial) else None

    def _issued_by_policy_today(self) -> int:
        since_ms = now_ms() - DAY_MS
        lines = self._folder.lines(FILE)
        return sum(line["state"] == "issued" and not line["code"] and line["time_ms"] > since_ms for line in lines)

    def _is_over(self, line: Mapping[str, Any]) -> bool:
        if line["state"] == "issued":
            issued = self._authority.show(line["serial"])
            return issued is None or issued.not_after_ms < now_ms() or self._authority.is_revoked(issued.serial)
        return now_ms() - int(line["time_ms"]) > WAITING_MS_MAX

    def _wait(self, entry: dict[str, Any]) -> Registration:
        waiting = [line for line in self._lines().values() if _waits(line)]
        from_there = [line.get("caller", "") for line in waiting if line["origin"] == entry["origin"]]
        many = bool(entry["caller"]) and from_there.count(entry["caller"]) >= WAITING_PER_CALLER_MAX
        if many or len(waiting) >= WAITING_MAX or len(from_there) >= WAITING_PER_ORIGIN_MAX:
            message = "as many registrations as may wait are waiting for a decision; try again later, or with a code"
            raise AdmissionRefused("TOO_MANY_WAITING", message)
        return self._keep({**entry, "state": "waiting"})

    def _issued(self, entry: dict[str, Any], issued: Issued) -> Registration:
        return self._keep({**entry, "state": "issued", "serial": issued.serial})

    def _keep(self, line: dict[str, Any]) -> Registration:
        self._folder.append(FILE, line)
        return self._told(line)

    def _told(self, line: Mapping[str, Any]) -> Registration:
        number = line["registration"]
        if line["state"] == "issued":
            issued = self._authority.show(line["serial"])
            assert issued is not None, "a certificate is registered before its registration is"
            return Registration(number, "issued", issued.certificate_der, issued.serial)
        if line["state"] == "waiting" and not _waits(line):
            return Registration(number, "refused", reason="nobody decided in time; apply again")
        return Registration(number, line["state"], reason=line.get("reason", ""))


def _waits(line: Mapping[str, Any]) -> bool:
    return bool(line["state"] == "waiting" and now_ms() - line["time_ms"] <= WAITING_MS_MAX)
