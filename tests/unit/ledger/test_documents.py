"""The embedded state database: documents, pages and bookmarks, savepoints, and a file that may always be made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.state import Entry
from ledger.statedb import embedded as embedded_module
from ledger.statedb.documents import WIDE_DIGITS, Document, QueryTooCostly, document_of
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.selector import SelectorInvalid, parse_query
from ledger.values import encode_value


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    opened = EmbeddedDatabase(tmp_path / "documents.sqlite")
    yield opened
    opened.close()


def put(database: EmbeddedDatabase, values: dict[str, Any], height: int = 1) -> None:
    database.apply({key: Document(key, height, 0, value) for key, value in values.items()}, height)


def pages(database: EmbeddedDatabase, limit: int, **options: Any) -> list[str]:
    """All keys, page by page; every page but the last is full."""
    keys: list[str] = []
    bookmark = ""
    while True:
        page = database.find(parse_query({}, limit, bookmark=bookmark, **options))
        keys += [document.key for document in page.documents]
        if not page.bookmark:
            return keys
        assert len(page.documents) == limit
        bookmark = page.bookmark


def test_a_document_shows_large_integers_as_text_that_sorts_like_them() -> None:
    numbers = [2**53, 2**64, 2**100]
    value = {"small": 2**53 - 1, "flag": True, "wide": numbers, "minus": -(2**60)}
    document = document_of("market/x", Entry(3, 4, encode_value(value)))
    assert (document.key, document.contract, document.height, document.index) == ("market/x", "market", 3, 4)
    assert document.value["small"] == 2**53 - 1
    assert document.value["flag"] is True
    wide = document.value["wide"]
    assert [int(text) for text in wide] == numbers
    assert wide == sorted(wide)
    assert {len(text) for text in wide} == {WIDE_DIGITS}
    assert int(document.value["minus"]) == -(2**60)


def test_documents_are_put_replaced_and_deleted(database: EmbeddedDatabase) -> None:
    assert (database.height(), database.get("a/1")) == (-1, None)
    put(database, {"a/1": {"x": 1}, "a/2": {"x": "ü\0"}})
    assert database.get("a/2") == Document("a/2", 1, 0, {"x": "ü\0"})
    database.apply({"a/1": None, "a/2": Document("a/2", 2, 1, [])}, 2)
    assert (database.get("a/1"), database.get("a/2"), database.height()) == (None, Document("a/2", 2, 1, []), 2)
    database.apply({"a/1": None, "a/2": Document("a/2", 2, 1, [])}, 2)
    assert database.height() == 2


def test_a_page_says_as_of_which_height_it_stands(database: EmbeddedDatabase) -> None:
    assert database.find(parse_query({}, 5)).height == -1
    put(database, {"a/1": 1}, height=7)
    assert database.find(parse_query({}, 5)).height == 7


def test_a_write_that_fails_changes_nothing(database: EmbeddedDatabase) -> None:
    put(database, {"a/1": 1})
    with pytest.raises(UnicodeEncodeError):
        put(database, {"a/2": 2, "a/3": "\ud800"}, height=2)
    assert (database.height(), database.get("a/2")) == (1, None)
    put(database, {"a/2": 2}, height=2)
    assert database.height() == 2


def test_clearing_forgets_documents_and_savepoint(database: EmbeddedDatabase) -> None:
    put(database, {"a/1": 1})
    database.clear()
    assert (database.height(), database.get("a/1"), pages(database, 5)) == (-1, None, [])


SORT_VALUES = st.none() | st.integers(-2, 2) | st.sampled_from(["a", "b", "é"]) | st.booleans()
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "b"]), SORT_VALUES), max_size=9)


def rank(value: Any) -> tuple[int, Any]:
    """SQLite's order: nothing, numbers (true is 1), text."""
    if value is None:
        return (0, 0)
    return (2, value) if isinstance(value, str) else (1, int(value))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ROWS,
    st.lists(st.sampled_from(["v.a", "v.b", "_id", "version.height"]), max_size=2),
    st.booleans(),
    st.integers(1, 4),
)
def test_pages_together_are_the_whole_sorted_answer(
    database: EmbeddedDatabase, rows: list[dict[str, Any]], sort: list[str], descending: bool, limit: int
) -> None:
    database.clear()
    put(database, {f"k/{number}": row for number, row in enumerate(rows)})

    def order(number: int) -> list[Any]:
        key = f"k/{number}"
        places = {"_id": key, "version.height": 1}
        return [rank(places.get(name, rows[number].get(name[2:]))) for name in sort] + [key]

    expected = [f"k/{number}" for number in sorted(range(len(rows)), key=order, reverse=descending)]
    direction = "desc" if descending else "asc"
    if not sort and descending:
        expected = expected[::-1]
    assert pages(database, limit, sort=[{name: direction} for name in sort]) == expected


def test_sorting_by_texts_too_long_for_a_bookmark_is_refused_not_cut_short(database: EmbeddedDatabase) -> None:
    put(database, {f"k/{number}": {"t": "x" * 600 + str(number)} for number in range(3)})
    sort = [{"v.t": "asc"}]
    assert len(database.find(parse_query({}, 3, sort=sort)).documents) == 3
    with pytest.raises(SelectorInvalid, match="sort"):
        database.find(parse_query({}, 2, sort=sort))


def test_a_query_has_a_budget(database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    put(database, {f"k/{number}": {"n": number} for number in range(2_000)})
    monkeypatch.setattr(embedded_module, "STEPS_MAX", 10_000)
    monkeypatch.setattr(embedded_module, "STEP_SLICE", 1_000)
    with pytest.raises(QueryTooCostly):
        database.find(parse_query({"v.n": {"$lt": -1}}, 5))
    assert len(database.find(parse_query({"_id": "k/5"}, 5)).documents) == 1
    put(database, {"k/x": {"n": 1}}, height=2)


def test_documents_survive_closing(tmp_path: Path) -> None:
    first = EmbeddedDatabase(tmp_path / "d.sqlite")
    put(first, {"a/1": 1}, height=4)
    first.close()
    again = EmbeddedDatabase(tmp_path / "d.sqlite")
    assert (again.height(), again.get("a/1")) == (4, Document("a/1", 4, 0, 1))
    again.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(500)])
def test_a_damaged_file_is_made_again_since_the_commit_store_has_it_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.sqlite").write_bytes(content)
    database = EmbeddedDatabase(tmp_path / "d.sqlite")
    assert database.height() == -1
    put(database, {"a/1": 1})
    database.close()


def test_a_file_of_another_format_is_made_again(tmp_path: Path) -> None:
    first = EmbeddedDatabase(tmp_path / "d.sqlite")
    put(first, {"a/1": 1})
    first.close()
    raw = sqlite3.connect(tmp_path / "d.sqlite")
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    again = EmbeddedDatabase(tmp_path / "d.sqlite")
    assert again.height() == -1
    again.close()
