"""Snapshot files: written from a node that runs, has stopped or was pruned; checked from genesis alone, and refused
with any byte changed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from governed import GENESIS, make_genesis
from long_chains import commit, deposit, grow, make_home, open_home
from typer.testing import CliRunner

from cli.main import app
from ledger import chain as chains
from ledger import cutting
from ledger.genesis import write_genesis
from ledger.state import StateReader


def run(*command: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(command))
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a node that stopped at block 10."""
    home = make_home(tmp_path_factory.mktemp("network") / "node1", 10)
    out = home.parent / "state.snapshot"
    code, told = run("ledger", "snapshot", str(home), "--out", str(out), "--json")
    assert (code, json.loads(told)["height"]) == (0, 10)
    assert sorted(path.name for path in home.parent.iterdir()) == ["genesis.json", "node1", "state.snapshot"]
    return out


def verify(path: Path, genesis: Path) -> tuple[int, str]:
    return run("verify", "snapshot", str(path), "--genesis", str(genesis), "--json")


def test_it_is_verified_from_genesis_alone(written: Path) -> None:
    code, told = verify(written, written.parent / "genesis.json")
    found = json.loads(told)
    assert (code, found["height"], found["validators_signed"]) == (0, 10, 3)
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


def entries(reader: StateReader) -> int:
    return len(reader.scan("", "", 1_000_000))


def test_a_running_node_goes_on_and_what_is_not_certified_is_not_in_it(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node1", 10)
    out = tmp_path / "state.snapshot"
    with closing(open_home(home)) as ledger:
        root = ledger.state_root
        for _ in range(3):
            commit(ledger, [deposit(GENESIS, ledger.height + 1, 0)])
        assert (ledger.height, ledger.certified_height) == (13, 10)
        code, told = run("ledger", "snapshot", str(home), "--out", str(out), "--json")
        assert (code, json.loads(told)["height"]) == (0, 10)
        grow(ledger, 2)
    found = json.loads(verify(out, tmp_path / "genesis.json")[1])
    assert (found["height"], found["state_root"]) == (10, root.hex())


def test_a_pruned_node_has_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "SEGMENT_BYTES_MAX", 3_000)
    home = make_home(tmp_path / "node1", 20)
    archive = ["--below", "16", "--archive", str(tmp_path / "archive"), "--json"]
    assert json.loads(run("ledger", "prune", str(home), *archive)[1])["first_height"] > 1
    out = tmp_path / "state.snapshot"
    assert run("ledger", "snapshot", str(home), "--out", str(out))[0] == 0
    with closing(open_home(home)) as ledger:
        found = json.loads(verify(out, tmp_path / "genesis.json")[1])
        assert (found["height"], found["state_root"]) == (20, ledger.state_root.hex())
        assert found["entries"] == entries(ledger.reader())


def test_memory_is_bounded_while_it_is_cut_and_the_file_is_the_same(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "CUT_BYTES_MAX", 500)
    monkeypatch.setattr(cutting, "SCAN_KEYS", 7)
    out = tmp_path / "again.snapshot"
    assert run("ledger", "snapshot", str(written.parent / "node1"), "--out", str(out))[0] == 0
    assert out.read_bytes() == written.read_bytes()


def test_a_state_that_is_not_the_certified_one_is_not_given_away(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node1", 10)
    with closing(open_home(home)) as ledger:
        ledger._books.store.write({b"s/credit/planted": b"x"})
    code, told = run("ledger", "snapshot", str(home), "--out", str(tmp_path / "state.snapshot"))
    assert code == 1
    assert "not those of the certified state" in told or "not a chunk" in told
    assert list(tmp_path.glob("state.snapshot*")) == []


def test_without_a_certificate_there_is_none(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node1", 0)
    with closing(open_home(home)) as ledger:
        commit(ledger, [deposit(GENESIS, 1, 0)])
    code, told = run("ledger", "snapshot", str(home), "--out", str(tmp_path / "state.snapshot"))
    assert (code, "no block is certified" in told) == (1, True)
