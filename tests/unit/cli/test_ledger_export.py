"""`wattq ledger export`: the same rows in each format, with types that do not depend on the chain."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from long_chains import make_home
from typer.testing import CliRunner

from cli.main import app
from ledger import export as exports
from ledger.blocks import EventRecord, Result, StoredBlock, encode_result
from ledger.chain import read_blocks
from ledger.export import TABLES, rows_of
from ledger.values import encode_value

BLOCKS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("network") / "node1", BLOCKS, transactions=2)


def run(home: Path, out: Path, form: str, *options: str) -> dict[str, int]:
    command = ["ledger", "export", str(home), "--out", str(out), "--format", form, "--json", *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows: dict[str, int] = json.loads(result.stdout)["rows"]
    return rows


def read(out: Path, table: str, form: str) -> list[dict[str, Any]]:
    path = out / f"{table}.{form}"
    if form == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if form == "csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: TABLES[table][name](cell) for name, cell in row.items()} for row in rows]
    parquet = pytest.importorskip("pyarrow.parquet")
    found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return found


@pytest.mark.parametrize("form", exports.FORMATS)
def test_every_format_says_the_same(made: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_MAX", 5)
    counts = run(made, tmp_path, form)
    assert counts == {"blocks": 12, "transactions": 24, "results": 24, "events": 24, "trades": 0}
    expected: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    for block in read_blocks(made / "data" / "chain"):
        for table, row in rows_of(block):
            expected[table].append(dict(zip(TABLES[table], row, strict=True)))
    assert {table: read(tmp_path, table, form) for table in TABLES} == expected
    assert not list(tmp_path.glob("*.part"))


def test_types_are_those_of_the_table_and_never_null(made: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run(made, tmp_path, "parquet")
    names = {int: "int64", str: "string"}
    for table, columns in TABLES.items():
        schema = parquet.read_schema(tmp_path / f"{table}.parquet")
        assert [(field.name, str(field.type), field.nullable) for field in schema] == [
            (name, names[kind], False) for name, kind in columns.items()
        ]


def test_a_range_of_heights_is_exported_alone(made: Path, tmp_path: Path) -> None:
    assert run(made, tmp_path, "jsonl", "--from", "3", "--to", "5")["blocks"] == 3
    assert [row["height"] for row in read(tmp_path, "blocks", "jsonl")] == [3, 4, 5]


@pytest.mark.parametrize("options", [("--from", "90"), ("--from", "5", "--to", "4")])
def test_a_range_without_a_block_leaves_the_tables_that_are_there(
    made: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    run(made, tmp_path, "jsonl")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = CliRunner().invoke(app, ["ledger", "export", str(made), "--out", str(tmp_path), *options])
    assert result.exit_code in (1, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_record_that_is_being_written_ends_the_export_but_does_not_lose_it(tmp_path: Path) -> None:
    home = make_home(tmp_path / "node1", 4)
    (path,) = (home / "data" / "chain").glob("*.chain")
    path.write_bytes(path.read_bytes()[:-5])
    command = ["ledger", "export", str(home), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "last record is not whole" in result.output) == (0, True)
    assert [row["height"] for row in read(tmp_path / "out", "blocks", "jsonl")] == [1, 2, 3]


@pytest.mark.parametrize(
    "data", [{"trade": "t/1", "wh": 5}, {"trade": 1, "interval": 7, "energy_wh": 5, "price": 3}, 7]
)
def test_another_markets_trade_is_an_event_only(made: Path, data: Any) -> None:
    block: StoredBlock = next(read_blocks(made / "data" / "chain"))
    event = EventRecord("market", "traded", encode_value(data))
    result = Result(bytes(32), "OK", "", 10, encode_value(None), (event,))
    changed = StoredBlock(block.header, b"", 0, 0, 0, (encode_result(result),), block.results_before, block.statement)
    tables = [table for table, _ in rows_of(changed)]
    assert (tables.count("events"), tables.count("trades")) == (1, 0)


def test_a_trade_is_a_row_of_its_own(made: Path) -> None:
    block: StoredBlock = next(read_blocks(made / "data" / "chain"))
    data = {"trade": "t/1", "interval": 7, "energy_wh": 500, "price": 30}
    event = EventRecord("market", "traded", encode_value(data))
    result = Result(bytes(32), "OK", "", 10, encode_value(None), (event,))
    changed = StoredBlock(block.header, b"", 0, 0, 0, (encode_result(result),), block.results_before, block.statement)
    trades = [row for table, row in rows_of(changed) if table == "trades"]
    assert trades == [(1, 0, 0, block.header.time_ms, "00" * 32, "t/1", 7, 500, 30)]


def test_what_holds_no_chain_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["ledger", "export", str(tmp_path), "--out", str(tmp_path / "out")])
    assert (result.exit_code, "no chain files" in result.output) == (2, True)
