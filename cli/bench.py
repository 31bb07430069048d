"""`wattq bench`: what a network of real processes does on this machine."""

from __future__ import annotations

import typer

from cli.bench_compare import compare
from cli.bench_report import report
from cli.bench_run import run
from cli.bench_sweep import sweep

app = typer.Typer(
    help="Measure networks of real processes on this machine, against its own signature limit.\n\n"
    "Exit codes: 0 measured, 1 something failed under load, 2 the bench could not run.",
    no_args_is_help=True,
)


@app.callback()
def bench() -> None:
    """Measure networks of real processes on this machine, against its own signature limit."""


app.command()(run)
app.command()(sweep)
app.command()(compare)
app.command()(report)
