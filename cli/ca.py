"""`wattq ca`: the root CA's work, and the holder's: keys and requests are made where the key stays."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import CERTIFICATE_DAYS, CODE_VALID_HOURS, AdmissionRefused, Authority, AuthorityError, Issued
from ca.certificates import InvalidCertificate, Role, create_request, request_facts
from ca.keys import InvalidKey, SigningKey

app = typer.Typer(
    help="Root CA, keys, requests, certificates.\n\nExit codes: 0 done, 1 refused, 2 unusable files or arguments.",
    no_args_is_help=True,
)
Directory = Annotated[Path, typer.Option("--directory", "-d", help="The CA's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HOME = Path("ca")
UNUSABLE = (AuthorityError, InvalidKey, InvalidCertificate, OSError)


@app.command()
def init(
    directory: Directory = HOME,
    organisation: Annotated[str, typer.Option(help="The CA's organisation.")] = "Wattquorum",
) -> None:
    """Make a root key and certificate. Example: wattq ca init -d ca --organisation 'Grid Co'"""
    try:
        Authority.init(directory, organisation)
    except UNUSABLE as error:
        _fail(str(error), 1)
    typer.echo(f"{directory}: root key and certificate made")


@app.command()
def key(file: Path) -> None:
    """Make a private key (PEM, readable by its owner alone); prints its signer id. Example: wattq ca key alice.key"""
    made = SigningKey.generate()
    try:
        made.save(file)
    except OSError as error:
        _fail(str(error), 2)
    typer.echo(made.signer)


@app.command()
def request(
    key_file: Annotated[Path, typer.Option("--key", help="The holder's private key.")],
    name: Annotated[str, typer.Option(help="The holder's name.")],
    role: Annotated[Role, typer.Option(help="What the holder will be.")],
    out: Annotated[Path, typer.Option(help="Where the request (DER) goes.")],
    organisation: Annotated[str, typer.Option(help="The holder's organisation.")] = "Wattquorum",
) -> None:
    """Make a certificate request.

    Example: wattq ca request --key alice.key --name alice --role prosumer --out alice.csr
    """
    try:
        out.write_bytes(create_request(SigningKey.load(key_file), name, organisation, role))
    except UNUSABLE as error:
        _fail(str(error), 2)


@app.command()
def issue(
    request_file: Annotated[Path, typer.Argument(help="A PKCS#10 request, DER or PEM.")],
    out: Annotated[Path, typer.Option(help="Where the certificate (PEM) goes.")],
    directory: Directory = HOME,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days of validity.")] = CERTIFICATE_DAYS,
    as_json: Json = False,
) -> None:
    """Certify a request as it stands. Example: wattq ca issue alice.csr --out alice.crt"""
    try:
        der = _der(request_file)
        facts = request_facts(der)
        issued = Authority.open(directory).issue(der, facts.name, facts.organisation, facts.role, days)
        out.write_bytes(issued.certificate_pem)
    except UNUSABLE as error:
        _fail(str(error), 2)
    _print(issued, as_json)


@app.command()
def enrol(
    request_file: Path,
    code: Annotated[str, typer.Option(help="A one-time admission code.")],
    out: Annotated[Path, typer.Option(help="Where the certificate (PEM) goes.")],
    directory: Directory = HOME,
    as_json: Json = False,
) -> None:
    """Certify a request against an admission code. Example: wattq ca enrol alice.csr --code XYZ --out alice.crt"""
    try:
        issued = Authority.open(directory).enrol(_der(request_file), code)
        out.write_bytes(issued.certificate_pem)
    except AdmissionRefused as refusal:
        _fail(f"{refusal.reason}: {refusal}", 1)
    except UNUSABLE as error:
        _fail(str(error), 2)
    _print(issued, as_json)


@app.command("list")
def list_(directory: Directory = HOME, as_json: Json = False) -> None:
    """Everything issued. Example: wattq ca list --json"""
    authority = _open(directory)
    entries = [_entry(authority, issued) for issued in authority.issued()]
    if as_json:
        typer.echo(json.dumps(entries))
        return
    for entry in entries:
        typer.echo(f"{entry['serial']}  {entry['role']:<10} {entry['name']}{'  REVOKED' if entry['revoked'] else ''}")


@app.command()
def show(serial: str, directory: Directory = HOME, as_json: Json = False) -> None:
    """One certificate by its serial. Example: wattq ca show 3af9"""
    authority = _open(directory)
    issued = authority.show(serial)
    if issued is None:
        _fail(f"no certificate with serial {serial}", 1)
    entry = _entry(authority, issued)
    typer.echo(json.dumps(entry) if as_json else "\n".join(f"{name:<14} {value}" for name, value in entry.items()))


@app.command()
def revoke(
    serial: str,
    reason: Annotated[str, typer.Option(help="Why.")],
    directory: Directory = HOME,
) -> None:
    """Note a revocation; the network learns of it by an operator's governance.revoke transaction.

    Example: wattq ca revoke 3af9 --reason 'key lost'
    """
    try:
        _open(directory).revoke(serial, reason)
    except AuthorityError as error:
        _fail(str(error), 1)
    typer.echo(f"{serial} revoked here; submit governance.revoke to tell the network")


@app.command()
def code(
    role: Annotated[Role, typer.Option(help="The role that it admits.")],
    name: Annotated[str, typer.Option(help="Only for the holder of this name.")] = "",
    hours: Annotated[int, typer.Option(min=1, max=8760, help="Hours of validity.")] = CODE_VALID_HOURS,
    directory: Directory = HOME,
) -> None:
    """Make a one-time admission code. Example: wattq ca code --role prosumer --name alice"""
    typer.echo(_open(directory).new_admission_code(role, name, hours))


def _open(directory: Path) -> Authority:
    try:
        return Authority.open(directory)
    except UNUSABLE as error:
        _fail(str(error), 2)


def _der(path: Path) -> bytes:
    data = path.read_bytes()
    if data.startswith(b"-----BEGIN"):
        try:
            return x509.load_pem_x509_csr(data).public_bytes(Encoding.DER)
        except ValueError as error:
            raise InvalidCertificate(str(error)) from None
    return data


def _entry(authority: Authority, issued: Issued) -> dict[str, Any]:
    return {
        "serial": issued.serial,
        "name": issued.name,
        "organisation": issued.organisation,
        "role": issued.role,
        "signer": issued.signer,
        "not_before_ms": issued.not_before_ms,
        "not_after_ms": issued.not_after_ms,
        "revoked": authority.is_revoked(issued.serial),
        "certificate": base64.b64encode(issued.certificate_der).decode(),
    }


def _print(issued: Issued, as_json: bool) -> None:
    told = {"serial": issued.serial, "signer": issued.signer, "name": issued.name, "role": issued.role}
    typer.echo(json.dumps(told) if as_json else "  ".join(told.values()))


def _fail(message: str, code_: int) -> NoReturn:
    typer.echo(f"wattq ca: {message}", err=True)
    raise typer.Exit(code_)
