"""Rolling back: exactly what the uncertified blocks changed is undone, and the same order leads to the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from governed import GENESIS, MACHINE, OPERATORS, MemoryDisk, Network, certify, validator_value
from memory_files import PowerCut
from typer.testing import CliRunner

from cli.main import app
from contracts.validation import MarketValidator
from ledger.envelope import Envelope
from ledger.layout import ROLLBACKS, UNDO
from ledger.ledger import Ledger
from ledger.memory_store import MemoryStore
from ledger.storage import disk_storage
from ledger.undo import CannotRollBack, RolledBack, roll_back
from pbft.disk import DiskFiles
from pbft.messages import Statement


def content(store: MemoryStore) -> dict[bytes, bytes]:
    """All of it but how often blocks were undone."""
    return {key: value for key, value in store.scan(b"", b"", 1_000_000) if key != ROLLBACKS}


def acts(network: Network, count: int) -> list[Envelope]:
    """Transactions that change a parameter, and the validators."""
    made = [
        network.envelope(OPERATORS[:2], "governance", "set_parameter", {"name": "skip_blocks", "value": value})
        for value in range(1, count)
    ]
    return [*made, network.envelope(OPERATORS[:2], "governance", "revoke", {"serial": "abc", "reason": "lost"})]


@pytest.fixture
def network() -> Network:
    """Certified up to block 5."""
    made = Network()
    made.run_to(5)
    return made


def rolled_back(network: Network) -> RolledBack:
    network.ledger.close()
    return roll_back(network.disk.storage(), GENESIS)


def test_what_uncertified_blocks_changed_is_undone_and_redone(network: Network) -> None:
    store = network.disk.stores["state"]
    before = content(store)
    envelopes = acts(network, 4)
    statements: list[Statement] = [network.block(each, certified=False).statement for each in envelopes]
    after = content(store)
    assert rolled_back(network) == RolledBack(9, 5)
    assert content(store) == before
    network.reopen()
    assert network.ledger.height == 5
    assert [network.block(each, certified=False).statement for each in envelopes] == statements
    assert content(store) == after


def test_nothing_is_undone_of_what_is_certified(network: Network) -> None:
    store = network.disk.stores["state"]
    before = content(store)
    assert rolled_back(network) == RolledBack(5, 5)
    assert content(store) == before


def test_what_a_block_replaced_is_kept_only_until_it_is_certified(network: Network) -> None:
    store = network.disk.stores["state"]
    assert store.scan(UNDO, UNDO, 10) == []
    statements = [network.block(certified=False).statement for _ in range(3)]
    assert len(store.scan(UNDO, UNDO, 10)) == 3
    network.ledger.certify([certify(statements[1], GENESIS.epoch)])
    assert len(store.scan(UNDO, UNDO, 10)) == 1
    assert rolled_back(network) == RolledBack(8, 7)


def test_an_epoch_that_began_without_a_certificate_is_undone_with_its_block() -> None:
    network = Network()
    network.govern("set_validators", **_rotated())
    network.run_to(11)
    network.block(certified=False)
    assert network.ledger.boundary == 12
    assert rolled_back(network) == RolledBack(12, 11)
    network.reopen()
    assert (network.ledger.epoch.number, network.ledger.boundary) == (0, 12)
    network.block()
    assert network.ledger.epoch.number == 1


def _rotated() -> dict[str, Any]:
    return {"validators": [validator_value(index) for index in (1, 2, 3, 0)], "first_primary": 0, "at_height": 0}


def test_a_ledger_without_any_certificate_goes_back_to_its_beginning() -> None:
    network = Network()
    before = content(network.disk.stores["state"])
    for _ in range(3):
        network.block(certified=False)
    assert rolled_back(network) == RolledBack(3, 0)
    assert content(network.disk.stores["state"]) == before
    network.reopen()
    assert network.ledger.height == 0


def test_blocks_that_only_the_chain_files_hold_are_cut_too(network: Network) -> None:
    for _ in range(2):
        network.block(certified=False)
    network.disk.stores["state"].lose(2)
    assert rolled_back(network) == RolledBack(7, 5)
    network.reopen()
    assert network.ledger.height == 5


def test_a_roll_back_that_lacks_what_was_replaced_changes_nothing(network: Network) -> None:
    network.block(certified=False)
    store = network.disk.stores["state"]
    store.write({UNDO + (6).to_bytes(8, "big"): None})
    before = content(store)
    with pytest.raises(CannotRollBack, match="block 6"):
        rolled_back(network)
    assert content(store) == before


@pytest.mark.row(18)
def test_a_roll_back_that_the_power_cut_short_is_finished_by_the_next(network: Network) -> None:
    envelopes = acts(network, 3)
    before = content(network.disk.stores["state"])
    for each in envelopes:
        network.block(each, certified=False)
    network.ledger.close()
    disk: MemoryDisk = network.disk
    cuts = 0
    while True:
        disk.fuse.blows_at = disk.fuse.changes + cuts
        try:
            roll_back(disk.storage(), GENESIS)
            break
        except PowerCut:
            cuts += 1
    disk.fuse.blows_at = None
    assert cuts > 1
    assert content(disk.stores["state"]) == before
    network.reopen()
    assert network.ledger.height == 5


def test_the_command_rolls_a_stopped_nodes_directory_back(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_bytes(GENESIS.raw)
    data = tmp_path / "node1" / "data"
    runner = CliRunner()

    def opened() -> Ledger:
        return Ledger(disk_storage(data, DiskFiles(data)), GENESIS, MACHINE, MarketValidator())

    assert runner.invoke(app, ["ledger", "rollback", str(data)]).exit_code == 2
    ledger = opened()
    certified = ledger.execute(1, bytes(32), b"", 0, 0).statement
    ledger.certify([certify(certified, GENESIS.epoch)])
    ledger.execute(2, bytes(32), b"", 0, 0)
    in_use = runner.invoke(app, ["ledger", "rollback", str(data)])
    assert in_use.exit_code == 2
    assert "in use" in in_use.output
    ledger.close()
    done = runner.invoke(app, ["ledger", "rollback", str(data)])
    assert done.exit_code == 0, done.output
    assert "from block 2 to 1" in done.output
    ledger = opened()
    assert (ledger.height, ledger.state_root) == (1, certified.state_root)
    ledger.close()
