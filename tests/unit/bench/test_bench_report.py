"""Reports: which runs make which points, which lower bounds are shown as such, and pictures that are the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from bench_runs import run_json
from typer.testing import CliRunner

from bench.records import Record
from cli.bench_report import caption
from cli.main import app

charts = pytest.importorskip("bench.charts", reason="needs hdrhistogram, of the extra bench")
pytest.importorskip("matplotlib")
pytest.importorskip("plotly")

SECONDS = 5


def measured(nodes: int = 4, rate: float | None = None, outstanding: int = 128, **wanted: Any) -> dict[str, Any]:
    """A run with these settings."""
    configuration = {
        "nodes": nodes, "outstanding": outstanding, "rate_tx_per_s": rate, "arrivals": "constant",
        "batch_transactions_max": wanted.pop("batch", None), "pipeline_depth": None,
    }  # fmt: skip
    return run_json(seconds=SECONDS, rate_tx_per_s=rate, configuration=configuration, **wanted)


def records(*runs: dict[str, Any]) -> list[Record]:
    return [msgspec.convert(run, Record) for run in runs]


def panel(key: str, *runs: dict[str, Any]) -> Any:
    return next(each for each in charts.panels(records(*runs)) if each.key == key)


def test_repeats_are_one_point_of_their_medians_and_rates_are_points_of_one_line() -> None:
    runs = [measured(rate=20.0, committed_tx_per_s=speed) for speed in (10.0, 19.0, 20.0)]
    (series,) = charts.series_of(records(*runs, measured(rate=10.0, committed_tx_per_s=10.0)))
    assert [(point.asked, point.tx_per_s, len(point.runs)) for point in series.points] == [(10, 10, 1), (20, 19, 3)]
    assert series.name == "4 nodes"


def test_closed_loops_are_points_by_what_is_in_flight_and_stand_apart_from_open_ones() -> None:
    found = charts.series_of(records(measured(outstanding=8), measured(outstanding=1), measured(rate=10.0)))
    assert [series.name for series in found] == ["closed loop", "128 outstanding, open loop"]
    assert [point.asked for point in found[0].points] == [1, 8]


def test_what_was_unfinished_is_a_hollow_point_with_a_note() -> None:
    drawn = panel("throughput-latency", measured(rate=10.0), measured(rate=20.0, unfinished=4))
    assert [line.hollow for line in drawn.lines] == [frozenset({1}), frozenset({1})]
    assert "lower bound" in drawn.heading
    assert panel("throughput-latency", measured(rate=10.0)).heading == "Latency by throughput"


def test_percentiles_rise_from_the_fastest_to_the_slowest() -> None:
    run = measured(rate=40.0, tx_per_s=40)
    (line,) = panel("latency-percentiles", run).lines
    assert list(line.y) == sorted(line.y)
    assert line.x[0] == 1.0
    assert line.x[-1] <= 40 * SECONDS * 1.3
    p90 = line.y[line.x.index(10.0)]
    assert p90 == pytest.approx(run["latency_ms"]["p90"], rel=0.02)


def test_runs_without_histograms_have_no_percentiles_and_a_single_setting_no_scaling() -> None:
    bare = measured(by_second=[{"verified": 9, "latency_hdr": None}] * SECONDS)
    assert [each.key for each in charts.panels(records(bare))] == ["throughput-latency"]


def test_scaling_takes_the_most_of_each_setting_a_line_for_each_of_the_others() -> None:
    runs = [
        measured(nodes=nodes, batch=batch, outstanding=outstanding, committed_tx_per_s=batch / nodes + outstanding)
        for nodes in (4, 7)
        for batch in (50, 500)
        for outstanding in (1, 8)
    ]
    by_nodes, by_batch = panel("scaling-nodes", *runs), panel("scaling-batch_transactions_max", *runs)
    assert [(line.name, line.x) for line in by_nodes.lines] == [("50 a block", (4, 7)), ("500 a block", (4, 7))]
    assert by_nodes.lines[1].y == pytest.approx((133.0, 500 / 7 + 8))
    assert [line.name for line in by_batch.lines] == ["4 nodes", "7 nodes"]
    assert by_nodes.ticks == {4: "4", 7: "7"}


def test_the_caption_says_what_was_measured_once() -> None:
    told = caption(records(measured(), measured(commit=None)))
    assert told == "2 runs · 2 cores, a processor · Wattquorum 0.1.0 abc, 0.1.0 · 2026-11-28"


def test_the_command_draws_the_same_again_and_a_page_that_loads_nothing(tmp_path: Path) -> None:
    runs = tmp_path / "runs.json"
    runs.write_text("".join(json.dumps(measured(rate=rate)) + "\n" for rate in (10.0, 20.0)))
    for name in ("a", "b"):
        told = CliRunner().invoke(app, ["bench", "report", str(runs), "--out", str(tmp_path / name), "--json"])
        assert told.exit_code == 0, told.output
    names = [Path(file).name for file in json.loads(told.stdout)["files"]]
    assert names == ["throughput-latency.svg", "latency-percentiles.svg", "phases-1.svg", "report.html"]
    for name in names[:-1]:
        text = (tmp_path / "a" / name).read_text()
        assert text == (tmp_path / "b" / name).read_text()
        assert ElementTree.fromstring(text).tag.endswith("svg")
    page = (tmp_path / "a" / "report.html").read_text()
    assert "Latency by throughput" in page
    assert "<script src=" not in page


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    runs, other = tmp_path / "runs.json", tmp_path / "other.json"
    runs.write_text(json.dumps(measured()) + "\n")
    other.write_text("hello")
    for arguments in ([str(other)], [str(runs), "--out", str(other)]):
        told = CliRunner().invoke(app, ["bench", "report", *arguments])
        assert told.exit_code == 2
        assert "other.json" in told.stderr
