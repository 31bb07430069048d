"""Connecting from one file: a user's connection file, or a network's ``cluster.toml`` beside its genesis file.

A connection file::

    genesis = "genesis.json"
    nodes = ["https://node1.example:26601", "https://node2.example:26601"]
    key = "alice.key"        # left out: nothing is signed, and only what is public is read
    channel = ""             # another channel than the main one
    roots = "roots.pem"      # CA roots beside those of the genesis file, which HTTPS and tls:// nodes are known by
    certificate = "alice.crt"  # the key's certificate: tls:// nodes know who connects by it, and no session is opened

Paths are relative to the file.
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ca.authority import AuthorityError, read_roots
from ca.keys import SigningKey
from ca.tls import pem_of, trusting_context, user_context
from ledger.genesis import GENESIS_FILE_NAME, Genesis, load_genesis
from sdk.configuration import LOOPBACK, Configuration, ConfigurationError, load
from sdk.transports import Transport, connect

NODES_MAX = 128


class ConnectionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a connection file says."""

    nodes: Annotated[tuple[str, ...], Meta(min_length=1, max_length=NODES_MAX)]
    genesis: str = GENESIS_FILE_NAME
    key: str = ""
    channel: str = ""
    roots: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that a client is made of."""

    endpoints: tuple[str, ...]
    genesis: Genesis
    key: SigningKey | None
    channel: str
    tls: ssl.SSLContext
    vouched: bool
    """``tls`` shows the certificate of ``key``."""

    def transports(self) -> list[Transport]:
        return [connect(endpoint, self.tls, vouched=self.vouched) for endpoint in self.endpoints]


def read_connection(file: Path, key: Path | None = None) -> Connection:
    """What ``file`` says; ``key`` instead of the key that it names, and then without the file's certificate.

    Raises ``ConfigurationError`` naming file and key, ``GenesisInvalid``, or ``InvalidKey``.
    """
    try:
        tree = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        sentence = "A connection file has `nodes` and `genesis`; a network's cluster.toml serves as well"
        raise ConfigurationError(f"there is no file {file}. {sentence}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{file}: {error}") from None
    said = _of_network(load(file)) if "node" in tree else _checked(tree, file)
    genesis = load_genesis(file.parent / said.genesis)
    try:
        vouched = read_roots(file.parent / said.roots) if said.roots else ()
    except AuthorityError as error:
        raise ConfigurationError(f"{file}: roots: {error}") from None
    chosen = key or (file.parent / said.key if said.key else None)
    shown = file.parent / said.certificate if said.certificate and key is None else None
    return Connection(
        endpoints=said.nodes,
        genesis=genesis,
        key=SigningKey.load(chosen) if chosen is not None else None,
        channel=said.channel,
        tls=tls_of((*genesis.roots, *vouched), shown, chosen),
        vouched=shown is not None,
    )


def tls_of(roots: Iterable[bytes], certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Trusts these roots (DER) alone, and shows ``certificate`` of ``key`` if there is one. ``ConfigurationError`` if
    that cannot be read, or is another key's."""
    if certificate is None:
        return trusting_context(pem_of(roots))
    if key is None:
        raise ConfigurationError(f"{certificate}: a certificate is shown with its key; name that too")
    try:
        return user_context(pem_of(roots), certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{certificate}: no certificate of {key}: {error}") from None


def _checked(tree: dict[str, object], file: Path) -> ConnectionFile:
    try:
        said = msgspec.convert(tree, ConnectionFile)
        for node in said.nodes:
            connect(node)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"{file}: {error}") from None
    return said


def _of_network(configuration: Configuration) -> ConnectionFile:
    """Every node of the network that serves REST."""
    urls = tuple(
        f"{'http' if node.host in LOOPBACK else 'https'}://{node.host}:{node.rest_port}"
        for node in configuration.node.values()
        if node.rest_port
    )
    if not urls:
        raise ConfigurationError("no node of this network has a rest_port")
    return ConnectionFile(nodes=urls)
