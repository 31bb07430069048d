"""Pruning: the oldest segments move into the archive, wherever the power goes, and the ledger goes on without them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from governed import GENESIS, Network
from long_chains import make_home, open_home
from memory_files import MemoryFiles, PowerCut
from typer.testing import CliRunner

from cli.main import app
from ledger import chain as chains
from ledger.chain import ChainFiles
from ledger.layout import BLOCK
from ledger.ledger import BlockNotHeld
from ledger.pruning import CannotPrune, Pruned, prune

BLOCKS = 18


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few blocks a segment."""
    monkeypatch.setattr(chains, "SEGMENT_BYTES_MAX", 1_200)


def heights(files: MemoryFiles) -> list[int]:
    if not files.names(".chain"):
        return []
    chain = ChainFiles(files)
    return [block.header.height for _, block in chain.after(None)]


def stopped() -> Network:
    network = Network()
    network.run_to(BLOCKS)
    network.ledger.close()
    return network


def check(network: Network, root: bytes) -> int:
    """Open it, go on, and stop it again; its first height."""
    network.reopen()
    ledger = network.ledger
    first = ledger.first_height
    assert ledger.state_root == root
    assert [ledger.block(height).header.height for height in range(first, ledger.height + 1)]
    for height in range(1, first):
        with pytest.raises(BlockNotHeld):
            ledger.block(height)
    ledger.close()
    return first


def test_old_segments_move_and_the_ledger_goes_on() -> None:
    network, archive = stopped(), MemoryFiles()
    root = network.ledger.state_root
    done = prune(network.disk.storage(), GENESIS, 12, archive)
    assert done.archived == tuple(archive.names(".chain"))
    assert heights(archive) == list(range(1, done.first_height))
    assert heights(network.disk.files.below("chain")) == list(range(done.first_height, BLOCKS + 1))
    assert check(network, root) == done.first_height > 1
    network.reopen()
    network.run_to(BLOCKS + 8)
    manifest = network.ledger.manifest(0)
    assert manifest is not None, "it still serves snapshots"
    assert manifest.height > BLOCKS
    assert network.ledger.certified_blocks(1, BLOCKS, 1 << 20)


def test_pruning_again_moves_what_has_grown_old() -> None:
    network, archive = stopped(), MemoryFiles()
    first = prune(network.disk.storage(), GENESIS, 8, archive)
    assert prune(network.disk.storage(), GENESIS, 8, archive) == Pruned(first.first_height, ())
    second = prune(network.disk.storage(), GENESIS, 16, archive)
    assert second.first_height > first.first_height
    assert heights(archive) == list(range(1, second.first_height))


def test_nothing_above_the_newest_certified_checkpoint_goes() -> None:
    network = stopped()
    with pytest.raises(CannotPrune, match="checkpoint is at 16"):
        prune(network.disk.storage(), GENESIS, 17, MemoryFiles())


def test_an_archive_of_another_chain_is_not_written_over() -> None:
    network, archive = stopped(), MemoryFiles()
    other = archive.append("00000001.chain")
    other.write(b"something else")
    with pytest.raises(CannotPrune, match="holds another"):
        prune(network.disk.storage(), GENESIS, 12, archive)
    assert len(heights(network.disk.files.below("chain"))) == BLOCKS


def test_the_chains_own_directory_is_no_archive() -> None:
    network = stopped()
    root, own = network.ledger.state_root, network.disk.files.below("chain")
    with pytest.raises(CannotPrune, match="own directory"):
        prune(network.disk.storage(), GENESIS, 12, own)
    assert heights(own) == list(range(1, BLOCKS + 1))
    assert check(network, root) == 1


@pytest.mark.parametrize("way", ["itself", "symlink", "inside", "linked files"])
def test_an_archive_that_is_the_nodes_own_data_is_refused_and_no_block_is_lost(tmp_path: Path, way: str) -> None:
    home = make_home(tmp_path / "node1", BLOCKS)
    chain, link = home / "data" / "chain", tmp_path / "archive"
    archive = {"itself": chain, "symlink": link, "inside": home / "data" / "old", "linked files": link}[way]
    if way == "symlink":
        link.symlink_to(chain, target_is_directory=True)
    if way == "linked files":
        link.mkdir()
        for path in chain.iterdir():
            (link / path.name).symlink_to(path)
    before = {path.name: path.read_bytes() for path in chain.iterdir()}
    command = ["ledger", "prune", str(home), "--below", "12", "--archive", str(archive)]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "name a directory outside" in result.output) == (1, True), result.output
    assert {path.name: path.read_bytes() for path in chain.iterdir()} == before


def test_wherever_the_power_goes_every_block_is_somewhere_and_a_second_run_ends_it() -> None:
    cuts, done = 0, False
    while not done:
        network = stopped()
        fuse, root = network.disk.fuse, network.ledger.state_root
        archive = MemoryFiles(fuse)
        fuse.blows_at = fuse.changes + cuts
        try:
            prune(network.disk.storage(), GENESIS, 12, archive)
            done = True
        except PowerCut:
            cuts += 1
        network.disk.lose_unsynced()
        archive.lose_unsynced()
        fuse.blows_at = None
        held = set(heights(network.disk.files.below("chain"))) | set(heights(archive))
        assert held == set(range(1, BLOCKS + 1))
        check(network, root)
        again = prune(network.disk.storage(), GENESIS, 12, archive)
        assert heights(archive) == list(range(1, again.first_height))
        assert check(network, root) == again.first_height > 1
        places = network.disk.stores["state"].scan(BLOCK, BLOCK, 1_000)
        assert [int.from_bytes(key[-8:], "big") for key, _ in places] == list(range(again.first_height, BLOCKS + 1))
    assert cuts > 10


def test_an_archive_is_verified_and_imported_with_what_was_left(tmp_path: Path) -> None:
    home, archive = make_home(tmp_path / "node1", BLOCKS), tmp_path / "archive"
    genesis = str(tmp_path / "genesis.json")
    with closing(open_home(home)) as ledger:
        root = ledger.state_root.hex()
    run = CliRunner().invoke

    result = run(app, ["ledger", "prune", str(home), "--below", "12", "--archive", str(archive), "--json"])
    assert result.exit_code == 0, result.output
    first = json.loads(result.output)["first_height"]
    assert 1 < first <= 12
    result = run(app, ["verify", "chain", str(archive), "--genesis", genesis, "--json"])
    assert (result.exit_code, json.loads(result.output)["height"]) == (0, first - 1)
    assert run(app, ["verify", "chain", str(home), "--genesis", genesis]).exit_code == 1
    result = run(app, ["verify", "chain", str(home), "--archive", str(archive), "--genesis", genesis, "--json"])
    assert (result.exit_code, json.loads(result.output)["state_root"]) == (0, root)
    into = tmp_path / "copy" / "data"
    command = ["ledger", "import", str(archive), str(home), "--into", str(into), "--genesis", genesis, "--json"]
    result = run(app, command)
    assert result.exit_code == 0, result.output
    found = {"height": BLOCKS, "state_root": root, "certificates": BLOCKS, "certified_height": BLOCKS}
    assert json.loads(result.output) == found, "a pruned node keeps its certificates"
    assert run(app, command).exit_code == 2, "it is not empty any more"
