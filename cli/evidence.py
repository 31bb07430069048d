"""`wattq evidence`: proof of replicas' lies that the nodes kept, and its verification offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ca.signatures import verify as verify_signature
from cli import failing
from cli.cluster import DIRECTORY
from cluster import no_network
from ledger.certificates import CertificateInvalid, follow
from ledger.genesis import Genesis, GenesisInvalid, load_genesis
from pbft.epoch import Epoch
from pbft.evidence import verify_evidence
from pbft.evidence_store import SUFFIX, EvidenceUnreadable, StoredEvidence, read_evidence
from pbft.quorum import leaders_of, primary_of

app = typer.Typer(
    help="Proof of replicas' lies.\n\nExit codes: 0 done, valid; 1 invalid; 2 a file cannot be read.",
    no_args_is_help=True,
)
GenesisFile = Annotated[Path, typer.Option("--genesis", "-g", help="The network's genesis.json: all that is trusted.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(name="list")
def list_(
    directory: Annotated[Path, typer.Option("--directory", "-d", help="The network's home, or a node's.")] = DIRECTORY,
    as_json: Json = False,
) -> None:
    """List the evidence that nodes keep. Example: wattq evidence list --directory wattquorum"""
    if not directory.is_dir():
        _unreadable(no_network(directory))
    found = []
    for path in sorted(directory.rglob(f"*{SUFFIX}")):
        evidence = _read(path).evidence
        found.append(
            {
                "file": str(path),
                "kind": evidence.kind,
                "epoch": evidence.scope.epoch,
                "accused": evidence.accused,
            }
        )
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not found:
        typer.echo(f"no evidence below {directory}")
    for row in found:
        typer.echo(f"{row['file']}  {row['kind']} by validator {row['accused']} of epoch {row['epoch']}")


@app.command()
def verify(file: Path, genesis: GenesisFile, as_json: Json = False) -> None:
    """Check evidence, from the genesis file to the accused's signatures.

    Example: wattq evidence verify node1/data/evidence/5f….evidence --genesis wattquorum/genesis.json
    """
    trusted = _genesis(genesis)
    stored = _read(file)
    try:
        epoch = _epoch(stored, trusted)
    except CertificateInvalid as error:
        _refuse(f"{file}: INVALID, {error}", {"valid": False, "detail": str(error)}, as_json)
    evidence = stored.evidence
    leaders = leaders_of(len(epoch.validators), epoch.first_primary, tuple(skip.index for skip in epoch.skipped))
    if not verify_evidence(evidence, epoch.keys, lambda view: primary_of(view, leaders), verify_signature):
        detail = "it does not convict the accused"
        _refuse(f"{file}: INVALID, {detail}", {"valid": False, "detail": detail}, as_json)
    accused = epoch.validators[evidence.accused]
    told: dict[str, Any] = {
        "valid": True,
        "kind": evidence.kind,
        "epoch": epoch.number,
        "accused": accused.name,
        "public_key": accused.public_key.hex(),
    }
    typer.echo(json.dumps(told) if as_json else f"{file}: VALID, {evidence.kind} by {accused.name}")


def _epoch(stored: StoredEvidence, genesis: Genesis) -> Epoch:
    """The epoch that the evidence is of, proven from genesis on."""
    scope = stored.evidence.scope
    if (scope.chain, scope.channel) != (genesis.chain_id, genesis.channel):
        raise CertificateInvalid("it is another network's")
    epoch = follow(genesis, stored.boundaries)
    if epoch.number != scope.epoch:
        raise CertificateInvalid(f"its boundaries lead to epoch {epoch.number}, not to {scope.epoch}")
    return epoch


def _read(path: Path) -> StoredEvidence:
    try:
        return read_evidence(path)
    except EvidenceUnreadable as error:
        _unreadable(str(error))


def _genesis(path: Path) -> Genesis:
    try:
        return load_genesis(path)
    except GenesisInvalid as error:
        _unreadable(str(error))


def _refuse(text: str, told: dict[str, Any], as_json: bool) -> NoReturn:
    typer.echo(json.dumps(told) if as_json else text, err=not as_json)
    raise typer.Exit(1)


def _unreadable(message: str) -> NoReturn:
    failing.fail("wattq evidence", message, 2)
