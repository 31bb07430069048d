"""Replay: the chain files alone, executed again from genesis, and the first block that is not what it should be."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import msgspec
import pytest
from ledgers import GENESIS, START_MS, Approves, BoxMachine, envelope, make_genesis, open_ledger, run_block

from ledger.blocks import StoredBlock
from ledger.chain import ChainFiles, read_blocks
from ledger.envelope import envelope_from_bytes, envelope_from_text
from ledger.execution import BlockExecutor
from ledger.genesis import genesis_state, write_genesis
from ledger.replay import ChainInvalid, Replayed, replay
from ledger.runner import BlockRunner, pack_entry, start_of
from ledger.state import MemoryState
from ledger.tree import StateTree
from pbft.disk import DiskFiles
from pbft.messages import Batch, batch_digest, encode_batch


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five blocks: a write and a deadline, the deadline's run with a failure, a null request, two more writes."""
    home = tmp_path_factory.mktemp("node")
    ledger = open_ledger(home)
    run_block(ledger, envelope(), envelope(nonce=1, function="later", args={"count": 1, "at_ms": START_MS + 5}))
    run_block(ledger, envelope(nonce=2, function="fail"), envelope(), time_ms=START_MS + 5)
    run_block(ledger)
    run_block(ledger, envelope(nonce=3, function="delete"))
    run_block(ledger, envelope(nonce=4))
    (home / "root").write_text(ledger.state_root.hex())
    ledger.close()
    write_genesis(home / "genesis.json", GENESIS)
    return home / "chain"


def run(chain: Path, height: int | None = None, machine: BoxMachine | None = None) -> Replayed:
    return replay(chain, chain.parent / "genesis.json", machine or BoxMachine(), Approves(), height)


def rewritten(chain: Path, place: Path, blocks: list[StoredBlock]) -> Path:
    """A chain of these blocks, with good checksums: somebody's forgery."""
    shutil.copy(chain.parent / "genesis.json", place / "genesis.json")
    files = ChainFiles(DiskFiles(place / "chain"))
    for block in blocks:
        files.append(block)
    files.close()
    return place / "chain"


def test_a_replay_comes_to_the_ledgers_state(chain: Path) -> None:
    found = run(chain)
    assert (found.height, found.state_root.hex()) == (5, (chain.parent / "root").read_text())
    assert (found.values()["box/a"], found.values()["box/due/0"]) == (1, START_MS + 5)
    assert found.transactions[envelope().tx_id.hex()] == 1
    assert sum(found.transactions.values()) == 5


@pytest.mark.parametrize("height", [0, 1, 4])
def test_a_replay_stops_where_it_is_told(chain: Path, height: int) -> None:
    found = run(chain, height)
    assert found.height == height
    assert ("box/a" in found.values()) == (height == 1)


def test_a_replay_beyond_the_files_says_where_they_end(chain: Path) -> None:
    with pytest.raises(ChainInvalid, match="end at block 5"):
        run(chain, 6)


def test_damage_is_named_by_height_and_does_not_matter_below_it(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain.parent, tmp_path / "node")
    damaged = tmp_path / "node" / "chain"
    path = damaged / "00000001.chain"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChainInvalid, match="block 5") as caught:
        run(damaged)
    assert caught.value.height == 5
    assert run(damaged, 4).height == 4


@pytest.mark.parametrize(
    ("height", "change", "why"),
    [
        (1, {"view": 3}, None),
        (2, {"deadlines": 0}, "another outcome"),
        (4, {"results": ()}, "another outcome"),
        (3, {"body": encode_batch(Batch("main", 0, ()))}, "header"),
        (5, {"body": b""}, "header"),
    ],
)
def test_a_block_with_one_part_changed(
    chain: Path, tmp_path: Path, height: int, change: dict[str, object], why: str | None
) -> None:
    blocks = list(read_blocks(chain))
    blocks[height - 1] = msgspec.structs.replace(blocks[height - 1], **change)
    forged = rewritten(chain, tmp_path, blocks)
    if why is None:
        assert run(forged).height == 5
        return
    with pytest.raises(ChainInvalid, match=why) as caught:
        run(forged)
    assert caught.value.height == height


def test_a_block_left_out_or_moved_breaks_the_chain(chain: Path, tmp_path: Path) -> None:
    blocks = list(read_blocks(chain))
    for number, order in enumerate(([0, 1, 3, 4], [0, 2, 1, 3, 4], [0, 1, 1])):
        (tmp_path / str(number)).mkdir()
        forged = rewritten(chain, tmp_path / str(number), [blocks[index] for index in order])
        with pytest.raises(ChainInvalid, match="header"):
            run(forged)


def test_a_transaction_with_a_wrong_signature_is_unlawful(chain: Path, tmp_path: Path) -> None:
    blocks = list(read_blocks(chain))
    good = envelope(nonce=4)
    forged = envelope_from_text(good.payload_bytes.decode(), [(good.signatures[0][0], bytes(64))])
    body = encode_batch(Batch("main", 0, (forged.raw,)))
    with pytest.raises(ChainInvalid, match="block 5: its batch: a transaction is unlawful"):
        run(rewritten(chain, tmp_path, [*blocks[:4], msgspec.structs.replace(blocks[4], body=body)]))


def test_a_body_that_is_no_batch_is_named_too(chain: Path, tmp_path: Path) -> None:
    blocks = list(read_blocks(chain))
    forged = rewritten(chain, tmp_path, [*blocks[:1], msgspec.structs.replace(blocks[1], body=b"\xc1")])
    with pytest.raises(ChainInvalid, match="block 2"):
        run(forged)


def test_another_genesis_does_not_lead_to_these_blocks(chain: Path, tmp_path: Path) -> None:
    write_genesis(tmp_path / "genesis.json", make_genesis(network="other"))
    with pytest.raises(ChainInvalid, match="block 1"):
        replay(chain, tmp_path / "genesis.json", BoxMachine(), Approves())


def test_a_chains_fault_travels_between_processes() -> None:
    there = pickle.loads(pickle.dumps(ChainInvalid(7, "its header is not right")))
    assert (str(there), there.height, there.why) == ("block 7: its header is not right", 7, "its header is not right")


UNLAWFUL = {
    "another chain's transaction": (Batch("main", START_MS, (envelope(chain="ab" * 32).raw,)), "WRONG_CHAIN"),
    "another channel's transaction": (Batch("main", START_MS, (envelope(channel="other").raw,)), "WRONG_CHANNEL"),
    "another channel's batch": (Batch("other", START_MS, (envelope().raw,)), "another channel's batch"),
    "a transaction twice": (Batch("main", START_MS, (envelope().raw, envelope().raw)), "in it twice"),
    "too much gas": (
        Batch("main", START_MS, tuple(envelope(nonce=n, gas_limit=2_000_000).raw for n in range(60))),
        "gas declared",
    ),
}


@pytest.mark.parametrize("case", UNLAWFUL)
def test_a_batch_that_no_honest_replica_votes_for_is_unlawful(case: str, tmp_path: Path) -> None:
    """Found by an attacker: chains of such batches, whole in themselves, were called valid."""
    batch, why = UNLAWFUL[case]
    envelopes = [envelope_from_bytes(raw) for raw in batch.envelopes]
    digest = batch_digest(batch.channel, batch.proposed_time_ms, b"".join(each.hash for each in envelopes))
    state, tree = MemoryState(genesis_state(GENESIS)), StateTree(lambda path: None)
    tree.update({key: pack_entry(entry) for key, entry in state.entries.items()})
    runner = BlockRunner(GENESIS, BlockExecutor(BoxMachine(), Approves()), state, tree)
    ran = runner.run(start_of(GENESIS), digest, encode_batch(batch), envelopes, 0, 0)
    write_genesis(tmp_path / "genesis.json", GENESIS)
    files = ChainFiles(DiskFiles(tmp_path / "chain"))
    files.append(ran.block)
    files.close()
    with pytest.raises(ChainInvalid, match=f"block 1: its batch: .*{why}"):
        run(tmp_path / "chain")
