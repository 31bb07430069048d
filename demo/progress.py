"""The live display: interval, heights, trades, energy, money and the four state roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.journal import Journal
from demo.setting import INTERVALS_A_DAY
from sdk.methods import NodeStatus


@dataclass(slots=True)
class Scene:
    """What the display shows; the day writes it, ``Progress`` reads it."""

    names: Sequence[str]
    phase: str = ""
    interval: int = 0
    killed: str = ""
    statuses: Sequence[NodeStatus | None] = ()
    trades: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def see_trades(self, trades: Sequence[dict[str, Any]]) -> None:
        """Remember contracted Wh, delivered Wh and the amount of each trade by its id."""
        for trade in trades:
            amount = trade["amount"] if trade["status"] == "settled" else 0
            self.trades[trade["id"]] = (trade["energy_wh"], trade["delivered_wh"], amount)


def time_of(interval: int) -> str:
    """The UTC time at which an interval of the day begins."""
    hour, quarter = divmod(interval, 4)
    return f"{hour:02d}:{15 * quarter:02d}"


def progress_line(scene: Scene, journal: Journal) -> str:
    """A scene in one line."""
    running = [status for status in scene.statuses if status is not None]
    height = max((status.executed_height for status in running), default=0)
    return (
        f"{time_of(scene.interval)} UTC  {scene.phase}: {len(running)} of {len(scene.names)} nodes, height {height}, "
        f"{_trading(scene, journal)}"
    )


def _trading(scene: Scene, journal: Journal) -> str:
    contracted, delivered, paid = [sum(column) for column in zip(*scene.trades.values(), strict=True)] or [0, 0, 0]
    return (
        f"{len(scene.trades)} trades, {contracted / 1000:.2f} kWh contracted, "
        f"{delivered / 1000:.2f} kWh delivered, {paid / 1e6:.2f} paid; "
        f"{len(journal.acknowledged)} transactions certified, {sum(journal.refusals.values())} refused"
    )


class Progress:
    """Renders a scene."""

    def __init__(self, scene: Scene, journal: Journal) -> None:
        self._scene = scene
        self._journal = journal

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        scene = self._scene
        yield Text(f"{time_of(scene.interval)} UTC  {scene.phase}", style="bold")
        bar = ProgressBar(total=INTERVALS_A_DAY, completed=scene.interval + 1, width=60)
        yield Padding(bar, 0)  # a bar by itself does not end its line
        for part in _trading(scene, self._journal).split("; "):
            yield Text(part)
        yield self._replicas()

    def _replicas(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("replica", "height", "certified", "view", "state root"):
            table.add_column(column, justify="right" if column in ("height", "certified", "view") else "left")
        for name, status in zip(self._scene.names, self._scene.statuses, strict=False):
            if status is None:
                table.add_row(
                    name, "-", "-", "-", "not running" if name == self._scene.killed else "no answer", style="red"
                )
            else:
                lead = " ←" if status.primary == name else ""
                table.add_row(
                    name + lead,
                    str(status.executed_height),
                    str(status.certified_height),
                    str(status.view),
                    status.state_root[:16],
                )
        return table
