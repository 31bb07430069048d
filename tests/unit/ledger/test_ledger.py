"""The ledger in its directory: commits whole blocks, recovers after a crash, and lets nobody else in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ledgers import (
    ALICE,
    BOB,
    CAROL,
    GENESIS,
    START_MS,
    BoxMachine,
    certificate_of,
    envelope,
    make_genesis,
    open_ledger,
    run_block,
)

from ledger import indexing
from ledger import store as store_module
from ledger.chain import ChainCorrupt
from ledger.codes import Refusal, RefusalCode
from ledger.envelope import Envelope
from ledger.execution import BlockExecutor, Call, CallResult
from ledger.intake import BadBatch
from ledger.layout import HASH, HASHED
from ledger.ledger import CommittedBlock, DirectoryUnusable, Diverged, Ledger
from ledger.runner import pack_entry
from ledger.state import Entry, StateReader, TransactionView
from ledger.tree import root_of
from ledger.values import decode_value
from pbft.messages import NULL_DIGEST, Batch, CertifiedBlock, encode_batch

STORE: Any = store_module.RocksStore if store_module.rocksdict else store_module.SqliteStore


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def fill(ledger: Ledger, blocks: int = 4) -> None:
    for _ in range(blocks):
        run_block(ledger, envelope(nonce=ledger.height, args={"key": f"k{ledger.height}", "value": ledger.height}))


def value_of(ledger: Ledger, key: str) -> object:
    entry = ledger.reader().get(key)
    return None if entry is None else decode_value(entry.value)


# ----------------------------------------------------------------------------------------------- blocks


def test_a_ledger_begins_with_its_genesis(ledger: Ledger) -> None:
    assert (ledger.height, ledger.time_ms, ledger.certified_height) == (0, START_MS, 0)
    assert value_of(ledger, "governance/parameter/grid_price") == {"value": 100}


def test_a_block_is_linked_to_the_one_before(ledger: Ledger) -> None:
    fill(ledger, 2)
    first, second = ledger.block(1), ledger.block(2)
    assert first.header.previous_hash == GENESIS.chain_id
    assert second.header.previous_hash == first.statement.header_hash == first.header.hash()
    assert (second.header.height, second.transactions, ledger.height) == (2, 1, 2)


def test_time_is_what_was_proposed_but_never_stands_still(ledger: Ledger) -> None:
    run_block(ledger, time_ms=START_MS + 50)
    assert ledger.time_ms == START_MS + 50
    run_block(ledger, time_ms=START_MS)
    assert ledger.time_ms == START_MS + 51
    run_block(ledger)
    assert ledger.time_ms == START_MS + 52
    assert ledger.block(3).header.batch_digest == NULL_DIGEST


def test_a_transaction_is_found_by_its_id(ledger: Ledger) -> None:
    made, failing = envelope(nonce=0), envelope(nonce=1, function="fail")
    assert not ledger.has(made.tx_id)
    assert ledger.transaction(made.tx_id) is None
    run_block(ledger, made, failing)
    assert ledger.has(made.tx_id)
    found, failed = ledger.transaction(made.tx_id), ledger.transaction(failing.tx_id)
    assert found is not None
    assert failed is not None
    assert (found.height, found.index, found.result.code, found.signers) == (1, 0, "OK", (ALICE.signer,))
    assert (failed.index, failed.result.code) == (1, "NO")
    assert ledger.transactions_of(1) == [found, failed]


def test_a_block_is_found_by_the_hash_of_its_header(ledger: Ledger) -> None:
    hashes = [run_block(ledger).statement.header_hash for _ in range(3)]
    assert [ledger.height_of(each) for each in hashes] == [1, 2, 3]
    assert ledger.height_of(bytes(32)) is None


def test_blocks_of_before_there_was_that_index_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BLOCKS_AT_ONCE", 2)
    older = open_ledger(tmp_path)
    hashes = [run_block(older).statement.header_hash for _ in range(5)]
    older._books.store.write({HASHED: None, **{HASH + each: None for each in hashes}})
    older.close()
    newer = open_ledger(tmp_path)
    assert [newer.height_of(each) for each in hashes] == [1, 2, 3, 4, 5]
    newer.close()


def test_a_transaction_ordered_twice_keeps_its_first_fate(ledger: Ledger) -> None:
    made = envelope()
    run_block(ledger, made)
    run_block(ledger, made)
    found = ledger.transaction(made.tx_id)
    assert found is not None
    assert (found.height, found.result.code) == (1, "OK")
    assert ledger.transactions_of(2)[0].result.code == RefusalCode.NONCE_USED


def test_a_transaction_refused_in_a_block_may_still_succeed_later(ledger: Ledger) -> None:
    late = envelope(nonce=1_500)
    run_block(ledger, late)
    run_block(ledger, envelope(nonce=1_000))
    run_block(ledger, late)
    found = ledger.transaction(late.tx_id)
    assert found is not None
    assert (found.height, found.result.code) == (3, "OK")


def test_a_reader_stays_as_it_is_while_blocks_commit(ledger: Ledger) -> None:
    reader = ledger.reader()
    fill(ledger, 2)
    assert reader.get("box/k0") is None
    assert reader.scan("box/", "", 10) == []
    assert [key for key, _ in ledger.reader().scan("box/", "", 10)] == ["box/k0", "box/k1"]


def test_callbacks_hear_of_every_block_with_its_changes(ledger: Ledger) -> None:
    heard: list[CommittedBlock] = []
    ledger.on_commit.append(heard.append)
    made = envelope()
    run_block(ledger, made)
    (block,) = heard
    assert (block.height, block.tx_ids, block.results[0].code) == (1, (made.tx_id,), "OK")
    assert isinstance(block.changes["box/a"], Entry)


def test_the_height_of_a_snapshot_is_never_ahead_of_its_state(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked in the middle of a commit: the state database would take an old state for the new block's."""
    fill(ledger, 1)
    seen: list[tuple[bool, int]] = []
    original = STORE.snapshot

    def snapshot(self: store_module.CommitStore) -> store_module.Snapshot:
        reader, height = ledger.snapshot()
        seen.append((reader.get("box/k1") is not None, height))
        taken: store_module.Snapshot = original(self)
        return taken

    monkeypatch.setattr(STORE, "snapshot", snapshot)
    fill(ledger, 1)
    assert seen
    assert all(has_it for has_it, height in seen if height == 2)


def test_admission_says_why_not(ledger: Ledger) -> None:
    assert ledger.admit(envelope()) is None
    run_block(ledger, envelope())
    for made, code in [
        (envelope(), RefusalCode.NONCE_USED),
        (envelope(nonce=1, chain="0" * 64), RefusalCode.WRONG_CHAIN),
        (envelope(nonce=1, function="sell"), RefusalCode.NOT_REGISTERED),
        (envelope(nonce=1, expires_at_height=1), RefusalCode.EXPIRED),
    ]:
        refusal = ledger.admit(made)
        assert isinstance(refusal, Refusal)
        assert refusal.code is code


def test_what_a_block_made_inadmissible_leaves_the_pool(ledger: Ledger) -> None:
    good = ledger.check_envelopes([envelope(nonce=n).raw for n in range(3)] + [b"junk", envelope(BOB, ALICE).raw])
    requests = [item for item in good if not isinstance(item, str)]
    assert (len(requests), good[3]) == (4, RefusalCode.PAYLOAD_INVALID)
    run_block(ledger, envelope(nonce=1))
    assert ledger.inadmissible(requests) == [envelope(nonce=1).tx_id]


def test_who_may_call_what_is_found_out_once_however_many_wait(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found under load: whoever waited was authenticated anew after every block, two fifths of all execution."""
    asked: list[tuple[str, ...]] = []
    bars = BlockExecutor.bars

    def counted(self: BlockExecutor, reader: StateReader, signers: tuple[str, ...], *call: Any) -> RefusalCode | None:
        asked.append(signers)
        return bars(self, reader, signers, *call)

    good = ledger.check_envelopes([envelope(nonce=n).raw for n in range(20)] + [envelope(BOB, ALICE).raw])
    monkeypatch.setattr(BlockExecutor, "bars", counted)
    assert ledger.inadmissible([item for item in good if not isinstance(item, str)]) == []
    assert asked == [(ALICE.signer,), (BOB.signer, ALICE.signer)]


@pytest.mark.row(14)
def test_what_state_refuses_costs_no_signature_check(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: anybody's forwards of requests that nobody registered signed cost 73 ms for 230 kB."""
    checked: list[Envelope] = []
    monkeypatch.setattr(Envelope, "verify", lambda self: checked.append(self))
    run_block(ledger, envelope())
    stranger = [envelope(CAROL, function="sell", nonce=nonce) for nonce in range(40)]
    refused = ledger.check_envelopes([item.raw for item in (*stranger, envelope(nonce=0), envelope(nonce=5_000))])
    assert refused == [RefusalCode.NOT_REGISTERED] * 40 + [RefusalCode.NONCE_USED, RefusalCode.NONCE_OUT_OF_WINDOW]
    assert ledger.check_envelopes([envelope(BOB, chain="0" * 64, nonce=5_000).raw]) == [RefusalCode.WRONG_CHAIN]
    assert checked == []
    ledger.check_envelopes([envelope(nonce=1).raw])
    assert checked == [envelope(nonce=1)]


def test_a_batch_that_a_certificate_does_not_name_costs_no_signature_check(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_block(ledger, envelope())
    ledger.certify([certificate_of(ledger.uncertified()[0])])
    (block,) = ledger.certified_blocks(1, 1, 1)
    checked: list[Envelope] = []
    monkeypatch.setattr(Envelope, "verify", lambda self: checked.append(self))
    other = encode_batch(Batch("main", START_MS + 1, tuple(envelope(CAROL, nonce=n).raw for n in range(20))))
    with pytest.raises(BadBatch, match="another block's"):
        ledger.check_block(msgspec.structs.replace(block, body=other))
    assert checked == []
    assert ledger.check_block(block) is not None


# --------------------------------------------------------------------------------------------- certificates


def test_a_block_is_certified_once_its_certificate_is_stored(ledger: Ledger) -> None:
    fill(ledger, 3)
    assert [statement.height for statement in ledger.uncertified()] == [1, 2, 3]
    ledger.certify([certificate_of(ledger.block(height).statement) for height in (2, 1)])
    assert (ledger.certified_height, len(ledger.uncertified())) == (2, 1)
    assert ledger.certificate(3) is None
    last = ledger.last_certificate()
    assert last is not None
    assert last.statement == ledger.block(2).statement


def test_certified_blocks_are_served_through_later_certificates_up_to_the_last(ledger: Ledger) -> None:
    fill(ledger, 6)
    ledger.certify([certificate_of(ledger.block(height).statement) for height in (1, 2, 3, 5)])
    served = ledger.certified_blocks(1, 9, 10**6)
    assert [block.height for block in served] == [1, 2, 3, 4, 5]
    assert [block.certificate.statement.height for block in served] == [1, 2, 3, 5, 5]
    assert len(ledger.certified_blocks(2, 3, 1)) == 1
    assert ledger.certified_blocks(6, 9, 10**6) == []


def test_a_certified_block_is_executed_by_another_ledger(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 2)
    run_block(ledger)
    ledger.certify([certificate_of(ledger.block(height).statement) for height in (1, 2, 3)])
    other = open_ledger(tmp_path / "other")
    for block in ledger.certified_blocks(1, 3, 10**6):
        batch = other.check_block(block)
        digest = NULL_DIGEST if batch is None else batch.digest
        ran = other.execute(other.height + 1, digest, block.body, block.view, block.proposer)
        assert ran.statement == block.certificate.statement
    assert other.state_root == ledger.state_root
    other.close()


def test_a_block_that_its_certificate_does_not_name_is_refused(ledger: Ledger) -> None:
    fill(ledger, 2)
    ledger.certify([certificate_of(ledger.block(height).statement) for height in (1, 2)])
    first, second = ledger.certified_blocks(1, 2, 10**6)
    for header, body, certificate in [
        (b"junk", first.body, first.certificate),
        (second.header, first.body, first.certificate),
        (first.header, second.body, first.certificate),
        (first.header, b"", first.certificate),
        (first.header, first.body, second.certificate),
    ]:
        with pytest.raises(BadBatch):
            ledger.check_block(CertifiedBlock(header, body, 0, 0, certificate))


# ----------------------------------------------------------------------------------------- the directory


def test_everything_is_there_after_closing(tmp_path: Path) -> None:
    first = open_ledger(tmp_path)
    fill(first)
    first.certify([certificate_of(first.block(2).statement)])
    before = (first.height, first.time_ms, first.state_root, first.certified_height, first.block(4))
    first.close()
    again = open_ledger(tmp_path)
    assert (again.height, again.time_ms, again.state_root, again.certified_height, again.block(4)) == before
    assert again.transaction(envelope(nonce=0, args={"key": "k0", "value": 0}).tx_id) is not None
    fill(again, 1)
    again.close()


@pytest.mark.parametrize("engine", ["rocksdb", "sqlite"])
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_crash_between_chain_and_store_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, kept: int
) -> None:
    """The store is left ``kept`` blocks high while the chain has four: each block was synced before its commit."""
    if engine == "sqlite":
        monkeypatch.setattr(store_module, "rocksdict", None)
    first = open_ledger(tmp_path)
    fill(first, kept)
    first.close()
    shutil.copytree(tmp_path / "state", tmp_path / "older")
    first = open_ledger(tmp_path)
    fill(first, 4 - kept)
    expected = (first.height, first.state_root, first.time_ms)
    first.close()
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "older").rename(tmp_path / "state")
    again = open_ledger(tmp_path)
    assert (again.height, again.state_root, again.time_ms) == expected
    assert [key for key, _ in again.reader().scan("box/", "", 10)] == ["box/k0", "box/k1", "box/k2", "box/k3"]
    assert again.transaction(envelope(nonce=3, args={"key": "k3", "value": 3}).tx_id) is not None
    again.close()


def test_a_store_write_that_fails_leaves_a_block_that_the_next_start_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_ledger(tmp_path)
    fill(first, 2)
    with monkeypatch.context() as patch:
        patch.setattr(STORE, "write", _no_space)
        with pytest.raises(OSError, match="No space"):
            fill(first, 1)
    first.close()
    again = open_ledger(tmp_path)
    assert (again.height, value_of(again, "box/k2")) == (3, 2)
    again.close()


def _no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_deleted_store_is_made_again_from_the_chain(tmp_path: Path) -> None:
    first = open_ledger(tmp_path)
    fill(first)
    root = first.state_root
    first.close()
    shutil.rmtree(tmp_path / "state")
    again = open_ledger(tmp_path)
    assert (again.height, again.state_root) == (4, root)
    again.close()


def test_an_engine_that_executes_differently_is_noticed(tmp_path: Path) -> None:
    class Another(BoxMachine):
        def run(self, call: Call, view: TransactionView) -> CallResult:
            view.put("box/surprise", b"\xc3")
            return super().run(call, view)

    first = open_ledger(tmp_path)
    fill(first, 1)
    first.close()
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(Diverged, match="block 1"):
        open_ledger(tmp_path, machine=Another())
    open_ledger(tmp_path).close()


@pytest.mark.parametrize("loss", ["directory", "last block", "all blocks"])
def test_a_chain_shorter_than_its_store_is_corruption(tmp_path: Path, loss: str) -> None:
    """It was synced before: going on would leave blocks that nobody can be served."""
    first = open_ledger(tmp_path)
    fill(first)
    first.close()
    path = tmp_path / "chain" / "00000001.chain"
    if loss == "directory":
        shutil.rmtree(tmp_path / "chain")
    else:
        path.write_bytes(path.read_bytes()[: 8 if loss == "all blocks" else -1])
    with pytest.raises(ChainCorrupt):
        open_ledger(tmp_path)


def test_another_chains_directory_is_refused(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    with pytest.raises(DirectoryUnusable, match="another chain"):
        open_ledger(tmp_path, make_genesis(network="other"))
    open_ledger(tmp_path).close()


def test_a_directory_in_use_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(DirectoryUnusable, match="in use"):
        open_ledger(tmp_path)
    fill(ledger, 1)


def test_a_crash_in_the_very_first_start_leaves_a_usable_directory(tmp_path: Path) -> None:
    (tmp_path / "format").touch()
    open_ledger(tmp_path).close()
    ledger = open_ledger(tmp_path)
    assert ledger.height == 0
    ledger.close()


def test_a_directory_of_another_format_is_refused(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    stamp = tmp_path / "format"
    text = stamp.read_text().replace("data 1", "data 2").partition("sum")[0]
    stamp.write_text(f"{text}sum {sha256(text.encode()).hexdigest()[:16]}\n")
    with pytest.raises(DirectoryUnusable, match="data 2"):
        open_ledger(tmp_path)


def test_the_state_root_covers_the_whole_state(ledger: Ledger) -> None:
    fill(ledger)
    assert root_of((key, pack_entry(entry)) for key, entry in ledger.reader().scan("", "", 1_000)) == ledger.state_root
