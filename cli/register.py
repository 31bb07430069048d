"""`wattq register`: taking part, from a fresh key to a registration on the chain, in one command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificates import InvalidCertificate, Role
from ca.keys import InvalidKey, SigningKey
from ca.tls import pem_of, trusting_context
from cli.client import GENESIS, NODES, GenesisFile, Json, Node
from cli.operators import certificate_der
from ledger.genesis import GenesisInvalid, load_genesis
from sdk import enrolment
from sdk.admission import AdmissionWaiting
from sdk.client import AsyncClient, Outcome
from sdk.enrolment import Applicant
from sdk.errors import Refused, SdkError
from sdk.transports import connect

WAITING = 4
"""The exit code when an operator has still to decide."""
WAIT_S_MAX = 86_400


def register(
    key: Annotated[Path, typer.Option("--key", "-k", help="Your key; it is made if there is none.")],
    certificate: Annotated[Path | None, typer.Option(help="Your certificate; beside the key if left out.")] = None,
    name: Annotated[str, typer.Option(help="Your name.")] = "",
    organisation: Annotated[str, typer.Option(help="Your organisation.")] = "",
    role: Annotated[Role, typer.Option(help="What you will be.")] = Role.PROSUMER,
    code: Annotated[str, typer.Option(help="Your one-time admission code, if you have one.")] = "",
    wait_s: Annotated[int, typer.Option(min=0, max=WAIT_S_MAX, help="How long to wait for an operator.")] = 0,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    as_json: Json = False,
) -> None:
    """Become a seller, buyer or prosumer: key, request, admission, certificate, and registration on the chain.

    Run again, it goes on from where it was; with a renewed certificate it tells the chain of that one.

    Exit codes: 0 done, 1 refused, 2 bad arguments or files, 3 no node or no quorum answers, 4 an operator has still to
    decide.

    Example: wattq register --key alice.key --name alice --organisation "Alice's house" --role prosumer --code CODE
    """
    place = certificate or key.with_suffix(".crt")
    try:
        trusted = load_genesis(genesis)
        signing = _key(key)
        held = _held(place, signing)
        if held is None and not (name and organisation):
            _fail("say --name and --organisation: there is no certificate yet", 2)
        tls = trusting_context(pem_of(trusted.roots))

        async def whole() -> Outcome:
            async with AsyncClient([connect(url, tls) for url in node], trusted, signing) as client:
                der = held or await enrolment.enrol(client, signing, Applicant(name, organisation, role), code, wait_s)
                await asyncio.to_thread(_keep, place, der)
                return await enrolment.enter(client, der)

        outcome = asyncio.run(whole())
    except AdmissionWaiting as error:
        _fail(f"{error}; run the same command again later", WAITING)
    except Refused as error:
        _fail(str(error), 1)
    except (GenesisInvalid, InvalidKey, InvalidCertificate, OSError, ValueError) as error:
        _fail(str(error), 2)
    except SdkError as error:
        _fail(str(error), 3)
    told = {"signer": signing.signer, "certificate": str(place), "height": outcome.height, "tx_id": outcome.tx_id}
    text = f"registered in block {outcome.height} as {signing.signer}; certificate: {place}"
    typer.echo(json.dumps(told) if as_json else text)


def _key(path: Path) -> SigningKey:
    if path.exists():
        return SigningKey.load(path)
    made = SigningKey.generate()
    made.save(path)
    return made


def _held(path: Path, key: SigningKey) -> bytes | None:
    """The certificate that is there already."""
    if not path.exists():
        return None
    der = certificate_der(path)
    if x509.load_der_x509_certificate(der).public_key() != key.private.public_key():
        raise InvalidCertificate(f"{path} is for another key")
    return der


def _keep(path: Path, der: bytes) -> None:
    path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"wattq register: {message}", err=True)
    raise typer.Exit(code)
