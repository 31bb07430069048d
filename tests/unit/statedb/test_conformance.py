"""One suite for every back end: the same documents and queries give the same answers, on CouchDB too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from couch import Couch, needs_couchdb
from couch_chain import PATIENCE_S
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.statedb import couchdb_find
from ledger.statedb.couchdb import CouchDatabase, Owner
from ledger.statedb.couchdb_client import Access
from ledger.statedb.documents import (
    SAFE_INTEGER,
    Document,
    QueryTooCostly,
    SavepointLost,
    StateDatabase,
    narrow,
)
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.matching import is_beyond, matches, rank, selected, sort_values
from ledger.statedb.selector import Query, parse_query
from ledger.values import decode_value, encode_value

OWNER = Owner("ab" * 32, "main", "node1")
BACK_ENDS = ["embedded", pytest.param("couchdb", marks=needs_couchdb)]
PAGE_MAX = 1_000
EXAMPLES = 100


def couch_database(couch: Couch, name: str, owner: Owner = OWNER, **changes: Any) -> CouchDatabase:
    parts: dict[str, Any] = {"url": couch.url, "user": couch.user, "password": couch.password, **changes}
    return CouchDatabase(Access(**parts), name, owner)


@pytest.fixture(params=BACK_ENDS, scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDatabase]:
    """A database that the tests of this module share."""
    made: StateDatabase
    if request.param == "embedded":
        made = EmbeddedDatabase(tmp_path_factory.mktemp("embedded") / "documents.sqlite")
    else:
        couch: Couch = request.getfixturevalue("couch")
        made = couch_database(couch, couch.fresh_name())
    made.height()
    yield made
    made.clear()
    made.close()


@pytest.fixture
def database(place: StateDatabase, monkeypatch: pytest.MonkeyPatch) -> StateDatabase:
    monkeypatch.setattr(couchdb_find, "TIME_S", PATIENCE_S)  # a busy machine's server is slow, not wrong
    place.clear()
    return place


def documents(values: dict[str, Any], height: int = 1) -> dict[str, Document | None]:
    return {key: None if value is None else Document(key, height, 0, narrow(value)) for key, value in values.items()}


def put(database: StateDatabase, values: dict[str, Any], height: int = 1) -> None:
    database.apply(documents(values, height), height)


def keys(database: StateDatabase, limit: int, selector: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """All keys, page by page; every page but the last is full."""
    found: list[str] = []
    bookmark = ""
    while True:
        page = database.find(parse_query(selector or {}, limit, bookmark=bookmark, **options))
        found += [document.key for document in page.documents]
        if not page.bookmark:
            return found
        assert len(page.documents) == limit
        bookmark = page.bookmark


# ------------------------------------------------------------------------------------------------- writing


def test_an_empty_database_has_no_height(database: StateDatabase) -> None:
    assert database.height() == -1
    assert database.get("market/x") is None
    assert database.keys("", 10) == []


def test_what_is_written_can_be_read_with_its_version(database: StateDatabase) -> None:
    written = Document("market/x", 7, 3, {"type": "order", "price": 1})
    database.apply({"market/x": written}, 7)
    assert database.get("market/x") == written
    assert database.height() == 7
    assert database.find(parse_query({}, 10)).height == 7


def test_changes_replace_and_delete(database: StateDatabase) -> None:
    put(database, {"market/a": 1, "market/b": 2, "market/c": 3})
    put(database, {"market/a": 10, "market/b": None, "market/never": None}, 2)
    assert database.keys("", 10) == ["market/a", "market/c"]
    assert database.get("market/a") == Document("market/a", 2, 0, 10)
    put(database, {"market/b": 20}, 3)
    assert database.get("market/b") == Document("market/b", 3, 0, 20)


def test_a_replay_changes_nothing(database: StateDatabase) -> None:
    for _ in range(2):
        put(database, {"market/a": 1, "market/b": 2})
        put(database, {"market/a": None, "market/b": 3}, 2)
    assert database.keys("", 10) == ["market/b"]
    assert (database.get("market/b"), database.height()) == (Document("market/b", 2, 0, 3), 2)


def test_a_rebuild_that_is_cut_short_has_no_savepoint(database: StateDatabase) -> None:
    put(database, {"market/a": 1}, 5)
    database.clear()
    database.apply(documents({"market/b": 2}), -1)
    assert database.height() == -1
    database.apply({}, 6)
    assert (database.height(), database.keys("", 10)) == (6, ["market/b"])


def test_many_documents_at_once(database: StateDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couchdb_find, "TIME_S", 60.0)  # a busy machine is slow
    many = {f"market/{number:05d}": {"type": "order", "n": number} for number in range(2_300)}
    put(database, many)
    put(database, {key: {"type": "order", "n": 0} for key in list(many)[::2]}, 2)
    assert len(database.keys("", 5_000)) == 2_300
    assert keys(database, 700, {"v.type": "order"}) == sorted(many)
    assert len(keys(database, PAGE_MAX, {"v.n": 0})) == 1_150


@pytest.mark.parametrize(
    "key",
    [
        "market/ü", "market/a b", "market/a/b//c", "market/%2f?x=1&y#z", "market/'\"\\", "market/\x00", "market/\n",
        "market/~", "market/_", "market/+", "market/" + "k" * 240, "market/😀",
    ],
)  # fmt: skip
def test_odd_keys(database: StateDatabase, key: str) -> None:
    put(database, {key: {"type": "odd"}, "market/other": 1})
    assert database.get(key) == Document(key, 1, 0, {"type": "odd"})
    assert keys(database, 1, {"v.type": "odd"}) == [key]
    assert dict(database.audit("", 10))[key] == database.get(key)
    put(database, {key: None}, 2)
    assert database.get(key) is None


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, SAFE_INTEGER - 1, -SAFE_INTEGER + 1, SAFE_INTEGER, 2**64, 2**255, -(2**100), "", "ü\x00\n",
        [], {}, [1, [2, {"a": None}]], {"": 1, "a.b": 2, "_id": 3, "$": 4, "10": 1, "2": 2}, "x" * 100_000,
    ],
)  # fmt: skip
def test_values_come_back_as_they_were(database: StateDatabase, value: Any) -> None:
    document = Document("market/x", 1, 0, narrow(value))
    database.apply({"market/x": document}, 1)
    assert database.get("market/x") == document
    assert type(getattr(database.get("market/x"), "value", None)) is type(document.value)
    assert dict(database.audit("", 10)) == {"market/x": document}
    assert database.audit_keys(["market/x", "market/y"]) == {"market/x": document}


def test_keys_are_listed_in_order_and_in_parts(database: StateDatabase) -> None:
    names = [f"market/{letter}{number}" for letter in "aBc_é" for number in range(7)]
    put(database, dict.fromkeys(names, 1))
    found: list[str] = []
    while part := database.keys(found[-1] if found else "", 4):
        assert len(part) == 4 or len(found) + len(part) == len(names)
        found += part
    assert found == sorted(names)
    assert [key for key, _ in database.audit("market/a9", 3)] == ["market/c0", "market/c1", "market/c2"]


def test_a_savepoint_that_somebody_removed_is_noticed_at_the_next_block(database: StateDatabase) -> None:
    put(database, {"market/a": 1}, 5)
    database.forget_savepoint()
    with pytest.raises(SavepointLost):
        put(database, {"market/a": 2}, 6)
    assert database.height() == -1


# ------------------------------------------------------------------------------------------------- queries

VALUES: list[Any] = [
    {"type": "order", "interval": 1, "status": "open", "price": 10},
    {"type": "order", "interval": 2, "status": "open", "price": 9},
    {"type": "order", "interval": 10, "status": "Open", "price": 100, "tag": None},
    {"type": "order", "interval": 10, "status": "closed", "tag": True},
    {"type": "order", "status": "open", "tag": "ü"},
    {"type": "trade", "interval": 1, "price": 1, "tag": "Ü"},
    {"type": "trade", "interval": 2, "price": "1", "tag": "a"},
    {"type": "trade", "interval": None, "price": False, "tag": "B"},
    {"type": "trade", "interval": "2", "tag": ["x", "a", "b\0", 1, True, ["z"]], "in": {"deep": 1}},
    {"type": "Trade", "tag": {"a": 1}, "in": {"deep": "1"}},
    {"type": 1, "price": 2**60, "in": 7},
    {"tag": "a-b"},
    {"tag": "ab"},
    {"tag": "a_b", "price": -5},
    {"tag": "a\0b", "status": "\0"},
    {"tag": "a\1b", "status": "\1", "in": {"x\0y": "\0\1"}},
    {},
    [],
    "text",
    5,
    None,
    True,
]
KEYS = [f"{contract}/{name}" for contract in ("market", "credit") for name in "aA_b-Bé9:üx"]
PATHS = [
    "_id", "contract", "version.height", "version.index", "v", "v.type", "v.interval", "v.status", "v.price", "v.tag",
    "v.in.deep", "v.none", "other",
]  # fmt: skip
OPERANDS: list[Any] = [
    None, True, False, 0, 1, 2, 10, -5, "", "1", "2", "a", "ab", "B", "ü", "open", "Open", "order", "trade", "market",
    "market/b", "text", "z", "a\0b", "a\1b", "\0",
]  # fmt: skip


def canonical(value: Any) -> Any:
    """As the projector has it: keys sorted."""
    return narrow(decode_value(encode_value(value)))


def stored() -> list[Document]:
    pairs = zip(KEYS, VALUES, strict=True)
    return [Document(key, number % 4, number % 3, canonical(value)) for number, (key, value) in enumerate(pairs)]


@pytest.fixture(scope="module")
def asked(place: StateDatabase) -> StateDatabase:
    """The documents above."""
    place.clear()
    place.apply({document.key: document for document in stored()}, 3)
    return place


def expected(query: Query) -> list[str]:
    """The reference: everything in memory, by the definition."""
    found = [document for document in stored() if matches(document, query.where) and is_beyond(document, query)]
    found.sort(key=lambda document: rank(sort_values(document, query)), reverse=query.descending)
    return [document.key for document in found]


def conditions() -> st.SearchStrategy[Any]:
    operands = st.sampled_from(OPERANDS)
    single = st.one_of(
        operands.map(lambda value: value),
        st.dictionaries(
            st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), operands, min_size=1, max_size=2
        ),
        st.lists(operands, max_size=3).map(lambda values: {"$in": values}),
        st.lists(operands, max_size=3).map(lambda values: {"$nin": values}),
        st.booleans().map(lambda wanted: {"$exists": wanted}),
        st.sampled_from(("a", "b\0", "z", "1")).map(lambda text: {"$elemMatch": {"$eq": text}}),
        operands.map(lambda value: {"$not": {"$eq": value}}),
    )
    return st.dictionaries(st.sampled_from(PATHS), single, max_size=3)


SELECTORS = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"$nor": parts}),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=4,
)
SORTS = st.tuples(st.lists(st.sampled_from(PATHS), max_size=3, unique=True), st.sampled_from(["asc", "desc"])).map(
    lambda found: [{path: found[1]} for path in found[0]]
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(selector=SELECTORS, sort=SORTS, limit=st.integers(1, 25))
def test_random_queries_give_what_the_definition_says(
    asked: StateDatabase, selector: dict[str, Any], sort: list[dict[str, str]], limit: int
) -> None:
    query = parse_query(selector, 100, sort)
    page = asked.find(query)
    assert [document.key for document in page.documents] == expected(query)
    assert keys(asked, limit, selector, sort=sort) == expected(query)


@pytest.mark.parametrize(
    "sort",
    [
        [],
        [{"_id": "desc"}],
        [{"version.height": "desc"}],
        [{"version.height": "asc"}, {"_id": "asc"}],
        [{"v.interval": "asc"}],
        [{"v.price": "desc"}, {"v.tag": "desc"}],
    ],
    ids=str,
)
@pytest.mark.parametrize("selector", [{}, {"v.type": "order"}, {"v.type": "trade", "v.interval": {"$gte": 1}}], ids=str)
def test_pages_of_every_size_join_to_the_same_whole(
    asked: StateDatabase, selector: dict[str, Any], sort: list[dict[str, str]]
) -> None:
    whole = expected(parse_query(selector, 100, sort))
    assert [keys(asked, limit, selector, sort=sort) for limit in range(1, len(whole) + 2)] == [whole] * (len(whole) + 1)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (
            ["v.in.deep", "v.type", "_id"],
            [{"type": "trade", "in": {"deep": 1}}, {"type": "Trade", "in": {"deep": "1"}}],
        ),
        (["v.in"], [{"in": {"deep": 1}}, {"in": {"deep": "1"}}]),
        (["v.tag.a", "v.in.deep.x", "in.deep"], [{}, {"tag": {"a": 1}}]),
    ],
    ids=str,
)
def test_fields_select_members_by_path(asked: StateDatabase, fields: list[str], wanted: list[Any]) -> None:
    page = asked.find(parse_query({"v.in.deep": {"$exists": True}}, 10, fields=fields))
    assert [selected(document.value, fields) for document in page.documents] == wanted


CHANGES = st.lists(
    st.dictionaries(st.sampled_from([f"market/{name}" for name in "abcde"]), st.none() | st.integers(0, 9), max_size=5),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=CHANGES)
def test_random_blocks_leave_what_was_written_last(place: StateDatabase, blocks: list[dict[str, int | None]]) -> None:
    place.clear()
    held: dict[str, Document] = {}
    for height, block in enumerate(blocks, 1):
        changes = documents(block, height)
        place.apply(changes, height)
        place.apply(changes, height)
        for key, document in changes.items():
            held.pop(key, None) if document is None else held.update({key: document})
        assert dict(place.audit("", 100)) == held
        assert place.height() == height


def test_a_bookmark_stays_right_while_documents_come_and_go(database: StateDatabase) -> None:
    put(database, {f"market/{number}": {"type": "order"} for number in range(0, 10, 2)})
    first = database.find(parse_query({"v.type": "order"}, 2))
    put(database, {"market/1": {"type": "order"}, "market/2": None, "market/3": {"type": "order"}}, 2)
    rest = database.find(parse_query({"v.type": "order"}, 10, bookmark=first.bookmark))
    assert [document.key for document in rest.documents] == ["market/3", "market/4", "market/6", "market/8"]


def test_a_page_behind_many_documents_of_one_height(database: StateDatabase) -> None:
    for height in (1, 2, 3):
        put(database, {f"market/{height}-{number:03d}": {"type": "order"} for number in range(120)}, height)
    sort = [{"version.height": "desc"}]
    found = keys(database, 70, {"v.type": "order"}, sort=sort)
    assert found == [f"market/{height}-{number:03d}" for height in (3, 2, 1) for number in range(119, -1, -1)]
    assert keys(database, 70, {}, sort=sort) == found


def test_a_query_that_reads_too_much_is_refused(database: StateDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    from ledger.statedb import couchdb_find, embedded

    monkeypatch.setattr(embedded, "STEPS_MAX", 1_000)
    monkeypatch.setattr(embedded, "STEP_SLICE", 100)
    monkeypatch.setattr(couchdb_find, "ROWS_READ_MAX", 100)
    put(database, {f"market/{number:05d}": {"n": number} for number in range(1_000)})
    with pytest.raises(QueryTooCostly):
        database.find(parse_query({"v.n": {"$ne": 5}, "v.none": {"$ne": 1}}, 10, [{"v.n": "asc"}]))


def test_paths_outside_the_documents_are_absent(database: StateDatabase, tmp_path: Path) -> None:
    put(database, {"market/x": {"h": 1}})
    assert keys(database, 10, {"h": {"$exists": True}}) == []
    assert keys(database, 10, {"v.h": 1}) == ["market/x"]
