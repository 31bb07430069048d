"""`wattq channel` where no network runs: what it says no to before it asks anybody, and how a file reaches a node."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from network import configuration_text
from typer.testing import CliRunner, Result

from cli.contracts import shipped_contracts
from cli.founding import Founding
from cli.main import app
from cluster import NEW_MARK, prepare
from ledger.genesis import Genesis, load_genesis, write_genesis
from sdk.configuration import parse

FOUR = "node1,node2,node3,node4"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's directory; its nodes do not run."""
    directory = tmp_path_factory.mktemp("net") / "net"
    text = configuration_text(4)
    prepare(directory, parse(text, "test"), text, shipped_contracts())
    return directory


@pytest.fixture
def genesis(network: Path) -> Genesis:
    """What might be a channel's: the network's, under another name."""
    main = load_genesis(network / "genesis.json")
    return Genesis(
        network=main.network,
        channel="family",
        lab=False,
        time_ms=main.time_ms,
        validators=main.validators,
        roots=main.roots,
        users=main.users,
        parameters=main.parameters,
        contracts=main.contracts,
        limits=main.limits,
    )


def channel(network: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["channel", *words, "--directory", str(network)])


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["create", "Family", "--members", FOUR], 1, "small letters"),
        (["create", "../x", "--members", FOUR], 1, "small letters"),
        (["create", "main", "--members", FOUR], 1, "not the main one's"),
        (["create", "family", "--members", "node1,node2,node3"], 1, "at least 4 different"),
        (["create", "family", "--members", "node1,node2,node3,node3"], 1, "at least 4 different"),
        (["create", "family", "--members", FOUR, "--parameter", "no_such=1"], 1, "parameter no_such: unknown"),
        (["create", "family", "--members", FOUR, "--parameter", "fee_permille=x"], 2, "NAME=VALUE"),
        (["create", "family", "--members", FOUR, "--parameter", "fee_permille=1001"], 1, "between 0 and 1000"),
        (["create", "family", "--members", FOUR, "--contracts", "/nowhere"], 1, "there are no contracts"),
        (["create", "family", "--members", FOUR], 3, "Cannot connect"),
        (["list"], 3, "Cannot connect"),
        (["close", "family"], 3, "Cannot connect"),
        (["status", "nowhere"], 2, "nowhere.json"),
        (["join", "/nowhere.json", "--node", "node1"], 2, "/nowhere.json"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_leaves_nothing_behind(
    network: Path, words: list[str], code: int, why: str
) -> None:
    told = channel(network, *words)
    assert told.exit_code == code, told.output
    assert why in told.stderr
    assert not list(network.glob("channels/*"))
    assert not list(network.glob("node*/channels"))


@pytest.mark.parametrize("missing", ["governance", "registry"])
def test_contracts_of_ones_own_must_let_members_in(network: Path, tmp_path: Path, missing: str) -> None:
    for name, source in shipped_contracts().sources.items():
        if name != missing:
            (tmp_path / f"{name}.py").write_text(source)
    told = channel(network, "create", "family", "--members", FOUR, "--contracts", str(tmp_path))
    assert told.exit_code == 1
    assert f"needs the contract {missing}" in told.stderr


def test_a_node_is_given_a_file_of_its_own_with_the_mark_of_a_new_place(
    network: Path, genesis: Genesis, tmp_path: Path
) -> None:
    write_genesis(tmp_path / "family.json", genesis)
    told = channel(network, "join", str(tmp_path / "family.json"), "--node", "node3", "--json")
    assert json.loads(told.stdout) == {"channel": "family", "node": "node3"}
    place = network / "node3" / "channels" / "family"
    assert {path.name for path in place.iterdir()} == {"genesis.json", NEW_MARK}
    assert (place / "genesis.json").read_bytes() == genesis.raw
    assert (place / "genesis.json").stat().st_mode & 0o777 == 0o600
    again = channel(network, "join", str(tmp_path / "family.json"), "--node", "node3")
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    nobody = channel(network, "join", str(tmp_path / "family.json"), "--node", "node9")
    assert nobody.exit_code == 1
    assert "node9" in nobody.stderr
    # A node that has voted in the channel before is not new in it: without its log it stays mute.
    (network / "node2" / "data" / "channels" / "family").mkdir(parents=True)
    assert channel(network, "join", str(tmp_path / "family.json"), "--node", "node2").exit_code == 0
    assert not (network / "node2" / "channels" / "family" / NEW_MARK).exists()


def test_a_leftover_at_one_member_is_told_before_anything_is_given_to_another(
    network: Path, genesis: Genesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in network.glob("node*/channels"):
        shutil.rmtree(place)
    leftover = network / "node4" / "channels" / "family"
    leftover.mkdir(parents=True)

    async def made(*_: object) -> Genesis:
        return genesis

    monkeypatch.setattr(Founding, "_make", made)
    for _ in range(2):
        told = channel(network, "create", "family", "--members", FOUR)
        assert (told.exit_code, "node4/channels/family is there already" in told.stderr) == (1, True), told.output
    assert not (network / "channels" / "family.json").exists()
    assert list(network.glob("node*/channels/family")) == [leftover]


def test_what_is_no_certificate_is_named(network: Path, genesis: Genesis, tmp_path: Path) -> None:
    path = network / "channels" / "garden.json"
    path.parent.mkdir(exist_ok=True)
    write_genesis(path, genesis)
    told = channel(network, "admit", "garden", str(path))
    path.unlink()
    assert (told.exit_code, "no certificate in PEM" in told.stderr) == (2, True), told.output
