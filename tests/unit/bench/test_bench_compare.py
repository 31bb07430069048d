"""Comparisons: ratios, intervals that hold what is true and widen with what varies, and what else differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_runs import run_json, run_record
from typer.testing import CliRunner

from bench.records import BadRecord, read_records
from bench.samples import encoded
from cli.main import app

comparison = pytest.importorskip("bench.comparison", reason="needs hdrhistogram, of the extra bench")
histograms = pytest.importorskip("bench.histograms", reason="needs hdrhistogram, of the extra bench")


def compared(found: Any, figure: str) -> Any:
    return next(each for each in found.figures if each.figure == figure)


def write(path: Path, *runs: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(run) + "\n" for run in runs))
    return path


def test_a_ratio_lies_in_its_interval_and_so_does_the_truth() -> None:
    a, b = run_record(tx_per_s=40, seed=1), run_record(tx_per_s=30, latency_ms=100, seed=2)
    found = comparison.compare([a], [b])
    throughput, p50 = compared(found, "committed_tx_per_s"), compared(found, "latency_ms_p50")
    assert throughput.ratio == pytest.approx(b.committed_tx_per_s / a.committed_tx_per_s, abs=1e-3)
    assert throughput.interval[0] < throughput.ratio < throughput.interval[1]
    assert throughput.interval[0] < 0.75 < throughput.interval[1]
    assert p50.interval[0] < 2.0 < p50.interval[1]
    assert p50.a == pytest.approx(a.latency_ms["p50"], rel=0.002), "a histogram's thousandth"
    assert compared(found, "ratio_to_signature_limit").ratio == throughput.ratio


def test_equal_runs_are_a_ratio_of_one_and_the_same_again() -> None:
    found = comparison.compare([run_record()], [run_record()])
    assert {each.ratio for each in found.figures} == {1.0}
    assert found == comparison.compare([run_record()], [run_record()])
    assert found.differences == []


def width(found: Any, figure: str = "committed_tx_per_s") -> float:
    low, high = compared(found, figure).interval
    return float(high - low)


def test_runs_that_differ_widen_the_interval_and_pairs_that_drift_together_do_not() -> None:
    """A machine that is half as fast in every other pair: B is 0.9 of A in each."""
    a = [run_record(tx_per_s=speed, seed=number) for number, speed in enumerate((40, 20, 40, 20))]
    b = [run_record(tx_per_s=0.9 * speed, seed=number + 9) for number, speed in enumerate((40, 20, 40, 20))]
    alone, apart, paired = comparison.compare(a[:1], b[:1]), comparison.compare(a, b), comparison.compare(a, b, True)
    assert width(apart) > 3 * width(alone)
    assert width(paired) < width(apart) / 3
    assert compared(paired, "committed_tx_per_s").ratio == pytest.approx(0.9, abs=0.03)


def test_a_stall_of_seconds_in_a_row_widens_the_interval_of_the_p99() -> None:
    stalled = run_json(seconds=30)
    stalled["by_second"][10:14] = run_json(latency_ms=2_000, seconds=4)["by_second"]
    records = [run_record(), comparison.msgspec.convert(stalled, comparison.Record)]
    assert width(comparison.compare([records[0]], [records[1]]), "latency_ms_p99") > 10


def test_what_one_run_tells_once_has_no_interval() -> None:
    a, b = run_record(node_cpu_ms_per_tx=4.0), run_record(node_cpu_ms_per_tx=5.0)
    assert compared(comparison.compare([a], [b]), "node_cpu_ms_per_tx").interval is None
    several = comparison.compare([a, a], [b, b])
    assert compared(several, "node_cpu_ms_per_tx").interval == (1.25, 1.25)
    untold = comparison.compare([a], [run_record(node_cpu_ms_per_tx=0.0)])
    assert not [each for each in untold.figures if each.figure == "node_cpu_ms_per_tx"]


def test_differences_are_told() -> None:
    a, b = run_record(commit="abc", rate_tx_per_s=10.0), run_record(commit="def", rate_tx_per_s=20.0)
    found = {each.name: (each.a, each.b) for each in comparison.compare([a, a], [b, a]).differences}
    assert found == {"commit": (["abc"], ["def", "abc"]), "rate_tx_per_s": ([10.0], [20.0, 10.0])}


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (run_json(seconds=3), "3 whole seconds"),
        (run_json(by_second=[{"verified": 0, "latency_hdr": encoded([])}] * 9), "nothing was verified"),
    ],
)
def test_runs_that_say_too_little_are_not_compared(run: dict[str, Any], why: str) -> None:
    with pytest.raises(comparison.Incomparable, match=why):
        comparison.compare([comparison.msgspec.convert(run, comparison.Record)], [run_record()])


@pytest.mark.parametrize(("text", "why"), [(None, "without hdrhistogram"), ("aGVsbG8=", "not an HDR histogram")])
def test_a_run_without_histograms_is_not_compared(text: str | None, why: str) -> None:
    run = run_record(by_second=[{"verified": 9, "latency_hdr": text}] * 9)
    with pytest.raises(histograms.BadHistogram, match=why):
        comparison.compare([run], [run_record()])


def test_pairs_need_partners() -> None:
    with pytest.raises(comparison.Incomparable, match="not 1 and 2"):
        comparison.compare([run_record()], [run_record()] * 2, paired=True)


def test_a_file_has_a_run_a_line(tmp_path: Path) -> None:
    assert len(read_records(write(tmp_path / "a.json", run_json(), run_json()))) == 2
    for name, text in (("empty", ""), ("other", '{"a": 1}\n'), ("none", "hello\n"), ("bytes", "\udcff")):
        (tmp_path / name).write_text(text, errors="surrogateescape")
        with pytest.raises(BadRecord, match=name):
            read_records(tmp_path / name)
    with pytest.raises(BadRecord, match="No such file"):
        read_records(tmp_path / "absent")


def test_the_command_tells_fails_below_and_says_what_is_wrong(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", run_json(tx_per_s=40)), write(tmp_path / "b", run_json(tx_per_s=30, unfinished=3))

    def run(*options: str) -> Any:
        return CliRunner().invoke(app, ["bench", "compare", str(a), *options])

    told = run(str(b))
    assert (told.exit_code, "0.7" in told.stdout, "unfinished: 0 and 3" in told.stdout) == (0, True, True)
    assert run(str(b), "--fail-below", "0.5").exit_code == 0
    assert run(str(b), "--fail-below", "0.95").exit_code == 1
    figures = json.loads(run(str(b), "--json").stdout)["figures"]
    assert {"figure", "a", "b", "ratio", "interval"} == set(figures[0])
    missing = run(str(tmp_path / "c"), "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["error"]["code"]) == (2, "ARGUMENTS_INVALID")
