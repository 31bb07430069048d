"""Sweeps: what a workload file asks for, in which order it is measured, and what comes out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench_runs import run_json
from typer.testing import CliRunner

from bench.ground import configuration_text, limits_text
from bench.open_loop import Arrivals
from bench.options import BenchError, BenchOptions
from bench.sweep import COLUMNS, row
from bench.workload import Axes, BadWorkload, Load, read_workload
from cli import bench_sweep as command
from cli.main import app
from sdk.configuration import parse

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples" / "sweeps").glob("*.toml"))
DOCUMENT = ROOT / "docs" / "BENCH.md"
WORKLOAD = """
[load]
measure_s = 5.0
seed = 7
repeats = 2
[sweep]
rate_tx_per_s = [10, 20]
nodes = [4, 7]
"""


def write(tmp_path: Path, text: str = WORKLOAD) -> Path:
    path = tmp_path / "workload.toml"
    path.write_text(text)
    return path


def test_every_combination_is_measured_and_the_second_time_backwards(tmp_path: Path) -> None:
    runs = read_workload(write(tmp_path)).runs()
    points = [(4, 10.0), (4, 20.0), (7, 10.0), (7, 20.0)]
    assert [(run.nodes, run.rate_tx_per_s) for run in runs] == points + points[::-1]
    assert [run.seed for run in runs] == [7] * 4 + [107] * 4
    assert {(run.measure_s, run.arrivals, run.batch_transactions_max) for run in runs} == {
        (5.0, Arrivals.POISSON, None)
    }


def test_an_empty_file_is_one_closed_loop(tmp_path: Path) -> None:
    (run,) = read_workload(write(tmp_path, "")).runs()
    assert (run.nodes, run.rate_tx_per_s) == (4, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[sweep]\nrates = [1]", "rates"),
        ("[sweep]\nnodes = [3]", "4"),
        ("[sweep]\nrate_tx_per_s = [0]", "0"),
        ("[sweep]\nnodes = [4, 4]", "twice"),
        ("[load]\nrepeats = 100\n[sweep]\nnodes = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]", "1,100 runs"),
        ("[load", "workload.toml"),
        ("a = " + "[" * 20_000, "recursion"),
    ],
)
def test_a_file_that_asks_for_what_there_is_not_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadWorkload, match=why):
        read_workload(write(tmp_path, text))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_measured(path: Path) -> None:
    assert read_workload(path).runs()


def test_batch_and_pipeline_reach_the_nodes_configuration() -> None:
    options = BenchOptions(batch_transactions_max=77, pipeline_depth=3)
    limits = parse(configuration_text(4, 20_000, ()) + limits_text(options), "bench").limits
    assert (limits.batch_transactions_max, limits.pipeline_depth) == (77, 3)
    assert "batch" not in limits_text(BenchOptions())


def figures(options: BenchOptions, **changed: Any) -> dict[str, Any]:
    run = run_json(seconds=4, rate_tx_per_s=options.rate_tx_per_s, configuration=msgspec.to_builtins(options))
    told = {
        "steady": True,
        "trades_per_s": 9.0,
        "refused": 0,
        "send_lag_ms": {"p50": None, "p99": None},
        "load_average": [1.5, 1, 1],
    }
    return run | told | changed


def test_a_row_has_every_column_and_nothing_for_what_is_null() -> None:
    found = row(figures(BenchOptions(rate_tx_per_s=50.0)))
    assert set(found) == set(COLUMNS)
    assert (found["rate_tx_per_s"], found["arrivals"], found["load_average"]) == (50.0, "constant", 1.5)
    assert (found["send_lag_ms_p99"], found["pipeline_depth"]) == ("", "")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[BenchOptions]:
    """Nothing is measured; the runs that would be. One of 7 nodes cannot be made."""
    runs: list[BenchOptions] = []

    async def measure(options: BenchOptions, *_: object) -> dict[str, Any]:
        runs.append(options)
        if options.nodes == 7:
            raise BenchError("too many nodes")
        return figures(options)

    monkeypatch.setattr(command, "run_bench", measure)
    return runs


def test_the_command_prints_csv_and_goes_on_after_a_run_that_could_not_be_made(
    tmp_path: Path, measured: list[BenchOptions]
) -> None:
    told = CliRunner().invoke(app, ["bench", "sweep", str(write(tmp_path))])
    assert told.exit_code == 1
    assert "7 nodes, 20 a second, 128 outstanding: does not count: too many nodes" in told.stderr
    assert len(measured) == 8
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    assert [(found["nodes"], found["rate_tx_per_s"]) for found in rows] == [
        ("4", "10.0"), ("4", "20.0"), ("4", "20.0"), ("4", "10.0"),
    ]  # fmt: skip


@pytest.mark.usefixtures("measured")
def test_the_command_prints_json_and_keeps_csv(tmp_path: Path) -> None:
    path, table = write(tmp_path, "[sweep]\nrate_tx_per_s = [10, 20]"), tmp_path / "out.csv"
    told = CliRunner().invoke(app, ["bench", "sweep", str(path), "--json", "--csv", str(table)])
    assert told.exit_code == 0
    assert [json.loads(line)["rate_tx_per_s"] for line in told.stdout.splitlines()] == [10.0, 20.0]
    assert len(table.read_text().splitlines()) == 3


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    for arguments in ([str(tmp_path / "absent")], [str(write(tmp_path)), "--csv", str(tmp_path / "no" / "where")]):
        assert CliRunner().invoke(app, ["bench", "sweep", *arguments]).exit_code == 2


def test_the_documents_file_names_all_there_is(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    found = msgspec.toml.decode(text)
    assert set(found["load"]) == {field.name for field in msgspec.structs.fields(Load)}
    assert set(found["sweep"]) == {field.name for field in msgspec.structs.fields(Axes)}
    assert len(read_workload(write(tmp_path, text)).runs()) == 54
