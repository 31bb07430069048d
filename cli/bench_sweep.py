"""`wattq bench sweep`: one run after another over rates, nodes and batches."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from bench.options import BenchOptions
from bench.run import run_bench
from bench.sweep import COLUMNS, Done, expected_s, named, row
from bench.sweep import sweep as make_runs
from bench.workload import BadWorkload, read_workload
from cli.contracts import shipped_contracts
from cli.failing import fail

COMMAND = "wattq bench sweep"
HERE, DASK = "here", "dask"
Engine = Callable[[Sequence[BenchOptions]], AsyncIterator[Done]]


def sweep(
    workload: Annotated[Path, typer.Argument(metavar="WORKLOAD.toml", help="What is measured (docs/BENCH.md).")],
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the CSV there instead of printing it.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="here|dask[=ADDRESS]",
            help="Where runs are made: on this machine, or on a Dask cluster by its scheduler's address.",
        ),
    ] = HERE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each run's JSON on a line, for compare and report.")
    ] = False,
) -> None:
    """Measure every combination of rates, nodes, batches and more that a file names, each on a network of its own.

    A row of CSV a run, written as it ends, so that what was measured is kept whatever comes. With --json the whole runs
    are printed instead, and with --csv both are kept.

    Example: wattq bench sweep examples/sweeps/rates.toml --csv rates.csv

    Example: wattq bench sweep rates.toml --json --csv rates.csv > rates.json

    With --engine dask the same runs, seeds included, are made on a Dask cluster's machines, in whichever order; without
    an address on this one. It needs the extra dask.

    Example: wattq bench sweep scaling.toml --engine dask=tcp://10.0.0.5:8786 --json > scaling.json

    Exit codes: 0 measured, 1 a run could not be made or something failed in it, 2 bad arguments or a bad file.
    """
    try:
        runs = read_workload(workload).runs()
    except BadWorkload as error:
        fail(COMMAND, str(error), 2)
    make = _engine(engine)
    _say(f"{len(runs)} runs, about {expected_s(runs) / 60:.0f} min")
    with ExitStack() as stack:
        try:
            table = None if csv_file is None else stack.enter_context(csv_file.open("w", newline="", encoding="utf-8"))
        except OSError as error:
            fail(COMMAND, f"{csv_file}: {error.strerror}", 2)
        outputs = _Outputs(table or (None if as_json else sys.stdout), as_json)
        try:
            well = asyncio.run(_all(runs, make(runs), outputs))
        except OSError as error:
            fail(COMMAND, f"--engine {engine}: {error}", 2)
    if not well:
        raise typer.Exit(1)


class _Outputs:
    """Where runs go as they end: CSV, if there is a place for it, and JSON."""

    def __init__(self, table: TextIO | None, as_json: bool) -> None:
        self._table, self._as_json = table, as_json
        self._writer = None if table is None else csv.DictWriter(table, COLUMNS, lineterminator="\n")
        if self._writer is not None:
            self._writer.writeheader()

    def take(self, figures: dict[str, Any]) -> None:
        if self._writer is not None and self._table is not None:
            self._writer.writerow(row(figures))
            self._table.flush()
        if self._as_json:
            typer.echo(json.dumps(figures))


def _engine(text: str) -> Engine:
    """Where runs are made; ends the command for what there is not."""
    name, _, address = text.partition("=")
    if text == HERE:
        return partial(make_runs, measure=_measure)
    if name != DASK:
        fail(COMMAND, f"--engine {text}: here, dask or dask=ADDRESS", 2)
    try:
        from bench.on_dask import sweep_on_dask
    except ImportError:
        fail(COMMAND, "needs Dask: pip install 'wattquorum[dask]'", 2)
    return partial(sweep_on_dask, address=address)


async def _all(runs: list[BenchOptions], made: AsyncIterator[Done], outputs: _Outputs) -> bool:
    """Whether all could be made, and nothing failed in them."""
    well, number = True, 0
    async for done in made:
        number += 1
        _say(f"{number} of {len(runs)}: {named(done.options)}: {_outcome(done)}")
        if done.figures is not None:
            outputs.take(done.figures)
        well &= done.figures is not None and not done.figures["failed"]
    return well


async def _measure(options: BenchOptions) -> dict[str, Any]:
    return await run_bench(options, shipped_contracts(), lambda _: None)


def _outcome(done: Done) -> str:
    if done.figures is None:
        return f"does not count: {done.problem}"
    told = done.figures
    return f"{told['committed_tx_per_s']} transactions/s, p50 {told['latency_ms']['p50']} ms"


def _say(text: str) -> None:
    typer.echo(text, err=True)
