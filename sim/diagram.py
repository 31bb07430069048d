"""Message-sequence diagrams as SVG: a column a node, time downwards, an arrow for each message that arrived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from pbft.messages import Message, decode_message, split_frame
from sim.transcript import CHATTER, told
from sim.world import Arrived, World

COLUMN_PX = 250
MARGIN_PX = 90
TOP_PX = 50
STEP_PX_MIN, STEP_PX_MAX = 7, 34
"""Between two moments: longer pauses are drawn longer, but no longer than this."""
ARROWS_MAX = 400
LABEL_CHARS_MAX = 60
HALO = 'stroke="white" stroke-width="3" paint-order="stroke"'
"""Keeps text readable where arrows cross it."""
COLOURS = {
    "Proposal": "#1f6feb",
    "Prepare": "#2da44e",
    "Commit": "#8250df",
    "Outcome": "#9a6700",
    "Complaint": "#cf222e",
    "ViewChange": "#bc4c00",
    "NewView": "#bf3989",
}
OTHER_COLOUR = "#57606a"
LABELLED = frozenset({"Proposal", "ViewChange", "NewView", "CertifiedBlock", "Manifest", "Complaint"})
"""Kinds whose arrows carry their text; the others' colours say enough."""


@dataclass(frozen=True, slots=True)
class _Arrow:
    sent_ms: int
    at_ms: int
    place: int
    to: int
    message: Message


def diagram(world: World, from_ms: int = 0, to_ms: int | None = None, *, chatter: bool = False) -> str:
    """The last ``ARROWS_MAX`` messages between the two moments, drawn. The world was told to keep what arrives."""
    assert world.arrived is not None, "the world keeps what arrives"
    arrows = [
        arrow
        for arrow in map(_arrow, world.arrived)
        if from_ms <= arrow.sent_ms and (to_ms is None or arrow.at_ms <= to_ms)
        if chatter or not isinstance(arrow.message, CHATTER)
    ][-ARROWS_MAX:]
    first = min((arrow.sent_ms for arrow in arrows), default=from_ms)
    last = max((arrow.at_ms for arrow in arrows), default=from_ms)
    notes = [(at_ms, text) for at_ms, text in world.notes if first <= at_ms <= last]
    return _Drawing(world, arrows, notes).svg()


def _arrow(arrived: Arrived) -> _Arrow:
    message = decode_message(split_frame(arrived.frame)[1])
    return _Arrow(arrived.sent_ms, arrived.at_ms, arrived.place, arrived.to, message)


class _Drawing:
    def __init__(self, world: World, arrows: Sequence[_Arrow], notes: Sequence[tuple[int, str]]) -> None:
        self._world = world
        self._arrows = arrows
        self._notes = notes
        moments = {ms for arrow in arrows for ms in (arrow.sent_ms, arrow.at_ms)} | {ms for ms, _ in notes}
        self._y = _heights(sorted(moments))

    def svg(self) -> str:
        width = 2 * MARGIN_PX + COLUMN_PX * (len(self._world.nodes) - 1) + COLUMN_PX
        height = max(self._y.values(), default=TOP_PX) + 2 * STEP_PX_MAX
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'font-family="ui-monospace, monospace" font-size="10">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *self._columns(height),
            *self._times(),
            *(line for arrow in self._arrows for line in self._draw(arrow)),
            *self._labels(),
            *self._legend(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _x(self, place: int) -> int:
        return MARGIN_PX + COLUMN_PX * place

    def _columns(self, height: int) -> Iterable[str]:
        for node in self._world.nodes:
            x = self._x(node.place)
            liar = node.owner in self._world.plan.byzantine
            colour = "#cf222e" if liar else "#24292f"
            name = f"node {node.place}" + (" (liar)" if liar else "")
            yield f'<text x="{x}" y="{TOP_PX - 16}" text-anchor="middle" font-size="13" fill="{colour}">{name}</text>'
            yield f'<line x1="{x}" y1="{TOP_PX - 8}" x2="{x}" y2="{height}" stroke="{colour}" stroke-width="1"/>'

    def _times(self) -> Iterable[str]:
        """A label where moments are not crowded, and the world's notes on the right."""
        shown = 0
        for ms, y in sorted(self._y.items()):
            if y >= shown + 12:
                shown = y
                yield f'<text x="6" y="{y + 3}" fill="#57606a">{ms} ms</text>'
        right = self._x(len(self._world.nodes) - 1) + 30
        free = 0
        for ms, text in self._notes:
            y = max(self._y[ms], free)
            free = y + 12
            yield f'<text x="{right}" y="{y + 3}" fill="#cf222e">{escape(text[:60])}</text>'

    def _draw(self, arrow: _Arrow) -> Iterable[str]:
        kind = type(arrow.message).__name__
        colour = COLOURS.get(kind, OTHER_COLOUR)
        x1, x2 = self._x(arrow.place), self._x(arrow.to)
        y1, y2 = self._y[arrow.sent_ms], self._y[arrow.at_ms]
        side = 1 if x2 > x1 else -1
        tip = f"{x2},{y2} {x2 - 7 * side},{y2 - 3} {x2 - 7 * side},{y2 + 3}"
        title = escape(f"{arrow.sent_ms} to {arrow.at_ms} ms: {told(arrow.message)}")
        yield f'<g stroke="{colour}" fill="{colour}"><title>{title}</title>'
        yield f'<line x1="{x1}" y1="{y1}" x2="{x2 - 6 * side}" y2="{y2}" stroke-width="1.2"/>'
        yield f'<polygon points="{tip}" stroke="none"/></g>'

    def _labels(self) -> Iterable[str]:
        """What was sent, once for each message, stacked where several left at one moment."""
        shown: dict[tuple[int, int], list[str]] = {}
        for arrow in self._arrows:
            kind, text = type(arrow.message).__name__, told(arrow.message)
            stack = shown.setdefault((arrow.place, arrow.sent_ms), [])
            if kind not in LABELLED or text in stack:
                continue
            stack.append(text)
            x, y = self._x(arrow.place) + 4, self._y[arrow.sent_ms] - 4 - 11 * (len(stack) - 1)
            colour = COLOURS.get(kind, OTHER_COLOUR)
            yield f'<text x="{x}" y="{y}" fill="{colour}" {HALO}>{escape(text[:LABEL_CHARS_MAX])}</text>'

    def _legend(self) -> Iterable[str]:
        x = MARGIN_PX
        for kind, colour in COLOURS.items():
            yield f'<text x="{x}" y="14" fill="{colour}" font-size="11">{kind}</text>'
            x += 9 * len(kind) + 16


def _heights(moments: Sequence[int]) -> dict[int, int]:
    """Where each moment is drawn."""
    heights: dict[int, int] = {}
    y, before = TOP_PX + STEP_PX_MAX, None
    for ms in moments:
        if before is not None:
            y += min(STEP_PX_MAX, STEP_PX_MIN * (ms - before))
        heights[ms] = y
        before = ms
    return heights
