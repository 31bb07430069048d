"""The commit store: an ordered key-value store with atomic batches and consistent snapshots.

RocksDB where a wheel exists, SQLite elsewhere, behind one interface. A commit is atomic but not synced: the
block's body was appended and synced before it, so after a crash the store is some earlier whole block and the
chain files bring it forward (docs/decisions/0001-commit-store.md).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ledger.chain import ChainCorrupt
from ledger.near import Near, NearReader, fitting

rocksdict: Any
try:
    import rocksdict
except ImportError:  # no wheel for this platform: `wattq doctor` says so
    rocksdict = None

WRITE_BUFFER_BYTES = 32 << 20
OPEN_TRIES = 3


class Snapshot(NearReader, Protocol):
    """The store as it was at one moment."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` pairs whose keys start with ``prefix`` and are greater than ``after``, ascending."""


class CommitStore(Snapshot, Protocol):
    """Reads see every finished write."""

    engine: str

    def write(self, batch: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        """Apply a whole batch or nothing; None deletes."""

    def snapshot(self) -> Snapshot: ...

    def close(self) -> None: ...


def open_store(directory: Path, engine: str = "") -> CommitStore:
    """Open (or make) the store in ``directory``; ``engine``: "rocksdb", "sqlite" or "" for the best available."""
    directory.mkdir(parents=True, exist_ok=True)
    existing = "sqlite" if (directory / "store.sqlite").exists() else "rocksdb" if any(directory.iterdir()) else ""
    chosen = existing or engine or ("rocksdb" if rocksdict is not None else "sqlite")
    if chosen == "rocksdb" and rocksdict is None:
        raise RuntimeError(f"{directory} was made with RocksDB; install rocksdict to open it")
    return RocksStore(directory) if chosen == "rocksdb" else SqliteStore(directory / "store.sqlite")


def open_to_read(directory: Path) -> CommitStore:
    """The store as it is now, without a lock: another process may be writing to it. Nothing may be written.
    ``ChainCorrupt`` if there is none, and none is made."""
    if not directory.is_dir():
        raise ChainCorrupt(f"{directory}: there is no commit store")
    if (directory / "store.sqlite").exists():
        return SqliteStore(directory / "store.sqlite")
    if rocksdict is None:
        raise RuntimeError(f"{directory} was made with RocksDB; install rocksdict to open it")
    for _ in range(OPEN_TRIES):
        try:
            return RocksStore(directory, read_only=True)
        except Exception as error:  # the binding raises bare exceptions
            failed = error  # its writer may have removed, meanwhile, a file that was named
    raise failed


def _range_start(prefix: bytes, after: bytes) -> tuple[bytes, bool]:
    """Where a scan starts, and whether that key itself is left out."""
    return (after, True) if after >= prefix else (prefix, False)


def _rocks_scan(cursor: Any, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    start, skip = _range_start(prefix, after)
    cursor.seek(start)
    rows: list[tuple[bytes, bytes]] = []
    while cursor.valid() and len(rows) < limit:
        key = cursor.key()
        if not key.startswith(prefix):
            break
        if not (skip and key == start):
            rows.append((key, cursor.value()))
        cursor.next()
    return rows


def _rocks_near(cursor: Any, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
    """At most one value is read that is not told."""
    if down:
        cursor.seek_for_prev(high)
        if cursor.valid() and cursor.key() == high:
            cursor.prev()
    else:
        cursor.seek(low)
    further = cursor.prev if down else cursor.next
    rows: list[tuple[bytes, bytes]] = []
    while cursor.valid():
        key: bytes = cursor.key()
        if key < low if down else key >= high:
            break
        if len(rows) == limit:
            return rows, key
        value = cursor.value()
        bytes_max -= len(value)
        if bytes_max < 0:
            return rows, key
        rows.append((key, value))
        further()
    return rows, None


class _RocksSnapshot:
    """One cursor, which stays at the state of the moment it was made. (The binding's own snapshots do not: their
    cursors see later writes.) A lock shares it between threads."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            self._cursor.seek(key)
            if not self._cursor.valid() or self._cursor.key() != key:
                return None
            value: bytes = self._cursor.value()
            return value

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        with self._lock:
            return _rocks_scan(self._cursor, prefix, after, limit)

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        with self._lock:
            return _rocks_near(self._cursor, low, high, down, limit, bytes_max)


class RocksStore:
    engine = "rocksdb"

    def __init__(self, directory: Path, read_only: bool = False) -> None:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(not read_only)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_keep_log_file_num(2)
        access = rocksdict.AccessType.read_only() if read_only else rocksdict.AccessType.read_write()
        self._handle = rocksdict.Rdict(str(directory), options, access_type=access)
        self._plain = rocksdict.WriteOptions()
        self._synced = rocksdict.WriteOptions()
        self._synced.sync = True

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._handle.get(key)
        return value

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return _rocks_scan(self._handle.iter(), prefix, after, limit)

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        # Bounds keep the cursor from walking over what was deleted beyond them.
        bounds = rocksdict.ReadOptions()
        bounds.set_iterate_lower_bound(low)
        bounds.set_iterate_upper_bound(high)
        return _rocks_near(self._handle.iter(bounds), low, high, down, limit, bytes_max)

    def write(self, batch: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        changes = rocksdict.WriteBatch(raw_mode=True)
        for key, value in batch.items():
            if value is None:
                changes.delete(key)
            else:
                changes.put(key, value)
        self._handle.write(changes, self._synced if sync else self._plain)

    def snapshot(self) -> Snapshot:
        return _RocksSnapshot(self._handle.iter())

    def close(self) -> None:
        self._handle.close()


class SqliteStore:
    """One table; a snapshot is a read transaction on a connection of its own."""

    engine = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = _connect(path)
        self._connection.execute("CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            return _sqlite_get(self._connection, key)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        with self._lock:
            return list(_sqlite_scan(self._connection, prefix, after, limit))

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        with self._lock:
            return _sqlite_near(self._connection, low, high, down, limit, bytes_max)

    def write(self, batch: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        gone = [(key,) for key, value in batch.items() if value is None]
        rows = [(key, value) for key, value in batch.items() if value is not None]
        with self._lock:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("DELETE FROM pairs WHERE key = ?", gone)
                self._connection.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?)", rows)

    def snapshot(self) -> Snapshot:
        return _SqliteSnapshot(self._path)

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class _SqliteSnapshot:
    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = _connect(path)
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT 1 FROM pairs LIMIT 1").fetchone()

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            return _sqlite_get(self._connection, key)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        with self._lock:
            return list(_sqlite_scan(self._connection, prefix, after, limit))

    def near(self, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int) -> Near:
        with self._lock:
            return _sqlite_near(self._connection, low, high, down, limit, bytes_max)

    def __del__(self) -> None:
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _sqlite_get(connection: sqlite3.Connection, key: bytes) -> bytes | None:
    row = connection.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def _sqlite_scan(
    connection: sqlite3.Connection, prefix: bytes, after: bytes, limit: int
) -> Iterator[tuple[bytes, bytes]]:
    start, skip = _range_start(prefix, after)
    sign = ">" if skip else ">="
    rows = connection.execute(f"SELECT key, value FROM pairs WHERE key {sign} ? ORDER BY key LIMIT ?", (start, limit))
    for key, value in rows:
        if not key.startswith(prefix):
            return
        yield key, value


def _sqlite_near(
    connection: sqlite3.Connection, low: bytes, high: bytes, down: bool, limit: int, bytes_max: int
) -> Near:
    order = "DESC" if down else "ASC"
    rows = connection.execute(
        f"SELECT key, value FROM pairs WHERE key >= ? AND key < ? ORDER BY key {order} LIMIT ?", (low, high, limit + 1)
    )
    return fitting(rows, limit, bytes_max)
