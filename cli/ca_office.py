"""`wattq ca` as a service: serving, who waits, whom to admit, renewal, and the audit log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api.ca_chain import ChainRevocations
from api.ca_service import CaService
from api.enrolment import OwnOffice
from ca.admission import Admissions, Terms
from ca.audit import Entry
from ca.authority import CERTIFICATE_DAYS, Authority, AuthorityError, local_user, read_roots
from ca.certificates import InvalidCertificate
from ca.issuing import key_id_of
from ca.keys import SigningKey
from ca.messages import Registration, Waiting
from ca.policy import load_policy
from ca.server import ServerCertificate
from ca.tls import pem_of, trusting_context
from cli.ca_common import (
    DIRECTORY,
    Attributes,
    Days,
    Directory,
    Json,
    fail,
    load_key,
    moment,
    open_ca,
    pairs_of,
    passphrase_for,
    refusals,
    say,
)
from cli.operators import certificate_der
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from sdk import enrolment
from sdk.client import AsyncClient
from sdk.connection import tls_of
from sdk.errors import Refused, SdkError
from sdk.process import ending_signals, event_loop_factory, follow_leash
from sdk.transports import HttpTransport, connect

At = Annotated[str, typer.Option("--at", help="The URL of a CA, or of a node that passes on to it.")]
Roots = Annotated[Path | None, typer.Option("--roots", help="PEM file of the CA roots by which that is known.")]
Key = Annotated[Path | None, typer.Option("--key", "-k", help="Your key, if not at the CA's own directory.")]
CertificateFile = Annotated[Path | None, typer.Option("--certificate", help="Your certificate (PEM).")]
CaFile = Annotated[
    Path | None, typer.Option("--ca", help="The asked CA's certificate (PEM), if another one has certified you.")
]
RegistrationId = Annotated[str, typer.Argument(help="A registration's number, as `wattq ca waiting` shows it.")]
T = TypeVar("T")

app = typer.Typer()


@app.command()
def serve(
    directory: Directory = DIRECTORY,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0: a free one.")] = 26_590,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name or IP address of this server; repeatable.")
    ] = None,
    node: Annotated[
        list[str] | None, typer.Option(help="A node's URL: ask the chain which certificates are revoked; repeatable.")
    ] = None,
    genesis: Annotated[
        Path | None, typer.Option(help="With --node, the network's genesis.json, which the proofs are checked against.")
    ] = None,
) -> None:
    """Serve enrolment over HTTPS until SIGTERM or SIGINT.

    Example: wattq ca serve -d wattquorum/ca --host 0.0.0.0 --name ca.grid-north.example \\
    --node https://node1.example:26601 --genesis genesis.json
    """
    passphrase = passphrase_for(directory)
    if bool(node) is not (genesis is not None):
        fail("--node and --genesis go together", 2)
    try:
        trusted = None if genesis is None else load_genesis(genesis)
    except GenesisInvalid as error:
        fail(str(error), 2)
    with refusals():
        authority = Authority.open(directory, passphrase)
        load_policy(directory)
        names = tuple(dict.fromkeys((*(name or ()), *(() if host in ("0.0.0.0", "::") else (host,)), "localhost")))
        shown = ServerCertificate(directory, authority, names, passphrase)
        asked = [] if trusted is None else _nodes_of(node or [], trusted, authority)
    follow_leash()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    with refusals(), asyncio.Runner(loop_factory=event_loop_factory()) as run:
        run.run(_serve(authority, shown, host, port, asked))


def _nodes_of(urls: list[str], genesis: Genesis, authority: Authority) -> list[AsyncClient]:
    """Whom the CA asks which certificates are revoked; ``genesis`` is what their proofs are checked against."""
    tls = tls_of((*genesis.roots, authority.root_der), None, None)
    try:
        return [AsyncClient([connect(url, tls)], genesis) for url in urls]
    except ValueError as error:
        fail(str(error), 2)


async def _serve(
    authority: Authority, shown: ServerCertificate, host: str, port: int, nodes: list[AsyncClient]
) -> None:
    """``nodes``: who is asked for revocations; none: nobody is."""
    chain = ChainRevocations(nodes) if nodes else None
    service, stop = CaService(authority, OwnOffice(authority), chain), asyncio.Event()
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = await service.listen(host, port, shown.context)
    typer.echo(f"the CA is served at https://{host}:{port}")
    await service.run(shown, stop)


@app.command()
def waiting(
    directory: Directory = DIRECTORY,
    at: At = "",
    roots: Roots = None,
    key: Key = None,
    certificate: CertificateFile = None,
    ca: CaFile = None,
    as_json: Json = False,
) -> None:
    """List who waits for a decision: at the CA's directory, or as an operator from anywhere.

    Example: wattq ca waiting --at https://ca.example:26590 --roots root.crt --key op.key --certificate op.crt
    """
    if at:
        operator, der = _operator(key, certificate)
        found = _ask(at, roots, lambda asked: enrolment.waiting(asked, operator, der, _ca_id(ca)))
    else:
        authority = open_ca(directory)
        with refusals():
            found = Admissions(authority).waiting()
    if as_json:
        typer.echo(json.dumps([_told(each) for each in found]))
        return
    for each in found:
        typer.echo(f"{each.registration}  {each.role}  since {moment(each.time_ms)}")
        typer.echo(f"    {each.name}, {each.organisation}")


@app.command()
def approve(
    registration: RegistrationId,
    directory: Directory = DIRECTORY,
    days: Days = CERTIFICATE_DAYS,
    host: Annotated[list[str] | None, typer.Option(help="A node's host name or IP address; repeatable.")] = None,
    attribute: Attributes = None,
    at: At = "",
    roots: Roots = None,
    key: Key = None,
    certificate: CertificateFile = None,
    ca: CaFile = None,
    as_json: Json = False,
) -> None:
    """Admit somebody who waits, after you have checked who it is. From afar, only sellers, buyers, prosumers, gateways.

    Example: wattq ca approve 5f3a…
    """
    if at:
        operator, der = _operator(key, certificate)

        def work(asked: HttpTransport) -> Awaitable[Registration]:
            return enrolment.decide(asked, operator, der, registration, approve=True, ca_id=_ca_id(ca))

        decided = _ask(at, roots, work)
    else:
        authority = open_ca(directory)
        terms = Terms(days, tuple(host or ()), pairs_of(attribute))
        with refusals():
            decided = Admissions(authority).approve(registration, local_user(), terms)
    say({"registration": registration, "state": decided.state, "serial": decided.serial}, as_json)


@app.command()
def refuse(
    registration: RegistrationId,
    reason: Annotated[str, typer.Option(help="Why; the applicant is told.")],
    directory: Directory = DIRECTORY,
    at: At = "",
    roots: Roots = None,
    key: Key = None,
    certificate: CertificateFile = None,
    ca: CaFile = None,
    as_json: Json = False,
) -> None:
    """Turn somebody away who waits.

    Example: wattq ca refuse 5f3a… --reason "no contract with this household"
    """
    if at:
        operator, der = _operator(key, certificate)

        def work(asked: HttpTransport) -> Awaitable[Registration]:
            return enrolment.decide(asked, operator, der, registration, approve=False, reason=reason, ca_id=_ca_id(ca))

        decided = _ask(at, roots, work)
    else:
        authority = open_ca(directory)
        with refusals():
            decided = Admissions(authority).refuse(registration, local_user(), reason)
    say({"registration": registration, "state": decided.state}, as_json)


@app.command()
def renew(
    key: Annotated[Path, typer.Option("--key", "-k", help="The certificate's key, which signs for the next one.")],
    certificate: Annotated[Path, typer.Option(help="The certificate (PEM); the next one takes its place.")],
    at: Annotated[str, typer.Option("--at", help="The URL of a CA, or of a node that passes on to it.")],
    roots: Roots = None,
    as_json: Json = False,
) -> None:
    """Renew a certificate in the last third of its time. A node takes up its own without a restart.

    Then tell the chain: wattq register --key KEY --certificate FILE

    Example: wattq ca renew -k node1/node.key --certificate node1/node.crt --at http://127.0.0.1:26631
    """
    signing = load_key(key)
    try:
        old = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{certificate}: {error}", 2)
    told = _ask(at, roots, lambda ca: enrolment.renew(ca, signing, f"{old.serial_number:x}"))
    new = x509.load_der_x509_certificate(told.certificate)
    if new.public_key() != signing.private.public_key():
        fail(f"{at} answered with a certificate for another key", 1)
    draft = certificate.with_name(certificate.name + ".draft")
    with refusals():
        draft.write_bytes(new.public_bytes(Encoding.PEM))
        os.replace(draft, certificate)
    say({"file": str(certificate), "serial": told.serial, "not_after": new.not_valid_after_utc.isoformat()}, as_json)


@app.command()
def audit(
    directory: Directory = DIRECTORY,
    known: Annotated[str, typer.Option(help="The hash of an entry that you noted down; it must be there.")] = "",
    as_json: Json = False,
) -> None:
    """Check the audit log, and that all certificates and revocations are in it; needs no key.

    Example: wattq ca audit --known 5f3a…
    """
    with refusals():
        entries = Authority.check_log(directory, known)
    if as_json:
        typer.echo(json.dumps([_entry(entry) for entry in entries]))
        return
    for entry in entries:
        facts = ", ".join(f"{name} {value}" for name, value in entry.facts.items())
        typer.echo(f"{entry.number}  {moment(entry.time_ms)}  {entry.what} by {entry.by}: {facts}")
    typer.echo(
        f"{len(entries)} entries, unbroken; the newest has the hash {entries[-1].hash if entries else 'of none'}"
    )


# ------------------------------------------------------------------------------------------------ details


def _operator(key: Path | None, certificate: Path | None) -> tuple[SigningKey, bytes]:
    if key is None or certificate is None:
        fail("--at needs --key and --certificate of an operator", 2)
    try:
        return load_key(key), certificate_der(certificate)
    except (OSError, InvalidCertificate) as error:
        fail(str(error), 2)


def _ca_id(file: Path | None) -> str:
    """Which CA is meant; nothing for the one that certified the operator."""
    return "" if file is None else key_id_of(x509.load_pem_x509_certificate(file.read_bytes()))


def _ask(at: str, roots: Path | None, work: Callable[[HttpTransport], Awaitable[T]]) -> T:
    """One call of a CA; a refusal ends with 1, silence with 3."""

    async def whole() -> T:
        ca = HttpTransport(at, _trust(roots))
        try:
            return await work(ca)
        finally:
            await ca.close()

    try:
        return asyncio.run(whole())
    except Refused as error:
        fail(str(error), 1)
    except (AuthorityError, OSError, ValueError) as error:
        fail(str(error), 2)
    except SdkError as error:
        fail(str(error), 3)


def _trust(roots: Path | None) -> ssl.SSLContext | None:
    return None if roots is None else trusting_context(pem_of(read_roots(roots)))


def _told(each: Waiting) -> dict[str, Any]:
    return {name: getattr(each, name) for name in each.__struct_fields__}


def _entry(entry: Entry) -> dict[str, Any]:
    facts = {"number": entry.number, "time_ms": entry.time_ms, "what": entry.what, "by": entry.by}
    return {**facts, "facts": entry.facts, "hash": entry.hash}
