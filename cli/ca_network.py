"""`wattq ca` and the network: revocation as an act of governance, and CAs below a root that the network accepts."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificates import InvalidCertificate, is_intermediate, root_fingerprint
from ca.intermediate import begin, install
from ca.keys import InvalidKey
from cli.ca_common import (
    DIRECTORY,
    Days,
    Directory,
    Encrypt,
    Json,
    Out,
    RequestFile,
    Serial,
    check_free,
    fail,
    hand_over,
    new_passphrase,
    open_ca,
    passphrase_for,
    read_request,
    refusals,
    say,
)
from cli.client import NODES, Node
from cli.governing import Proposal
from cluster import ClusterError
from ledger.genesis import GenesisInvalid
from sdk.errors import Refused, SdkError

INTERMEDIATE_DAYS = 1_825
GenesisFile = Annotated[
    Path | None, typer.Option("--genesis", "-g", help="The network's genesis.json, to tell the chain at once.")
]
Keys = Annotated[
    list[Path] | None, typer.Option("--key", "-k", help="An operator's key, of each organisation that consents.")
]

app = typer.Typer()


@app.command()
def revoke(
    serial: Serial,
    reason: Annotated[str, typer.Option(help="Why, for the register.")],
    directory: Directory = DIRECTORY,
    foreign: Annotated[bool, typer.Option("--foreign", help="Another CA issued it.")] = False,
    genesis: GenesisFile = None,
    node: Node = NODES,
    key: Keys = None,
    as_json: Json = False,
) -> None:
    """Revoke a certificate: here, so that its key is certified no more, and with --genesis on the chain too.

    What else the key holds goes with it. On the chain operators of enough organisations sign it, and it holds from the
    block that is told on. Run again after it failed halfway, the command does what is left.

    Example: wattq ca revoke 5f3a --reason "key lost" --genesis wattquorum/genesis.json
    """
    authority = open_ca(directory)
    with refusals():
        if genesis is None or not authority.is_revoked(serial):
            authority.revoke(serial, reason, foreign)
    others = authority.others_in_force(serial)
    for other in others:
        if genesis is not None:
            _govern(_revocation(other, reason, node, genesis), key, "ALREADY_REVOKED")
        with refusals():
            authority.revoke(other, reason)
    told: dict[str, Any] = {"serial": serial, "revoked": True, "others": others}
    if genesis is not None:
        told |= _govern(_revocation(serial, reason, node, genesis), key)
    elif not as_json:
        typer.echo("The network does not know yet: add --genesis, or have operators sign governance.revoke.", err=True)
    say(told, as_json)


@app.command()
def subordinate(
    directory: Annotated[Path, typer.Argument(help="Where the intermediate CA will live.")],
    organisation: Annotated[str, typer.Option(help="Who keeps it.")],
    encrypt: Encrypt = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Begin an intermediate CA: make its key, and a request for the root's keeper.

    Example: wattq ca subordinate coop/ca --organisation "North Coop" --encrypt -o coop.csr
    """
    check_free(out)
    with refusals():
        der = begin(directory, organisation, new_passphrase() if encrypt else "")
    hand_over(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM), {}, out, as_json)


@app.command()
def intermediate(
    request: RequestFile,
    organisation: Annotated[str, typer.Option(help="Who keeps the intermediate CA.")],
    directory: Directory = DIRECTORY,
    days: Days = INTERMEDIATE_DAYS,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Certify an intermediate CA, which may certify sellers, buyers, prosumers and gateways, and nobody else.

    Example: wattq ca intermediate coop.csr --organisation "North Coop" -o coop.crt
    """
    authority = open_ca(directory)
    check_free(out)
    der = read_request(request)
    with refusals():
        made = authority.issue_intermediate(der, organisation, days)
    chain = [x509.load_der_x509_certificate(each) for each in (made, authority.root_der)]
    hand_over(b"".join(each.public_bytes(Encoding.PEM) for each in chain), {}, out, as_json)


@app.command("install")
def install_chain(
    chain: Annotated[Path, typer.Argument(help="What the root's keeper sent back (PEM).")],
    directory: Directory = DIRECTORY,
    as_json: Json = False,
) -> None:
    """Put an intermediate CA's certificate beside its key.

    Example: wattq ca install coop.crt -d coop/ca
    """
    with refusals():
        install(directory, chain.read_bytes(), passphrase_for(directory))
    say({"directory": str(directory), "installed": True}, as_json)


@app.command()
def accept(
    certificate: Annotated[Path, typer.Argument(help="A root's or an intermediate CA's certificate (PEM).")],
    genesis: Annotated[Path, typer.Option("--genesis", "-g", help="The network's genesis.json.")],
    node: Node = NODES,
    key: Keys = None,
    as_json: Json = False,
) -> None:
    """Have the network accept what a CA certifies from now on: operators of enough organisations sign it.

    Example: wattq ca accept coop.crt --genesis wattquorum/genesis.json
    """
    try:
        first, *above = x509.load_pem_x509_certificates(certificate.read_bytes())
        der = first.public_bytes(Encoding.DER)
        with refusals():
            fingerprint = root_fingerprint(der)
        if is_intermediate(der):
            first.verify_directly_issued_by(above[0])
    except IndexError:
        fail(f"{certificate}: an intermediate CA's certificate comes with its root's", 1)
    except (InvalidSignature, ValueError, TypeError):
        fail(f"{certificate}: no certificate in PEM, or not issued by the root that comes with it", 1)
    except OSError as error:
        fail(str(error), 2)
    text = base64.b64encode(der).decode()
    told = _govern(Proposal("add_root", {"certificate_der": text}, node, genesis), key)
    say({"sha256": fingerprint, **told}, as_json)


def _revocation(serial: str, reason: str, node: list[str], genesis: Path) -> Proposal:
    return Proposal("revoke", {"serial": serial, "reason": reason}, node, genesis)


def _govern(proposal: Proposal, keys: list[Path] | None, done: str = "") -> dict[str, Any]:
    """Where an act of governance stands in the chain; a refusal ends with 1, bad files with 2, silence with 3.

    ``done``: the refusal that says that there is nothing left to do."""
    try:
        outcome = asyncio.run(proposal.submitted(keys or []))
    except Refused as error:
        if error.code == done:
            return {}
        fail(str(error), 1)
    except (GenesisInvalid, InvalidKey, InvalidCertificate, ClusterError, OSError, ValueError) as error:
        fail(str(error), 2)
    except SdkError as error:
        fail(str(error), 3)
    return {"effective_height": outcome.height, "tx_id": outcome.tx_id}
