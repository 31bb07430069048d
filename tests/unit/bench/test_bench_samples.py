"""What follows from samples: which count, exact percentiles, and histograms that other tools read."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from bench.limit import SignatureCost
from bench.load import LoadResult
from bench.machine import commit, machine_figures
from bench.options import BenchOptions
from bench.run import figures_of, window_of
from bench.samples import Sample, Window, encoded, percentiles

EARLY = Sample(9.0, 10.5)
WITHIN = Sample(10.2, 11.2)
LATE = Sample(11.9, 12.6)
GIVEN_UP = Sample(11.5, 22.0, verified=False)
SAMPLES = [EARLY, WITHIN, LATE, GIVEN_UP]
COST = SignatureCost(sign_us=20.0, verify_us=45.0)


def test_a_closed_loop_times_what_was_verified_in_the_window() -> None:
    window = Window(10.0, 12.0)
    assert window.verified(SAMPLES) == window.timed(SAMPLES) == [EARLY, WITHIN]


def test_an_open_loop_times_what_was_due_in_the_window_given_up_or_late() -> None:
    window = Window(10.0, 12.0, open_loop=True)
    assert window.verified(SAMPLES) == [EARLY, WITHIN], "throughput is what came"
    assert window.timed(SAMPLES) == [WITHIN, LATE, GIVEN_UP]


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles(range(1_000)) == {"p50": 500, "p90": 900, "p99": 990, "p99_9": 999, "max": 999}
    assert percentiles([]) == {"p50": None, "p90": None, "p99": None, "p99_9": None, "max": None}


def test_a_histogram_is_read_by_the_library_and_seconds_add_up_to_all() -> None:
    histogram = pytest.importorskip("hdrh.histogram").HdrHistogram
    samples = [Sample(10.0 + number / 100, 10.1 + number / 50) for number in range(300)]
    window = Window(10.0, 12.0, open_loop=True)
    total = histogram(1, 3_600_000_000, 3)
    seconds = window.by_second(samples)
    for second in seconds:
        total.add(histogram.decode(second["latency_hdr"]))
    whole = histogram.decode(encoded(sample.latency_ms for sample in window.timed(samples)))
    assert total.get_total_count() == whole.get_total_count() == 200
    assert total.get_value_at_percentile(99) == whole.get_value_at_percentile(99)
    assert whole.get_value_at_percentile(50) == pytest.approx(1_095_000, rel=0.01)
    assert [second["verified"] for second in seconds] == [45, 50]


def test_latencies_out_of_range_count_at_its_ends() -> None:
    histogram = pytest.importorskip("hdrh.histogram").HdrHistogram
    text = encoded([0.0, 1e12])
    assert text is not None
    assert histogram.decode(text).get_total_count() == 2


def test_without_the_library_there_are_numbers_and_no_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def missing(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("hdrh"):
            raise ImportError(name)
        return found(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert encoded([1.0]) is None
    assert Window(0.0, 1.0).by_second([Sample(0.0, 0.5)]) == [{"verified": 1, "latency_hdr": None}]


def test_a_run_tells_throughput_unfinished_ones_and_all_that_makes_it_comparable() -> None:
    options = BenchOptions(warm_up_s=1.0, measure_s=2.0, rate_tx_per_s=2.0, seed=5)
    window = window_of(options, 9.0)
    assert (window.from_s, window.until_s, window.open_loop) == (10.0, 12.0, True)
    results = [
        LoadResult(samples=SAMPLES[:2], send_lags_ms=[1.0]),
        LoadResult(samples=SAMPLES[2:], trades=3, refused=1),
    ]
    figures = figures_of(options, window, results, COST, COST)
    assert (figures["committed_tx_per_s"], figures["rate_tx_per_s"], figures["trades_per_s"]) == (1.0, 2.0, 1.5)
    assert (figures["unfinished"], figures["refused"], figures["seed"]) == (1, 1, 5)
    assert figures["latency_ms"]["max"] == pytest.approx(10_500)
    assert figures["send_lag_ms"] == {"p50": 1.0, "p99": 1.0}
    assert figures["configuration"]["arrivals"] == "constant"
    assert figures["configuration"]["measure_s"] == 2.0


def test_the_machine_is_told() -> None:
    told = machine_figures()
    assert told["cores"] >= 1
    assert told["memory_bytes"] > 2**20
    assert told["versions"]["openssl"].startswith("OpenSSL")


def test_a_directory_that_is_no_clone_has_no_commit(tmp_path: Any) -> None:
    assert commit(tmp_path) is None
