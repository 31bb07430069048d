"""A CouchDB whose disk is full, and one behind TLS: the chain goes on, and what is wrong is named by its setting."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from couch import Couch, needs_couchdb
from couch_chain import OWNER, PATIENCE_S, Chain
from couch_proxy import Proxy, proxied

from api.statedb import couchdb_access
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import public_server_context
from ledger.statedb.couchdb import CouchDatabase
from ledger.statedb.documents import StateDatabaseUnusable
from sdk.configuration import ConfigurationError, parse

pytestmark = [*needs_couchdb, pytest.mark.usefixtures("impatient")]
NODES = "".join(f"[node.node{n}]\npeer_port = {n}\nrest_port = 0\nclient_port = 0\n" for n in (1, 2, 3, 4))


# ---------------------------------------------------------------------------------------------------- full


@pytest.fixture
def proxy(couch: Couch) -> Iterator[Proxy]:
    with proxied(couch.url) as made:
        yield made


@pytest.mark.parametrize(
    "refusal",
    [
        (413, "too_large", "the request entity is too large"),
        (500, "enospc", "no space left on device"),
        (507, "insufficient_storage", "the disk is full"),
    ],
    ids=["413", "500", "507"],
)
def test_a_full_server_delays_no_block_and_is_caught_up_with_once_it_has_room(
    couch: Couch, proxy: Proxy, refusal: tuple[int, str, str]
) -> None:
    chain = Chain(couch, proxy.url)
    chain.projector.start()
    chain.wait()
    proxy.refusal = refusal
    chain.blocks(60)
    _until_refused(chain, proxy)
    progress = chain.projector.progress()
    assert progress.lag_blocks == 60
    assert progress.lag_bytes > 1_000
    assert str(refusal[0]) in progress.fault, progress.fault
    assert "couchdb_url" in progress.fault, progress.fault
    assert not chain.projector.lagging, "what is there may be read meanwhile"
    proxy.refusal = None
    chain.check()
    assert chain.database.left_out == {}, "it was the server that had no room, not the documents that are too large"
    chain.close()
    chain.by_hand("DELETE")


def test_a_server_that_is_full_when_the_node_starts_is_filled_later(couch: Couch, proxy: Proxy) -> None:
    chain = Chain(couch, proxy.url)
    proxy.refusal = (507, "insufficient_storage", "the disk is full")
    chain.projector.start()
    chain.blocks(20)
    _until_refused(chain, proxy)
    proxy.refusal = None
    chain.check()
    chain.close()
    chain.by_hand("DELETE")


def _until_refused(chain: Chain, proxy: Proxy) -> None:
    """The projector has been refused, and says so."""
    deadline = time.monotonic() + PATIENCE_S
    while not (proxy.refused and chain.projector.progress().fault):
        assert time.monotonic() < deadline, "nobody was refused"
        chain.projector.wait_for(chain.height + 1, 0.05)  # nobody tells


# ----------------------------------------------------------------------------------------------------- TLS


@dataclass
class Secured:
    """A CouchDB behind TLS, with a certificate for ``localhost`` by a CA of the project's."""

    url: str
    root: Path


@pytest.fixture
def secured(couch: Couch, tmp_path: Path) -> Iterator[Secured]:
    authority = Authority.init(tmp_path / "ca", "Grid South")
    key = SigningKey.generate()
    key.save(tmp_path / "couchdb.key")
    request = create_request(key, "couchdb", "Grid South", Role.NODE)
    issued = authority.issue(request, "couchdb", "Grid South", Role.NODE, hosts=("localhost",))
    (tmp_path / "couchdb.crt").write_bytes(issued.certificate_pem)
    root = tmp_path / "root.pem"
    root.write_text(ssl.DER_cert_to_PEM_cert(authority.root_der))
    with proxied(couch.url, public_server_context(tmp_path / "couchdb.crt", tmp_path / "couchdb.key")) as made:
        yield Secured(made.url, root)


def opened(couch: Couch, name: str, url: str, ca_file: str) -> int:
    """The height of a database that a configuration with this URL and ``state.ca_file`` leads to."""
    text = f'[state]\nbackend = "couchdb"\ncouchdb_url = "{url}"\nca_file = "{ca_file}"\n{NODES}'
    environment = {"WATTQ_COUCHDB_USER": couch.user, "WATTQ_COUCHDB_PASSWORD": couch.password}
    database = CouchDatabase(couchdb_access(parse(text, "cluster.toml"), "node1", environment), name, OWNER)
    try:
        return database.height()
    finally:
        database.close()


def test_a_server_with_a_certificate_of_the_named_ca_is_spoken_to(couch: Couch, secured: Secured) -> None:
    assert opened(couch, couch.fresh_name(), secured.url, str(secured.root)) == -1


def test_a_server_with_a_certificate_of_no_known_ca_gets_no_password(couch: Couch, secured: Secured) -> None:
    with pytest.raises(StateDatabaseUnusable, match=r"state\.couchdb_url.*certificate verify failed"):
        opened(couch, couch.fresh_name(), secured.url, "")


def test_a_certificate_for_another_host_is_refused(couch: Couch, secured: Secured) -> None:
    with pytest.raises(StateDatabaseUnusable, match=r"state\.couchdb_url"):
        opened(couch, couch.fresh_name(), secured.url.replace("localhost", "127.0.0.1"), str(secured.root))


def test_a_ca_file_that_is_none_is_named(couch: Couch, secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("bad.pem", "missing.pem"):
        with pytest.raises(ConfigurationError, match=r"state\.ca_file.*" + name):
            opened(couch, couch.fresh_name(), secured.url, str(tmp_path / name))
