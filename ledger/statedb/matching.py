"""What a selector means, in Python: the one definition that every back end keeps to.

A document that lacks a field matches no comparison on it, ``$ne`` and ``$nin`` included. Numbers compare with numbers
and texts with texts, by code point; null and booleans are equal or not. Sorting puts what is absent or null first,
then booleans (as 0 and 1) and numbers, then texts, lists and objects (by their JSON text); the key breaks ties.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ledger.statedb.documents import Document
from ledger.statedb.selector import Compare, Comparison, Condition, Exists, Group, Holds, OneOf, Query, Scalar

ABSENT: Any = object()
Rank: TypeAlias = tuple[int, Any]

_ORDERS: dict[Comparison, Callable[[Any, Any], bool]] = {
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}


def field_of(document: Document, path: tuple[str, ...]) -> Any:
    """The value at a path of the stored document; ``ABSENT`` where there is none."""
    match path:
        case ("_id",):
            return document.key
        case ("contract",):
            return document.contract
        case ("version", "height"):
            return document.height
        case ("version", "index"):
            return document.index
        case ("v", *rest):
            value = document.value
            for part in rest:
                if not isinstance(value, dict) or part not in value:
                    return ABSENT
                value = value[part]
            return value
    return ABSENT


def selected(value: Any, fields: Sequence[str]) -> Any:
    """What ``fields``, dotted paths of a document, leave of its value: everything without any, or with ``v``.

    As in Mango each selects the member at its end, within those on the way to it, and none if there is none.
    """
    if not fields or "v" in fields:
        return value
    kept: dict[str, Any] = {}
    for field in fields:
        start, *path = field.split(".")
        if start == "v":
            _keep(kept, value, path)
    return kept


def _keep(kept: dict[str, Any], value: Any, path: list[str]) -> None:
    name, *rest = path
    if not isinstance(value, dict) or name not in value:
        return
    if not rest:
        kept[name] = value[name]
    elif isinstance(value[name], dict):
        inner = dict(kept.get(name, {}))
        _keep(inner, value[name], rest)
        kept |= {name: inner} if inner else {}


def matches(document: Document, condition: Condition) -> bool:
    match condition:
        case Compare(path, sign, value):
            return _compares(field_of(document, path), sign, value)
        case OneOf(path, values, negated):
            found = field_of(document, path)
            return found is not ABSENT and any(_same(found, value) for value in values) is not negated
        case Exists(path, wanted):
            return (field_of(document, path) is not ABSENT) is wanted
        case Holds(path, value):
            found = field_of(document, path)
            return isinstance(found, list) and value in found
        case Group("$and", parts):
            return all(matches(document, part) for part in parts)
        case Group("$or", parts):
            return any(matches(document, part) for part in parts)
        case Group(_, parts):
            return not any(matches(document, part) for part in parts)


def _compares(found: Any, sign: Comparison, value: Scalar) -> bool:
    if found is ABSENT:
        return False
    if sign == "$eq":
        return _same(found, value)
    if sign == "$ne":
        return not _same(found, value)
    if value is None or isinstance(value, bool):
        return sign in ("$lte", "$gte") and _same(found, value)
    return _kind(found) == _kind(value) and _ORDERS[sign](found, value)


def _same(found: Any, value: Scalar) -> bool:
    return _kind(found) == _kind(value) and bool(found == value)


def _kind(value: Any) -> str:
    """JSON's types, of which Python's booleans are numbers."""
    if isinstance(value, bool) or value is None:
        return str(value)
    return "number" if isinstance(value, int | float) else type(value).__name__


def sort_value(document: Document, path: tuple[str, ...]) -> Scalar:
    """What a document is sorted by, as it stands in a bookmark."""
    found = field_of(document, path)
    if found is ABSENT or found is None:
        return None
    if isinstance(found, list | dict):
        return json.dumps(found, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return int(found) if isinstance(found, bool) else found


def sort_values(document: Document, query: Query) -> tuple[Scalar, ...]:
    """The sort values and the key: a bookmark's content."""
    return (*(sort_value(document, path) for path in query.sort), document.key)


def rank(values: tuple[Scalar, ...]) -> tuple[Rank, ...]:
    """Something that sorts as ``sort_values`` do."""
    return tuple((0, 0) if value is None else (2, value) if isinstance(value, str) else (1, value) for value in values)


def is_beyond(document: Document, query: Query) -> bool:
    """Whether it lies behind the query's bookmark."""
    if query.after is None:
        return True
    own, mark = rank(sort_values(document, query)), rank(query.after)
    return own < mark if query.descending else own > mark
