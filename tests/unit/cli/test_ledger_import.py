"""`wattq ledger import`: a ledger made of chain files, as far as certificates vouch for them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from governed import GENESIS
from long_chains import commit, deposit, grow, make_home, open_home
from typer.testing import CliRunner

from cli.main import app
from ledger.layout import CERTIFICATE, number, pack, read_certificate
from ledger.store import open_store

BLOCKS = 9


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a node that stopped with two blocks above its newest certificate."""
    made = make_home(tmp_path / "node1", BLOCKS)
    with closing(open_home(made)) as ledger:
        for _ in range(2):
            commit(ledger, [deposit(GENESIS, ledger.height + 1, 0)])
    return made


def import_into(copy: Path, source: Path, *options: str) -> tuple[int, str]:
    genesis = str(copy.parent / "genesis.json")
    command = ["ledger", "import", str(source), "--into", str(copy / "data"), "--genesis", genesis, *options]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.output


def told(height: int, certificates: int, certified: int) -> dict[str, Any]:
    return {"height": height, "certificates": certificates, "certified_height": certified}


def test_blocks_are_taken_as_far_as_a_certificate_vouches_for_them(home: Path, tmp_path: Path) -> None:
    code, output = import_into(tmp_path / "copy", home, "--json")
    found = json.loads(output)
    root = found.pop("state_root")
    assert (code, found) == (0, told(BLOCKS, BLOCKS, BLOCKS))
    with closing(open_home(tmp_path / "copy")) as ledger:
        assert (ledger.height, ledger.certified_height, ledger.state_root.hex()) == (BLOCKS, BLOCKS, root)
        grow(ledger, 3)


def test_the_others_too_if_one_says_so(home: Path, tmp_path: Path) -> None:
    code, output = import_into(tmp_path / "copy", home, "--json", "--uncertified")
    found = json.loads(output)
    del found["state_root"]
    assert (code, found) == (0, told(BLOCKS + 2, BLOCKS, BLOCKS))


def test_chain_files_alone_are_refused_until_one_says_so(home: Path, tmp_path: Path) -> None:
    chain = home / "data" / "chain"
    code, output = import_into(tmp_path / "copy", chain)
    assert (code, "no certificate vouches" in output, (tmp_path / "copy").exists()) == (1, True, False)
    code, output = import_into(tmp_path / "copy", chain, "--uncertified")
    assert (code, "NO certificate vouches for them" in output) == (0, True)


def test_a_forged_certificate_ends_it_at_its_block(home: Path, tmp_path: Path) -> None:
    with closing(open_store(home / "data" / "state")) as store:
        certificate = read_certificate(store.get(CERTIFICATE + number(7)) or b"")
        (sender, signature), *others = certificate.signatures
        forged = msgspec.structs.replace(certificate, signatures=((sender, bytes(len(signature))), *others))
        store.write({CERTIFICATE + number(7): pack(forged)})
    code, output = import_into(tmp_path / "copy", home)
    assert code == 1
    assert "block 7: its certificate: the signature of node" in output
    assert "the blocks before it are in" in output


def test_a_running_nodes_certificates_count_too(home: Path, tmp_path: Path) -> None:
    with closing(open_home(home)):
        assert import_into(tmp_path / "copy", home)[0] == 0
