"""Two settings or two versions against each other: ratios of their runs' figures, each with an interval by bootstrap.

What is drawn again, with replacement, are runs and, within a run, stretches of seconds: transactions of one block are
late together, and so are those of seconds in a row, so that neither may count as independent. A stretch of a run of n
seconds has about the cube root of n, the usual order (Hall, Horowitz and Jing, 1995, "On blocking rules for the
bootstrap with dependent data"). Needs NumPy and hdrhistogram, of the extra ``bench``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.histograms import decoded
from bench.records import Record
from bench.samples import PERCENTILES

ROUNDS = 2_000
ROUNDS_AT_ONCE = 100
"""So many rounds' histograms are in memory at a time."""
SEED = 20_260_101
SECONDS_MIN = 4
"""Whole seconds that a run must have: with fewer there is nothing to draw from."""
LOW, HIGH = 2.5, 97.5
"""Percentiles between which 95 % of the drawn ratios lie."""
TELLING = ("commit", "version", "versions", "python", "cores", "machine", "cpu", "system")
"""What of two runs should be equal, beside their configuration, or is what is compared."""

CPU = "node_cpu_ms_per_tx"

Floats = NDArray[np.float64]


class Incomparable(Exception):
    """Runs that say too little; the message says why."""


class Compared(msgspec.Struct, frozen=True):
    """One figure of both sides, B's as a ratio to A's, and its 95 % interval; none for what a single run tells once."""

    figure: str
    a: float
    b: float
    ratio: float
    interval: tuple[float, float] | None


class Difference(msgspec.Struct, frozen=True):
    """What differs between the two sides, by name, and the values on each."""

    name: str
    a: list[Any]
    b: list[Any]


class Comparison(msgspec.Struct, frozen=True):
    """Whether the runs' own trouble makes it worthless is said by ``unfinished`` and ``failed``, of A and of B."""

    figures: list[Compared]
    differences: list[Difference]
    runs: tuple[int, int]
    unfinished: tuple[int, int]
    failed: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Run:
    """A run's stretches: how many receipts in each, how many seconds, and how often each latency occurs."""

    verified: Floats
    seconds: Floats
    counts: Floats
    limit_tx_per_s: float
    node_cpu_ms: float


def compare(a: Sequence[Record], b: Sequence[Record], paired: bool = False) -> Comparison:
    """B against A. ``paired``: each of B's runs was made beside the one of A that has its place, and both are drawn
    together, so that a machine that drifts does not widen the intervals. Raises ``Incomparable``, ``BadHistogram``."""
    if paired and len(a) != len(b):
        raise Incomparable(f"pairs need as many runs on each side, not {len(a)} and {len(b)}")
    axis, sides = _decoded([a, b])
    points = [_figures(side, [np.ones((1, len(run.verified))) for run in side], axis) for side in sides]
    rounds = [
        [_figures(side, weights, axis) for side, weights in zip(sides, of_sides, strict=True)]
        for of_sides in _draws([[len(run.verified) for run in side] for side in sides], paired)
    ]
    several = len(a) > 1 and len(b) > 1

    def compared(figure: str) -> Compared:
        drawn = [np.concatenate([found[side][figure] for found in rounds]) for side in (0, 1)]
        return _compared(figure, [point[figure] for point in points], drawn if several or figure != CPU else None)

    return Comparison(
        figures=[compared(figure) for figure in points[0] if figure in points[1]],
        differences=differences(a, b),
        runs=(len(a), len(b)),
        unfinished=(sum(run.unfinished for run in a), sum(run.unfinished for run in b)),
        failed=(sum(run.failed for run in a), sum(run.failed for run in b)),
    )


def differences(a: Sequence[Record], b: Sequence[Record]) -> list[Difference]:
    """What is not the same in all runs, by its values on each side."""

    def values(runs: Sequence[Record], name: str) -> list[Any]:
        told = [run.configuration.get(name) if name not in TELLING else getattr(run, name) for run in runs]
        return [value for number, value in enumerate(told) if value not in told[:number]]

    names = [*TELLING, *dict.fromkeys(name for run in (*a, *b) for name in run.configuration)]
    found = [Difference(name, values(a, name), values(b, name)) for name in names]
    return [each for each in found if each.a != each.b or len(each.a) > 1]


# ------------------------------------------------------------------------------------------------- what is drawn from


def _decoded(sides: Sequence[Sequence[Record]]) -> tuple[Floats, list[list[_Run]]]:
    """All latencies that occur, ascending, in ms, and each side's runs on that axis."""
    histograms = [[[decoded(second.latency_hdr) for second in run.by_second] for run in side] for side in sides]
    occurring = sorted({value for side in histograms for run in side for second in run for value in second})
    place = {value: number for number, value in enumerate(occurring)}
    axis = np.array(occurring, dtype=np.float64) / 1_000
    return axis, [
        [_run(run, found, place) for run, found in zip(side, of_side, strict=True)]
        for side, of_side in zip(sides, histograms, strict=True)
    ]


def _run(record: Record, latencies: Sequence[dict[int, int]], place: dict[int, int]) -> _Run:
    seconds = len(record.by_second)
    if seconds < SECONDS_MIN:
        raise Incomparable(f"a run of {seconds} whole seconds; {SECONDS_MIN} are needed at least")
    if not any(latencies) or not sum(second.verified for second in record.by_second):
        raise Incomparable("a run in which nothing was verified")
    length = int(np.cbrt(seconds) + 1e-9)
    starts = list(range(0, seconds, length))
    counts = np.zeros((len(starts), len(place)))
    for second, found in enumerate(latencies):
        for value, count in found.items():
            counts[second // length, place[value]] += count
    verified = np.array([second.verified for second in record.by_second], dtype=np.float64)
    return _Run(
        verified=np.add.reduceat(verified, starts),
        seconds=np.add.reduceat(np.ones(seconds), starts),
        counts=counts,
        limit_tx_per_s=record.signature_limit_tx_per_s,
        node_cpu_ms=record.node_cpu_ms_per_tx,
    )


# --------------------------------------------------------------------------------------------------------- the draws


def _draws(stretches: Sequence[Sequence[int]], paired: bool) -> Iterator[list[list[Floats]]]:
    """How often each stretch is drawn: by side, by run, a row a round; ``ROUNDS`` rounds in all, some at a time."""
    random = np.random.default_rng(SEED)
    for _ in range(ROUNDS // ROUNDS_AT_ONCE):
        runs = [_drawn(random, ROUNDS_AT_ONCE, np.full(ROUNDS_AT_ONCE, len(side)), len(side)) for side in stretches]
        runs = [runs[0], runs[0]] if paired else runs
        yield [
            [_drawn(random, ROUNDS_AT_ONCE, times[:, run] * of_run, of_run) for run, of_run in enumerate(side)]
            for side, times in zip(stretches, runs, strict=True)
        ]


def _drawn(random: np.random.Generator, rounds: int, draws: NDArray[np.int64], of: int) -> Any:
    """In each round so many ``draws`` from ``of`` equal things: how often each comes."""
    return random.multinomial(draws, np.full(of, 1 / of), size=rounds)


def _figures(side: Sequence[_Run], weights: Sequence[Floats], axis: Floats) -> dict[str, Floats]:
    """Each figure in each round. ``weights``: by run, a row a round, how often each stretch counts."""
    pairs = list(zip(side, weights, strict=True))
    verified = _sum(each @ run.verified for run, each in pairs)
    limited = _sum(each @ run.verified / run.limit_tx_per_s for run, each in pairs)
    seconds = _sum(each @ run.seconds for run, each in pairs)
    before = _sum(each @ run.counts for run, each in pairs).cumsum(axis=1)
    times = [each.sum(axis=1) / len(run.verified) for run, each in pairs]
    cpu_ms = _sum(number * run.node_cpu_ms for number, run in zip(times, side, strict=True))
    latencies = {
        f"latency_ms_{name}": axis[(before > share * before[:, -1:]).argmax(axis=1)]
        for name, share in PERCENTILES.items()
    }
    return {
        "committed_tx_per_s": verified / seconds,
        "ratio_to_signature_limit": limited / seconds,
        **latencies,
        **({CPU: cpu_ms / _sum(times)} if all(run.node_cpu_ms for run in side) else {}),
    }


def _sum(terms: Iterable[Floats]) -> Floats:
    return reduce(np.add, terms)


def _compared(figure: str, points: Sequence[Floats], drawn: Sequence[Floats] | None) -> Compared:
    """``drawn``: the figure in each round, of A and of B; None for no interval."""
    a, b = (float(point[0]) for point in points)
    interval = None
    if drawn is not None:
        ratios = np.divide(drawn[1], drawn[0], out=np.full_like(drawn[1], np.inf), where=drawn[0] > 0)
        low, high = np.percentile(ratios, [LOW, HIGH])
        interval = (round(float(low), 3), round(float(high), 3))
    return Compared(figure, round(a, 4), round(b, 4), round(b / a, 3), interval)
