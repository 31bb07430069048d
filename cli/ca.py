"""`wattq ca`: the root CA's directory, keys, certificate requests, certificates and admission codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import CERTIFICATE_DAYS, CODE_VALID_HOURS, ROOT_DAYS, Authority, AuthorityError
from ca.certificates import Role, create_request, request_facts
from ca.keys import SigningKey
from cli import ca_network, ca_office
from cli.ca_common import (
    DIRECTORY,
    Attributes,
    Days,
    Directory,
    Encrypt,
    Json,
    Out,
    RequestFile,
    Serial,
    check_free,
    facts_of,
    hand_over,
    load_key,
    new_passphrase,
    open_ca,
    pairs_of,
    read_request,
    refusals,
    say,
)

app = typer.Typer(
    help="Keep the root CA: issue, list and revoke certificates, hand out admission codes.\n\n"
    "Exit codes: 0 done, 1 refused, 2 wrong usage or missing files, 3 no CA or node answers.",
    no_args_is_help=True,
)
app.registered_commands += [*ca_office.app.registered_commands, *ca_network.app.registered_commands]
HOURS_MAX = 8_760


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where the CA will live.")],
    organisation: Annotated[str, typer.Option(help="Who keeps the CA.")],
    days: Days = ROOT_DAYS,
    encrypt: Encrypt = False,
    as_json: Json = False,
) -> None:
    """Make a root key and certificate.

    Example: wattq ca init wattquorum/ca --organisation "Grid North" --encrypt
    """
    with refusals():
        Authority.init(directory, organisation, days, new_passphrase() if encrypt else "")
    say({"root": str(directory / "root.crt")}, as_json)


@app.command()
def key(file: Annotated[Path, typer.Argument(help="The new key's file, mode 0600.")], as_json: Json = False) -> None:
    """Make a P-256 key and print its signer id.

    Example: wattq ca key alice.key
    """
    made = SigningKey.generate()
    with refusals():
        made.save(file)
    say({"key": str(file), "signer": made.signer}, as_json)


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
    check_free(out)
    with refusals():
        der = create_request(load_key(key), name, organisation, role)
    hand_over(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM), {}, out, as_json)


@app.command()
def issue(
    request: RequestFile,
    directory: Directory = DIRECTORY,
    name: Annotated[str | None, typer.Option(help="Instead of the request's name.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Instead of the request's organisation.")] = None,
    role: Annotated[Role | None, typer.Option(help="Instead of the request's role.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A node's host name or IP address; repeatable.")] = None,
    attribute: Attributes = None,
    days: Days = CERTIFICATE_DAYS,
    pardon: Annotated[
        bool, typer.Option("--pardon", help="Even if a certificate of this key was revoked; it must be nobody else's.")
    ] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Certify a request's key, after you have checked who asks.

    Example: wattq ca issue alice.csr -o alice.crt
    """
    authority = open_ca(directory)
    check_free(out)
    der = read_request(request)
    with refusals():
        asked = request_facts(der)
        names = (name or asked.name, organisation or asked.organisation, role or asked.role)
        issued = authority.issue(der, *names, days, host or (), pairs_of(attribute), pardon)
    hand_over(issued.certificate_pem, facts_of(authority, issued), out, as_json)


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
    authority = open_ca(directory)
    check_free(out)
    der = read_request(request)
    with refusals():
        issued = authority.enrol(der, code)
    hand_over(issued.certificate_pem, facts_of(authority, issued), out, as_json)


@app.command()
def show(serial: Serial, directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """Show one certificate, by its serial number in hex.

    Example: wattq ca show 5f3a --json
    """
    authority = open_ca(directory)
    with refusals():
        issued = authority.show(serial)
        if issued is None:
            raise AuthorityError(f"no certificate with serial {serial}")
        facts = facts_of(authority, issued)
    hand_over(issued.certificate_pem, facts, None, as_json)


@app.command("list")
def list_issued(directory: Directory = DIRECTORY, as_json: Json = False) -> None:
    """List everything issued, oldest first: serial, role, validity, and below them name and organisation.

    Example: wattq ca list --json
    """
    authority = open_ca(directory)
    with refusals():
        found = [facts_of(authority, issued) for issued in authority.issued()]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for facts in found:
        state = "revoked" if facts["revoked"] else f"until {facts['not_after']}"
        typer.echo(f"{facts['serial']}  {facts['role']}  {state}")
        typer.echo(f"    {facts['name']}, {facts['organisation']}")


@app.command()
def code(
    role: Annotated[Role, typer.Option(help="The only role that the code admits.")],
    name: Annotated[str, typer.Option(help="The only name that the code admits; empty for any.")] = "",
    organisation: Annotated[
        str, typer.Option(help="The only organisation that it admits; needed for who governs, judges or validates.")
    ] = "",
    hours: Annotated[int, typer.Option(min=1, max=HOURS_MAX, help="How long it is valid.")] = CODE_VALID_HOURS,
    attribute: Attributes = None,
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make a one-time admission code; it is shown this once.

    Example: wattq ca code --role seller --name alice --organisation "Alice's house"
    """
    authority = open_ca(directory)
    with refusals():
        made = authority.new_admission_code(role, name, organisation, hours, pairs_of(attribute))
    say({"code": made}, as_json)
