"""`wattq ca`: the root CA's directory, keys, certificate requests, certificates and admission codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import CERTIFICATE_DAYS, CODE_VALID_HOURS, ROOT_DAYS, AdmissionRefused, Authority, AuthorityError
from ca.authority import Issued as Certificate
from ca.certificates import InvalidCertificate, Role, create_request, request_facts
from ca.keys import InvalidKey, SigningKey

app = typer.Typer(
    help="Keep the root CA: issue, list and revoke certificates, hand out admission codes.\n\n"
    "Exit codes: 0 done, 1 refused, 2 wrong usage or missing files.",
    no_args_is_help=True,
)
DIRECTORY = Path("wattquorum/ca")
DAYS_MAX = 36_500
HOURS_MAX = 8_760
REFUSED = (AdmissionRefused, AuthorityError, InvalidCertificate, FileExistsError)

Directory = Annotated[Path, typer.Option("--directory", "-d", help="The CA's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the PEM here, never over a file.")]
RequestFile = Annotated[Path, typer.Argument(help="A PKCS#10 request, PEM or DER.")]
Serial = Annotated[str, typer.Argument(help="The certificate's serial number, in hex.")]
Days = Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="How long it is valid.")]


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where the CA will live.")],
    organisation: Annotated[str, typer.Option(help="Who keeps the CA.")],
    days: Days = ROOT_DAYS,
    as_json: Json = False,
) -> None:
    """Make a root key and certificate.

    Example: wattq ca init wattquorum/ca --organisation "Grid North"
    """
    with _refusals():
        Authority.init(directory, organisation, days)
    _say({"root": str(directory / "root.crt")}, as_json)


@app.command()
def key(file: Annotated[Path, typer.Argument(help="The new key's file, mode 0600.")], as_json: Json = False) -> None:
    """Make a P-256 key and print its signer id.

    Example: wattq ca key alice.key
    """
    made = SigningKey.generate()
    with _refusals():
        made.save(file)
    _say({"key": str(file), "signer": made.signer}, as_json)


@app.command()
def request(
    key: Annotated[Path, typer.Option(help="The key to certify; it signs the request.")],
    name: Annotated[str, typer.Option(help="The holder's name.")],
    organisation: Annotated[str, typer.Option(help="The holder's organisation.")],
    role: Annotated[Role, typer.Option(help="What the holder will be.")],
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Make a certificate request.

    Example: wattq ca request --key alice.key --name alice --organisation "Alice's house" --role prosumer -o alice.csr
    """
    _check_free(out)
    with _refusals():
        der = create_request(_load_key(key), name, organisation, role)
    _hand_over(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM), {}, out, as_json)


@app.command()
def issue(
    request: RequestFile,
    directory: Directory = DIRECTORY,
    name: Annotated[str | None, typer.Option(help="Instead of the request's name.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Instead of the request's organisation.")] = None,
    role: Annotated[Role | None, typer.Option(help="Instead of the request's role.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A node's host name or IP address; repeatable.")] = None,
    days: Days = CERTIFICATE_DAYS,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Certify a request's key, after you have checked who asks.

    Example: wattq ca issue alice.csr -o alice.crt
    """
    authority = _open(directory)
    _check_free(out)
    der = _read_request(request)
    with _refusals():
        asked = request_facts(der)
        names = (name or asked.name, organisation or asked.organisation, role or asked.role)
        issued = authority.issue(der, *names, days, host or ())
    _hand_over(issued.certificate_pem, _facts(authority, issued), out, as_json)


@app.command()
def enrol(
    request: RequestFile,
    code: Annotated[str, typer.Option(help="The one-time admission code.")],
    directory: Directory = DIRECTORY,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Trade a request and its code for a certificate.

    Example: wattq ca enrol alice.csr --code CODE -o alice.crt
    """
    authority = _open(directory)
    _check_free(out)
    der = _read_request(request)
    with _refusals():
        issued = authority.enrol(der, code)
    _hand_over(issued.certificate_pem, _facts(authority, issued), out, as_json)


@app.command()
def show(serial: Serial, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Show one certificate, by its serial number in hex.

    Example: wattq ca show 5f3a --json
    """
    authority = _open(directory)
    with _refusals():
        issued = authority.show(serial)
        if issued is None:
            raise AuthorityError(f"no certificate with serial {serial}")
        facts = _facts(authority, issued)
    _hand_over(issued.certificate_pem, facts, None, as_json)


@app.command("list")
def list_issued(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """List everything issued, oldest first: serial, role, validity, and below them name and organisation.

    Example: wattq ca list --json
    """
    authority = _open(directory)
    with _refusals():
        found = [_facts(authority, issued) for issued in authority.issued()]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for facts in found:
        state = "revoked" if facts["revoked"] else f"until {facts['not_after']}"
        typer.echo(f"{facts['serial']}  {facts['role']}  {state}")
        typer.echo(f"    {facts['name']}, {facts['organisation']}")


@app.command()
def revoke(
    serial: Serial,
    reason: Annotated[str, typer.Option(help="Why, for the register.")],
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Note a revocation; a governance.revoke transaction tells the network.

    Example: wattq ca revoke 5f3a --reason "key lost"
    """
    authority = _open(directory)
    with _refusals():
        authority.revoke(serial, reason)
    _say({"serial": serial, "revoked": True}, as_json)


@app.command()
def code(
    role: Annotated[Role, typer.Option(help="The only role that the code admits.")],
    name: Annotated[str, typer.Option(help="The only name that the code admits; empty for any.")] = "",
    hours: Annotated[int, typer.Option(min=1, max=HOURS_MAX, help="How long it is valid.")] = CODE_VALID_HOURS,
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make a one-time admission code; it is shown this once.

    Example: wattq ca code --role seller --name alice
    """
    authority = _open(directory)
    with _refusals():
        made = authority.new_admission_code(role, name, hours)
    _say({"code": made}, as_json)


# ------------------------------------------------------------------------------------------------ details


def _open(directory: Path) -> Authority:
    try:
        return Authority.open(directory)
    except (AuthorityError, InvalidKey) as error:
        _fail(str(error), 2)


def _load_key(file: Path) -> SigningKey:
    try:
        return SigningKey.load(file)
    except InvalidKey as error:
        _fail(str(error), 2)


def _read_request(file: Path) -> bytes:
    """The request's DER, from either form."""
    try:
        data = file.read_bytes()
        return x509.load_pem_x509_csr(data).public_bytes(Encoding.DER) if data.startswith(b"-----") else data
    except OSError as error:
        _fail(str(error), 2)
    except (ValueError, x509.InvalidVersion):
        _fail(f"{file}: not a well-formed PEM PKCS#10 request", 1)


def _check_free(out: Path | None) -> None:
    """Before anything is issued or spent: the result must have a place to go."""
    if out is None:
        return
    if out.exists():
        _fail(f"{out} exists already", 1)
    if not out.parent.is_dir():
        _fail(f"{out.parent} is not a directory", 2)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except REFUSED as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(str(error), 2)


def _facts(authority: Authority, issued: Certificate) -> dict[str, Any]:
    return {
        "serial": issued.serial,
        "signer": issued.signer,
        "name": issued.name,
        "organisation": issued.organisation,
        "role": issued.role,
        "not_before": _moment(issued.not_before_ms),
        "not_after": _moment(issued.not_after_ms),
        "revoked": authority.is_revoked(issued.serial),
    }


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat()


def _hand_over(pem: bytes, facts: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print the facts; the PEM goes to its file, or along with them."""
    if out is not None:
        with _refusals(), out.open("xb") as file:
            file.write(pem)
        _say({**facts, "file": str(out)}, as_json)
    elif as_json:
        _say({**facts, "pem": pem.decode()}, as_json)
    else:
        _say(facts, as_json)
        typer.echo(pem.decode(), nl=False)


def _say(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' ')}: {_text(value)}")


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"wattq ca: {message}", err=True)
    raise typer.Exit(code)
