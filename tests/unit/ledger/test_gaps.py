"""Execution's reader remembers where nothing is: what was deleted is gone through once, and nothing is ever missed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import gaps as stretches
from ledger import views
from ledger.gaps import Gaps
from ledger.layout import STATE
from ledger.memory_store import MemoryStore
from ledger.near import Near
from ledger.runner import pack_entry
from ledger.state import Entry
from ledger.store import CommitStore, open_store
from ledger.views import KeptState, StateView

KEYS = [first + second for first in ("a", "b/", "b/a", "c") for second in ("", "0", "1", "2", "9", "x")]
CHANGES = st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), st.integers(0, 3)), max_size=8)
SCANS = st.lists(st.tuples(st.sampled_from(["", "a", "b", "b/", "b/a", "c", "z"]), st.sampled_from(["", *KEYS])))


def write(store: CommitStore, changes: Mapping[str, Entry | None]) -> None:
    store.write({STATE + key.encode(): None if entry is None else pack_entry(entry) for key, entry in changes.items()})


@given(
    st.lists(st.tuples(CHANGES, SCANS, st.integers(1, 6)), max_size=12),
    st.sampled_from([1, 3, 100]),
    st.sampled_from([1_000, 3_000, 1 << 20]),
)
def test_scans_of_what_blocks_change_are_the_store_s(
    blocks: list[tuple[dict[str, int | None], list[tuple[str, str]], int]], gaps_max: int, cached_bytes_max: int
) -> None:
    store = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "GAPS_MAX", gaps_max)
        patch.setattr(views, "ENTRIES_CACHED_BYTES_MAX", cached_bytes_max)
        state, plain = KeptState(store), StateView(store)
        for height, (values, scans, limit) in enumerate(blocks):
            changes = {key: None if value is None else Entry(height, value, b"v") for key, value in values.items()}
            write(store, changes)
            state.note(changes)
            for prefix, after in scans:
                assert state.scan(prefix, after, limit) == plain.scan(prefix, after, limit)
                assert state.get(after) == plain.get(after)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(KEYS))))
def test_gaps_neither_overlap_nor_touch(steps: list[tuple[bool, str]]) -> None:
    gaps, there = Gaps(), set[str]()
    gaps.add("", "z")
    for come, key in steps:
        (there.add if come else there.discard)(key)
        (gaps.fill if come else gaps.empty)(key)
        for place in KEYS:
            nearest = min((other for other in there if other >= place), default="z")
            assert gaps.end(place) == (place if place in there else nearest)


@pytest.mark.parametrize("engine", ["rocksdb", "sqlite"])
def test_what_was_deleted_is_gone_through_once(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: each scan of a stretch of deleted keys walked over all that RocksDB had not yet thrown away: 60,000,
    which a block can delete, took 10 ms, for 415 gas."""
    pytest.importorskip("rocksdict")
    asked: list[tuple[bytes, bytes]] = []
    store = open_store(tmp_path / "store", engine)
    near = store.near

    def counted(low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        asked.append((low, high))
        return near(low, high, down, limit, bytes_max)

    monkeypatch.setattr(store, "near", counted)
    state = KeptState(store)
    rows: dict[str, Entry | None] = {f"q/{number:04d}": Entry(1, 0, b"v") for number in range(300)}
    write(store, rows)
    state.note(rows)
    gone = dict.fromkeys(list(rows)[1:-1])
    write(store, gone)
    state.note(gone)
    for _ in range(3):
        assert [key for key, _ in state.scan("q/", "", 9)] == ["q/0000", "q/0299"]
        assert [key for key, _ in state.scan("q/", "q/0100", 1)] == ["q/0299"]
        assert state.scan("q/", "q/0299", 1) == []
    assert len(asked) <= 3
    for number in range(200, 100, -1):
        assert [key for key, _ in state.scan("q/", f"q/{number:04d}", 1)] == ["q/0299"]
    assert len(asked) <= 3
    back = {"q/0150": Entry(2, 0, b"v")}
    write(store, back)
    state.note(back)
    assert [key for key, _ in state.scan("q/", "q/0000", 2)] == ["q/0150", "q/0299"]
    store.close()
