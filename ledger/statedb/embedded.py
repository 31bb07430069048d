"""The embedded back end: SQLite with its JSON functions, one file, no server.

A selector becomes one SQL statement whose values are all bound parameters. Paths were checked against a
pattern by ``selector``; they enter the text only through ``json_extract(v, '$."a"."b"')``.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger.statedb.documents import Document, Page, QueryTooCostly, SavepointLost, to_json
from ledger.statedb.selector import Compare, Condition, Exists, Group, OneOf, Query, Scalar, write_bookmark

FORMAT_VERSION = 2
BUSY_TIMEOUT_S = 5.0
STEPS_MAX = 2_000_000
"""Virtual machine steps a query may take before it is refused: a scan of some 100,000 documents."""
STEP_SLICE = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    key TEXT PRIMARY KEY, contract TEXT NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL, v TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_type ON documents (json_extract(v, '$."type"'), key);
CREATE INDEX IF NOT EXISTS by_interval ON documents (json_extract(v, '$."type"'), json_extract(v, '$."interval"'), key);
CREATE INDEX IF NOT EXISTS by_status ON documents (json_extract(v, '$."type"'), json_extract(v, '$."status"'), key);
CREATE TABLE IF NOT EXISTS savepoint (
    one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL, state TEXT NOT NULL
);
"""

_OPERATORS = {"$eq": "=", "$ne": "<>", "$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}


log = logging.getLogger("wattq.statedb")


class EmbeddedDatabase:
    """Implements ``StateDatabase``. One writer connection and one reader connection, each behind its own lock."""

    def __init__(self, path: Path) -> None:
        self._writer = _open_writer(path)
        self._reader = _open(path)
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._left_at: int | None = None
        """Where the projector left the savepoint."""

    def height(self) -> int:
        with self._read_lock:
            self._left_at = _savepoint(self._reader)
        return self._left_at

    def mark(self) -> str:
        with self._read_lock:
            row = self._reader.execute("SELECT state FROM savepoint").fetchone()
        return str(row[0]) if row else ""

    def apply(self, changes: dict[str, Document | None], height: int, mark: str = "") -> None:
        gone = [(key,) for key, document in changes.items() if document is None]
        rows = [(d.key, d.contract, d.height, d.index, to_json(d)) for d in changes.values() if d is not None]
        with self._write_lock, self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("DELETE FROM documents WHERE key = ?", gone)
            self._writer.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)", rows)
            if height >= 0:
                self._move_savepoint(height, mark)

    def _move_savepoint(self, height: int, mark: str) -> None:
        found = _savepoint(self._writer)
        if self._left_at is not None and found != self._left_at:
            raise SavepointLost(f"the savepoint was at {self._left_at}, and is at {found}")
        self._writer.execute("INSERT OR REPLACE INTO savepoint VALUES (1, ?, ?)", (height, mark))
        self._left_at = height

    def clear(self) -> None:
        with self._write_lock, self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute("DELETE FROM savepoint")
            self._writer.execute("DELETE FROM documents")
            self._left_at = -1

    def forget_savepoint(self) -> None:
        with self._write_lock, self._writer:
            self._writer.execute("DELETE FROM savepoint")

    def get(self, key: str) -> Document | None:
        with self._read_lock:
            row = self._reader.execute(
                "SELECT key, height, position, v FROM documents WHERE key = ?", (key,)
            ).fetchone()
        return _document(row) if row else None

    def find(self, query: Query) -> Page:
        text, values = _statement(query)
        with self._read_lock:
            self._reader.set_progress_handler(_budget(), STEP_SLICE)
            self._reader.execute("BEGIN")
            try:
                rows = self._reader.execute(text, values).fetchall()
                height = _savepoint(self._reader)
            except sqlite3.OperationalError as error:
                if "interrupted" in str(error):
                    raise QueryTooCostly from None
                raise
            finally:
                self._reader.set_progress_handler(None, 0)
                self._reader.execute("ROLLBACK")
        full = len(rows) > query.limit
        kept = rows[: query.limit]
        bookmark = write_bookmark([*kept[-1][4:], kept[-1][0]]) if full else ""
        return Page(tuple(_document(row) for row in kept), height, bookmark)

    def keys(self, after: str, limit: int) -> list[str]:
        statement = "SELECT key FROM documents WHERE key > ? ORDER BY key LIMIT ?"
        with self._read_lock:
            return [key for (key,) in self._reader.execute(statement, (after, limit))]

    def audit(self, after: str, limit: int) -> list[tuple[str, Document | None]]:
        statement = "SELECT key, height, position, v, contract FROM documents WHERE key > ? ORDER BY key LIMIT ?"
        with self._read_lock:
            return [(row[0], _audited(row)) for row in self._reader.execute(statement, (after, limit))]

    def audit_keys(self, keys: Sequence[str]) -> dict[str, Document | None]:
        statement = "SELECT key, height, position, v, contract FROM documents WHERE key = ?"
        with self._read_lock:
            rows = [self._reader.execute(statement, (key,)).fetchone() for key in keys]
        return {row[0]: _audited(row) for row in rows if row}

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    _tune(connection)
    return connection


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _open_writer(path: Path) -> sqlite3.Connection:
    """Everything in it can be read again from the commit store: a damaged file or another format starts anew."""
    connection = _prepared(path)
    if connection is None:
        log.warning("%s is damaged or of another format; it is made again", path)
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        connection = _prepared(path)
    if connection is None:
        raise sqlite3.DatabaseError(f"{path} cannot be made a database")
    return connection


def _prepared(path: Path) -> sqlite3.Connection | None:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version in (0, FORMAT_VERSION):
            _tune(connection)
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            return connection
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return None


def _budget() -> Any:
    left = [STEPS_MAX // STEP_SLICE]

    def spend() -> int:
        left[0] -= 1
        return 1 if left[0] < 0 else 0

    return spend


def _savepoint(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT height FROM savepoint").fetchone()
    return int(row[0]) if row else -1


def _audited(row: tuple[Any, ...]) -> Document | None:
    try:
        document = _document(row)
    except (ValueError, TypeError):
        return None
    return document if document.contract == row[4] else None


def _document(row: tuple[Any, ...]) -> Document:
    return Document(row[0], row[1], row[2], json.loads(row[3]))


def _statement(query: Query) -> tuple[str, list[Scalar]]:
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
    values.append(value)
    if operator == "$ne":
        return f"({kind} IS NOT NULL AND NOT ({kind} IN {family} AND {column} = ?))"
    return f"(COALESCE({kind} IN {family}, 0) AND {column} {_OPERATORS[operator]} ?)"


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
