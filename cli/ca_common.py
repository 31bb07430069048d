"""What the commands of `wattq ca` share: their options, the CA's passphrase, how they answer and fail."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import PASSPHRASE_VARIABLE, AdmissionRefused, Authority, AuthorityError, is_encrypted
from ca.authority import Issued as Certificate
from ca.certificates import InvalidCertificate
from ca.issuing import attributes_of
from ca.keys import InvalidKey, SigningKey
from cli import failing

DIRECTORY = Path("wattquorum/ca")
DAYS_MAX = 36_500
REFUSED = (AdmissionRefused, AuthorityError, InvalidCertificate, InvalidKey, FileExistsError)

Directory = Annotated[Path, typer.Option("--directory", "-d", help="The CA's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the PEM here, never over a file.")]
RequestFile = Annotated[Path, typer.Argument(help="A PKCS#10 request, PEM or DER.")]
Serial = Annotated[str, typer.Argument(help="The certificate's serial number, in hex.")]
Days = Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="How long it is valid.")]
Encrypt = Annotated[
    bool,
    typer.Option("--encrypt", help=f"Encrypt the CA's key; asks for a passphrase, or takes {PASSPHRASE_VARIABLE}."),
]
Attributes = Annotated[
    list[str] | None, typer.Option("--attribute", help="NAME=VALUE, which the CA vouches for; repeatable.")
]


def open_ca(directory: Path) -> Authority:
    """The CA in a directory; asks for the passphrase if its key is encrypted."""
    try:
        return Authority.open(directory, passphrase_for(directory))
    except (AuthorityError, InvalidKey) as error:
        fail(str(error), 2)


def passphrase_for(directory: Path) -> str:
    """Of the CA's key: from the environment, or from a person; none if the key is not encrypted."""
    if (given := os.environ.get(PASSPHRASE_VARIABLE)) is not None or not is_encrypted(directory):
        return given or ""
    return str(typer.prompt("The CA's passphrase", hide_input=True, err=True))


def new_passphrase() -> str:
    """For a key that is about to be made."""
    if (given := os.environ.get(PASSPHRASE_VARIABLE)) is not None:
        return given or fail(f"{PASSPHRASE_VARIABLE} is empty", 2)
    return str(typer.prompt("A passphrase for the CA's key", hide_input=True, confirmation_prompt=True, err=True))


def load_key(file: Path) -> SigningKey:
    try:
        return SigningKey.load(file)
    except InvalidKey as error:
        fail(str(error), 2)


def read_request(file: Path) -> bytes:
    """The request's DER, from either form."""
    try:
        data = file.read_bytes()
        return x509.load_pem_x509_csr(data).public_bytes(Encoding.DER) if data.startswith(b"-----") else data
    except OSError as error:
        fail(str(error), 2)
    except (ValueError, x509.InvalidVersion):
        fail(f"{file}: not a well-formed PEM PKCS#10 request", 1)


def pairs_of(texts: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, each once."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or name in found:
            fail(f"attribute {text!r}: expected NAME=VALUE, each name once", 2)
        found[name] = value
    return found


def check_free(out: Path | None) -> None:
    """Before anything is issued or spent: the result must have a place to go."""
    if out is None:
        return
    if out.exists():
        fail(f"{out} exists already", 1)
    if not out.parent.is_dir():
        fail(f"{out.parent} is not a directory", 2)


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except REFUSED as error:
        fail(str(error), 1)
    except OSError as error:
        fail(str(error), 2)


def facts_of(authority: Authority, issued: Certificate) -> dict[str, Any]:
    return {
        "serial": issued.serial,
        "signer": issued.signer,
        "name": issued.name,
        "organisation": issued.organisation,
        "role": issued.role,
        "not_before": moment(issued.not_before_ms),
        "not_after": moment(issued.not_after_ms),
        "attributes": ", ".join(f"{name}={value}" for name, value in attributes_of(issued.certificate).items()),
        "revoked": authority.is_revoked(issued.serial),
    }


def moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat()


def hand_over(pem: bytes, facts: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print the facts; the PEM goes to its file, or along with them."""
    if out is not None:
        with refusals(), out.open("xb") as file:
            file.write(pem)
        say({**facts, "file": str(out)}, as_json)
    elif as_json:
        say({**facts, "pem": pem.decode()}, as_json)
    else:
        say(facts, as_json)
        typer.echo(pem.decode(), nl=False)


def say(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' ')}: {_text(value)}")


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq ca", message, code)
