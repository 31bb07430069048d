"""Plots of a run as SVG: what clients got through the fault, blocks, and who was in which view when.

Drawn by hand, so that a report needs no plotting library and is one file of a few kilobytes a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from faults.observation import Observation, Strike

WIDTH_PX, HEIGHT_PX = 920, 190
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 64, 16, 26, 34
BINS_MAX = 80
BIN_MS_MIN = 250
TICKS = 12
TIME_STEPS_MS = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000)
TAIL_MS = 1_500
"""How much after the recovery is drawn."""
ENDED_BY = {"start", "join", "unclog"}
"""Entries of a timeline that end others: lines, no bands."""
BLUE, ORANGE, GREY, RED = "#2166ac", "#d6604d", "#777777", "#b2182b"
OF_NODES = (
    "#2166ac", "#d6604d", "#1b7837", "#762a83", "#8c510a", "#01665e", "#c51b7d", "#4d4d4d", "#b8860b", "#7fbf7b",
)  # fmt: skip
LEGEND_MAX = 10
"""Nodes that a legend names: as many as real processes may be."""
STACK_PX, LINE_PX = 26, 3.0
"""The lines of nodes in one view lie above each other: so much together, and so far apart, at most."""
LABEL_PX = 14
HALO = 'stroke="white" stroke-width="3" paint-order="stroke"'
"""Keeps text readable where lines cross it."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where times and values are drawn."""

    end_ms: int
    top: float
    head_px: float = 0
    """Left free above the highest value."""

    def x(self, ms: float) -> float:
        return round(LEFT_PX + (WIDTH_PX - LEFT_PX - RIGHT_PX) * min(ms, self.end_ms) / self.end_ms, 1)

    def y(self, value: float) -> float:
        return round(HEIGHT_PX - BOTTOM_PX - self.step_px * value, 1)

    @property
    def step_px(self) -> float:
        return (HEIGHT_PX - TOP_PX - BOTTOM_PX - self.head_px) / self.top


def throughput(run: Observation) -> str:
    """Acknowledged operations a second as bars, blocks a second as a line."""
    end_ms = _end_ms(run)
    bin_ms = max(BIN_MS_MIN, end_ms // BINS_MAX // BIN_MS_MIN * BIN_MS_MIN)
    answered = _rates([o.answered_ms for o in run.operations if o.answered_ms is not None], bin_ms, end_ms)
    blocks = _rates([commit.at_ms for commit in run.commits], bin_ms, end_ms)
    frame = _Frame(end_ms, max([*answered, *blocks, 1.0]) * 1.1)
    floor = frame.y(0)
    parts = [*_bands(run, frame)]
    for number, value in enumerate(answered):
        x, width = frame.x(number * bin_ms), frame.x((number + 1) * bin_ms) - frame.x(number * bin_ms) - 1
        y = frame.y(value)
        parts.append(f'<rect x="{x}" y="{y}" width="{max(1, width):.1f}" height="{floor - y:.1f}" fill="{BLUE}"/>')
    points = " ".join(f"{frame.x((n + 0.5) * bin_ms)},{frame.y(value)}" for n, value in enumerate(blocks))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{ORANGE}" stroke-width="1.5"/>')
    legend = (("operations acknowledged a second", BLUE), ("blocks a second", ORANGE))
    return _svg("Throughput through the fault", frame, parts, legend, _ticks(frame.top))


def views(run: Observation) -> str:
    """A line a node: the view that it is in, thin and pale while it has left one and waits for the next."""
    end_ms = _end_ms(run)
    stands = [stand for stand in run.stands if stand.at_ms <= end_ms]
    steps = sorted({(stand.epoch, stand.view) for stand in stands}) or [(0, 0)]
    number = {step: place for place, step in enumerate(steps)}
    frame = _Frame(end_ms, max(len(steps) - 1, 1), STACK_PX + LABEL_PX)
    apart_px = min(LINE_PX, STACK_PX / run.nodes, frame.step_px / (run.nodes + 1))
    parts: list[str] = []
    for node in range(run.nodes):
        own = [(s.at_ms, number[s.epoch, s.view], s.active) for s in stands if s.node == node]
        parts += _steps(own, node, frame, apart_px)
    parts += _bands(run, frame)
    legend = [(f"node {n}{' (liar)' if n in run.liars else ''}", OF_NODES[n % len(OF_NODES)]) for n in range(run.nodes)]
    several = len({epoch for epoch, _ in steps}) > 1
    labels = [(number[step], f"e{step[0]} v{step[1]}" if several else f"view {step[1]}") for step in steps]
    return _svg("View over time", frame, parts, legend[:LEGEND_MAX], labels[:: max(1, len(labels) // TICKS)])


def _steps(own: Sequence[tuple[int, int, bool]], node: int, frame: _Frame, apart_px: float) -> Iterator[str]:
    colour, shift = OF_NODES[node % len(OF_NODES)], apart_px * node
    for place, (at_ms, step, active) in enumerate(own):
        until_ms, following = own[place + 1][:2] if place + 1 < len(own) else (frame.end_ms, step)
        y = round(frame.y(step) - shift, 1)
        style = 'stroke-width="2.2"' if active else 'stroke-width="1" stroke-dasharray="3 3"'
        yield f'<path d="M{frame.x(at_ms)} {y}H{frame.x(until_ms)}" fill="none" stroke="{colour}" {style}/>'
        if following != step:
            x = frame.x(until_ms)
            yield f'<path d="M{x} {y}V{frame.y(following) - shift:.1f}" stroke="{colour}" stroke-width="0.8"/>'


def _end_ms(run: Observation) -> int:
    """The end of what is drawn: a while after all was well, or the run's."""
    if run.settled_ms is None:
        return max(run.ended_ms, 1)
    return min(run.ended_ms, run.faults_end_ms + run.settled_ms + TAIL_MS)


def _rates(times_ms: Iterable[int], bin_ms: int, end_ms: int) -> list[float]:
    counts = [0] * (end_ms // bin_ms + 1)
    for at_ms in times_ms:
        if at_ms <= end_ms:
            counts[at_ms // bin_ms] += 1
    return [count * 1_000 / bin_ms for count in counts]


def _bands(run: Observation, frame: _Frame) -> Iterator[str]:
    """Where faults last, and where all of them have ended."""
    for strike in run.struck:
        yield from _band(strike, run, frame)
    x = frame.x(run.faults_end_ms)
    yield f'<path d="M{x} {TOP_PX}V{HEIGHT_PX - BOTTOM_PX}" stroke="{GREY}" stroke-dasharray="4 3"/>'
    yield f'<text x="{x - 3}" y="{TOP_PX + 10}" text-anchor="end" fill="{GREY}" {HALO}>faults end</text>'


def _band(strike: Strike, run: Observation, frame: _Frame) -> Iterator[str]:
    until_ms = min(run.faults_end_ms, run.faults_end_ms if strike.ended_ms is None else strike.ended_ms)
    x, height = frame.x(strike.at_ms), HEIGHT_PX - TOP_PX - BOTTOM_PX
    nodes = ", ".join(map(str, strike.nodes))
    title = escape(f"{strike.kind} {nodes} at {strike.at_ms} ms")
    if strike.kind not in ENDED_BY and strike.ended_ms is not None:
        width = max(1.0, frame.x(until_ms) - x)
        yield (
            f'<rect x="{x}" y="{TOP_PX}" width="{width:.1f}" height="{height}" fill="{RED}" opacity="0.1">'
            f"<title>{title}</title></rect>"
        )
    yield f'<path d="M{x} {TOP_PX}v{height}" stroke="{RED}" opacity="0.6"><title>{title}</title></path>'


def _ticks(top: float) -> list[tuple[float, str]]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000) if top / step <= 5 or step == 1_000)
    return [(value, str(value)) for value in range(0, int(top) + 1, step)]


def _svg(
    title: str,
    frame: _Frame,
    parts: Sequence[str],
    legend: Sequence[tuple[str, str]],
    labels: Sequence[tuple[float, str]],
) -> str:
    floor, right = HEIGHT_PX - BOTTOM_PX, WIDTH_PX - RIGHT_PX
    lines = [
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{title}" font-size="11">',
        f'<text x="{LEFT_PX}" y="14" font-weight="600">{title}</text>',
    ]
    x = LEFT_PX + 210
    for name, colour in legend:
        lines.append(f'<text x="{x}" y="14" fill="{colour}">{name}</text>')
        x += round(6.2 * len(name)) + 12
    for value, label in labels:
        y = frame.y(value)
        lines.append(f'<path d="M{LEFT_PX} {y}H{right}" stroke="#e5e5e5"/>')
        lines.append(f'<text x="{LEFT_PX - 6}" y="{y + 4}" text-anchor="end" fill="{GREY}">{label}</text>')
    step_ms = next(step for step in TIME_STEPS_MS if frame.end_ms / step <= TICKS or step == TIME_STEPS_MS[-1])
    lines += [
        f'<text x="{frame.x(ms)}" y="{floor + 16}" text-anchor="middle" fill="{GREY}">{ms / 1_000:g} s</text>'
        for ms in range(0, frame.end_ms + 1, step_ms)
    ]
    lines += [*parts, f'<path d="M{LEFT_PX} {floor}H{right}" stroke="{GREY}"/>', "</svg>"]
    return "\n".join(lines)
