"""What a report draws of runs: panels of lines, the same for pictures and for a page."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.histograms import decoded
from bench.load import PHASES
from bench.records import Record

AXES = {
    "nodes": "{} nodes",
    "outstanding": "{} outstanding",
    "batch_transactions_max": "{} a block",
    "pipeline_depth": "{} blocks at a time",
    "arrivals": "{} arrivals",
    "workload": "{}",
    "value_bytes": "{} bytes",
    "fault": "{}",
    "link_delay_ms": "{} ms of delay",
    "link_jitter_ms": "{} ms of jitter",
    "link_loss": "{:.2%} lost",
}
"""By what settings differ that are not a point of the same line, and how that is said."""
SCALING = {
    "nodes": "nodes n",
    "batch_transactions_max": "transactions of a block at most",
    "link_delay_ms": "milliseconds of delay on each link",
}
CURVES_MAX = 8
"""Settings whose percentiles are drawn; of more, so many at equal distances."""
STEPS_A_DECADE = 20
COLOURS = ("#2166ac", "#d6604d", "#1b7837", "#7b3294", "#b8860b", "#01665e", "#c51b7d", "#555555")


@dataclass(frozen=True, slots=True)
class Point:
    """The medians of all runs of one setting. ``asked``: the rate or, in a closed loop, what is in flight a client.
    ``whole``: nothing was left unfinished, so that latencies are no lower bounds."""

    asked: float
    tx_per_s: float
    p50_ms: float
    p99_ms: float
    phases_ms: dict[str, float]
    whole: bool
    runs: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Points that differ by what was asked alone."""

    name: str
    open_loop: bool
    settings: dict[str, object]
    points: tuple[Point, ...]

    @property
    def most_tx_per_s(self) -> float:
        return max(point.tx_per_s for point in self.points)


@dataclass(frozen=True, slots=True)
class Line:
    """``hollow``: places whose values are lower bounds. ``pale``: drawn under the others' weight."""

    name: str
    colour: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    hollow: frozenset[int] = frozenset()
    pale: bool = False
    marked: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram. ``ticks``: the places that the axis of x names; none: it names its own, from 0 on."""

    key: str
    title: str
    x_unit: str
    y_unit: str
    lines: tuple[Line, ...]
    x_log: bool = False
    y_log: bool = False
    note: str = ""
    ticks: dict[float, str] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.note})" if self.note else self.title


def panels(records: Sequence[Record]) -> list[Panel]:
    """Everything that these runs can show."""
    found = series_of(records)
    return [panel for make in (_curves, _percentiles, _phases, _scalings) for panel in make(found)]


# --------------------------------------------------------------------------------------------------------- the points


def series_of(records: Sequence[Record]) -> list[Series]:
    """Runs by setting, repeats of the same together."""
    grouped: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        grouped.setdefault((_is_open(record), *_settings(record).values()), []).append(record)
    several = {name for name in AXES if len({_settings(record).get(name) for record in records}) > 1}
    mixed = len({_is_open(record) for record in records}) > 1
    return [_series(group, several or {"nodes"}, mixed) for group in grouped.values()]


def _is_open(record: Record) -> bool:
    return record.rate_tx_per_s is not None


def _settings(record: Record) -> dict[str, object]:
    """All but what makes points of one line."""
    names = [name for name in AXES if name != "outstanding" or _is_open(record)]
    return {name: record.configuration.get(name) for name in names}


def _series(records: Sequence[Record], told: set[str], mixed: bool) -> Series:
    settings, by_asked = _settings(records[0]), dict[float, list[Record]]()
    for record in records:
        asked = record.rate_tx_per_s or float(record.configuration["outstanding"])
        by_asked.setdefault(asked, []).append(record)
    words = [AXES[name].format(value) for name, value in settings.items() if name in told and value is not None]
    loop = ["open loop" if _is_open(records[0]) else "closed loop"] if mixed else []
    points = tuple(_point(asked, runs) for asked, runs in sorted(by_asked.items()))
    return Series(", ".join([*words, *loop]), _is_open(records[0]), settings, points)


def _point(asked: float, runs: Sequence[Record]) -> Point:
    return Point(
        asked=asked,
        tx_per_s=_median(run.settled.committed_tx_per_s for run in runs),
        p50_ms=_median(run.settled.latency_ms["p50"] for run in runs),
        p99_ms=_median(run.settled.latency_ms["p99"] for run in runs),
        phases_ms={name: _median(run.phases_ms[name]["p50"] for run in runs) for name in PHASES},
        whole=not any(run.unfinished for run in runs),
        runs=tuple(runs),
    )


def _median(values: Iterable[float | None]) -> float:
    """Of those that there are; a point without a value is not drawn."""
    told = [value for value in values if value is not None]
    return statistics.median(told) if told else math.nan


# --------------------------------------------------------------------------------------------------------- the panels


def _curves(found: Sequence[Series]) -> Iterator[Panel]:
    lines = [line for series, colour in _coloured(found) for line in _curve(series, colour)]
    yield Panel(
        "throughput-latency", "Latency by throughput", "verified transactions a second", "milliseconds", tuple(lines),
        y_log=True, note="hollow: a lower bound, something was unfinished" * any(line.hollow for line in lines),
    )  # fmt: skip


def _curve(series: Series, colour: str) -> Iterator[Line]:
    x = tuple(point.tx_per_s for point in series.points)
    hollow = frozenset(number for number, point in enumerate(series.points) if not point.whole)
    yield Line(f"{series.name}: p50", colour, x, tuple(point.p50_ms for point in series.points), hollow)
    yield Line(f"{series.name}: p99", colour, x, tuple(point.p99_ms for point in series.points), hollow, pale=True)


def _percentiles(found: Sequence[Series]) -> Iterator[Panel]:
    told = [
        (f"{series.name}, {point.asked:g} {'a second' if series.open_loop else 'in flight'}", point)
        for series in found
        for point in series.points
        if all(second.latency_hdr is not None for run in point.runs for second in run.by_second)
    ]
    chosen = told[:: math.ceil(len(told) / CURVES_MAX)] if told else []
    lines = [_spectrum(name, point, COLOURS[number % len(COLOURS)]) for number, (name, point) in enumerate(chosen)]
    if lines:
        yield Panel(
            "latency-percentiles", "Latency by percentile", "percentile", "milliseconds", tuple(lines), x_log=True,
            y_log=True, ticks={1.0: "0", 2.0: "50", 10.0: "90", 100.0: "99", 1_000.0: "99.9", 10_000.0: "99.99"},
        )  # fmt: skip


def _spectrum(name: str, point: Point, colour: str) -> Line:
    """Over 1 / (1 - p), as far as there are transactions beyond the percentile."""
    counts: Counter[int] = Counter()
    for run in point.runs:
        for second in run.by_second:
            counts.update(decoded(second.latency_hdr or ""))
    values, total = sorted(counts), counts.total()
    steps = range(int(STEPS_A_DECADE * math.log10(max(1, total))) + 1)
    x = tuple(10 ** (step / STEPS_A_DECADE) for step in steps)
    return Line(name, colour, x, tuple(_at(values, counts, total * (1 - 1 / each)) for each in x), marked=False)


def _at(values: Sequence[int], counts: Counter[int], rank: float) -> float:
    """The latency (ms) that ``rank`` are not above."""
    below = 0
    for value in values:
        below += counts[value]
        if below > rank:
            return value / 1_000
    return values[-1] / 1_000


def _phases(found: Sequence[Series]) -> Iterator[Panel]:
    """Of each series with several points."""
    for number, series in enumerate(series for series in found if len(series.points) > 1):
        x = tuple(point.asked for point in series.points)
        lines = tuple(
            Line(phase, colour, x, tuple(point.phases_ms[phase] for point in series.points))
            for phase, colour in zip(PHASES, COLOURS, strict=False)
        )
        unit = "transactions that are due a second" if series.open_loop else "transactions in flight a client"
        title = f"Where the time goes (medians): {series.name}"
        yield Panel(f"phases-{number + 1}", title, unit, "milliseconds", lines, y_log=True)


def _scalings(found: Sequence[Series]) -> Iterator[Panel]:
    for axis, unit in SCALING.items():
        if len({series.settings[axis] for series in found} - {None}) > 1:
            yield _scaling(found, axis, unit)


def _scaling(found: Sequence[Series], axis: str, unit: str) -> Panel:
    """The most that each setting verified, over one axis, a line for each of the other settings."""
    groups: dict[str, dict[float, float]] = {}
    for series in found:
        if isinstance(value := series.settings[axis], int):
            others = {name: other for name, other in series.settings.items() if name != axis and other is not None}
            words = [AXES[name].format(other) for name, other in others.items() if _differs(found, name)]
            groups.setdefault(", ".join(words) or "throughput", {})[value] = series.most_tx_per_s
    lines = [
        Line(name, COLOURS[number % len(COLOURS)], tuple(sorted(of)), tuple(of[at] for at in sorted(of)))
        for number, (name, of) in enumerate(groups.items())
    ]
    return Panel(
        f"scaling-{axis}", f"Throughput by {unit}", unit, "verified transactions a second", tuple(lines),
        ticks={at: f"{at:g}" for line in lines for at in line.x},
    )  # fmt: skip


def _differs(found: Sequence[Series], name: str) -> bool:
    return len({series.settings.get(name) for series in found}) > 1


def _coloured(found: Iterable[Series]) -> Iterator[tuple[Series, str]]:
    for number, series in enumerate(found):
        yield series, COLOURS[number % len(COLOURS)]
