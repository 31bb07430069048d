"""An application for a certificate: what it asks for, once it is proven, and what is written down of it."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from ca.certificates import InvalidCertificate, RequestFacts, asked_facts, request_facts
from ca.codes import AdmissionRefused
from ca.keys import InvalidKey, public_key_from, signer_of
from ca.messages import Application, application_text
from ca.signatures import verify


def facts_of(asked: Application) -> RequestFacts:
    """What is asked for, once possession of the key is proven; ``InvalidCertificate`` otherwise."""
    if bool(asked.request) == bool(asked.public_key):
        raise InvalidCertificate("an application has either a request, or a public key with names and a proof")
    if bool(asked.code_id) != bool(asked.code_proof):
        raise InvalidCertificate("an admission code has both its name and its proof")
    if asked.request:
        return request_facts(asked.request)
    try:
        point = public_key_from(asked.public_key)
    except InvalidKey as error:
        raise InvalidCertificate(str(error)) from None
    facts = asked_facts(asked.name, asked.organisation, asked.role, point)
    text = application_text(asked.name, asked.organisation, asked.role, asked.code_id)
    if not verify(point, asked.proof, text):
        raise AdmissionRefused("PROOF_INVALID", "the signature does not fit the key and the names")
    return facts


def entry_of(facts: RequestFacts, code_hash: str, time_ms: int) -> dict[str, Any]:
    """The beginning of a registration's line; its number is a secret of 128 bits."""
    return {
        "registration": secrets.token_hex(16),
        "signer": signer_of(facts.public_key),
        "public_key": base64.b64encode(facts.public_key).decode(),
        "name": facts.name,
        "organisation": facts.organisation,
        "role": facts.role,
        "code": code_hash,
        "time_ms": time_ms,
    }
