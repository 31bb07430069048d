"""What clients saw of each transaction, and what follows: throughput, percentiles, histograms second by second.

Percentiles are of the samples themselves, exact. Beside them stand HDR histograms (https://hdrhistogram.org), which
other tools read and which can be added up; they need the extra ``bench`` and are left out without it
(docs/decisions/0010-latency-histograms.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
LATENCY_US_MAX = 3_600_000_000
"""An hour: the longest latency that a histogram tells apart."""
DIGITS = 3
"""Significant ones in a histogram: values are within a thousandth."""


class Sample(NamedTuple):
    """One transaction, by the wall clock in seconds.

    ``from_s``: when its latency begins, at its submission in a closed loop and when it was due in an open one.
    ``ended_s``: when its receipt had verified or, where ``verified`` is false, when it was given up.
    """

    from_s: float
    ended_s: float
    verified: bool = True

    @property
    def latency_ms(self) -> float:
        return (self.ended_s - self.from_s) * 1_000


@dataclass(frozen=True, slots=True)
class Window:
    """The measured time, by the wall clock. ``open_loop``: latencies are of what was due in it, given up or not; else
    of what was verified in it."""

    from_s: float
    until_s: float
    open_loop: bool = False

    def has(self, moment_s: float) -> bool:
        return self.from_s <= moment_s < self.until_s

    def verified(self, samples: Iterable[Sample]) -> list[Sample]:
        return [sample for sample in samples if sample.verified and self.has(sample.ended_s)]

    def timed(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those whose latency counts."""
        if self.open_loop:
            return [sample for sample in samples if self.has(sample.from_s)]
        return self.verified(samples)

    def by_second(self, samples: Sequence[Sample]) -> list[dict[str, Any]]:
        """What was verified in each second, and a histogram of the latencies that count to it. A last second that is
        not whole is left out."""
        seconds = int(self.until_s - self.from_s)
        counts, latencies = [0] * seconds, [list[float]() for _ in range(seconds)]
        for sample in self.verified(samples):
            if (second := int(sample.ended_s - self.from_s)) < seconds:
                counts[second] += 1
        for sample in self.timed(samples):
            moment_s = sample.from_s if self.open_loop else sample.ended_s
            if (second := int(moment_s - self.from_s)) < seconds:
                latencies[second].append(sample.latency_ms)
        return [
            {"verified": count, "latency_hdr": encoded(found)} for count, found in zip(counts, latencies, strict=True)
        ]


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """By name, and the greatest; null where there is no value."""
    ordered = sorted(values)
    found = {name: percentile(ordered, share) for name, share in PERCENTILES.items()}
    return {**found, "max": round(ordered[-1], 2) if ordered else None}


def latency_of(values: list[float]) -> dict[str, float | None]:
    """The median and the 99th percentile."""
    ordered = sorted(values)
    return {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99)}


def percentile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None


def encoded(latencies_ms: Iterable[float]) -> str | None:
    """An HDR histogram of microseconds, compressed, as text; None without the library."""
    try:
        from hdrh.histogram import HdrHistogram
    except ImportError:
        return None
    histogram = HdrHistogram(1, LATENCY_US_MAX, DIGITS)
    for latency_ms in latencies_ms:
        histogram.record_value(min(LATENCY_US_MAX, max(1, round(latency_ms * 1_000))))
    text: bytes = histogram.encode()
    return text.decode("ascii")
