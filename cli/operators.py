"""The operators' keys in a network's directory: where they lie on one machine, as in a local network."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.certificates import InvalidCertificate, certificate_facts
from ca.keys import SigningKey
from cluster import ClusterError
from ledger.genesis import Genesis


def certificate_der(path: Path) -> bytes:
    """A certificate's DER from its PEM file; ``InvalidCertificate`` if that holds none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    except ValueError as error:
        raise InvalidCertificate(f"{path}: no certificate in PEM: {error}") from None


def operators_of(directory: Path, genesis: Genesis) -> list[SigningKey]:
    """One operator's key of each of as many organisations as an act of governance takes; else ``ClusterError``."""
    wanted = genesis.organisations
    found: dict[str, SigningKey] = {}
    for path in sorted((directory / "users").glob("operator*.key")):
        organisation = certificate_facts(certificate_der(path.with_suffix(".crt")), genesis.roots).organisation
        if organisation in wanted.names:
            found.setdefault(organisation, SigningKey.load(path))
    if len(found) < wanted.threshold:
        raise ClusterError(f"{directory}/users has keys of {len(found)} of the organisations")
    return list(found.values())[: wanted.threshold]
