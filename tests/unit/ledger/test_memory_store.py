"""The commit store in memory behaves as the others do, keeps its snapshots, and loses whole batches from the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.memory_store import UNSYNCED_BATCHES_MAX, MemoryStore

KEYS = st.binary(min_size=1, max_size=3).map(lambda data: bytes(byte & 3 for byte in data))
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=6), max_size=12)


def applied(batches: list[dict[bytes, bytes | None]]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for batch in batches:
        for key, value in batch.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
    return found


def scanned(pairs: dict[bytes, bytes], prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    within = ((key, value) for key, value in sorted(pairs.items()) if key.startswith(prefix))
    # ``after`` itself is left out, but for one below the prefix, which leaves nothing out.
    return [(key, value) for key, value in within if key > after or after < prefix][:limit]


@given(BATCHES, st.data())
def test_snapshots_and_scans_show_each_moment_as_it_was(
    batches: list[dict[bytes, bytes | None]], data: st.DataObject
) -> None:
    store = MemoryStore()
    snapshots = [store.snapshot()]
    for batch in batches:
        store.write(batch, sync=data.draw(st.booleans()))
        snapshots.append(store.snapshot())
    prefix, after, limit = data.draw(KEYS | st.just(b"")), data.draw(KEYS | st.just(b"")), data.draw(st.integers(1, 9))
    for count, snapshot in enumerate(snapshots):
        expected = applied(batches[:count])
        assert snapshot.scan(prefix, after, limit) == scanned(expected, prefix, after, limit)
        assert {key: snapshot.get(key) for key in expected} == expected
    assert store.scan(b"", b"", 1_000) == sorted(applied(batches).items())


@given(BATCHES, st.integers(0, 12), st.integers(0, 12))
def test_a_crash_loses_whole_unsynced_batches_from_the_end(
    batches: list[dict[bytes, bytes | None]], synced: int, lost: int
) -> None:
    store = MemoryStore()
    for count, batch in enumerate(batches, start=1):
        store.write(batch, sync=count == synced)
    unsynced = len(batches) - (synced if synced <= len(batches) else 0)
    assert store.unsynced == unsynced
    lost = min(lost, unsynced)
    store.lose(lost)
    left = batches[: len(batches) - lost]
    assert store.scan(b"", b"", 1_000) == sorted(applied(left).items())
    store.write({b"more": b"1"})
    assert store.get(b"more") == b"1"


def test_what_was_synced_cannot_be_lost() -> None:
    store = MemoryStore()
    store.write({b"a": b"1"}, sync=True)
    with pytest.raises(AssertionError):
        store.lose(1)


def test_old_batches_reach_the_disk_and_what_they_replaced_is_forgotten() -> None:
    store = MemoryStore()
    for number in range(3 * UNSYNCED_BATCHES_MAX):
        store.write({b"a": b"%d" % number})
    assert store.unsynced == len(store._replaced) == UNSYNCED_BATCHES_MAX


def test_what_a_snapshot_needs_is_kept_as_long_as_it_lives() -> None:
    store = MemoryStore()
    store.write({b"a": b"old"})
    snapshot = store.snapshot()
    for number in range(2 * UNSYNCED_BATCHES_MAX):
        store.write({b"a": b"%d" % number}, sync=True)
    assert snapshot.get(b"a") == b"old"
    del snapshot
    store.write({b"a": b"new"}, sync=True)
    assert len(store._replaced) == 0
