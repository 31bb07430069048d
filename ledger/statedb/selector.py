"""Mango selectors: parsed once into a small tree, bounded in size and depth, then given to a back end.

The common subset of CouchDB's language: fields by dotted path, implicit and explicit ``$and``, ``$or``,
``$not``, ``$nor``, and ``$eq $ne $lt $lte $gt $gte $in $nin $exists``, and ``$elemMatch`` with ``$eq`` of a text. A
document lacking a field matches no comparison on it. Whatever is malformed raises ``SelectorInvalid`` with the
offending part.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

DEPTH_MAX = 8
TERMS_MAX = 100
IN_MAX = 100
SORT_MAX = 4
FIELDS_MAX = 32
TEXT_MAX = 512

INTEGER_BOUND = 2**53
"""Documents hold larger integers as fixed-width text, so no query compares them as numbers."""

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9_-]{1,128}){0,8}")
Comparison: TypeAlias = Literal["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]
COMPARISONS = ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte")
Scalar: TypeAlias = bool | int | str | None


class SelectorInvalid(Exception):
    """The selector, sort, fields or bookmark is malformed or too large; the message says which part."""


@dataclass(frozen=True, slots=True)
class Compare:
    path: tuple[str, ...]
    operator: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True)
class OneOf:
    path: tuple[str, ...]
    values: tuple[Scalar, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Exists:
    path: tuple[str, ...]
    wanted: bool


@dataclass(frozen=True, slots=True)
class Holds:
    """A list that holds a text."""

    path: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Group:
    operator: Literal["$and", "$or", "$nor"]
    parts: tuple[Condition, ...]


Condition: TypeAlias = Compare | OneOf | Exists | Holds | Group


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. ``sort`` paths all run in one direction; the key breaks ties. ``after``: a bookmark's values."""

    where: Condition
    limit: int
    sort: tuple[tuple[str, ...], ...] = ()
    descending: bool = False
    fields: tuple[tuple[str, ...], ...] = ()
    after: tuple[Scalar, ...] | None = field(default=None)


def parse_query(
    selector: Mapping[str, Any],
    limit: int,
    sort: Sequence[Mapping[str, str]] = (),
    fields: Sequence[str] = (),
    bookmark: str = "",
) -> Query:
    """Check and parse all parts of a query; raises ``SelectorInvalid``."""
    budget = [TERMS_MAX]
    directions = [direction for part in sort for direction in part.values()]
    if len(sort) > SORT_MAX or any(len(part) != 1 for part in sort) or len(set(directions)) > 1:
        raise SelectorInvalid(f"sort: up to {SORT_MAX} objects of one field each, all in one direction")
    if len(fields) > FIELDS_MAX:
        raise SelectorInvalid(f"fields: at most {FIELDS_MAX}")
    paths = tuple(_path(name) for part in sort for name in part)
    return Query(
        where=_group(selector, DEPTH_MAX, budget),
        limit=limit,
        sort=paths,
        descending=directions[:1] == ["desc"],
        fields=tuple(_path(name) for name in fields),
        after=read_bookmark(bookmark, len(paths)) if bookmark else None,
    )


def _group(selector: Any, depth: int, budget: list[int]) -> Group:
    if not isinstance(selector, Mapping):
        raise SelectorInvalid(f"an object is expected, not {_shown(selector)}")
    if depth == 0:
        raise SelectorInvalid(f"nested deeper than {DEPTH_MAX}")
    _spend(budget)
    return Group("$and", tuple(_term(name, value, depth - 1, budget) for name, value in selector.items()))


def keys_named(condition: Condition) -> Iterator[str]:
    """The keys that a condition asks for by name, in whatever part of it that is not negated."""
    match condition:
        case Group("$and" | "$or", parts):
            for part in parts:
                yield from keys_named(part)
        case Compare(("_id",), "$eq", str() as key):
            yield key
        case OneOf(("_id",), values, False):
            yield from (value for value in values if isinstance(value, str))


def _spend(budget: list[int]) -> None:
    """Every group, term and operator is one of ``TERMS_MAX``."""
    budget[0] -= 1
    if budget[0] < 0:
        raise SelectorInvalid(f"more than {TERMS_MAX} terms")


def _term(name: Any, value: Any, depth: int, budget: list[int]) -> Condition:
    _spend(budget)
    if not isinstance(name, str):
        raise SelectorInvalid(f"{_shown(name)} is no field name")
    if name in ("$and", "$or", "$nor"):
        if not isinstance(value, list) or not value:
            raise SelectorInvalid(f"{name} takes a list of selectors")
        operator: Literal["$and", "$or", "$nor"] = name  # type: ignore[assignment]  # one of the three
        return Group(operator, tuple(_group(part, depth, budget) for part in value))
    if name == "$not":
        return Group("$nor", (_group(value, depth, budget),))
    if name.startswith("$"):
        raise SelectorInvalid(f"unknown operator {_shown(name)}")
    path = _path(name)
    if not isinstance(value, Mapping):
        return Compare(path, "$eq", _scalar(value))
    if not value:
        raise SelectorInvalid(f"{name}: an empty condition")
    parts = tuple(_condition(path, operator, operand, depth, budget) for operator, operand in value.items())
    return Group("$and", parts)


def _condition(path: tuple[str, ...], operator: str, operand: Any, depth: int, budget: list[int]) -> Condition:
    _spend(budget)
    if depth <= 0:
        raise SelectorInvalid(f"nested deeper than {DEPTH_MAX}")
    if operator in COMPARISONS:
        return Compare(path, operator, _scalar(operand))  # type: ignore[arg-type]  # narrowed by the test above
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list) or len(operand) > IN_MAX:
            raise SelectorInvalid(f"{operator} takes a list of at most {IN_MAX} values")
        return OneOf(path, tuple(_scalar(item) for item in operand), operator == "$nin")
    if operator == "$exists" and isinstance(operand, bool):
        return Exists(path, operand)
    if operator == "$elemMatch":
        if not isinstance(operand, Mapping) or list(operand) != ["$eq"] or not isinstance(operand["$eq"], str):
            raise SelectorInvalid('$elemMatch takes {"$eq": a text}')
        return Holds(path, str(_scalar(operand["$eq"])))
    if operator == "$not" and isinstance(operand, Mapping):
        inner = tuple(_condition(path, name, item, depth - 1, budget) for name, item in operand.items())
        return Group("$nor", (Group("$and", inner),))
    raise SelectorInvalid(f"unknown or malformed operator {_shown(operator)}")


def _path(name: str) -> tuple[str, ...]:
    if not _FIELD.fullmatch(name):
        raise SelectorInvalid(f"{_shown(name)} is no field name")
    return tuple(name.split("."))


def _scalar(value: Any) -> Scalar:
    if isinstance(value, int) and abs(value) >= INTEGER_BOUND:
        raise SelectorInvalid(f"{_shown(value)}: integers from 2^53 on are text of 78 digits in documents")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str) and len(value) <= TEXT_MAX:
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise SelectorInvalid(f"{_shown(value)}: half a surrogate pair is no text")
        return value
    raise SelectorInvalid(f"{_shown(value)}: only null, booleans, integers and texts up to {TEXT_MAX} are compared")


def _shown(value: Any) -> str:
    return repr(value)[:60]


def write_bookmark(values: Sequence[Scalar]) -> str:
    """A bookmark: the sort values and the key of a page's last row; ``SelectorInvalid`` if they are too long."""
    if any(isinstance(value, str) and len(value) > TEXT_MAX for value in values):
        raise SelectorInvalid(f"sort: some values of it are texts of more than {TEXT_MAX} characters")
    return base64.urlsafe_b64encode(
        json.dumps(list(values), separators=(",", ":"), ensure_ascii=False).encode()
    ).decode()


def read_bookmark(bookmark: str, sort_length: int) -> tuple[Scalar, ...]:
    """The values of a bookmark; raises ``SelectorInvalid`` for one that is not ours or of another sort."""
    try:
        values = json.loads(base64.urlsafe_b64decode(bookmark.encode()))
    except (binascii.Error, ValueError, RecursionError):
        raise SelectorInvalid("this bookmark is malformed") from None
    if not isinstance(values, list) or len(values) != sort_length + 1 or not isinstance(values[-1], str):
        raise SelectorInvalid("this bookmark belongs to another query")
    return tuple(_scalar(value) for value in values)
