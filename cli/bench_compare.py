"""`wattq bench compare`: two settings or versions against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bench.records import BadRecord, read_records
from cli.failing import fail

if TYPE_CHECKING:
    from bench.comparison import Comparison

COMMAND = "wattq bench compare"
TABLE_CHARS = 120
GUARDED = "ratio_to_signature_limit"


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Runs of `wattq bench run --json`, one a line.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="The others, which are told as ratios to A's.")],
    paired: Annotated[
        bool, typer.Option("--paired", help="Run i of B was made right before or after run i of A.")
    ] = False,
    fail_below: Annotated[
        float | None,
        typer.Option(min=0, help="Fail if throughput against the signature limit is a smaller share of A's for sure."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs: each figure of B as a ratio to A's, with a 95 % interval, and what else differs between them.

    Intervals come from drawing runs again, and stretches of seconds within them. One run a side tells how much a run
    varies within itself, not how much runs differ: make several, in turns, and keep those of a side in one file.

    Example: wattq bench compare before.json after.json --fail-below 0.95

    With --fail-below 0.95 it fails where even the upper end of the interval of `ratio_to_signature_limit` is below
    that, a figure that a slow machine has as a fast one.

    Exit codes: 0 compared, 1 below what --fail-below asks for, 2 nothing to compare.
    """
    try:
        from bench.comparison import Incomparable
        from bench.comparison import compare as compare_runs
        from bench.histograms import BadHistogram
    except ImportError:
        fail(COMMAND, "needs NumPy and hdrhistogram: pip install 'wattquorum[bench]'", 2)
    try:
        found = compare_runs(read_records(a), read_records(b), paired)
    except (BadHistogram, BadRecord, Incomparable) as error:
        fail(COMMAND, str(error), 2)
    typer.echo(msgspec.json.encode(found).decode()) if as_json else _tell(found)
    guarded = next(figure for figure in found.figures if figure.figure == GUARDED)
    if fail_below is not None and guarded.interval is not None and guarded.interval[1] < fail_below:
        typer.echo(f"{COMMAND}: {GUARDED} is {guarded.ratio} of A's, below {fail_below:g}", err=True)
        raise typer.Exit(1)


def _tell(found: Comparison) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for title in ("A", "B", "B / A", "95 % interval"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in found.figures:
        interval = "-" if each.interval is None else f"{each.interval[0]:.3f} to {each.interval[1]:.3f}"
        table.add_row(each.figure, f"{each.a:,.4g}", f"{each.b:,.4g}", f"{each.ratio:.3f}", interval)
    Console(width=TABLE_CHARS, highlight=False).print(table)
    typer.echo(f"runs: {found.runs[0]} and {found.runs[1]}")
    for difference in found.differences:
        typer.echo(f"differs: {difference.name}: {_values(difference.a)} and {_values(difference.b)}")
    for name, counts in (("unfinished", found.unfinished), ("failed", found.failed)):
        if any(counts):
            typer.echo(f"{name}: {counts[0]} and {counts[1]} transactions")


def _values(values: list[Any]) -> str:
    return ", ".join(str(value) for value in values)
