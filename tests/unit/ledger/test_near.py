"""What lies beside a key: every store and every moment of it, and every committed state, tell the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.layout import STATE, STATE_END, pack, read_entry
from ledger.memory_store import MemoryStore
from ledger.state import CommittedReader, Entry, MemoryState
from ledger.store import CommitStore, Snapshot, open_store
from ledger.undo import Rewound
from ledger.views import CachedState, StateView

Pairs = dict[str, int]
"""Keys of state, and how long their values are."""


def entry(size: int) -> Entry:
    return Entry(1, 2, bytes(size))


def packed(pairs: Pairs) -> dict[bytes, bytes | None]:
    return {STATE + key.encode(): pack(entry(size)) for key, size in pairs.items()}


@pytest.fixture(params=["rocksdb", "sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CommitStore]:
    if request.param == "rocksdb":
        pytest.importorskip("rocksdict")
    opened: CommitStore = MemoryStore() if request.param == "memory" else open_store(tmp_path, request.param)
    yield opened
    opened.close()


def written(store: CommitStore, pairs: Pairs) -> None:
    """Nothing but these, and something on either side of the state."""
    store.write(dict.fromkeys(key for key, _ in store.scan(b"", b"", 1_000)))
    store.write({**packed(pairs), b"m/head": b"x", b"t/": b"x"})


def now(store: CommitStore, pairs: Pairs, others: Pairs) -> Snapshot:
    written(store, pairs)
    return store


def before(store: CommitStore, pairs: Pairs, others: Pairs) -> Snapshot:
    """A snapshot, after which everything became something else."""
    written(store, pairs)
    snapshot = store.snapshot()
    written(store, others)
    return snapshot


def rewound(store: CommitStore, pairs: Pairs, others: Pairs) -> Snapshot:
    written(store, others)
    old = packed(pairs)
    return Rewound(store, {key: old.get(key) for key in {*old, *packed(others)}})


key = st.text("ab/", min_size=1, max_size=3)
pairs = st.dictionaries(key, st.integers(0, 30), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs, pairs, key | st.just(""), key | st.none(), st.booleans(), st.integers(0, 6), st.integers(0, 90))
@pytest.mark.parametrize("moment", [now, before, rewound])
def test_every_store_tells_what_a_sorted_dictionary_would(
    store: CommitStore,
    moment: Callable[[CommitStore, Pairs, Pairs], Snapshot],
    held: Pairs,
    others: Pairs,
    low: str,
    high: str | None,
    down: bool,
    limit: int,
    bytes_max: int,
) -> None:
    source = moment(store, held, others)
    end = STATE_END if high is None else STATE + high.encode()
    rows, stop = source.near(STATE + low.encode(), end, down, limit, bytes_max)
    inside = [name for name in sorted(held, reverse=down) if name >= low and (high is None or name < high)]
    assert rows == [(STATE + name.encode(), pack(entry(held[name]))) for name in inside[: len(rows)]]
    assert len(rows) <= limit
    assert sum(len(value) for _, value in rows) <= bytes_max
    if stop is None:
        assert len(rows) == len(inside)
    else:
        # A snapshot may end before a key that was not there yet; nothing that was there is left out.
        place = stop[len(STATE) :].decode()
        assert not [name for name in inside[len(rows) :] if (name > place if down else name < place)]
        assert moment is not now or place == inside[len(rows)]
    for reader in (StateView(source), CachedState(source)):
        assert isinstance(reader, CommittedReader)
        told = [(STATE + name.encode(), pack(each)) for name, each in reader.near(low, high, down, limit, bytes_max)[0]]
        assert told == rows


@given(pairs, key | st.just(""), key | st.none(), st.booleans(), st.integers(0, 6), st.integers(0, 90))
def test_state_in_memory_tells_the_same(
    held: Pairs, low: str, high: str | None, down: bool, limit: int, bytes_max: int
) -> None:
    store = MemoryStore()
    written(store, held)
    told, stop = MemoryState({name: entry(size) for name, size in held.items()}).near(low, high, down, limit, bytes_max)
    end = STATE_END if high is None else STATE + high.encode()
    rows, _ = store.near(STATE + low.encode(), end, down, limit, bytes_max + 1_000)
    assert told == [(name[len(STATE) :].decode(), read_entry(record)) for name, record in rows[: len(told)]]
    assert sum(len(each.value) for _, each in told) <= bytes_max
    assert (stop is None) == (len(told) == len([n for n in held if n >= low and (high is None or n < high)]))


def test_a_run_of_what_was_deleted_since_ends_nowhere_and_hides_nothing() -> None:
    store = MemoryStore()
    store.write({b"%d" % number: b"x" for number in range(10, 40)})
    then = store.snapshot()
    store.write({b"%d" % number: None for number in range(10, 40)} | {b"%d" % number: b"x" for number in range(50, 60)})
    assert then.near(b"", b"9", False, 3, 99) == ([(b"10", b"x"), (b"11", b"x"), (b"12", b"x")], b"13")
    assert then.near(b"", b"9", True, 2, 99)[1] is not None
