"""Taking part, as one flow (S1): key, request, admission, certificate, registration on the chain; and what comes later.

Everything may be done again after an interruption: the CA answers a repeated application as it did before, and a
registration that stands is only renewed.
"""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass
from typing import Literal

from cryptography import x509

from ca.certificates import Role, create_request, request_facts
from ca.issuing import issuer_id_of
from ca.keys import SigningKey
from ca.messages import Registration, Renewed, Waiting, decision_text, renewal_text, waiting_text
from ledger.codes import RefusalCode
from sdk import methods
from sdk.admission import application_of, certificate_in, check_fits
from sdk.client import AsyncClient, Outcome
from sdk.errors import Refused
from sdk.transports import Transport

POLL_S, POLL_S_MAX = 1.0, 15.0
"""How soon, and at the latest, one who waits asks again."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants to take part, and as what."""

    name: str
    organisation: str
    role: Role


@dataclass(frozen=True, slots=True)
class Registered:
    """``certificate`` is DER; ``outcome`` is that of the registration's transaction."""

    certificate: bytes
    outcome: Outcome


async def register(
    client: AsyncClient, key: SigningKey, applicant: Applicant, code: str = "", wait_s: float = 0.0
) -> Registered:
    """Have ``key``, which signs for ``client``, certified and registered. ``wait_s``: for an operator's decision; then
    ``AdmissionWaiting``. ``Refused`` if it is refused, by the CA or on the chain."""
    await reach(client, key)
    certificate = await enrol(client, key, applicant, code, wait_s)
    return Registered(certificate, await enter(client, certificate))


async def reach(client: AsyncClient, key: SigningKey) -> None:
    """Whether there is a node to register at, before a code is spent; raises as any call does."""
    await client.call_plain(methods.NONCE, methods.SignerParams(signer=key.signer))


async def enrol(
    at: AsyncClient | Transport, key: SigningKey, applicant: Applicant, code: str = "", wait_s: float = 0.0
) -> bytes:
    """The first half of ``register``: a certificate (DER), from a node that has or knows a CA, or from a CA itself.
    ``CertificateUnfit`` if what comes is another one's, or says something else."""
    call = at.call_plain if isinstance(at, AsyncClient) else at.call
    request = create_request(key, applicant.name, applicant.organisation, applicant.role)
    told = await call(methods.ENROL, application_of(request, code))
    deadline, pause_s = time.monotonic() + wait_s, POLL_S
    while told.state == "waiting" and (left_s := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, POLL_S_MAX)
        told = await call(methods.REGISTRATION, methods.RegistrationParams(registration=told.registration))
    certificate = certificate_in(told)
    check_fits(certificate, request_facts(request))
    return certificate


async def enter(client: AsyncClient, certificate: bytes) -> Outcome:
    """The second half: have the chain know the certificate, be it the first one or a renewed one.

    Signed once more if the nonce was used: the node that named it may not have executed our last transaction yet, and
    to register twice does nothing.
    """
    args = {"certificate_der": base64.b64encode(certificate).decode()}
    try:
        return await client.invoke("registry", "register", args)
    except Refused as refusal:
        if refusal.code != RefusalCode.NONCE_USED:
            raise
    return await client.invoke("registry", "register", args)


async def renew(ca: Transport, key: SigningKey, serial: str) -> Renewed:
    """The next certificate of ``key``, whose present one has that serial. ``enter`` tells the chain of it."""
    proof = key.sign(renewal_text(serial))
    return await ca.call(methods.RENEW, methods.RenewParams(serial=serial, proof=proof))


async def waiting(ca: Transport, operator: SigningKey, certificate: bytes, ca_id: str = "") -> tuple[Waiting, ...]:
    """Who waits, for the operator whose ``certificate`` (DER) is for that key. ``ca_id``: which CA is asked, as
    ``ca.issuing.key_id_of`` tells; the one that certified the operator if it is empty."""
    now_ms, meant = _now_ms(), ca_id or _issuer(certificate)
    proof = operator.sign(waiting_text(meant, now_ms))
    asked = methods.WaitingParams(certificate=certificate, time_ms=now_ms, proof=proof)
    return (await ca.call(methods.WAITING, asked)).waiting


async def decide(
    ca: Transport,
    operator: SigningKey,
    certificate: bytes,
    registration: str,
    *,
    approve: bool,
    reason: str = "",
    ca_id: str = "",
) -> Registration:
    """Admit or refuse somebody who waits. ``ca_id`` as in ``waiting``."""
    now_ms, meant = _now_ms(), ca_id or _issuer(certificate)
    verdict: Literal["approve", "refuse"] = "approve" if approve else "refuse"
    asked = methods.DecisionParams(
        certificate=certificate,
        registration=registration,
        verdict=verdict,
        reason=reason,
        time_ms=now_ms,
        proof=operator.sign(decision_text(meant, registration, verdict, reason, now_ms)),
    )
    return await ca.call(methods.DECIDE, asked)


def _issuer(certificate: bytes) -> str:
    return issuer_id_of(x509.load_der_x509_certificate(certificate))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
