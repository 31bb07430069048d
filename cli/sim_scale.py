"""`wattq sim scale`: how the protocol grows with the number of replicas, by simulation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sim.scale.costs import Costs, CostsFault
from sim.scale.measure import measure
from sim.scale.network import lan, wan
from sim.scale.plots import PlotsMissing, draw_html, draw_png, require
from sim.scale.probe import Effort
from sim.scale.run import run_study
from sim.scale.search import Row
from sim.scale.table import cells, to_csv
from sim.scale.theory import messages_of_a_decision
from sim.scale.world import Setting

NODES_MIN, NODES_MAX = 4, 200
WAN_STATUS_INTERVAL_MS = 2_000
"""Longer than a decision takes round the world, so that nothing is sent again for impatience."""
STEPS_MAX = 300_000
"""Steps of cores after which a load has been watched for long enough."""


def scale(
    nodes: Annotated[str, typer.Option(help="Network sizes, separated by commas.")] = "4,7,13,25,49,100",
    wide: Annotated[bool, typer.Option("--wan", help="Place the nodes in cloud regions round the world.")] = False,
    tx_per_s: Annotated[
        float | None, typer.Option(min=1, max=1_000_000, help="Offer this load; without it, find the saturation point.")
    ] = None,
    duration_s: Annotated[float, typer.Option(min=1, max=600, help="Virtual seconds of one load.")] = 5.0,
    latency_ms_max: Annotated[float, typer.Option(min=1, help="A 99th percentile above it is overload.")] = 2_000.0,
    tx_bytes: Annotated[int, typer.Option(min=64, max=40_000, help="Bytes of a transaction.")] = 700,
    mbit_per_s: Annotated[int, typer.Option(min=1, max=400_000, help="A node's bandwidth, each way.")] = 1_000,
    seed: Annotated[int, typer.Option(help="The clients' arrivals and the links' small differences.")] = 1,
    costs: Annotated[Path | None, typer.Option(help="Processor costs from a file, instead of measuring them.")] = None,
    out: Annotated[Path, typer.Option(help="Where figures and pictures go.")] = Path("results/scale"),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Throughput, latency and traffic against the number of replicas: real cores, modelled machines and network.

    Writes scale.csv, scale.png, scale.html and costs.json. The same costs file and seed give the same scale.csv.

    Example: wattq sim scale --nodes 4,7,13,25,49,100 --wan

    Exit codes: 0 done, 2 bad arguments or a missing library.
    """
    sizes = _sizes(nodes)
    console = Console(stderr=True)
    try:
        require()
        out.mkdir(parents=True, exist_ok=True)
        known = _costs(costs, out, console)
        setting = Setting(lan(), known, seed, tx_bytes, mbit_per_s)
        if wide:
            setting = replace(setting, profile=wan(), status_interval_ms=WAN_STATUS_INTERVAL_MS)
        effort = Effort(int(duration_s * 1_000), latency_ms_max, STEPS_MAX)
        rows = _run(setting, sizes, effort, tx_per_s, jobs, console)
        _write(setting, rows, out)
    except (CostsFault, PlotsMissing, OSError) as error:
        typer.echo(f"wattq sim scale: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps([cells(setting, row) for row in rows]))
    else:
        Console().print(_table(rows))
        typer.echo(f"{out / 'scale.csv'}, {out / 'scale.png'}, {out / 'scale.html'}")


def _sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and NODES_MIN <= int(part) <= NODES_MAX for part in parts):
        typer.echo(f"wattq sim scale: --nodes {text!r}: numbers from {NODES_MIN} to {NODES_MAX}", err=True)
        raise typer.Exit(2)
    return sorted({int(part) for part in parts})


def _costs(path: Path | None, out: Path, console: Console) -> Costs:
    """From the file, or measured now; either way they are kept beside the results."""
    if path is not None:
        known = Costs.load(path)
    else:
        console.print("measuring this machine", style="dim")
        known = measure(out)
    (out / "costs.json").write_bytes(known.to_json())
    return known


def _run(
    setting: Setting, sizes: list[int], effort: Effort, tx_per_s: float | None, jobs: int, console: Console
) -> list[Row]:
    columns = SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = {n: progress.add_task(f"n = {n}", total=1, start=False) for n in sizes}
        started: set[int] = set()

        def say(n: int, text: str) -> None:
            if n not in started:
                started.add(n)
                progress.start_task(tasks[n])
            progress.update(tasks[n], description=text)
            if not console.is_terminal:
                console.print(text)

        rows = []
        for row in run_study(setting, sizes, effort, tx_per_s, jobs, say):
            done = f"n = {row.nodes}: {row.loaded.tx_per_s:,.0f} tx/s, p99 {row.loaded.latency_ms_p99:,.0f} ms"
            progress.update(tasks[row.nodes], description=done, completed=1)
            rows.append(row)
    return sorted(rows, key=lambda row: row.nodes)


def _write(setting: Setting, rows: list[Row], out: Path) -> None:
    (out / "scale.csv").write_text(to_csv(setting, rows), "utf-8")
    draw_png(setting, rows, out / "scale.png")
    draw_html(setting, rows, out / "scale.html")


def _table(rows: list[Row]) -> Table:
    """At saturation; medians at 70 % of it and ``idle``; ``=``: idle decisions sent just the theory's count."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in ("n", "tx/s", "p50 ms", "p99 ms", "70 % ms", "idle ms", "kB/dec.", "messages", "theory", "fullest"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        loaded, light = row.loaded, row.light
        exact = "=" if light.decisions and light.exact_decisions == light.decisions else "≠"
        table.add_row(
            str(row.nodes),
            ("" if loaded.carried else "overload ") + f"{loaded.tx_per_s:,.0f}",
            f"{loaded.latency_ms_p50:,.0f}",
            f"{loaded.latency_ms_p99:,.0f}",
            f"{row.moderate.latency_ms_p50:,.0f}",
            f"{light.latency_ms_p50:,.0f}",
            f"{loaded.bytes_per_decision / 1e3:,.0f}",
            f"{sum(loaded.messages):,.0f}",
            f"{exact} {messages_of_a_decision(row.nodes).total:,}",
            f"{row.bottleneck} {100 * loaded.busy[row.bottleneck]:.0f} %",
        )
    return table
