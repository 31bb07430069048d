"""`wattq bench`: committed market transactions a second, against this machine's signature limit, calm or flooded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from bench.flood import FloodOptions, run_floods
from bench.run import BenchError, BenchOptions, run_bench
from bench.state import compare
from cli.contracts import shipped_contracts
from cluster import ClusterError
from sdk.errors import SdkError
from sdk.ports import NoFreePorts


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
    floods: Annotated[bool, typer.Option("--floods", help="Measure what floods cost honest clients.")] = False,
    only: Annotated[list[str], typer.Option(help="Only floods or state databases whose name has this in it.")] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a network, load it, and print throughput, latency and the ratio to the signature limit.

    With --couchdb-url it compares state databases instead, always as JSON: embedded, CouchDB, and one that is stopped,
    slow, or catching up. User and password come from WATTQ_COUCHDB_USER and WATTQ_COUCHDB_PASSWORD.

    Example: wattq bench --json

    With --floods four nodes are flooded by one client, observer or validator after another, each flood for as many
    seconds, and honest clients' throughput and p99 are compared with a calm window right before.

    Example: wattq bench --floods --only "observer" --json

    Exit codes: 0 measured, 1 something failed under load, 2 the bench could not run.
    """
    options, urls = BenchOptions(nodes, clients, outstanding, warm_up, seconds), tuple(couchdb_url or ())
    if urls and len(urls) != nodes:
        typer.echo(f"wattq bench: --couchdb-url is to be given {nodes} times, once for each node", err=True)
        raise typer.Exit(2)
    run: Coroutine[Any, Any, dict[str, Any]]
    if urls:
        run, as_json = compare(options, shipped_contracts(), urls, repeats, _say, tuple(only)), True
    elif floods:
        run = run_floods(FloodOptions(outstanding, flood_s=seconds, only=tuple(only)), shipped_contracts(), _say)
    else:
        run = run_bench(options, shipped_contracts(), _say)
    try:
        figures = asyncio.run(run)
    except (BenchError, ClusterError, NoFreePorts, SdkError) as error:
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
