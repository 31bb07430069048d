"""`wattq verify chain`: a node's home, its files and archives, checked with nothing but the genesis file."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from long_chains import grow, make_home, open_home
from typer.testing import CliRunner

from cli.main import app
from ledger.layout import CERTIFICATE, CERTIFIED, number, pack, read_certificate
from ledger.store import open_store

BLOCKS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("network") / "node1", BLOCKS)


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    shutil.copy(made.parent / "genesis.json", tmp_path)
    return Path(shutil.copytree(made, tmp_path / "node1"))


def verify(directory: Path, genesis: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["verify", "chain", str(directory), "--genesis", str(genesis), *options])
    return result.exit_code, result.output


def test_a_home_is_verified_with_its_certificates(made: Path) -> None:
    code, told = verify(made, made.parent / "genesis.json")
    assert (code, f"{BLOCKS} blocks, {BLOCKS} transactions" in told) == (0, True)
    assert f"{BLOCKS} certificates are good, the newest of block {BLOCKS}" in told


@pytest.mark.parametrize(("part", "certificates"), [("data", BLOCKS), ("data/chain", None)])
def test_data_directories_and_chain_files_are_too(made: Path, part: str, certificates: int | None) -> None:
    code, told = verify(made / part, made.parent / "genesis.json", "--json")
    found = json.loads(told)
    assert (code, found["valid"], found["height"], found["certificates"]) == (0, True, BLOCKS, certificates)


def test_chain_files_alone_say_that_certificates_are_not_in_them(made: Path) -> None:
    assert "not in chain files" in verify(made / "data" / "chain", made.parent / "genesis.json")[1]


def test_of_a_running_node_the_certificates_are_checked_too(home: Path) -> None:
    with closing(open_home(home)) as ledger:
        grow(ledger, 1)
        code, told = verify(home, home.parent / "genesis.json", "--json")
        grow(ledger, 1)
    assert (code, json.loads(told)["certified_height"], json.loads(told)["certificates"]) == (0, BLOCKS + 1, BLOCKS + 1)


def test_a_forged_certificate_names_its_block(home: Path) -> None:
    with closing(open_store(home / "data" / "state")) as store:
        certificate = read_certificate(store.get(CERTIFICATE + number(7)) or b"")
        (sender, signature), *others = certificate.signatures
        forged = msgspec.structs.replace(certificate, signatures=((sender, bytes(len(signature))), *others))
        store.write({CERTIFICATE + number(7): pack(forged)})
    code, told = verify(home, home.parent / "genesis.json", "--json")
    assert (code, json.loads(told)["height"]) == (1, 7)
    assert "signature of node1 is wrong" in json.loads(told)["why"]
    assert verify(home, home.parent / "genesis.json", "--height", "6")[0] == 0


def test_a_certificate_of_another_outcome_names_its_block(home: Path) -> None:
    with closing(open_store(home / "data" / "state")) as store:
        store.write({CERTIFICATE + number(7): store.get(CERTIFICATE + number(8))})
    code, told = verify(home, home.parent / "genesis.json")
    assert (code, "block 7: its certificate is for another outcome" in told) == (1, True)


def test_certified_blocks_that_the_files_have_lost_are_missed(home: Path) -> None:
    path = home / "data" / "chain" / "00000001.chain"
    shorter = make_home(home.parent / "other" / "node1", BLOCKS - 2) / "data" / "chain" / "00000001.chain"
    shutil.copy(shorter, path)
    code, told = verify(home, home.parent / "genesis.json")
    assert (code, f"block {BLOCKS - 1}: missing: the store has a certificate of block {BLOCKS}" in told) == (1, True)


def test_a_flipped_bit_is_named_by_height(home: Path) -> None:
    path = home / "data" / "chain" / "00000001.chain"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    code, told = verify(home, home.parent / "genesis.json", "--json")
    assert (code, json.loads(told)["height"]) == (1, BLOCKS)


@pytest.mark.parametrize("what", ["nothing", "genesis.json"])
def test_what_cannot_be_read_is_told_apart(made: Path, tmp_path: Path, what: str) -> None:
    genesis = made.parent / "genesis.json" if what == "nothing" else tmp_path / "none.json"
    assert verify(tmp_path if what == "nothing" else made, genesis)[0] == 2


def test_the_newest_certificate_is_read_from_the_store(made: Path) -> None:
    with closing(open_store(made / "data" / "state")) as store:
        assert read_certificate(store.get(CERTIFIED) or b"").statement.height == BLOCKS
