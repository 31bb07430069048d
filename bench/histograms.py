"""Encoded histograms read back. Needs NumPy and hdrhistogram, of the extra ``bench``; ``bench.samples`` writes them."""

from __future__ import annotations

import zlib

import numpy as np
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram


class BadHistogram(Exception):
    """What was kept of latencies cannot be used; the message says why."""


def decoded(text: str | None) -> dict[int, int]:
    """How often each latency (µs) occurs. Raises ``BadHistogram``."""
    if text is None:
        raise BadHistogram("measured without hdrhistogram: pip install 'wattquorum[bench]', and measure again")
    try:
        histogram = HdrHistogram.decode(text)
    except (HdrCookieException, HdrLengthException, ValueError, zlib.error) as error:
        raise BadHistogram(f"not an HDR histogram: {error}") from None
    counts = np.frombuffer(histogram.counts, dtype=np.int64)
    return {int(histogram.get_value_from_index(int(n))): int(counts[n]) for n in np.nonzero(counts)[0]}
