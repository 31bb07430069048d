"""Whether a run was steady once it was warm, and from when on.

The rule has two parts. What comes before the *cut* is the transient: MSER-5 (White, Simulation 69(6), 1997; Hoad,
Robinson and Davies, J. Oper. Res. Soc. 61(9), 2010) means each five observations in a row and cuts where the standard
error of the rest's mean would be least; beyond the middle, that is no steady state. The observations are latencies in
the order in which their transactions ended, and receipts in a fifth of a second; the later cut of the two counts. What
is left must then have no trend: the test of Mann (1945) and Kendall (1975), on means of a second, at a level of 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.samples import Sample, Window, percentiles

BATCH = 5
"""Observations to a mean."""
TICK_S = 0.2
"""Five make a second."""
LEVEL = 0.01
SECONDS_MIN = 8
"""Of the rest, for a test of its trend: fewer say nothing at this level."""


@dataclass(frozen=True, slots=True)
class Cut:
    """At how many observations, and whether that is a steady state's beginning."""

    at: int
    found: bool


def mser5(observations: Sequence[float]) -> Cut:
    """Where the transient ends. With fewer than two means there is nothing to say."""
    means = [fmean(observations[n : n + BATCH]) for n in range(0, len(observations) - BATCH + 1, BATCH)]
    if len(means) < 2:
        return Cut(0, False)
    best, least = 0, math.inf
    total = squares = 0.0
    for start in range(len(means) - 1, -1, -1):
        total += means[start]
        squares += means[start] ** 2
        left = len(means) - start
        if left > BATCH or left == len(means):  # a handful at the end is alike by chance
            error = max(0.0, squares - total**2 / left) / left**2
            if error <= least:
                best, least = start, error
    return Cut(best * BATCH, best <= len(means) // 2)


def trend_p(values: Sequence[float]) -> float:
    """The two-sided p of the Mann–Kendall test for a trend, corrected for ties; 1 for equal values."""
    n = len(values)
    s = sum((later > earlier) - (later < earlier) for i, earlier in enumerate(values) for later in values[i + 1 :])
    ties = [values.count(value) for value in set(values)]
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    if variance <= 0:
        return 1.0
    z = max(0, abs(s) - 1) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def steadiness(samples: Sequence[Sample], window: Window) -> dict[str, Any]:
    """Whether the run was steady, ``why`` it was not, and what it did after the cut."""
    ended = sorted(window.verified(samples), key=lambda sample: sample.ended_s)
    by_latency = mser5([sample.latency_ms for sample in ended])
    by_count = mser5(_counts(ended, window.from_s, window.until_s, TICK_S))
    since_s = window.from_s if not by_latency.at else ended[by_latency.at].ended_s
    cut_s = max(since_s - window.from_s, by_count.at * TICK_S)
    rest = Window(window.from_s + cut_s, window.until_s, window.open_loop)
    left = [sample for sample in ended if rest.has(sample.ended_s)]
    trends = {
        "throughput": trend_p(_counts(left, rest.from_s, rest.until_s, 1.0)),
        "latency": trend_p(_means(left, rest.from_s, rest.until_s)),
    }
    why = _why(by_latency.found and by_count.found, rest.until_s - rest.from_s, trends)
    return {
        "steady": not why,
        "why": why,
        "cut_s": round(cut_s, 2),
        "committed_tx_per_s": round(len(left) / (rest.until_s - rest.from_s), 1),
        "latency_ms": percentiles(sample.latency_ms for sample in rest.timed(samples)),
        "trend_p": {name: round(p, 4) for name, p in trends.items()},
    }


def _why(found: bool, left_s: float, trends: dict[str, float]) -> str:
    if left_s < SECONDS_MIN:
        return f"less than {SECONDS_MIN} s are left after the transient"
    if not found:
        return "the transient takes more than half of the time"
    moving = [name for name, p in trends.items() if p < LEVEL]
    return f"{' and '.join(moving)} rise or fall" if moving else ""


def _counts(ended: Sequence[Sample], from_s: float, until_s: float, each_s: float) -> list[float]:
    """Receipts in each stretch of so many seconds; one at the end that is not whole is left out."""
    counts = [0.0] * int((until_s - from_s) / each_s + 1e-6)
    for sample in ended:
        if (stretch := int((sample.ended_s - from_s) / each_s)) < len(counts):
            counts[stretch] += 1
    return counts


def _means(ended: Sequence[Sample], from_s: float, until_s: float) -> list[float]:
    """Latencies by whole seconds, those without any left out."""
    seconds: list[list[float]] = [[] for _ in range(int(until_s - from_s + 1e-6))]
    for sample in ended:
        if (second := int(sample.ended_s - from_s)) < len(seconds):
            seconds[second].append(sample.latency_ms)
    return [fmean(found) for found in seconds if found]
