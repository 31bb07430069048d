"""A query as one SQL statement for SQLite, whose values are all bound parameters.

Paths were checked against a pattern by ``selector``; they enter the text only through ``json_extract(v, '$."a"."b"')``.
"""

from __future__ import annotations

from ledger.statedb.embedded_text import escaped
from ledger.statedb.selector import Compare, Condition, Exists, Group, Holds, OneOf, Query, Scalar

_OPERATORS = {"$eq": "=", "$ne": "<>", "$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}


def statement(query: Query) -> tuple[str, list[Scalar]]:
    values: list[Scalar] = []
    where = _condition(query.where, values)
    sorts = [_column(path) for path in query.sort]
    order = [*sorts, "key"]
    if query.after is not None:
        where = f"({where}) AND {_beyond(order, query.after, query.descending, values)}"
    direction = " DESC" if query.descending else ""
    columns = ", ".join(["key", "height", "position", "v", *sorts])
    sorting = ", ".join(part + direction for part in order)
    values.append(query.limit + 1)
    return f"SELECT {columns} FROM documents WHERE {where} ORDER BY {sorting} LIMIT ?", values


def _beyond(order: list[str], after: tuple[Scalar, ...], descending: bool, values: list[Scalar]) -> str:
    """Rows strictly behind the bookmark in the sort's direction, column by column (NULLs sort first in SQLite)."""
    sign = "<" if descending else ">"
    choices = []
    for position, column in enumerate(order):
        parts = []
        for earlier, value in zip(order[:position], after[:position], strict=True):
            parts.append(f"{earlier} IS ?")
            values.append(value)
        value = after[position]
        if value is None:
            parts.append("0" if descending else f"{column} IS NOT NULL")
        else:
            parts.append(f"({column} {sign} ?{f' OR {column} IS NULL' if descending else ''})")
            values.append(value)
        choices.append("(" + " AND ".join(parts) + ")")
    return "(" + " OR ".join(choices) + ")"


def _condition(condition: Condition, values: list[Scalar]) -> str:
    match condition:
        case Compare(path, operator, value):
            return _compare(path, operator, value, values)
        case OneOf(path, choices, negated):
            parts = [_compare(path, "$eq", choice, values) for choice in choices] or ["0"]
            inside = " OR ".join(parts)
            return f"({_type(path)} IS NOT NULL AND NOT ({inside}))" if negated else f"({inside})"
        case Exists(path, wanted):
            return f"{_type(path)} IS {'NOT ' if wanted else ''}NULL"
        case Holds(path, value):
            return _holds(path, value, values)
        case Group("$nor", parts):
            return "NOT (" + (" OR ".join(_condition(part, values) for part in parts) or "0") + ")"
        case Group(operator, parts):
            joint = " AND " if operator == "$and" else " OR "
            return "(" + (joint.join(_condition(part, values) for part in parts) or "1") + ")"


def _compare(path: tuple[str, ...], operator: str, value: Scalar, values: list[Scalar]) -> str:
    """A comparison that never yields SQL NULL and never mixes JSON types, but for ``$ne``."""
    column, kind = _column(path), _type(path)
    if value is None or isinstance(value, bool):
        name = "null" if value is None else str(value).lower()
        same = f"COALESCE({kind} = '{name}', 0)"
        if operator == "$ne":
            return f"({kind} IS NOT NULL AND NOT {same})"
        return same if operator in ("$eq", "$lte", "$gte") else "0"
    family = "('integer', 'real')" if isinstance(value, int) else "('text')"
    values.append(value if path in _OWN_COLUMNS else escaped(value))
    if operator == "$ne":
        return f"({kind} IS NOT NULL AND NOT ({kind} IN {family} AND {column} = ?))"
    return f"(COALESCE({kind} IN {family}, 0) AND {column} {_OPERATORS[operator]} ?)"


def _holds(path: tuple[str, ...], value: str, values: list[Scalar]) -> str:
    if path[0] != "v":
        return "0"
    values.append(escaped(value))
    elements = f"json_each(v, '{_json_path(path)}')"
    one = f"EXISTS (SELECT 1 FROM {elements} AS e WHERE e.type = 'text' AND e.value = ?)"
    return f"(COALESCE({_type(path)} = 'array', 0) AND {one})"


_OWN_COLUMNS = {
    ("_id",): "key",
    ("contract",): "contract",
    ("version", "height"): "height",
    ("version", "index"): "position",
}


def _column(path: tuple[str, ...]) -> str:
    """A field's SQL: a column, a place in the value, or NULL for what no document has."""
    if path in _OWN_COLUMNS:
        return _OWN_COLUMNS[path]
    return f"json_extract(v, '{_json_path(path)}')" if path[0] == "v" else "NULL"


def _type(path: tuple[str, ...]) -> str:
    if path in _OWN_COLUMNS:
        return "'integer'" if path[0] == "version" else "'text'"
    return f"json_type(v, '{_json_path(path)}')" if path[0] == "v" else "NULL"


def _json_path(path: tuple[str, ...]) -> str:
    """``v.a.b`` is the value's field ``a.b``."""
    return "$" + "".join(f'."{part}"' for part in path[1:])
