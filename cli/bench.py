"""`wattq bench`: committed market transactions a second, against this machine's signature limit."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from bench.run import BenchError, BenchOptions, run_bench
from bench.state import compare
from cli.contracts import shipped_contracts
from cluster import ClusterError
from sdk.errors import SdkError


def bench(
    nodes: Annotated[int, typer.Option(min=4, max=25, help="Replicas.")] = 4,
    clients: Annotated[int, typer.Option(min=1, max=16, help="Client processes.")] = 2,
    outstanding: Annotated[int, typer.Option(min=1, max=500, help="Transactions in flight a client.")] = 128,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Measured seconds.")] = 10.0,
    warm_up: Annotated[float, typer.Option(min=0, max=600, help="Seconds of load before.")] = 3.0,
    couchdb_url: Annotated[
        list[str] | None, typer.Option(help="Compare state databases: a CouchDB for each node, given once a node.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="How often each state database is measured.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a network, load it, and print throughput, latency and the ratio to the signature limit.

    With --couchdb-url it compares state databases instead, always as JSON: embedded, CouchDB, and one that is stopped,
    slow, or catching up. User and password come from WATTQ_COUCHDB_USER and WATTQ_COUCHDB_PASSWORD.

    Example: wattq bench --json

    Exit codes: 0 measured, 1 something failed under load, 2 the bench could not run.
    """
    options = BenchOptions(nodes, clients, outstanding, warm_up, seconds)
    urls = tuple(couchdb_url or ())
    if urls and len(urls) != nodes:
        typer.echo(f"wattq bench: --couchdb-url is to be given {nodes} times, once for each node", err=True)
        raise typer.Exit(2)
    try:
        if urls:
            typer.echo(json.dumps(asyncio.run(compare(options, shipped_contracts(), urls, repeats, _say)), indent=1))
            return
        figures = asyncio.run(run_bench(options, shipped_contracts(), _say))
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


def _say(text: str) -> None:
    typer.echo(text, err=True)
