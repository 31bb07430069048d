"""Snapshots: what is served verifies from genesis, whatever is changed in them does not, and an install is all or
nothing, wherever the power goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from governed import GENESIS, INTERVAL, MACHINE, OPERATORS, Network, certify, make_genesis, open_ledger
from memory_files import PowerCut

from contracts.validation import MarketValidator
from ledger import cutting, shelf
from ledger.chain import ChainCorrupt
from ledger.genesis import GenesisLimits
from ledger.ledger import OFFERED_MAX, BlockNotHeld, Ledger
from ledger.receipts import verify_receipt
from ledger.shelf import FRESH_CHECKPOINTS, LIFETIME_CHECKPOINTS_MIN
from ledger.snapshots import SnapshotInvalid
from ledger.storage import disk_storage, set_aside
from ledger.tree import Child, decode_branch, encode_branch, leaf_hash
from pbft.disk import DiskFiles
from pbft.messages import Chunk, Manifest
from pbft.ports import SnapshotUnknown

replace = msgspec.structs.replace


def chunks_of(ledger: Ledger, manifest: Manifest) -> list[Chunk]:
    made = []
    for index in range(manifest.chunks):
        data = ledger.chunk(manifest.height, index)
        assert data is not None
        made.append(Chunk(manifest.height, index, data))
    return made


def offer(ledger: Ledger, height_min: int = 0) -> tuple[Manifest, list[Chunk]]:
    manifest = ledger.manifest(height_min)
    assert manifest is not None
    return manifest, chunks_of(ledger, manifest)


def take(ledger: Ledger, manifest: Manifest, chunks: list[Chunk]) -> None:
    ledger.check_manifest(manifest)
    ledger.begin_transfer(manifest)
    for chunk in chunks:
        ledger.check_chunk(chunk)
        ledger.stage(chunk)
    ledger.install()


@pytest.fixture(scope="module")
def served() -> Network:
    """A network in its second epoch, a few blocks behind a checkpoint."""
    network = Network()
    network.change(1, 2, 3, 4)
    network.run_to(18)
    return network


# ------------------------------------------------------------------------------------------------- serving


def test_a_snapshot_stands_at_the_newest_certified_checkpoint(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    assert manifest.height == 16
    assert len(manifest.boundaries) == 1
    assert len(chunks) == manifest.chunks > 8


def test_there_is_none_before_the_first_certified_checkpoint() -> None:
    network = Network()
    network.run_to(INTERVAL - 1)
    network.block(certified=False)
    assert network.ledger.manifest(0) is None
    assert network.ledger.chunk(INTERVAL, 0) is None


def test_there_is_none_below_what_is_asked_for(served: Network) -> None:
    assert served.ledger.manifest(17) is None


def test_a_chunk_can_be_asked_of_who_was_not_asked_for_the_manifest() -> None:
    one, other = Network(), Network()
    for network in (one, other):
        network.run_to(8)
    manifest, chunks = offer(one.ledger)
    assert chunks_of(other.ledger, manifest) == chunks
    assert other.ledger.chunk(manifest.height, manifest.chunks) is None
    assert other.ledger.chunk(manifest.height, -1) is None
    assert other.ledger.chunk(4 * manifest.height, 0) is None


def test_a_snapshot_stays_while_later_blocks_commit_and_gives_way_when_it_is_old() -> None:
    network = Network()
    network.run_to(8)
    manifest, chunks = offer(network.ledger)
    network.run_to(8 + FRESH_CHECKPOINTS * INTERVAL)
    assert offer(network.ledger) == (manifest, chunks)
    network.block()
    assert offer(network.ledger)[0].height == network.ledger.height // INTERVAL * INTERVAL


def test_blocks_commit_and_are_certified_while_a_snapshot_is_being_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    network.run_to(INTERVAL)
    begun, go_on, real = threading.Event(), threading.Event(), cutting.cut_chunks

    def slow(*args: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        real(*args)

    monkeypatch.setattr(shelf, "cut_chunks", slow)
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(network.ledger.manifest, 0)
        assert begun.wait(60)
        network.run_to(5 * INTERVAL)
        assert network.ledger.certified_height == 5 * INTERVAL
        assert not cut.done(), "it is being cut all the while"
        go_on.set()
        manifest = cut.result(60)
    assert manifest is not None
    assert manifest.height == INTERVAL
    chunks_of(network.ledger, manifest)


def test_nobody_clears_the_shelf_by_asking_for_newer_snapshots() -> None:
    network = Network()
    network.run_to(8)
    manifest, chunks = offer(network.ledger)
    network.run_to(12)
    assert offer(network.ledger, 12)[0].height == 12
    network.run_to(16)
    assert network.ledger.manifest(16) is None
    assert chunks_of(network.ledger, manifest) == chunks
    later = 12 + LIFETIME_CHECKPOINTS_MIN * 4
    network.run_to(later - 4)
    assert network.ledger.manifest(16) is None
    network.run_to(later)
    assert offer(network.ledger, later)[0].height == later
    assert network.ledger.chunk(8, 0) is None


# ------------------------------------------------------------------------------------------------- checking


def branch_changed(manifest: Manifest, change: Callable[[dict[int, Child]], None]) -> Manifest:
    path, record = manifest.branches[0]
    branch = decode_branch(record)
    change(branch)
    return replace(manifest, branches=((path, encode_branch(branch)), *manifest.branches[1:]))


def drop(branch: dict[int, Child]) -> None:
    del branch[min(branch)]


def exchange(branch: dict[int, Child]) -> None:
    branch[0], branch[1] = branch[1], branch[0]


def rehash(branch: dict[int, Child]) -> None:
    branch[0] = Child(bytes(32))


def cut(branch: dict[int, Child]) -> None:
    branch[0] = Child(branch[0].hash[:31])


def misplace(branch: dict[int, Child]) -> None:
    key_hash = bytes([0xFF]) * 32
    branch[0] = Child(leaf_hash(key_hash, bytes(32)), key_hash, bytes(32))


def misname(branch: dict[int, Child]) -> None:
    branch[0] = Child(branch[0].hash, bytes(32), bytes(32))


def halve(branch: dict[int, Child]) -> None:
    branch[0] = Child(branch[0].hash, bytes(32), None)


def certified_by(manifest: Manifest, **changes: Any) -> Manifest:
    return replace(manifest, certificate=replace(manifest.certificate, **changes))


SPOILT: dict[str, tuple[str, Callable[[Manifest], Manifest]]] = {
    "another root": (
        "signature",
        lambda m: certified_by(m, statement=replace(m.certificate.statement, state_root=bytes(32))),
    ),
    "too few signatures": ("signatures", lambda m: certified_by(m, signatures=m.certificate.signatures[:2])),
    "another epoch": ("of epoch 0", lambda m: certified_by(m, epoch=0)),
    "no boundaries": ("of epoch 1", lambda m: replace(m, boundaries=())),
    "a boundary twice": ("does not follow", lambda m: replace(m, boundaries=m.boundaries * 2)),
    "no header": ("not a header", lambda m: replace(m, header=b"")),
    "another header": ("another block's", lambda m: replace(m, header=m.header[:-1] + bytes([m.header[-1] ^ 1]))),
    "less depth, in itself sound": ("depth 0", lambda m: replace(m, depth=0, branches=(), chunks=1)),
    "more depth": ("depth 2", lambda m: replace(m, depth=2)),
    "no branches": ("missing", lambda m: replace(m, branches=())),
    "a branch twice": ("more branches", lambda m: replace(m, branches=m.branches * 2)),
    "a branch elsewhere": ("another's place", lambda m: replace(m, branches=((b"\x00", m.branches[0][1]),))),
    "a branch unreadable": ("not a branch", lambda m: replace(m, branches=((b"", b"\xc1"),))),
    "a child less": ("one above", lambda m: branch_changed(m, drop)),
    "two children exchanged": ("another's place", lambda m: branch_changed(m, exchange)),
    "a child's hash": ("one above", lambda m: branch_changed(m, rehash)),
    "a child's hash cut": ("malformed", lambda m: branch_changed(m, cut)),
    "half a leaf": ("malformed", lambda m: branch_changed(m, halve)),
    "a leaf of another hash": ("hashes say", lambda m: branch_changed(m, misname)),
    "a leaf in another's place": ("another's place", lambda m: branch_changed(m, misplace)),
    "a chunk more": ("chunks where", lambda m: replace(m, chunks=m.chunks + 1)),
    "a chunk less": ("chunks where", lambda m: replace(m, chunks=m.chunks - 1)),
}


@pytest.mark.row(6)
@pytest.mark.parametrize("kind", SPOILT)
def test_a_manifest_with_one_part_changed_is_refused(served: Network, kind: str) -> None:
    manifest, _ = offer(served.ledger)
    reader = Network().ledger
    reader.check_manifest(manifest)
    why, spoil = SPOILT[kind]
    with pytest.raises(SnapshotInvalid, match=why):
        reader.check_manifest(spoil(manifest))


def test_a_certified_block_that_is_no_checkpoint_makes_no_snapshot(served: Network) -> None:
    manifest, _ = offer(served.ledger)
    block = served.ledger.block(17)
    other = replace(
        manifest,
        certificate=certify(block.statement, served.ledger.epoch),
        header=msgspec.msgpack.encode(block.header),
    )
    with pytest.raises(SnapshotInvalid, match="checkpoint"):
        Network().ledger.check_manifest(other)


@pytest.mark.row(6)
def test_the_manifest_of_the_transfer_under_way_is_not_pushed_out(
    served: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by two testers: true manifests of older checkpoints, unasked, made every honest chunk a lie."""
    manifest, chunks = offer(served.ledger)
    reader = Network().ledger
    reader.check_manifest(manifest)
    reader.begin_transfer(manifest)
    checked = reader._offered[manifest.height]
    monkeypatch.setattr("ledger.ledger.check_manifest", lambda manifest, genesis: checked)
    for height in range(100, 100 + 2 * OFFERED_MAX):
        statement = replace(manifest.certificate.statement, height=height)
        reader.check_manifest(replace(manifest, certificate=replace(manifest.certificate, statement=statement)))
    assert len(reader._offered) == OFFERED_MAX
    for chunk in chunks:
        reader.check_chunk(chunk)


@pytest.mark.row(6)
def test_a_chunk_with_anything_changed_is_refused(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    reader = Network().ledger
    with pytest.raises(SnapshotUnknown, match="offered"):
        reader.check_chunk(chunks[0])
    reader.check_manifest(manifest)
    for chunk in chunks:
        reader.check_chunk(chunk)
    index = max(range(len(chunks)), key=lambda each: len(chunks[each].data))
    good = chunks[index]
    pairs: list[tuple[str, bytes]] = msgspec.msgpack.decode(good.data, type=list[tuple[str, bytes]])
    assert len(pairs) > 1
    encode = msgspec.msgpack.encode
    (key, record), *rest = pairs
    for data in (
        b"\xc1",
        encode([]),
        encode(rest),
        encode(pairs[::-1]),
        encode([*pairs, pairs[-1]]),
        encode([(key + "x", record), *rest]),
        encode([(key, record[:-1] + bytes([record[-1] ^ 1])), *rest]),
        encode([(key, b"not an entry"), *rest]),
        good.data + b"\0",
        chunks[(index + 1) % len(chunks)].data,
    ):
        with pytest.raises(SnapshotInvalid):
            reader.check_chunk(replace(good, data=data))
    for wrong in (replace(good, index=len(chunks)), replace(good, index=-1)):
        with pytest.raises(SnapshotInvalid):
            reader.check_chunk(wrong)
    with pytest.raises(SnapshotUnknown):
        reader.check_chunk(replace(good, height=good.height + 4))


def test_an_empty_chunk_says_that_the_sender_has_it_no_longer(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    reader = Network().ledger
    reader.check_manifest(manifest)
    reader.check_chunk(replace(chunks[0], data=b""))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_every_depth_carries_the_same_state(depth: int) -> None:
    genesis = make_genesis(limits=GenesisLimits(40_960, 100, 200_000, 100_000_000, 4, 8, snapshot_depth=depth))
    network = Network(genesis)
    network.run_to(4)
    manifest, chunks = offer(network.ledger)
    other = Network(genesis).ledger
    take(other, manifest, chunks)
    assert other.state_root == network.ledger.state_root
    assert other.reader().scan("", "", 1_000) == network.ledger.reader().scan("", "", 1_000)


# ----------------------------------------------------------------------------------------------- installing


def test_an_installed_ledger_goes_on_as_the_others_do(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    network = Network()
    installed: list[int] = []
    network.ledger.on_install.append(lambda: installed.append(network.ledger.height))
    network.run_to(3)
    take(network.ledger, manifest, chunks)
    ledger = network.ledger
    assert installed == [16]
    assert (ledger.height, ledger.first_height, ledger.certified_height) == (16, 17, 16)
    assert ledger.epoch == served.ledger.epoch
    assert ledger.uncertified() == ()
    for block in served.ledger.certified_blocks(17, 18, 1 << 20):
        batch = ledger.check_block(block)
        assert batch is None
        header = served.ledger.block(ledger.height + 1).header
        ran = ledger.execute(ledger.height + 1, header.batch_digest, block.body, block.view, block.proposer)
        assert ran.statement == block.certificate.statement
        ledger.certify([block.certificate])
    assert ledger.state_root == served.ledger.state_root
    assert ledger.certified_blocks(1, 18, 1 << 20) == served.ledger.certified_blocks(17, 18, 1 << 20)
    network.reopen()
    assert (network.ledger.height, network.ledger.first_height) == (18, 17)
    assert network.ledger.state_root == served.ledger.state_root


def test_blocks_below_the_snapshot_are_not_held(served: Network) -> None:
    ledger = Network().ledger
    take(ledger, *offer(served.ledger))
    with pytest.raises(BlockNotHeld) as error:
        ledger.block(16)
    assert (error.value.height, error.value.first_height) == (16, 17)


def test_who_began_with_a_snapshot_passes_it_on_and_gives_receipts(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    middle = Network()
    take(middle.ledger, manifest, chunks)
    assert offer(middle.ledger) == (manifest, chunks)
    last = Network()
    take(last.ledger, *offer(middle.ledger))
    assert last.ledger.state_root == middle.ledger.state_root
    envelope = middle.envelope(OPERATORS[1::-1], "governance", "set_parameter", {"name": "skip_blocks", "value": 5})
    middle.block(envelope)
    receipt = middle.ledger.receipt(envelope.tx_id)
    assert receipt is not None
    assert verify_receipt(receipt, GENESIS).height == 17


def test_a_snapshot_at_a_boundary_carries_the_epoch_behind_it() -> None:
    network = Network()
    boundary = network.change(1, 2, 3, 4)
    manifest, chunks = offer(network.ledger)
    assert (manifest.height, manifest.certificate.epoch, manifest.boundaries) == (boundary, 0, ())
    other = Network()
    take(other.ledger, manifest, chunks)
    assert other.ledger.epoch.number == 1
    envelope = other.envelope(OPERATORS[1::-1], "governance", "set_parameter", {"name": "skip_blocks", "value": 5})
    other.block(envelope)
    receipt = other.ledger.receipt(envelope.tx_id)
    assert receipt is not None
    assert len(receipt.boundaries) == 1
    verify_receipt(receipt, GENESIS)


def test_a_second_snapshot_replaces_the_first_and_the_oldest_data_go(served: Network) -> None:
    network = Network()
    one = Network()
    one.run_to(4)
    take(network.ledger, *offer(one.ledger))
    assert sorted(network.disk.stores) == ["state", "state-1"]
    take(network.ledger, *offer(served.ledger))
    assert network.ledger.height == 16
    assert sorted(network.disk.stores) == ["state-1", "state-2"]


def test_a_transfer_given_up_for_another_leaves_nothing(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    network = Network()
    network.ledger.check_manifest(manifest)
    network.ledger.begin_transfer(manifest)
    network.ledger.stage(chunks[0])
    take(network.ledger, manifest, chunks)
    assert network.ledger.height == 16


def test_an_unfinished_transfer_is_forgotten_at_the_next_start(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    network = Network()
    network.ledger.check_manifest(manifest)
    network.ledger.begin_transfer(manifest)
    network.ledger.stage(chunks[0])
    network.reopen()
    assert network.ledger.height == 0
    assert list(network.disk.stores) == ["state"]


@pytest.mark.row(18)
def test_wherever_the_power_goes_during_an_install_the_ledger_is_the_old_or_the_new_one(served: Network) -> None:
    manifest, chunks = offer(served.ledger)
    heights = []
    for blows_after in range(200):
        network = Network()
        network.run_to(4)
        fuse = network.disk.fuse
        fuse.blows_at = fuse.changes + blows_after
        try:
            take(network.ledger, manifest, chunks)
            done = True
        except PowerCut:
            done = False
        network.disk.lose_unsynced()
        network.ledger = open_ledger(network.disk)
        heights.append(network.ledger.height)
        expected = served.ledger.block(network.ledger.height).statement if network.ledger.height == 16 else None
        if expected is not None:
            assert network.ledger.state_root == expected.state_root
            assert network.ledger.epoch.number == 1
        assert network.ledger.height in (4, 16)
        network.block()
        if done:
            break
    else:
        pytest.fail("the install never ended")
    assert heights == sorted(heights)
    assert {4, 16} == set(heights)
    assert heights[-1] == 16


def test_data_that_cannot_be_used_are_set_aside_for_a_snapshot(served: Network, tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)

    def opened() -> Ledger:
        return Ledger(disk_storage(tmp_path, files), GENESIS, MACHINE, MarketValidator())

    ledger = opened()
    ledger.execute(1, bytes(32), b"", 0, 0)
    ledger.execute(2, bytes(32), b"", 0, 0)
    ledger.close()
    path = tmp_path / "chain" / "00000001.chain"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChainCorrupt):
        opened()
    set_aside(disk_storage(tmp_path, files))
    ledger = opened()
    assert ledger.height == 0
    take(ledger, *offer(served.ledger))
    ledger.close()
    ledger = opened()
    assert ledger.height == 16
    assert offer(ledger) == offer(served.ledger)
    ledger.close()
