"""The study's pictures: a PNG by Matplotlib and a page by Plotly, both of the same four panels.

Both libraries come with the extra ``bench``; they are imported only when a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sim.scale.search import Row
from sim.scale.theory import messages_of_a_decision
from sim.scale.world import Setting

BLUE, ORANGE, GREEN, GREY = "#2166ac", "#d6604d", "#1b7837", "#777777"
LOG_RATIO_MIN = 8.0
WIDTH_IN, HEIGHT_IN, DPI = 10.0, 7.2, 110


class PlotsMissing(Exception):
    """The plotting libraries are not installed."""


def require() -> None:
    """Say that a library is missing before the work, not after it."""
    missing = [name for name in ("matplotlib", "plotly") if find_spec(name) is None]
    if missing:
        raise PlotsMissing(f"{' and '.join(missing)} not installed: pip install 'wattquorum[bench]'")


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a panel. ``theory``: not a measurement, drawn broad and pale under those that are."""

    name: str
    colour: str
    values: tuple[float, ...]
    theory: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram over the number of replicas, whose axis is logarithmic."""

    title: str
    unit: str
    lines: tuple[Line, ...]

    @property
    def linear(self) -> bool:
        """Whether the values are near enough to one another for an axis from zero."""
        values = [value for line in self.lines for value in line.values]
        return min(values) <= 0 or max(values) / min(values) < LOG_RATIO_MIN


def panels(rows: Sequence[Row]) -> list[Panel]:
    """What is drawn."""

    def line(name: str, colour: str, values: list[float], *, theory: bool = False) -> Line:
        return Line(name, colour, tuple(values), theory)

    theory = [float(messages_of_a_decision(row.nodes).total) for row in rows]
    return [
        Panel(
            "Throughput at saturation",
            "transactions a second",
            (line("throughput", BLUE, [row.loaded.tx_per_s for row in rows]),),
        ),
        Panel(
            "Latency, submission to certificate",
            "milliseconds",
            (
                line("70 % of saturation, p99", ORANGE, [row.moderate.latency_ms_p99 for row in rows]),
                line("70 % of saturation, p50", BLUE, [row.moderate.latency_ms_p50 for row in rows]),
                line("unloaded, p50", GREEN, [row.light.latency_ms_p50 for row in rows]),
            ),
        ),
        Panel(
            "Traffic of one decision",
            "kilobytes",
            (
                line("saturated", BLUE, [row.loaded.bytes_per_decision / 1e3 for row in rows]),
                line("unloaded (one transaction)", GREEN, [row.light.bytes_per_decision / 1e3 for row in rows]),
            ),
        ),
        Panel(
            "Messages of one decision",
            "messages",
            (
                line("theory: 3 n (n - 1)", GREY, theory, theory=True),
                line("saturated", BLUE, [sum(row.loaded.messages) for row in rows]),
                line("unloaded", GREEN, [sum(row.light.messages) for row in rows]),
            ),
        ),
    ]


def caption(setting: Setting) -> str:
    places = len(setting.profile.regions)
    network = f"WAN: {places} cloud regions" if setting.profile.name == "wan" else "LAN"
    return (
        f"PBFT by number of replicas. {network}, {setting.mbit_per_s:,} Mbit/s a node, "
        f"{setting.tx_bytes}-byte transactions, modelled two-core nodes"
    )


def draw_png(setting: Setting, rows: Sequence[Row], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    figure.suptitle(caption(setting), fontsize=10)
    nodes = [row.nodes for row in rows]
    for axes, panel in zip(figure.subplots(2, 2).flat, panels(rows), strict=True):
        axes.set_title(panel.title, fontsize=11, loc="left")
        axes.set_xscale("log")
        for line in panel.lines:
            broad = {"lw": 7.0, "alpha": 0.3} if line.theory else {"lw": 1.4, "marker": "o", "ms": 4.5}
            axes.plot(nodes, line.values, color=line.colour, label=line.name, **broad)
        if panel.linear:
            axes.set_ylim(bottom=0)
        else:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
            axes.yaxis.set_minor_formatter(FuncFormatter(_number))
            axes.tick_params(axis="y", which="minor", labelsize=7.5)
        axes.yaxis.set_major_formatter(FuncFormatter(_number))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(nodes, [str(n) for n in nodes])
        axes.set_xlabel("replicas n")
        axes.set_ylabel(panel.unit)
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        if len(panel.lines) > 1:
            axes.legend(frameon=False, fontsize=8.5)
    figure.savefig(path, metadata={"Software": None})


def _number(value: float, position: int | None) -> str:
    return f"{value:,.10g}"


def draw_html(setting: Setting, rows: Sequence[Row], path: Path) -> None:
    import plotly.graph_objects as graph
    from plotly.subplots import make_subplots

    drawn, nodes = panels(rows), [row.nodes for row in rows]
    figure = make_subplots(rows=2, cols=2, subplot_titles=[panel.title for panel in drawn])
    for number, panel in enumerate(drawn):
        at = {"row": number // 2 + 1, "col": number % 2 + 1}
        for line in panel.lines:
            style = {"color": line.colour, "width": 7 if line.theory else 2}
            mode = "lines" if line.theory else "lines+markers"
            trace = graph.Scatter(
                x=nodes,
                y=list(line.values),
                name=line.name,
                mode=mode,
                line=style,
                opacity=0.35 if line.theory else 1,
                legendgroup=panel.title,
                legendgrouptitle_text=panel.title,
                hovertemplate="n = %{x}: %{y:,.4~g} " + panel.unit,
            )
            figure.add_trace(trace, **at)
        figure.update_xaxes(title_text="replicas n", type="log", tickvals=nodes, **at)
        if panel.linear:
            figure.update_yaxes(title_text=panel.unit, rangemode="tozero", **at)
        else:
            figure.update_yaxes(title_text=panel.unit, type="log", dtick=1, **at)
    figure.update_layout(title_text=caption(setting), template="simple_white", height=820)
    figure.write_html(path, include_plotlyjs=True, div_id="scale")
