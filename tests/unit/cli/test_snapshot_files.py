"""Snapshot files: written from a stopped node, checked from genesis alone, refused with any byte changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from governed import make_genesis
from long_chains import make_home
from typer.testing import CliRunner

from cli.main import app
from ledger.genesis import write_genesis


def run(*command: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(command))
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a node that stopped two blocks behind the checkpoint at 8."""
    home = make_home(tmp_path_factory.mktemp("network") / "node1", 10)
    out = home.parent / "state.snapshot"
    code, told = run("ledger", "snapshot", str(home), "--out", str(out), "--json")
    assert (code, json.loads(told)["height"]) == (0, 8)
    assert sorted(path.name for path in home.parent.iterdir()) == ["genesis.json", "node1", "state.snapshot"]
    return out


def verify(path: Path, genesis: Path) -> tuple[int, str]:
    return run("verify", "snapshot", str(path), "--genesis", str(genesis), "--json")


def test_it_is_verified_from_genesis_alone(written: Path) -> None:
    code, told = verify(written, written.parent / "genesis.json")
    found = json.loads(told)
    assert (code, found["height"], found["validators_signed"]) == (0, 8, 3)
    assert found["entries"] > found["chunks"] > 8


def test_any_byte_changed_and_any_end_is_refused(written: Path, tmp_path: Path) -> None:
    data, path = written.read_bytes(), tmp_path / "bad.snapshot"
    for position in range(0, len(data), max(1, len(data) // 25)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert verify(path, written.parent / "genesis.json")[0] == 1
        path.write_bytes(data[:position])
        assert verify(path, written.parent / "genesis.json")[0] == 1
    path.write_bytes(data + b"x")
    assert verify(path, written.parent / "genesis.json")[0] == 1


def test_another_chain_does_not_vouch_for_it(written: Path, tmp_path: Path) -> None:
    write_genesis(tmp_path / "genesis.json", make_genesis(network="other"))
    assert verify(written, tmp_path / "genesis.json")[0] == 1
    assert verify(tmp_path / "none", written.parent / "genesis.json")[0] == 2
