"""`wattq register`: taking part, from a fresh key to a registration on the chain, in one command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.certificates import InvalidCertificate, Role, check_name
from ca.keys import InvalidKey, SigningKey
from ca.tls import pem_of, trusting_context
from cli import failing
from cli.client import GENESIS, NODES, GenesisFile, Json, Node
from cli.operators import certificate_der
from ledger.genesis import GenesisInvalid, load_genesis
from sdk import enrolment
from sdk.admission import AdmissionWaiting, CertificateUnfit
from sdk.client import AsyncClient, Outcome
from sdk.enrolment import Applicant
from sdk.errors import Refused, SdkError
from sdk.transports import Transport, connect

WAITING = 4
"""The exit code when an operator has still to decide."""
WAIT_S_MAX = 86_400
NOT_OURS = ("CERTIFICATE_INVALID", "NOT_REGISTERED")
"""With what the chain refuses a certificate that none of this network's CAs has issued: it is not kept."""
SUBJECT = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
"""Where a certificate says name, organisation and role."""
HINTS = {"ROUTE_UNKNOWN": " Name a node with --node; a CA that serves alone with --ca."}


def register(
    key: Annotated[Path, typer.Option("--key", "-k", help="Your key; it is made if there is none.")],
    certificate: Annotated[Path | None, typer.Option(help="Your certificate; beside the key if left out.")] = None,
    name: Annotated[str, typer.Option(help="Your name.")] = "",
    organisation: Annotated[str, typer.Option(help="Your organisation.")] = "",
    role: Annotated[Role | None, typer.Option(help="What you will be; a prosumer if left out.")] = None,
    code: Annotated[str, typer.Option(help="Your one-time admission code, if you have one.")] = "",
    wait_s: Annotated[int, typer.Option(min=0, max=WAIT_S_MAX, help="How long to wait for an operator.")] = 0,
    ca: Annotated[str, typer.Option("--ca", help="The URL of a CA to which no node passes on.")] = "",
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    as_json: Json = False,
) -> None:
    """Become a seller, buyer or prosumer: key, request, admission, certificate, and registration on the chain.

    Run again, it goes on from where it was, under the names that were given first; with a renewed certificate it tells
    the chain of that one.

    Exit codes: 0 done, 1 refused, 2 bad arguments or files, 3 no node or no quorum answers, 4 an operator has still to
    decide.

    Example: wattq register --key alice.key --name alice --organisation "Alice's house" --role prosumer --code CODE
    """
    place, notes = certificate or key.with_suffix(".crt"), key.with_suffix(".application.json")
    try:
        trusted = load_genesis(genesis)
        signing = SigningKey.load(key) if key.exists() else SigningKey.generate()
        held = _held(place, signing, (name, organisation, role or ""))
        tls = trusting_context(pem_of(trusted.roots))

        applying = _Applying(key, signing, notes, lambda: _applicant(notes, name, organisation, role), code, wait_s)

        async def whole() -> Outcome:
            async with AsyncClient([connect(url, tls) for url in node], trusted, signing) as client:
                der = held or await applying.certified(client, connect(ca, tls) if ca else None)
                await asyncio.to_thread(_keep, place, der)
                return await enrolment.enter(client, der)

        outcome = asyncio.run(whole())
        notes.unlink(missing_ok=True)
    except AdmissionWaiting as error:
        message = f"{error}; run wattq register --key {key} again later"
        failing.fail("wattq register", message, WAITING, registration=error.registration)
    except Refused as error:
        if error.code in NOT_OURS and held is None:
            place.unlink(missing_ok=True)
        _fail(f"{error}{HINTS.get(error.code, '')}", 1)
    except CertificateUnfit as error:
        _fail(str(error), 1)
    except (GenesisInvalid, InvalidKey, InvalidCertificate, OSError, ValueError) as error:
        _fail(str(error), 2)
    except SdkError as error:
        _fail(str(error), 3)
    told = {"signer": signing.signer, "certificate": str(place), "height": outcome.height, "tx_id": outcome.tx_id}
    text = f"registered in block {outcome.height} as {signing.signer}; certificate: {place}"
    typer.echo(json.dumps(told) if as_json else text)


@dataclass(frozen=True, slots=True)
class _Applying:
    """An application for a certificate. The key, and who applies, are kept before anybody is asked: the same is asked
    again after an interruption. ``applicant()``: who that is, looked at only where there is no certificate yet."""

    key: Path
    signing: SigningKey
    notes: Path
    applicant: Callable[[], Applicant]
    code: str
    wait_s: int

    async def certified(self, client: AsyncClient, authority: Transport | None) -> bytes:
        """The certificate (DER), from the CA ``authority`` or from one that a node passes on to."""
        try:
            applicant = self.applicant()
            await enrolment.reach(client, self.signing)
            if not self.key.exists():
                self.signing.save(self.key)
            self.notes.write_bytes(msgspec.json.encode(applicant))
            return await self._enrolled(authority or client, applicant)
        finally:
            if authority is not None:
                await authority.close()

    async def _enrolled(self, at: AsyncClient | Transport, applicant: Applicant) -> bytes:
        try:
            return await enrolment.enrol(at, self.signing, applicant, self.code, self.wait_s)
        except Refused:
            self.notes.unlink()
            raise


def _held(path: Path, key: SigningKey, asked: tuple[str, ...]) -> bytes | None:
    """The certificate that is there already; it has to say what is ``asked`` (name, organisation, role; empty: any)."""
    if not path.exists():
        return None
    der = certificate_der(path)
    read = x509.load_der_x509_certificate(der)
    if read.public_key() != key.private.public_key():
        raise InvalidCertificate(f"{path} is for another key; move it away to enrol this one")
    said = ["".join(str(part.value) for part in read.subject.get_attributes_for_oid(oid)) for oid in SUBJECT]
    if any(wanted not in ("", is_said) for wanted, is_said in zip(asked, said, strict=True)):
        who = f"{said[0]}, {said[1]}, as {said[2]}"
        raise InvalidCertificate(f"{path} is for {who}; leave the names out, or take a new key")
    return der


def _applicant(notes: Path, name: str, organisation: str, role: Role | None) -> Applicant:
    """Whom the arguments name, or the notes of an application that was begun; both have to be the same."""
    begun = msgspec.json.decode(notes.read_bytes(), type=Applicant) if notes.exists() else None
    if begun is None:
        if not (name and organisation):
            raise ValueError("say --name and --organisation: there is no certificate yet")
        check_name(name)
        check_name(organisation)
        return Applicant(name, organisation, role or Role.PROSUMER)
    if Applicant(name or begun.name, organisation or begun.organisation, role or begun.role) != begun:
        who = f"{begun.name}, {begun.organisation}, as {begun.role}"
        raise ValueError(f"this key has applied for {who}; leave the names out, or remove {notes} to apply anew")
    return begun


def _keep(path: Path, der: bytes) -> None:
    path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq register", message, code)
