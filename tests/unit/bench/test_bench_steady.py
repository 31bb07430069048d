"""Whether a run was steady: known series, and the rule on runs that are, begin slowly, rise, or are short."""

from __future__ import annotations

import random

import msgspec
import pytest
from bench_runs import run_json

from bench.records import Record
from bench.samples import Sample, Window
from bench.steady import LEVEL, mser5, steadiness, trend_p
from cli.bench_report import caption


def noise(count: int, level: float = 100.0, spread: float = 5.0, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(level, spread) for _ in range(count)]


def test_mser5_cuts_a_transient_and_nothing_else() -> None:
    slow = [300.0 - 2 * n for n in range(100)]
    found = mser5(slow + noise(900))
    assert found.found
    assert 80 <= found.at <= 130
    assert mser5(noise(1_000)).at < 500


def test_mser5_finds_no_steady_state_where_there_is_none() -> None:
    assert not mser5([float(n) for n in range(1_000)]).found
    assert not mser5([1.0] * 9).found, "one mean says nothing"


def test_equal_observations_are_steady_from_the_beginning_on() -> None:
    found = mser5([7.0] * 100)
    assert (found.at, found.found) == (0, True)


@pytest.mark.parametrize(
    ("values", "p"),
    [
        # s = 45, var = 125: z = 44 / 11.18
        (list(range(10)), 8.3e-5),
        (list(range(10, 0, -1)), 8.3e-5),
        # s = 0: as much up as down
        ([1, 2, 3, 3, 2, 1], 1.0),
        ([5] * 10, 1.0),
    ],
)
def test_the_trend_test_gives_the_published_values(values: list[float], p: float) -> None:
    assert trend_p(values) == pytest.approx(p, rel=0.02)


def test_the_trend_test_errs_as_often_as_its_level_says() -> None:
    wrong = sum(trend_p(noise(20, seed=seed)) < LEVEL for seed in range(1_000))
    assert wrong < 30


def samples(seconds: int, tx_per_s: float = 50.0, latency_ms: float = 100.0, rise: float = 0.0) -> list[Sample]:
    """Transactions that end at random moments; ``rise``: of latency, a second."""
    chance, made, at_s = random.Random(3), [], 100.0
    while at_s < 100.0 + seconds:
        at_s += chance.expovariate(tx_per_s)
        latency_s = (latency_ms + rise * (at_s - 100.0)) * chance.lognormvariate(0.0, 0.2) / 1_000
        made.append(Sample(at_s - latency_s, at_s))
    return made


def test_a_run_that_stands_still_is_steady() -> None:
    told = steadiness(samples(30), Window(100.0, 130.0))
    assert told["steady"], told
    assert told["why"] == ""
    assert told["committed_tx_per_s"] == pytest.approx(50, rel=0.1)


def test_a_slow_beginning_is_cut() -> None:
    late = [Sample(sample.from_s + 8.0, sample.ended_s + 8.0) for sample in samples(52)]
    early = samples(8, tx_per_s=5.0, latency_ms=900.0)
    told = steadiness(early + late, Window(100.0, 160.0))
    assert told["steady"], told
    assert 7.0 <= told["cut_s"] <= 12.0
    assert told["committed_tx_per_s"] == pytest.approx(50, rel=0.1)
    assert told["latency_ms"]["p99"] < 250


def test_a_latency_that_rises_is_not_steady() -> None:
    told = steadiness(samples(30, rise=20.0), Window(100.0, 130.0))
    assert not told["steady"]
    assert told["why"]


def test_a_short_run_and_an_empty_one_say_nothing() -> None:
    assert "8 s" in steadiness(samples(5), Window(100.0, 105.0))["why"]
    told = steadiness([], Window(100.0, 130.0))
    assert (told["steady"], told["committed_tx_per_s"], told["latency_ms"]["p50"]) == (False, 0.0, None)


def test_a_report_draws_what_a_steady_run_did_after_the_cut() -> None:
    after = {"cut_s": 3.0, "committed_tx_per_s": 60.0, "latency_ms": {"p50": 1.0, "p99": 2.0}}
    steady, moving = (msgspec.convert(run_json(steady=steady, steady_state=after), Record) for steady in (True, False))
    assert steady.settled.committed_tx_per_s == 60.0
    assert moving.settled.committed_tx_per_s == moving.committed_tx_per_s
    assert "2 runs, 1 of 2 steady" in caption([steady, moving])
    assert "steady" not in caption([msgspec.convert(run_json(), Record)])
