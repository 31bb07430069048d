"""`wattq bench`: committed market transactions a second, against this machine's signature limit."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from bench.run import BenchError, BenchOptions, run_bench
from cli.contracts import shipped_contracts
from cluster import ClusterError
from sdk.errors import SdkError


def bench(
    nodes: Annotated[int, typer.Option(min=4, max=25, help="Replicas.")] = 4,
    clients: Annotated[int, typer.Option(min=1, max=16, help="Client processes.")] = 2,
    outstanding: Annotated[int, typer.Option(min=1, max=500, help="Transactions in flight a client.")] = 128,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Measured seconds.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a network, load it, and print throughput, latency and the ratio to the signature limit.

    Example: wattq bench --json

    Exit codes: 0 measured, 1 something failed under load, 2 the bench could not run.
    """
    options = BenchOptions(nodes=nodes, clients=clients, outstanding=outstanding, measure_s=seconds)
    try:
        figures = asyncio.run(run_bench(options, shipped_contracts(), lambda text: typer.echo(text, err=True)))
    except (BenchError, ClusterError, SdkError) as error:
        typer.echo(f"wattq bench: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            typer.echo(f"{name:<26} {value}")
    if figures["failed"]:
        raise typer.Exit(1)
