"""The history of keys: every write of it, values at any past height, and what becomes of it when it grows old."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from governed import GENESIS as GOVERNED
from governed import OPERATORS, Network
from ledgers import GENESIS, Approves, BoxMachine, certificate_of, envelope, open_ledger, run_block

from ledger import history
from ledger.history import HistoryUnknown, Version
from ledger.layout import HISTORY, KNOWN_FROM
from ledger.ledger import BlockNotHeld, Ledger
from ledger.storage import disk_storage
from ledger.undo import roll_back
from ledger.values import decode_value
from pbft.disk import DiskFiles
from pbft.messages import Chunk

KEYS = ("a", "a/b", "b", "c")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


class Writer:
    """Blocks of puts and deletes, and a model of what they left."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.nonce = -1
        self.versions: dict[str, list[tuple[int, int, Any]]] = {}
        self.tx_ids: dict[tuple[int, int], bytes] = {}

    def block(self, *writes: tuple[str, Any]) -> None:
        """Puts, or deletes where the value is None, one a transaction."""
        made = []
        for key, value in writes:
            self.nonce += 1
            function = "delete" if value is None else "put"
            made.append(envelope(nonce=self.nonce, function=function, args={"key": key, "value": value or 0}))
        run_block(self.ledger, *made)
        height = self.ledger.height
        for index, (key, value) in enumerate(writes):
            known = self.versions.setdefault("box/" + key, [])
            if value is not None or (known and known[-1][2] is not None):
                known.append((height, index, value))
            self.tx_ids[height, index] = made[index].tx_id

    def random(self, chance: random.Random, count: int) -> None:
        for _ in range(count):
            writes = [(chance.choice(KEYS), chance.choice([None, 1, 2, 3])) for _ in range(chance.randrange(6))]
            self.block(*writes)

    def certify(self) -> None:
        self.ledger.certify([certificate_of(self.ledger.block(self.ledger.height).statement)])

    def value_at(self, key: str, height: int) -> Any:
        before = [value for at, _, value in self.versions.get(key, []) if at <= height]
        return before[-1] if before else None


def plain(versions: tuple[Version, ...]) -> list[tuple[int, int, Any]]:
    return [(v.height, v.index, None if v.value is None else decode_value(v.value)) for v in versions]


def whole(ledger: Ledger, key: str, page: int = 3) -> list[tuple[int, int, Any]]:
    found: list[tuple[int, int, Any]] = []
    before = None
    while True:
        past = ledger.past(key, page, before)
        found += plain(past.versions)
        if not past.more:
            return found
        before = (past.versions[-1].height, past.versions[-1].index)


def value_at(ledger: Ledger, key: str, height: int) -> Any:
    entry = ledger.entry_at(key, height)
    return None if entry is None else decode_value(entry.value)


def test_every_write_of_a_key_is_found_with_the_transaction_that_did_it(ledger: Ledger) -> None:
    writer = Writer(ledger)
    writer.random(random.Random(1), 60)
    assert sum(len(known) for known in writer.versions.values()) > 80
    for key, known in writer.versions.items():
        found = whole(ledger, key)
        assert found == known[::-1], key
        for height, index, _ in found:
            assert ledger.writer(height, index) == (writer.tx_ids[height, index], True)


def test_the_value_at_any_past_height_is_what_it_was(ledger: Ledger) -> None:
    writer = Writer(ledger)
    writer.random(random.Random(2), 60)
    for key in ("box/" + key for key in KEYS):
        for height in range(ledger.height + 1):
            assert value_at(ledger, key, height) == writer.value_at(key, height), (key, height)
    with pytest.raises(BlockNotHeld):
        ledger.entry_at("box/a", ledger.height + 1)


def test_a_key_that_was_never_written_has_no_history(ledger: Ledger) -> None:
    run_block(ledger)
    assert whole(ledger, "box/none") == []
    assert ledger.entry_at("box/none", 1) is None


def test_what_genesis_put_there_is_the_first_version(ledger: Ledger) -> None:
    run_block(ledger, envelope(function="plant", args={"governance/parameter/grid_price": 7}))
    key = "governance/parameter/grid_price"
    assert [height for height, _, _ in whole(ledger, key)] == [1, 0]
    assert ledger.writer(0, 0) is None
    assert value_at(ledger, key, 1) == 7
    assert value_at(ledger, key, 0) != 7


def test_a_deadlines_write_names_the_deadline(ledger: Ledger) -> None:
    run_block(ledger, envelope(function="later", args={"count": 1, "at_ms": 1}))
    run_block(ledger)
    (version,) = ledger.past("box/due/0", 10).versions
    found = ledger.writer(version.height, version.index)
    assert found is not None
    assert found[0].startswith(b"system/deadline/")
    assert not found[1]


def test_bookkeeping_has_no_history(ledger: Ledger) -> None:
    writer = Writer(ledger)
    writer.block(("a", 1), ("b", 1))
    writer.block(("b", 1))
    kept = [key for key, _ in ledger._books.store.scan(HISTORY, HISTORY, 100)]
    assert len(kept) == 1
    assert kept[0].startswith(HISTORY + b"box/b\0")
    with pytest.raises(HistoryUnknown, match="system/"):
        ledger.past("system/nonce/x", 10)
    with pytest.raises(HistoryUnknown, match="system/"):
        ledger.entry_at("system/nonce/x", 1)


def test_history_is_undone_with_its_block_and_redone_alike() -> None:
    network = Network()
    network.run_to(5)
    store = network.disk.stores["state"]
    before = dict(store.scan(HISTORY, HISTORY, 1_000))
    for value in (1, 2, 3):
        made = network.envelope(OPERATORS[:2], "governance", "set_parameter", {"name": "skip_blocks", "value": value})
        network.block(made, certified=False)
    assert len(store.scan(HISTORY, HISTORY, 1_000)) == len(before) + 3
    network.ledger.close()
    roll_back(network.disk.storage(), GOVERNED)
    assert dict(store.scan(HISTORY, HISTORY, 1_000)) == before


def test_a_ledger_that_kept_no_history_so_far_begins_where_it_stands() -> None:
    network = Network()
    network.run_to(5)
    network.ledger.close()
    store = network.disk.stores["state"]
    store.write({KNOWN_FROM: None})
    network.reopen()
    key = "governance/parameter/skip_blocks"
    assert network.ledger.entry_at(key, 5) is not None
    with pytest.raises(HistoryUnknown) as caught:
        network.ledger.entry_at(key, 4)
    assert caught.value.known_from == 5


# -------------------------------------------------------------------------------------------- what grows old


def limited(path: Path, blocks: int) -> Ledger:
    return Ledger(disk_storage(path, DiskFiles(path)), GENESIS, BoxMachine(), Approves(), history_blocks=blocks)


def test_old_versions_are_dropped_and_what_is_known_is_still_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SWEEP_ROWS_MIN", 4)
    ledger = limited(tmp_path, 10)
    writer, chance = Writer(ledger), random.Random(3)
    most = 0
    for _ in range(150):
        writer.random(chance, 1)
        writer.certify()
        most = max(most, len(ledger._books.store.scan(HISTORY, HISTORY, 10_000)))
    assert most < 120, "the rows of some 10 blocks, and what the sweep has not come to yet"
    known_from = ledger.height - 10
    for key in ("box/" + key for key in KEYS):
        for height in range(known_from, ledger.height + 1):
            assert value_at(ledger, key, height) == writer.value_at(key, height), (key, height)
        with pytest.raises(HistoryUnknown) as caught:
            ledger.entry_at(key, known_from - 1)
        assert caught.value.known_from == known_from
        found, known = whole(ledger, key), writer.versions[key][::-1]
        assert found == known[: len(found)]
        assert {version for version in known if version[0] > known_from} <= set(found)
    ledger.close()


def test_a_pass_over_old_versions_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SWEEP_ROWS_MIN", 5)
    ledger = open_ledger(tmp_path)
    writer = Writer(ledger)
    for value in range(40):
        writer.block(("a", value + 1))
    writer.certify()
    ledger.close()
    ledger = limited(tmp_path, 1)
    counts = []
    for _ in range(3):
        run_block(ledger)
        ledger.certify([certificate_of(ledger.block(ledger.height).statement)])
        counts.append(len(ledger._books.store.scan(HISTORY, HISTORY, 100)))
    assert counts == [34, 29, 24]
    assert whole(ledger, "box/a") == [(40, 0, 40)], "what is to be dropped is not told either"
    ledger.close()


def test_a_snapshots_ledger_knows_the_past_from_there_on() -> None:
    network = Network()
    network.run_to(8)
    manifest = network.ledger.manifest(1)
    assert manifest is not None
    network.ledger.check_manifest(manifest)
    network.ledger.begin_transfer(manifest)
    for index in range(manifest.chunks):
        data = network.ledger.chunk(manifest.height, index)
        assert data is not None
        network.ledger.stage(Chunk(manifest.height, index, data))
    network.ledger.install()
    ledger = network.ledger
    base = manifest.height
    key = "governance/parameter/skip_blocks"
    old = ledger.entry_at(key, base)
    made = network.envelope(OPERATORS[:2], "governance", "set_parameter", {"name": "skip_blocks", "value": 3})
    network.block(made)
    assert ledger.entry_at(key, base) == old
    assert value_at(ledger, key, base + 1) == {"value": 3}
    assert [version.height for version in ledger.past(key, 9).versions] == [base + 1, 0]
    with pytest.raises(HistoryUnknown) as caught:
        ledger.entry_at(key, base - 1)
    assert caught.value.known_from == base
