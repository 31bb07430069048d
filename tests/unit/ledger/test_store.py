"""The commit store: both back ends, one behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import store as store_module
from ledger.store import CommitStore, open_store

ENGINES = ["rocksdb", "sqlite"]
Reopen = Callable[[], CommitStore]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "rocksdb":
        pytest.importorskip("rocksdict")
    return name


@pytest.fixture
def store(engine: str, tmp_path: Path) -> Iterator[CommitStore]:
    opened = open_store(tmp_path / "store", engine)
    yield opened
    opened.close()


def test_what_was_written_is_read(store: CommitStore, engine: str) -> None:
    assert store.engine == engine
    store.write({b"a": b"1", b"b": b""})
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c")) == (b"1", b"", None)
    store.write({b"a": None, b"b": b"2", b"missing": None}, sync=True)
    assert (store.get(b"a"), store.get(b"b")) == (None, b"2")


def test_an_empty_batch_is_one(store: CommitStore) -> None:
    store.write({})
    assert store.scan(b"", b"", 10) == []


def test_a_snapshot_stays_as_it_was(store: CommitStore) -> None:
    store.write({b"a": b"1", b"b": b"1"})
    before = store.snapshot()
    store.write({b"a": b"2", b"b": None, b"c": b"2"})
    after = store.snapshot()
    store.write({b"a": None})
    assert before.scan(b"", b"", 10) == [(b"a", b"1"), (b"b", b"1")]
    assert after.scan(b"", b"", 10) == [(b"a", b"2"), (b"c", b"2")]
    assert (before.get(b"a"), before.get(b"c"), after.get(b"c")) == (b"1", None, b"2")
    assert store.scan(b"", b"", 10) == [(b"c", b"2")]
    del before, after


def test_a_snapshot_is_read_by_many_threads(store: CommitStore) -> None:
    store.write({b"%04d" % number: b"%d" % number for number in range(2_000)})
    snapshot = store.snapshot()
    scan = snapshot.scan
    numbers = range(0, 2_000, 3)
    with ThreadPoolExecutor(4) as threads:
        values = list(threads.map(snapshot.get, [b"%04d" % number for number in numbers]))
        rows = list(threads.map(lambda number: scan(b"%03d" % (number // 10), b"", 20), numbers))
    assert values == [b"%d" % number for number in numbers]
    assert {len(found) for found in rows} == {10}


def test_a_batch_that_fails_changes_nothing_and_the_store_goes_on(store: CommitStore) -> None:
    store.write({b"a": b"1"})
    bad: dict[bytes, Any] = {b"a": b"2", b"b": object()}
    with pytest.raises(Exception, match=r".+"):
        store.write(bad)
    assert store.scan(b"", b"", 10) == [(b"a", b"1")]
    store.write({b"b": b"3"})
    assert store.scan(b"", b"", 10) == [(b"a", b"1"), (b"b", b"3")]


def test_everything_is_there_again_after_closing(engine: str, tmp_path: Path) -> None:
    first = open_store(tmp_path, engine)
    first.write({b"%03d" % number: b"x" for number in range(300)})
    first.close()
    again = open_store(tmp_path)
    assert again.engine == engine
    assert len(again.scan(b"", b"", 1_000)) == 300
    again.close()


def test_a_directory_keeps_its_engine(engine: str, tmp_path: Path) -> None:
    open_store(tmp_path, engine).close()
    other = ENGINES[1 - ENGINES.index(engine)]
    again = open_store(tmp_path, other)
    assert again.engine == engine
    again.close()


def test_without_rocksdb_a_new_store_is_sqlite_and_an_old_one_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rocksdict")
    open_store(tmp_path / "old", "rocksdb").close()
    monkeypatch.setattr(store_module, "rocksdict", None)
    new = open_store(tmp_path / "new")
    assert new.engine == "sqlite"
    new.close()
    with pytest.raises(RuntimeError, match="install rocksdict"):
        open_store(tmp_path / "old")


KEYS = st.binary(min_size=1, max_size=3).map(lambda key: bytes(byte % 4 or 255 for byte in key))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=8), max_size=5),
    prefix=st.binary(max_size=2).map(lambda key: bytes(byte % 4 or 255 for byte in key)),
    after=st.just(b"") | KEYS,
    limit=st.integers(0, 9),
)
def test_a_scan_is_a_sorted_dictionarys(
    store: CommitStore, batches: list[dict[bytes, bytes | None]], prefix: bytes, after: bytes, limit: int
) -> None:
    store.write(dict.fromkeys(key for key, _ in store.scan(b"", b"", 1_000)))
    model: dict[bytes, bytes] = {}
    for batch in batches:
        store.write(batch)
        for key, value in batch.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    expected = [(key, model[key]) for key in sorted(model) if key.startswith(prefix) and key > after][:limit]
    assert store.scan(prefix, after, limit) == expected
    snapshot = store.snapshot()
    assert snapshot.scan(prefix, after, limit) == expected
    assert [snapshot.get(key) for key in model] == list(model.values())
    del snapshot
