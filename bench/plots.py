"""Panels as pictures (Matplotlib) and as one page that loads nothing from elsewhere (Plotly); the extra ``bench``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.charts import Line, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PictureKind = Literal["svg", "png"]
WIDTH_IN, HEIGHT_IN, DPI = 7.6, 4.6, 110
PALE = 0.45
PAGE_ROW_PX = 520


def draw_picture(panel: Panel, caption: str, path: Path) -> None:
    """SVG or PNG by the path's ending; the same bytes again for the same panel."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    with rc_context({"svg.hashsalt": panel.key, "svg.fonttype": "none"}):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        axes.set_title(panel.heading, fontsize=11, loc="left")
        for line in panel.lines:
            _plot(axes, line)
        axes.set_xscale("log" if panel.x_log else "linear")
        axes.set_yscale("log" if panel.y_log else "linear")
        if not panel.y_log:
            axes.set_ylim(bottom=0)
        if panel.ticks:
            right = axes.get_xlim()[1]
            shown = {at: name for at, name in panel.ticks.items() if at <= right}
            axes.set_xticks(list(shown), list(shown.values()))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_xlabel(panel.x_unit)
        axes.set_ylabel(panel.y_unit)
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5)
        figure.supxlabel(caption, x=0.995, ha="right", fontsize=6.5, color="#777777")
        nothing = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=nothing)


def _plot(axes: Axes, line: Line) -> None:
    alpha = PALE if line.pale else 1.0
    axes.plot(line.x, line.y, label=line.name, color=line.colour, lw=1.4, alpha=alpha)
    if line.marked:
        faces = ["white" if number in line.hollow else line.colour for number in range(len(line.x))]
        axes.scatter(line.x, line.y, s=22, c=faces, edgecolors=line.colour, zorder=3, alpha=alpha)


def draw_page(panels: Sequence[Panel], caption: str, path: Path) -> None:
    """All panels below one another, with values to point at."""
    import plotly.graph_objects as graph
    from plotly.subplots import make_subplots

    titles = [panel.heading for panel in panels]
    figure = make_subplots(rows=len(panels), cols=1, subplot_titles=titles, vertical_spacing=0.4 / len(panels) ** 1.5)
    for number, panel in enumerate(panels):
        at = {"row": number + 1, "col": 1}
        for line in panel.lines:
            figure.add_trace(
                graph.Scatter(
                    x=list(line.x),
                    y=list(line.y),
                    name=line.name,
                    mode="lines+markers" if line.marked else "lines",
                    line={"color": line.colour, "width": 2},
                    marker={"symbol": ["circle-open" if n in line.hollow else "circle" for n in range(len(line.x))]},
                    opacity=PALE if line.pale else 1,
                    legendgroup=panel.title,
                    legendgrouptitle_text=panel.title,
                    hovertemplate=f"%{{x:,.4~g}} {panel.x_unit}: %{{y:,.4~g}} {panel.y_unit}",
                ),
                **at,
            )
        named = {"tickvals": list(panel.ticks), "ticktext": list(panel.ticks.values())} if panel.ticks else {}
        figure.update_xaxes(title_text=panel.x_unit, **_scale(panel.x_log), **named, **at)
        figure.update_yaxes(title_text=panel.y_unit, **_scale(panel.y_log), **at)
    figure.update_layout(title_text=caption, template="simple_white", height=PAGE_ROW_PX * len(panels))
    figure.write_html(path, include_plotlyjs=True, div_id="bench")


def _scale(logarithmic: bool) -> dict[str, str]:
    return {"type": "log"} if logarithmic else {"rangemode": "tozero"}
