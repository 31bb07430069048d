"""One file is enough to connect: a connection file, or the network's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledgers import GENESIS

from ca.keys import SigningKey
from ledger.genesis import GenesisInvalid
from sdk.client import AsyncClient
from sdk.configuration import ConfigurationError
from sdk.connection import read_connection
from sdk.sync import Client

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "genesis.json").write_bytes(GENESIS.raw)
    SigningKey.generate().save(tmp_path / "alice.key")
    return tmp_path


def written(home: Path, text: str) -> Path:
    file = home / "connection.toml"
    file.write_text(text, "utf-8")
    return file


def test_everything_is_read_from_beside_the_file(home: Path) -> None:
    file = written(home, 'nodes = ["http://127.0.0.1:1", "tls://node2:26702"]\nkey = "alice.key"\n')
    read = read_connection(file)
    assert read.endpoints == ("http://127.0.0.1:1", "tls://node2:26702")
    assert read.genesis.chain_id == GENESIS.chain_id
    assert read.key is not None
    assert read.key.signer == SigningKey.load(home / "alice.key").signer


def test_without_a_key_nothing_is_signed_and_another_may_be_given(home: Path) -> None:
    file = written(home, 'nodes = ["http://127.0.0.1:1"]\n')
    assert read_connection(file).key is None
    assert read_connection(file, home / "alice.key").key is not None


def test_a_networks_configuration_names_all_its_nodes(home: Path) -> None:
    (home / "cluster.toml").write_text((ROOT / "cluster.toml").read_text("utf-8"), "utf-8")
    read = read_connection(home / "cluster.toml")
    assert len(read.endpoints) >= 4
    assert all(endpoint.startswith("http://127.0.0.1:") for endpoint in read.endpoints)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nodes = [", "connection.toml"),
        ("nodes = []", "nodes"),
        ('nodes = ["ftp://here"]', "an endpoint starts with"),
        ('nodes = ["http://a"]\nkeys = "a"', "keys"),
        ('nodes = ["http://a"]\nkey = 7', "key"),
        ('nodes = ["http://a"]\nroots = "connection.toml"', "roots"),
    ],
)
def test_what_is_wrong_is_named(home: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_connection(written(home, text))


def test_without_a_genesis_file_nothing_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(GenesisInvalid):
        read_connection(written(tmp_path, 'nodes = ["http://a"]'))


async def test_both_clients_open_it(home: Path) -> None:
    file = written(home, 'nodes = ["http://127.0.0.1:1"]\nkey = "alice.key"\n')
    async with AsyncClient.open(file) as client:
        assert client.signer == SigningKey.load(home / "alice.key").signer


def test_a_blocking_client_that_cannot_open_leaves_no_thread(home: Path) -> None:
    with Client.open(written(home, 'nodes = ["http://127.0.0.1:1"]')):
        pass
    with pytest.raises(ConfigurationError):
        Client.open(written(home, "nodes = []"))
