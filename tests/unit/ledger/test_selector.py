"""The selector language against a naive reading of it, on the embedded back end; and what is no selector."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.statedb.documents import Document
from ledger.statedb.embedded import EmbeddedDatabase
from ledger.statedb.selector import (
    COMPARISONS,
    DEPTH_MAX,
    FIELDS_MAX,
    IN_MAX,
    SORT_MAX,
    TERMS_MAX,
    TEXT_MAX,
    SelectorInvalid,
    parse_query,
)

MISSING = object()
FIELDS = ["v.a", "v.b", "v.b.c", "v", "_id", "contract", "version.height", "nothing", "v.zero"]


# --------------------------------------------------------------------------------------------- the oracle


def field_of(document: Document, name: str) -> Any:
    tree: Any = {
        "_id": document.key,
        "contract": document.contract,
        "version": {"height": document.height, "index": document.index},
        "v": document.value,
    }
    for part in name.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return MISSING
        tree = tree[part]
    return tree


def kind_of(value: Any) -> str:
    return "number" if type(value) is int else type(value).__name__


def compares(value: Any, operator: str, operand: Any) -> bool:
    """Values of one kind compare; those of another are merely different; what is missing is neither."""
    if value is MISSING:
        return False
    if kind_of(value) != kind_of(operand):
        return operator == "$ne"
    if operand is None or isinstance(operand, bool):
        same = value is operand
        return not same if operator == "$ne" else same and operator in ("$eq", "$lte", "$gte")
    found: dict[str, bool] = {
        "$eq": value == operand,
        "$ne": value != operand,
        "$lt": value < operand,
        "$lte": value <= operand,
        "$gt": value > operand,
        "$gte": value >= operand,
    }
    return found[operator]


def matches(document: Document, selector: Mapping[str, Any]) -> bool:
    return all(_term(document, name, operand) for name, operand in selector.items())


def _term(document: Document, name: str, operand: Any) -> bool:
    if name == "$and":
        return all(matches(document, part) for part in operand)
    if name == "$or":
        return any(matches(document, part) for part in operand)
    if name == "$nor":
        return not any(matches(document, part) for part in operand)
    if name == "$not":
        return not matches(document, operand)
    value = field_of(document, name)
    conditions = operand if isinstance(operand, dict) else {"$eq": operand}
    return all(_condition(value, operator, item) for operator, item in conditions.items())


def _condition(value: Any, operator: str, operand: Any) -> bool:
    if operator == "$in":
        return any(compares(value, "$eq", item) for item in operand)
    if operator == "$nin":
        return value is not MISSING and not any(compares(value, "$eq", item) for item in operand)
    if operator == "$exists":
        return (value is not MISSING) is bool(operand)
    if operator == "$not":
        return not all(_condition(value, name, item) for name, item in operand.items())
    return compares(value, operator, operand)


# ------------------------------------------------------------------------------------------- the same twice

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b", "é", "1", "market"])
VALUES = SCALARS | st.lists(st.integers(0, 2), max_size=1) | st.dictionaries(st.just("c"), SCALARS, max_size=1)
DOCUMENT_VALUES = VALUES | st.dictionaries(st.sampled_from(["a", "b"]), VALUES, max_size=2)
CONDITIONS = st.recursive(
    st.tuples(st.sampled_from(COMPARISONS), SCALARS).map(lambda pair: dict([pair]))
    | st.lists(SCALARS, max_size=3).map(lambda items: {"$in": items})
    | st.lists(SCALARS, max_size=3).map(lambda items: {"$nin": items})
    | st.booleans().map(lambda wanted: {"$exists": wanted}),
    lambda inner: inner.map(lambda condition: {"$not": condition}) | st.tuples(inner, inner).map(lambda p: p[0] | p[1]),
    max_leaves=3,
)
TERMS = st.dictionaries(st.sampled_from(FIELDS), SCALARS | CONDITIONS, max_size=2)
SELECTORS = st.recursive(
    TERMS,
    lambda inner: (
        st.tuples(st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: dict([pair])
        )
        | inner.map(lambda part: {"$not": part})
    ),
    max_leaves=4,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    opened = EmbeddedDatabase(tmp_path / "documents.sqlite")
    yield opened
    opened.close()


def fill(database: EmbeddedDatabase, values: list[Any]) -> list[Document]:
    documents = [
        Document(f"{'market' if number % 2 else 'credit'}/{number}", number % 3, number, value)
        for number, value in enumerate(values)
    ]
    database.clear()
    database.apply({document.key: document for document in documents}, 1)
    return sorted(documents, key=lambda document: document.key)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DOCUMENT_VALUES, max_size=6), SELECTORS)
def test_a_selector_finds_what_the_oracle_finds(
    database: EmbeddedDatabase, values: list[Any], selector: dict[str, Any]
) -> None:
    documents = fill(database, values)
    try:
        query = parse_query(selector, 100)
    except SelectorInvalid as error:
        assert "nested deeper" in str(error)  # noqa: PT017  # the only thing these selectors may be
        return
    assert list(database.find(query).documents) == [item for item in documents if matches(item, selector)]


@pytest.mark.parametrize("operator", [*COMPARISONS, "$in", "$nin"])
@pytest.mark.parametrize("operand", [None, True, False, 0, 1, "", "1", "a"], ids=repr)
def test_each_operator_against_every_kind_of_value(database: EmbeddedDatabase, operator: str, operand: Any) -> None:
    kinds = [{}, None, True, False, 0, 1, -1, "", "1", "a", "b", [], [1], {"a": 1}]
    documents = fill(database, [{}, *({"a": kind} for kind in kinds)])
    selector = {"v.a": {operator: [operand] if operator in ("$in", "$nin") else operand}}
    expected = [document for document in documents if matches(document, selector)]
    assert list(database.find(parse_query(selector, 100)).documents) == expected


# ------------------------------------------------------------------------------------------- what is refused


def nest(depth: int) -> dict[str, Any]:
    selector: dict[str, Any] = {"v.a": 1}
    for _ in range(depth):
        selector = {"$not": selector}
    return selector


INVALID: list[tuple[Any, str]] = [
    ([], "object is expected"),
    ({"$and": {}}, "list of selectors"),
    ({"$or": []}, "list of selectors"),
    ({"$or": [5]}, "object is expected"),
    ({"$where": "1"}, "unknown operator"),
    ({"v.a": {"$regex": "x"}}, "operator"),
    ({"v.a": {}}, "empty condition"),
    ({"v.a": {"$in": 5}}, "list of at most"),
    ({"v.a": {"$in": [0] * (IN_MAX + 1)}}, "list of at most"),
    ({"v.a": {"$exists": 1}}, "operator"),
    ({"v.a": {"$not": 5}}, "operator"),
    ({"v.a": 1.5}, "are compared"),
    ({"v.a": [1]}, "are compared"),
    ({"v.a": "x" * (TEXT_MAX + 1)}, "are compared"),
    ({"v.a": b"x"}, "are compared"),
    ({"v.a": 2**53}, "78 digits"),
    ({"v.a": {"$gt": -(2**63) - 1}}, "78 digits"),
    ({"v.a": {"$in": [2**70]}}, "78 digits"),
    ({"v..a": 1}, "no field name"),
    ({"": 1}, "no field name"),
    ({"v.a\n": 1}, "no field name"),
    ({'v.a"': 1}, "no field name"),
    ({"v.a') --": 1}, "no field name"),
    ({5: 1}, "no field name"),
    ({"$and": [{None: 1}]}, "no field name"),
    (nest(DEPTH_MAX), "nested deeper"),
    ({"$or": [{"v.a": 1}] * TERMS_MAX}, "terms"),
    ({"$or": [{}] * 3_000}, "terms"),
    ({"v.a": {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"$eq": 1}}}}}}}}}}, "nested"),
]


@pytest.mark.parametrize(("selector", "why"), INVALID, ids=lambda value: str(value)[:40])
def test_what_is_no_selector_is_refused_with_the_part(selector: Any, why: str) -> None:
    with pytest.raises(SelectorInvalid, match=why):
        parse_query(selector, 10)


@pytest.mark.parametrize(
    "options",
    [
        {"sort": [{"v.a": "asc", "v.b": "asc"}]},
        {"sort": [{}]},
        {"sort": [{"v.a": "asc"}, {"v.b": "desc"}]},
        {"sort": [{"v.a": "asc"}] * (SORT_MAX + 1)},
        {"sort": [{"v a": "asc"}]},
        {"fields": ["v.a"] * (FIELDS_MAX + 1)},
        {"fields": ["v a"]},
        {"bookmark": "é"},
        {"bookmark": "abc"},
        {"bookmark": "WyJcdWQ4MDAiXQ=="},  # ["\\ud800"]: half a surrogate pair
        {"bookmark": base64.urlsafe_b64encode(b"{}").decode()},
        {"bookmark": base64.urlsafe_b64encode(b"[1]").decode()},
        {"bookmark": base64.urlsafe_b64encode(b'["a","b"]').decode()},
        {"bookmark": base64.urlsafe_b64encode(json.dumps([2**64, "k"]).encode()).decode(), "sort": [{"v.a": "asc"}]},
        {"bookmark": base64.urlsafe_b64encode(b"[" * 9_000).decode()},
    ],
    ids=lambda options: str(options)[:50],
)
def test_a_sort_a_field_or_a_bookmark_that_is_none(options: dict[str, Any]) -> None:
    with pytest.raises(SelectorInvalid):
        parse_query({}, 10, **options)


def test_the_greatest_selector_still_runs(database: EmbeddedDatabase) -> None:
    fill(database, [{"a": 1}])
    parts = [{"v.a": {"$in": list(range(IN_MAX))}}] * ((TERMS_MAX - 2) // 3)
    assert len(database.find(parse_query({"$and": parts}, 10)).documents) == 1
