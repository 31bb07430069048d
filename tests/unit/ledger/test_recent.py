"""The cache of what was used last."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import views
from ledger.layout import STATE
from ledger.recent import Recent
from ledger.runner import pack_entry
from ledger.state import Entry
from ledger.store import open_store
from ledger.views import KeptState

STEPS = st.lists(st.tuples(st.sampled_from(["keep", "find", "drop"]), st.integers(0, 9), st.integers(1, 30)))


def by_length(key: int, value: bytes) -> int:
    return len(value)


@given(STEPS)
def test_it_keeps_what_was_kept_last_or_nothing(steps: list[tuple[str, int, int]]) -> None:
    recent, model = Recent[int, bytes](100, by_length), dict[int, bytes]()
    for step, key, length in steps:
        if step == "keep":
            model[key] = bytes([key]) * length
            recent.keep(key, model[key])
            assert recent.find(key, b"none") == model[key]
        elif step == "drop":
            model.pop(key, None)
            recent.drop(key)
            assert recent.find(key, b"none") == b"none"
        elif (found := recent.find(key, b"none")) != b"none":
            assert found == model[key]
        held = {key for key in range(10) if key in recent._young or key in recent._older}
        assert sum(len(model[key]) for key in held) <= 100 + 2 * 30


def test_what_is_used_stays() -> None:
    recent = Recent[int, bytes](100, by_length)
    for number in range(1, 1_000):
        recent.keep(0, b"often") if number == 1 else recent.find(0, b"")
        recent.keep(number, bytes(10))
    assert recent.find(0, b"") == b"often"
    assert recent.find(1, b"") == b""


def test_what_is_replaced_counts_once() -> None:
    recent = Recent[int, bytes](100, by_length)
    recent.keep(1, b"kept")
    for _ in range(1_000):
        recent.keep(2, bytes(20))
    assert (recent.find(1, b""), recent.find(2, b"")) == (b"kept", bytes(20))


def test_what_blocks_write_is_bounded_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: execution's reader kept whatever blocks wrote, however much it came to."""
    monkeypatch.setattr(views, "ENTRIES_CACHED_BYTES_MAX", 50_000)
    store = open_store(tmp_path)
    state = KeptState(store)
    for height in range(500):
        entry = Entry(height, 0, b"x" * 100)
        key = f"key/{height:04d}"
        store.write({STATE + key.encode(): pack_entry(entry)})
        state.note({key: entry})
    kept = state._recent
    assert len(kept._young) + len(kept._older) <= 50_000 // 450 + 1
    assert [state.get(f"key/{height:04d}") for height in (0, 250, 499)] == [
        Entry(height, 0, b"x" * 100) for height in (0, 250, 499)
    ]
    assert len(state.scan("key/", "", 1_000)) == 500
    store.close()
