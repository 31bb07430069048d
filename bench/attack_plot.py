"""The picture of a run under attack: throughput second by second, and what each attack left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BLUE, ORANGE, GREY = "#2a6fb0", "#d9702b", "#e9e3d8"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Write an SVG of what ``run_attacks`` has measured."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    attacks = figures["attacks"]
    with rc_context({"svg.hashsalt": "attacks", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10.0, 3.8), layout="constrained")
        run, shares = figure.subplots(1, 2, width_ratios=(5, 3))
        by_second = figures["tx_by_second"]
        for attack, begin_s, end_s in zip(attacks, figures["began_at_s"], figures["ended_at_s"], strict=True):
            run.axvspan(begin_s, end_s, color=GREY, lw=0)
            run.text((begin_s + end_s) / 2, max(by_second) * 1.08, attack["attack"], ha="center", fontsize=7.5)
        run.step(range(len(by_second)), by_second, where="post", color=BLUE, lw=1.2)
        run.set_ylim(0, max(by_second) * 1.18)
        run.set_xlabel("seconds")
        run.set_ylabel("verified transactions in a second")
        names = [attack["attack"] for attack in reversed(attacks)]
        values = [100 * (attack["throughput_share"] or 0) for attack in reversed(attacks)]
        bars = shares.barh(names, values, color=ORANGE, height=0.6)
        shares.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=8.5)
        shares.axvline(100, color=BLUE, lw=1)
        shares.set_xlim(0, max(120, *values))
        shares.set_xlabel("% of the fault-free throughput right before")
        for axes in (run, shares):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
