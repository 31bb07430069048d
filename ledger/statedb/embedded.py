"""The embedded back end: SQLite with its JSON functions, one file, no server.

Everything in the file can be read again from the commit store. So whoever holds the data directory's lock makes a file
that is damaged, of another format, or no longer where it was, anew; others say what is wrong with it and leave it.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ledger.statedb.documents import (
    Document,
    Kept,
    Page,
    QueryTooCostly,
    SavepointLost,
    StateDatabaseAway,
    StateDatabaseDamaged,
    StateDatabaseError,
    StateDatabaseUnusable,
    nobody,
    to_json,
)
from ledger.statedb.embedded_sql import statement
from ledger.statedb.embedded_text import escaped, plain
from ledger.statedb.selector import Query, write_bookmark

FORMAT_VERSION = 3
BUSY_TIMEOUT_S = 5.0
STEPS_MAX = 2_000_000
"""Virtual machine steps a query may take before it is refused: a scan of some 100,000 documents."""
STEP_SLICE = 10_000
DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
DAMAGE_WORDS = ("malformed JSON", "no such table", "Could not decode to UTF-8")
"""Of errors without a code of their own, what no query can bring about in a sound file."""

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

_SIGNS = ("\\u0000", "\\u0001")
"""How JSON writes what is escaped."""

log = logging.getLogger("wattq.statedb")


class _Rotten(sqlite3.DatabaseError):
    """A row that we did not write so."""


@dataclass(frozen=True, slots=True)
class _Connections:
    """One to write and one to read, and which file they opened."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    file: tuple[int, int]

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


class EmbeddedDatabase:
    """Implements ``StateDatabase``. Writing and reading are each behind a lock of their own.

    ``remake``: the data directory's lock is ours, so that an unusable file is made anew, by the writer's next
    ``height``; until then it counts as a lost savepoint. Otherwise it is a ``StateDatabaseDamaged``.
    """

    def __init__(self, path: Path, remake: bool = True) -> None:
        self._path, self._remake = path, remake
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._left_at: int | None = None
        """Where the projector left the savepoint."""
        self._held: _Connections | None = None
        self._closed = False
        self._fault: StateDatabaseError | None = None
        """Why the file cannot be used."""
        self.on_lost: Callable[[], None] = nobody
        self.left_out: dict[str, str] = {}
        self._connect()

    def height(self) -> int:
        with self._write_lock, self._read_lock:
            self._reconnect()
            try:
                self._left_at = self._savepoint_there()
            except SavepointLost:
                self._reconnect()
                self._left_at = self._savepoint_there()
        return self._left_at

    def _savepoint_there(self) -> int:
        with self._guarded():
            return _savepoint_in(self._path)

    def check(self) -> None:
        with self._read_lock, self._guarded() as held:
            if _file_at(self._path) != held.file:
                raise _Rotten("it was removed or replaced")
            found = _savepoint_in(self._path)
        if found != self._left_at:
            raise SavepointLost(f"the savepoint was at {self._left_at}, and is at {found}")

    def mark(self) -> str:
        with self._read_lock, self._guarded() as held:
            row = held.reader.execute("SELECT state FROM savepoint").fetchone()
        return str(row[0]) if row else ""

    def apply(self, changes: dict[str, Document | None], height: int, mark: str = "") -> None:
        gone = [(key,) for key, document in changes.items() if document is None]
        rows = [(d.key, d.contract, d.height, d.index, _stored(d)) for d in changes.values() if d is not None]
        with self._write_lock, self._guarded() as held, held.writer:
            held.writer.execute("BEGIN IMMEDIATE")
            held.writer.executemany("DELETE FROM documents WHERE key = ?", gone)
            held.writer.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)", rows)
            if height >= 0:
                self._move_savepoint(held.writer, height, mark)

    def _move_savepoint(self, writer: sqlite3.Connection, height: int, mark: str) -> None:
        found = _savepoint(writer)
        if self._left_at is not None and found != self._left_at:
            raise SavepointLost(f"the savepoint was at {self._left_at}, and is at {found}")
        writer.execute("INSERT OR REPLACE INTO savepoint VALUES (1, ?, ?)", (height, mark))
        self._left_at = height

    def clear(self) -> None:
        """What cannot be emptied is made anew."""
        try:
            with self._write_lock, self._guarded() as held, held.writer:
                held.writer.execute("BEGIN IMMEDIATE")
                held.writer.execute("DELETE FROM savepoint")
                held.writer.execute("DELETE FROM documents")
        except SavepointLost:
            with self._write_lock, self._read_lock:
                self._reconnect()
        self._left_at = -1

    def forget_savepoint(self) -> None:
        with self._write_lock, self._guarded() as held, held.writer:
            held.writer.execute("DELETE FROM savepoint")

    def get(self, key: str) -> Document | None:
        with self._read_lock, self._guarded() as held:
            row = held.reader.execute("SELECT key, height, position, v FROM documents WHERE key = ?", (key,)).fetchone()
            return _document(row) if row else None

    def find(self, query: Query) -> Page:
        text, values = statement(query)
        with self._read_lock, self._guarded() as held:
            with _bounded(held.reader):
                rows = held.reader.execute(text, values).fetchall()
                height = _savepoint(held.reader)
            full = len(rows) > query.limit
            kept = rows[: query.limit]
            documents = tuple(_document(row) for row in kept)
        bookmark = write_bookmark([*kept[-1][4:], kept[-1][0]]) if full else ""
        return Page(documents, height, bookmark)

    def keys(self, after: str, limit: int) -> list[str]:
        statement = "SELECT key FROM documents WHERE key > ? ORDER BY key LIMIT ?"
        with self._read_lock, self._guarded() as held:
            return [key for (key,) in held.reader.execute(statement, (after, limit))]

    def audit(self, after: str, limit: int) -> list[tuple[str, Kept]]:
        statement = "SELECT key, height, position, v, contract FROM documents WHERE key > ? ORDER BY key LIMIT ?"
        with self._read_lock, self._guarded() as held:
            return [(row[0], _audited(row)) for row in held.reader.execute(statement, (after, limit))]

    def audit_keys(self, keys: Sequence[str]) -> dict[str, Kept]:
        statement = "SELECT key, height, position, v, contract FROM documents WHERE key = ?"
        with self._read_lock, self._guarded() as held:
            rows = [held.reader.execute(statement, (key,)).fetchone() for key in keys]
        return {row[0]: _audited(row) for row in rows if row}

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._closed = True
            self._let_go()

    # ------------------------------------------------------------------------------------------ the file

    @contextmanager
    def _guarded(self) -> Iterator[_Connections]:
        """What SQLite says, in the words of every back end."""
        if self._held is None or self._fault is not None:
            fault = self._fault or StateDatabaseAway(f"{self._path}: closed")
            raise fault.with_traceback(None)
        try:
            yield self._held
        except sqlite3.DatabaseError as error:
            if _tells_damage(error):
                self._fault = self._unusable(f"is damaged: {error}")
                self.on_lost()
                raise self._fault from None
            if isinstance(error, sqlite3.OperationalError):
                raise StateDatabaseAway(f"{self._path}: {error}") from None
            raise

    def _unusable(self, why: str) -> StateDatabaseError:
        if self._remake:
            return SavepointLost(f"{self._path} {why}; it is made anew")
        return StateDatabaseDamaged(f"{self._path} {why}; `wattq state rebuild` makes it anew")

    def _reconnect(self) -> None:
        """Open anew what is damaged or no longer the file there; ours is removed first. Under both locks."""
        if self._closed or (self._held is not None and not self._fault and self._held.file == _file_at(self._path)):
            return
        self._let_go()
        if self._remake and not isinstance(self._fault, StateDatabaseAway):
            log.warning("%s is made anew: %s", self._path, self._fault or "it was removed or replaced")
            _remove(self._path)
        self._connect()

    def _connect(self) -> None:
        self._fault = None
        try:
            self._held = _opened(self._path)
        except _Rotten as error:
            self._fault = self._unusable(f"is damaged: {error}")
        except StateDatabaseError as error:
            self._fault = error
        if self._remake and not isinstance(self._fault, StateDatabaseAway | None):
            log.warning("%s; it is made anew", self._fault)
            _remove(self._path)
            self._fault, self._held = None, _opened(self._path)

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def _opened(path: Path) -> _Connections:
    """Raises ``_Rotten``, or ``StateDatabaseUnusable`` for another format."""
    writer = _connection(path)
    try:
        _prepare(writer, path)
        return _Connections(writer, _tuned(_connection(path)), _file_at(path) or (0, 0))
    except sqlite3.DatabaseError as error:
        writer.close()
        if _tells_damage(error):
            raise _Rotten(str(error)) from None
        raise StateDatabaseAway(f"{path}: {error}") from None
    except StateDatabaseUnusable:
        writer.close()
        raise


def _prepare(writer: sqlite3.Connection, path: Path) -> None:
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    if version not in (0, FORMAT_VERSION):
        raise StateDatabaseUnusable(f"{path} is of format {version}, not {FORMAT_VERSION}: another wattq made it")
    _tuned(writer)
    if version == 0:
        writer.executescript(_SCHEMA)
        writer.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _tuned(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _file_at(path: Path) -> tuple[int, int] | None:
    """What tells the file there from every other one."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _tells_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if isinstance(error, _Rotten) or code & 0xFF in DAMAGE_CODES or code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return True
    return any(words in str(error) for words in DAMAGE_WORDS)


@contextmanager
def _bounded(reader: sqlite3.Connection) -> Iterator[None]:
    """One moment of the database, and no more steps than a query may take."""
    reader.set_progress_handler(_budget(), STEP_SLICE)
    try:
        reader.execute("BEGIN")
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise QueryTooCostly from None
        raise
    finally:
        reader.set_progress_handler(None, 0)
        if reader.in_transaction:
            reader.execute("ROLLBACK")


def _budget() -> Any:
    left = [STEPS_MAX // STEP_SLICE]

    def spend() -> int:
        left[0] -= 1
        return 1 if left[0] < 0 else 0

    return spend


def _savepoint_in(path: Path) -> int:
    """The savepoint as the file has it: a connection that is open already may remember what is there no more."""
    with closing(_connection(path)) as fresh:
        return _savepoint(fresh)


def _savepoint(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT height FROM savepoint").fetchone()
    if row is not None and not isinstance(row[0], int):
        raise _Rotten("the savepoint is no height")
    return row[0] if row else -1


def _audited(row: tuple[Any, ...]) -> Document | None:
    try:
        document = _document(row)
    except _Rotten:
        return None
    return document if document.contract == row[4] else None


def _stored(document: Document) -> str:
    text = to_json(document)
    return to_json(replace(document, value=escaped(document.value))) if any(sign in text for sign in _SIGNS) else text


def _read(text: str) -> Any:
    value = json.loads(text)
    return plain(value) if _SIGNS[1] in text else value


def _document(row: tuple[Any, ...]) -> Document:
    key, height, index, value = row[:4]
    if not isinstance(height, int) or not isinstance(index, int):
        raise _Rotten(f"the version of {key!r} is none")
    try:
        return Document(key, height, index, _read(value))
    except (ValueError, TypeError, RecursionError):
        raise _Rotten(f"the value of {key!r} is none") from None
