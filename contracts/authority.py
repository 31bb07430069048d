"""What contracts may ask about people, certificates, evidence, epochs and contracts: the ledger's own judgements.

Each is charged for what it takes, and answers in the ledger's words, which are the same on every replica.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.compiler import BYTE_GAS, deployment_fault, deployment_gas
from contracts.reading import Keys, Reads
from contracts.session import (
    AUTHENTICATE_GAS,
    CERTIFICATE_GAS,
    EPOCH_GAS,
    NAME_CHARS_MAX,
    ROOT_GAS,
    SIGNATURE_GAS,
    VALIDATOR_GAS,
    Session,
    ViewReader,
)
from ledger.accusations import judge, read_evidence
from ledger.authentication import ROOT_PREFIX, ROOTS_MAX, USER_PREFIX, read_certificate, read_root, standing
from ledger.codes import SENTENCES, RefusalCode
from ledger.epochs import EpochInvalid, check_pending, epoch_of, limits_of
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import Value, decode_value

GOVERNANCE = "governance"


class Authority:
    """A thread's, bound to its host: the session, the meter, reading and encoding are the host's."""

    def __init__(
        self,
        now: list[Session],
        charge: Callable[[int], None],
        reads: Reads,
        encoded: Callable[[Value], bytes],
    ) -> None:
        self._now, self._charge, self._reads, self._encoded = now, charge, reads, encoded
        self._shared = reads.shared
        self._users, self._contracts = Keys(USER_PREFIX), Keys(CONTRACT_PREFIX)

    def functions_for(self, contract: str) -> dict[str, Callable[..., Any]]:
        def only_governance(name: Any, source: Any) -> str:
            raise Trap(TrapCode.NOT_CALLABLE)

        return {
            "authenticate": self.authenticate,
            "standing": self.standing,
            "certificate": self.certificate,
            "root_certificate": self.root_certificate,
            "accused": self.accused,
            "epoch_fault": self.epoch_fault,
            "contract_fault": self.contract_fault if contract == GOVERNANCE else only_governance,
            "contract_hash": self.contract_hash,
        }

    def authenticate(self, signer: Any, roles: Any) -> None:
        """End the call unless ``signer`` may act in one of ``roles`` at block time."""
        code = self.standing(signer, roles)
        if code:
            raise Trap(code, SENTENCES[RefusalCode(code)])

    def standing(self, signer: Any, roles: Any) -> str:
        """Why ``signer`` may not act in one of ``roles`` at block time, or ''."""
        if type(signer) is not str or type(roles) is not list:
            raise Trap(TrapCode.TYPE_MISMATCH)
        self._charge(AUTHENTICATE_GAS + len(roles))
        try:
            user = self._shared(self._users[signer])
        except Trap:  # no user is known by what is no key
            user = None
        if user is None:
            return str(RefusalCode.NOT_REGISTERED)
        session = self._now[0]
        refusal = standing(user, roles, session.call.block_time_ms, session.view.get)
        return "" if refusal is None else str(refusal)

    def certificate(self, text: Any) -> Value:
        der = self._bytes_of(text, TrapCode.CERTIFICATE_INVALID)
        reader = ViewReader(self._now[0].view)
        self._charge(ROOT_GAS * len(reader.scan(ROOT_PREFIX, "", ROOTS_MAX)))
        facts = read_certificate(reader, der)
        if facts is None:
            raise Trap(TrapCode.CERTIFICATE_INVALID)
        return {
            "signer": facts.signer,
            "name": facts.name,
            "organisation": facts.organisation,
            "role": facts.role,
            "serial": facts.serial,
            "issuer": facts.issuer,
            "not_before_ms": facts.not_before_ms,
            "not_after_ms": facts.not_after_ms,
        }

    def root_certificate(self, text: Any) -> str:
        """The fingerprint of a CA root's certificate (base64 DER)."""
        fingerprint = read_root(self._bytes_of(text, TrapCode.CERTIFICATE_INVALID))
        if fingerprint is None:
            raise Trap(TrapCode.CERTIFICATE_INVALID)
        return fingerprint

    def accused(self, text: Any) -> Value:
        """Whom evidence (base64) convicts, of which epoch, of what."""
        evidence = read_evidence(self._bytes_of(text, TrapCode.EVIDENCE_INVALID))
        if evidence is None:
            raise Trap(TrapCode.EVIDENCE_INVALID)
        self._charge(SIGNATURE_GAS * (len(evidence.messages) + len(evidence.complaints)))
        found = judge(ViewReader(self._now[0].view), evidence)
        if found is None:
            raise Trap(TrapCode.EVIDENCE_INVALID)
        return {
            "epoch": found.epoch,
            "kind": found.kind,
            "public_key": base64.b64encode(found.public_key).decode(),
        }

    def epoch_fault(self, value: Any) -> str:
        """Why ``value`` cannot be the next epoch, or ''."""
        self._charge(EPOCH_GAS + VALIDATOR_GAS * _validators_in(value))
        data = self._encoded(value)
        reader = ViewReader(self._now[0].view)
        limits = limits_of(reader)
        if limits is None:
            return "this network knows no epochs"
        try:
            check_pending(decode_value(data), epoch_of(reader), self._now[0].call.height, limits)
        except EpochInvalid as error:
            return str(error)
        return ""

    def contract_fault(self, name: Any, source: Any) -> str:
        """Why ``source`` cannot be the contract ``name``, or ''."""
        if type(name) is not str or type(source) is not str:
            raise Trap(TrapCode.TYPE_MISMATCH)
        self._charge(BYTE_GAS * len(source))
        current = (
            self._now[0].view.get(CONTRACT_PREFIX + name) if len(name) <= NAME_CHARS_MAX and name.isascii() else None
        )
        fault = deployment_fault(name, source, None if current is None else decode_value(current)["source"])
        if not fault:
            self._charge(deployment_gas(source))
        return fault

    def contract_hash(self, name: Any) -> str:
        """The SHA-256 of the contract in force under ``name``, so that a caller can insist on one; '' if none is."""
        found = self._reads.read(self._contracts, name)
        return "" if found is None else str(found["sha256"])

    def _bytes_of(self, text: Any, otherwise: TrapCode) -> bytes:
        """What a base64 text spells; charged as the expensive reading that follows."""
        self._charge(CERTIFICATE_GAS)
        if type(text) is not str:
            raise Trap(TrapCode.TYPE_MISMATCH)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Trap(otherwise) from None


def _validators_in(value: Any) -> int:
    """How many validators a value names that may be a pending epoch."""
    epoch = value.get("epoch") if type(value) is dict else None
    validators = epoch.get("validators") if type(epoch) is dict else None
    return len(validators) if type(validators) is list else 0
