"""`wattq bench report`: pictures of what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bench.records import BadRecord, Record, read_records
from cli.failing import fail

COMMAND = "wattq bench report"
NEEDED = ("matplotlib", "plotly", "hdrh")
PAGE = "report.html"


class PictureName(StrEnum):
    """What Matplotlib writes."""

    SVG = "svg"
    PNG = "png"


def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="RUNS.json...", help="Runs of `run --json` or `sweep --json`.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where they go; made if need be.")] = Path(),
    picture: Annotated[PictureName, typer.Option("--format", help="Of the pictures.")] = PictureName.SVG,
    as_json: Annotated[bool, typer.Option("--json", help="Print which files were written, as JSON.")] = False,
) -> None:
    """Draw runs: latency by throughput, latency by percentile, where the time goes, and scaling with nodes and blocks.

    A picture each, and report.html with all of them, which loads nothing from elsewhere. Runs of the same setting are
    one point, their median. Hollow points: something was left unfinished, so that their latencies are lower bounds.

    Example: wattq bench report rates.json --out plots

    Exit codes: 0 drawn, 2 nothing to draw, or what draws it is not installed.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        fail(COMMAND, f"{' and '.join(missing)} not installed: pip install 'wattquorum[bench]'", 2)
    from bench.charts import panels
    from bench.histograms import BadHistogram
    from bench.plots import draw_page, draw_picture

    try:
        records = [record for file in files for record in read_records(file)]
        drawn, told = panels(records), caption(records)
        out.mkdir(parents=True, exist_ok=True)
        paths = [out / f"{panel.key}.{picture.value}" for panel in drawn]
        for panel, path in zip(drawn, paths, strict=True):
            draw_picture(panel, told, path)
        draw_page(drawn, told, out / PAGE)
    except (BadRecord, BadHistogram) as error:
        fail(COMMAND, str(error), 2)
    except OSError as error:
        fail(COMMAND, f"{error.filename}: {error.strerror}", 2)
    written = [str(path) for path in (*paths, out / PAGE)]
    typer.echo(json.dumps({"files": written, "runs": len(records)}) if as_json else "\n".join(written))


def caption(records: Sequence[Record]) -> str:
    """What was measured, where and when."""

    def each(values: list[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    runs = f"{len(records)} run" + "s" * (len(records) > 1)
    machines = each([f"{record.cores} cores, {record.cpu or record.machine}" for record in records])
    versions = each([f"{record.version} {(record.commit or '')[:12]}".strip() for record in records])
    looked_at = [record.steady for record in records if record.steady is not None]
    if looked_at:
        runs += f", {sum(looked_at)} of {len(looked_at)} steady: of these what came before is cut by MSER-5"
    return f"{runs} · {machines} · Wattquorum {versions} · {min(record.measured_at for record in records)[:10]}"
