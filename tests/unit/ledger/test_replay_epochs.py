"""Replaying chain files goes through epochs, and says so when the files begin behind a snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
from governed import GENESIS, MACHINE, Network
from typer.testing import CliRunner

from cli.main import app
from contracts.validation import MarketValidator
from ledger.replay import ChainInvalid, replay
from ledger.storage import STAMP, chain_name
from pbft.messages import Chunk

SEGMENT = "00000001.chain"


@pytest.fixture(scope="module")
def network() -> Network:
    made = Network()
    made.change(1, 2, 3, 4)
    made.change(2, 3, 4, 5)
    made.block()
    return made


def written(network: Network, data: Path, generation: int = 0) -> Path:
    """The chain files of a generation on a real disk, and the genesis file beside them."""
    chain = data / chain_name(generation)
    chain.mkdir(parents=True)
    (chain / SEGMENT).write_bytes(network.disk.files.below(chain_name(generation)).read(SEGMENT))
    (data / "genesis.json").write_bytes(GENESIS.raw)
    return chain


def test_a_chain_of_three_epochs_is_replayed_from_genesis(network: Network, tmp_path: Path) -> None:
    chain = written(network, tmp_path)
    found = replay(chain, tmp_path / "genesis.json", MACHINE, MarketValidator())
    assert (found.height, found.state_root) == (network.ledger.height, network.ledger.state_root)
    assert found.values()["governance/epoch"]["number"] == 2


def test_the_files_in_force_are_found_and_a_snapshot_before_them_is_named(network: Network, tmp_path: Path) -> None:
    other = Network()
    manifest = network.ledger.manifest(0)
    assert manifest is not None
    other.ledger.check_manifest(manifest)
    other.ledger.begin_transfer(manifest)
    for index in range(manifest.chunks):
        other.ledger.stage(Chunk(manifest.height, index, network.ledger.chunk(manifest.height, index) or b""))
    other.ledger.install()
    other.block()
    written(other, tmp_path, 1)
    (tmp_path / STAMP).write_bytes(other.disk.files.read(STAMP))
    (tmp_path / "current").write_bytes(other.disk.files.read("current"))
    first = manifest.height + 1
    with pytest.raises(ChainInvalid, match=f"begin with block {first}, behind a snapshot"):
        replay(tmp_path / "chain-1", tmp_path / "genesis.json", MACHINE, MarketValidator())
    asked = CliRunner().invoke(app, ["verify", "chain", str(tmp_path), "-g", str(tmp_path / "genesis.json")])
    assert asked.exit_code == 1
    assert f"block {first}" in asked.output
