"""Blocks as tables for other tools: JSON lines, CSV or Parquet, streamed, with the same columns and types in each.

Every cell is a 64-bit integer or text. Whatever has a shape of its own (arguments, values, events' data, signers) is
text that holds canonical JSON, so that no column's type depends on what a chain happens to contain.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ledger.blocks import Result, StoredBlock, decode_result
from ledger.envelope import Envelope, envelope_from_bytes
from ledger.values import decode_value
from pbft.messages import decode_batch

Row: TypeAlias = tuple[int | str, ...]
Columns: TypeAlias = Mapping[str, type[int] | type[str]]

TABLES: Mapping[str, Columns] = {
    "blocks": {
        "height": int,
        "hash": str,
        "previous_hash": str,
        "time_ms": int,
        "epoch": int,
        "view": int,
        "proposer": int,
        "transactions": int,
        "deadlines": int,
        "batch_digest": str,
        "transaction_root": str,
        "state_root": str,
        "results_hash": str,
    },
    "transactions": {
        "height": int,
        "index": int,
        "tx_id": str,
        "time_ms": int,
        "signers": str,
        "contract": str,
        "function": str,
        "args": str,
        "nonce": int,
        "expires_at_height": int,
        "gas_limit": int,
    },
    "results": {
        "height": int,
        "index": int,
        "kind": str,
        "id": str,
        "code": str,
        "message": str,
        "gas_used": int,
        "value": str,
    },
    "events": {
        "height": int,
        "index": int,
        "number": int,
        "time_ms": int,
        "id": str,
        "contract": str,
        "name": str,
        "data": str,
    },
    "trades": {
        "height": int,
        "index": int,
        "number": int,
        "time_ms": int,
        "tx_id": str,
        "trade": str,
        "interval": int,
        "energy_wh": int,
        "price": int,
    },
}
"""Columns by table, in order. ``index`` counts a block's results, deadlines first, in every table."""
FORMATS = ("jsonl", "csv", "parquet")
ROWS_MAX = 10_000
"""Rows of one table in memory; with Parquet, also of one row group."""
PARTIAL = ".part"
TRADED = frozenset((contract, "traded") for contract in ("market", "auction", "offers"))
TERMS = ("trade", "interval", "energy_wh", "price")
"""What the shipped markets say of a trade; another market's event that says less is no row of ``trades``."""


class ExportUnavailable(Exception):
    """What the format needs is not installed; the message says what to install."""


class NothingToExport(Exception):
    """Not one block: no table was written."""


class Writer(Protocol):
    """One table's file."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


def export(
    blocks: Iterable[StoredBlock],
    directory: Path,
    form: str,
    progress: Callable[[int], None] = lambda height: None,
) -> dict[str, int]:
    """Write a file a table into ``directory``; how many rows each has. A file gets its name when it is whole, and only
    if there is a block: ``NothingToExport`` leaves what was there."""
    directory.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(TABLES, 0)
    waiting: dict[str, list[Row]] = {table: [] for table in TABLES}
    with ExitStack() as opened:
        writers = {table: open_writer(partial_of(directory, table, form), table, form) for table in TABLES}
        for writer in writers.values():
            opened.callback(writer.close)
        for block in blocks:
            for table, row in rows_of(block):
                waiting[table].append(row)
                counts[table] += 1
                if len(waiting[table]) >= ROWS_MAX:
                    writers[table].write(waiting[table])
                    waiting[table] = []
            progress(block.header.height)
        for table, rows in waiting.items():
            writers[table].write(rows)
    if not counts["blocks"]:
        for table in TABLES:
            partial_of(directory, table, form).unlink()
        raise NothingToExport("no such blocks")
    for table in TABLES:
        partial_of(directory, table, form).replace(directory / f"{table}.{form}")
    return counts


def partial_of(directory: Path, table: str, form: str) -> Path:
    return directory / f"{table}.{form}{PARTIAL}"


# --------------------------------------------------------------------------------------------------- rows


def rows_of(block: StoredBlock) -> Iterator[tuple[str, Row]]:
    """Everything that the tables say of a block."""
    envelopes = [envelope_from_bytes(raw) for raw in decode_batch(block.body).envelopes] if block.body else []
    yield "blocks", _block_row(block, len(envelopes))
    for position, envelope in enumerate(envelopes):
        yield "transactions", _transaction_row(block, block.deadlines + position, envelope)
    for index, raw in enumerate(block.results):
        result = decode_result(raw)
        is_deadline = index < block.deadlines
        name = result.id.decode() if is_deadline else result.id.hex()
        yield "results", _result_row(block, index, "deadline" if is_deadline else "transaction", name, result)
        yield from _event_rows(block, index, name, result)


def _block_row(block: StoredBlock, transactions: int) -> Row:
    header, statement = block.header, block.statement
    return (
        header.height,
        statement.header_hash.hex(),
        header.previous_hash.hex(),
        header.time_ms,
        header.epoch,
        block.view,
        block.proposer,
        transactions,
        block.deadlines,
        header.batch_digest.hex(),
        header.transaction_root.hex(),
        statement.state_root.hex(),
        statement.results_hash.hex(),
    )


def _transaction_row(block: StoredBlock, index: int, envelope: Envelope) -> Row:
    payload = envelope.payload
    return (
        block.header.height,
        index,
        envelope.tx_id.hex(),
        block.header.time_ms,
        _json(payload.signers),
        payload.contract,
        payload.function,
        _json(payload.args),
        payload.nonce,
        payload.expires_at_height,
        payload.gas_limit,
    )


def _result_row(block: StoredBlock, index: int, kind: str, name: str, result: Result) -> Row:
    value = _json(decode_value(result.value))
    return (block.header.height, index, kind, name, result.code, result.message, result.gas_used, value)


def _event_rows(block: StoredBlock, index: int, name: str, result: Result) -> Iterator[tuple[str, Row]]:
    height, time_ms = block.header.height, block.header.time_ms
    for number, event in enumerate(result.events):
        data = decode_value(event.data)
        yield "events", (height, index, number, time_ms, name, event.contract, event.name, _json(data))
        if (event.contract, event.name) in TRADED:
            terms: tuple[Any, ...] = tuple(map(data.get, TERMS)) if isinstance(data, dict) else ()
            if tuple(map(type, terms)) == tuple(TABLES["trades"][column] for column in TERMS):
                yield "trades", (height, index, number, time_ms, name, *terms)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


# ------------------------------------------------------------------------------------------------- writers


def open_writer(path: Path, table: str, form: str) -> Writer:
    """A new file for a table; raises ``ExportUnavailable``."""
    columns = TABLES[table]
    if form == "jsonl":
        return _JsonLines(path, columns)
    if form == "csv":
        return _Csv(path, columns)
    return _Parquet(path, columns)


class _JsonLines:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._columns = tuple(columns)
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            text = json.dumps(dict(zip(self._columns, row, strict=True)), ensure_ascii=False, separators=(",", ":"))
            self._file.write(text + "\n")

    def close(self) -> None:
        self._file.close()


class _Csv:
    """RFC 4180, with a line of names first."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(columns)

    def write(self, rows: Sequence[Row]) -> None:
        self._rows.writerows(rows)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """One row group a write; zstd; no column may be null."""

    def __init__(self, path: Path, columns: Columns) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ExportUnavailable("Parquet needs pyarrow: pip install 'wattquorum[export]'") from None
        self._arrow = pyarrow
        kinds = {int: pyarrow.int64(), str: pyarrow.string()}
        fields = [pyarrow.field(name, kinds[kind], nullable=False) for name, kind in columns.items()]
        self._schema = pyarrow.schema(fields)
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        if rows:
            arrays = [list(column) for column in zip(*rows, strict=True)]
            self._file.write_table(
                self._arrow.Table.from_pydict(dict(zip(self._schema.names, arrays, strict=True)), self._schema)
            )

    def close(self) -> None:
        self._file.close()
