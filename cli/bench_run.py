"""`wattq bench run`: transactions a second against this machine's signature limit, calm, flooded or attacked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.attack import AttackOptions, run_attacks
from bench.attack_plot import draw
from bench.caliper import SUFFIXES, BadCaliperFile, Benchmark, read_caliper
from bench.fault import DELAY_MS_MAX, Fault
from bench.flood import FloodOptions, run_floods
from bench.kinds import VALUE_BYTES, VALUE_BYTES_MAX, Kind
from bench.open_loop import Arrivals
from bench.options import SEED, BenchError, BenchOptions
from bench.rounds import run_rounds
from bench.run import run_bench
from bench.state import compare
from cli.contracts import shipped_contracts
from cli.failing import fail
from cluster import ClusterError
from sdk.errors import SdkError
from sdk.ports import NoFreePorts

COMMAND = "wattq bench run"
TABLE_CHARS = 120
LONG = frozenset({"by_second", "configuration", "latency_hdr", "state_databases", "steady_state", "versions"})
"""Figures that are for programs, in JSON alone."""


def run(
    workload: Annotated[
        str,
        typer.Option(
            metavar="KIND|FILE",
            help="What is sent: the market's mix, one thing alone, or the rounds of a file in Caliper's shape "
            "(docs/BENCH.md).",
        ),
    ] = Kind.MIXED,
    value_bytes: Annotated[
        int, typer.Option(min=1, max=VALUE_BYTES_MAX, help="Of an asset, with --workload asset-*.")
    ] = VALUE_BYTES,
    nodes: Annotated[int, typer.Option(min=4, max=25, help="Replicas.")] = 4,
    clients: Annotated[int, typer.Option(min=1, max=16, help="Client processes.")] = 2,
    outstanding: Annotated[
        int, typer.Option(min=1, max=500, help="Transactions in flight a client; with --rate at most so many.")
    ] = 128,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Measured seconds.")] = 10.0,
    warm_up: Annotated[float, typer.Option(min=0, max=600, help="Seconds of load before.")] = 3.0,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=100_000, help="Open loop: transactions that are due a second, of all clients."),
    ] = None,
    arrivals: Annotated[
        Arrivals, typer.Option(help="With --rate: due at equal distances, or at random ones.")
    ] = Arrivals.CONSTANT,
    seed: Annotated[int, typer.Option(min=0, help="Of the deals, and of random arrivals.")] = SEED,
    batch: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Transactions of a block at most; as configured if left out.")
    ] = None,
    pipeline: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Blocks in agreement at a time; as configured if left out.")
    ] = None,
    fault: Annotated[
        Fault, typer.Option(help="What befalls the network from the measured time's beginning on.")
    ] = Fault.NONE,
    link_delay_ms: Annotated[
        int, typer.Option(min=0, max=DELAY_MS_MAX, help="Of each message between two nodes, all the time.")
    ] = 0,
    link_jitter_ms: Annotated[
        int, typer.Option(min=0, max=DELAY_MS_MAX, help="Up to so much more, by chance: messages overtake each other.")
    ] = 0,
    link_loss: Annotated[
        float, typer.Option(min=0, max=0.99, help="The share of messages between nodes that is lost.")
    ] = 0.0,
    couchdb_url: Annotated[
        list[str] | None, typer.Option(help="Compare state databases: a CouchDB for each node, given once a node.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="How often each state database is measured.")] = 3,
    floods: Annotated[bool, typer.Option("--floods", help="Measure what floods cost honest clients.")] = False,
    attacks: Annotated[
        bool, typer.Option("--attacks", help="Measure what a crashed or slow primary and floods leave of throughput.")
    ] = False,
    only: Annotated[
        list[str], typer.Option(help="Only floods, attacks or state databases whose name has this in it.")
    ] = [],  # noqa: B006
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="With --attacks: draw them, as SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start a network, load it, and print throughput, latency and the ratio to the signature limit.

    Clients send the next transaction when one is done (a closed loop). With --rate transactions are due at times that
    no answer moves (an open loop): latency counts from when one was due, also while it waits for a place in flight.
    What is not verified 10 s after the end is told as unfinished, and counts as having taken so long.

    Example: wattq bench run --rate 200 --json

    Example: wattq bench run --workload asset-update --value-bytes 8000

    Example: wattq bench run --rate 100 --fault "crashed primary" --link-delay-ms 20

    A file says itself how long, how fast and with how many clients: only --nodes, --batch, --pipeline and --seed count
    beside it. It is YAML or TOML, with the rounds of a Caliper benchmark, and so are the figures.

    Example: wattq bench run --workload examples/workloads/assets.yaml

    With --couchdb-url it compares state databases instead, always as JSON: embedded, CouchDB, and one that is stopped,
    slow, or catching up. User and password come from WATTQ_COUCHDB_USER and WATTQ_COUCHDB_PASSWORD.

    With --floods four nodes are flooded by one client, observer or validator after another, each flood for as many
    seconds, and honest clients' throughput and p99 are compared with a calm window right before.

    Example: wattq bench run --floods --only "observer" --json

    With --attacks four nodes meet one thing after another in one run: the primary crashes, it is slow, a client
    floods, a replica floods; throughput and latency are told as shares of the fault-free ones right before.

    Example: wattq bench run --attacks --plot attacks.svg

    Exit codes: 0 measured, 1 something failed under load, 2 the bench could not run.
    """
    urls = tuple(couchdb_url or ())
    kind, test = _workload(workload)
    options = BenchOptions(
        nodes,
        clients,
        outstanding,
        warm_up,
        seconds,
        rate_tx_per_s=rate,
        arrivals=arrivals,
        seed=seed,
        batch_transactions_max=batch,
        pipeline_depth=pipeline,
        workload=kind or Kind.MIXED,
        value_bytes=value_bytes,
        fault=fault,
        link_delay_ms=link_delay_ms,
        link_jitter_ms=link_jitter_ms,
        link_loss=link_loss,
    )
    if urls and len(urls) != nodes:
        fail(COMMAND, f"--couchdb-url is to be given {nodes} times, once for each node", 2)
    if (rate is not None or kind is not Kind.MIXED) and (floods or attacks):
        fail(COMMAND, "--floods and --attacks have loads of their own, without --rate and --workload", 2)
    if test is not None and (rate is not None or urls):
        fail(COMMAND, f"{workload} has rates of its own, without --rate and --couchdb-url", 2)
    bench: Coroutine[Any, Any, dict[str, Any]]
    if test is not None:
        bench = run_rounds(test, options, shipped_contracts(), _say)
    elif urls:
        bench, as_json = compare(options, shipped_contracts(), urls, repeats, _say, tuple(only)), True
    elif attacks:
        wanted = AttackOptions(outstanding, attack_s=seconds, only=tuple(only))
        bench = run_attacks(wanted, shipped_contracts(), _say)
    elif floods:
        bench = run_floods(FloodOptions(outstanding, flood_s=seconds, only=tuple(only)), shipped_contracts(), _say)
    else:
        bench = run_bench(options, shipped_contracts(), _say)
    try:
        figures = asyncio.run(bench)
    except (BenchError, ClusterError, NoFreePorts, SdkError) as error:
        fail(COMMAND, str(error), 2)
    if plot is not None and attacks:
        _draw(figures, plot)
    if as_json:
        typer.echo(json.dumps(figures))
    elif attacks:
        _tell_attacks(figures)
    elif test is not None:
        _tell_rounds(figures)
    else:
        for name, value in figures.items():
            if name not in LONG:
                typer.echo(f"{name:<26} {value}")
    if figures["failed"]:
        raise typer.Exit(1)


def _workload(text: str) -> tuple[Kind | None, Benchmark | None]:
    """A kind, or the rounds of a file; ends the command for what is neither."""
    if text in set(Kind):
        return Kind(text), None
    path = Path(text)
    if path.suffix not in SUFFIXES:
        fail(COMMAND, f"--workload {text}: a file that ends in {', '.join(SUFFIXES)}, or one of {', '.join(Kind)}", 2)
    try:
        return None, read_caliper(path)
    except BadCaliperFile as error:
        fail(COMMAND, str(error), 2)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _draw(figures: dict[str, Any], path: Path) -> None:
    try:
        draw(figures, path)
    except ImportError:
        typer.echo(f"{COMMAND}: the picture needs Matplotlib: pip install 'wattquorum[bench]'", err=True)
    except OSError as error:
        typer.echo(f"{COMMAND}: {error}", err=True)


def _tell_attacks(figures: dict[str, Any]) -> None:
    """A line an attack, and what the machine could do at all."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for title in ("tx/s calm", "attacked", "share", "p50 ms", "p99 ms", "silence ms", "view"):
        table.add_column(title, justify="right", no_wrap=True)
    for attack in figures["attacks"]:
        calm, attacked, share = attack["calm"], attack["attacked"], attack["throughput_share"]
        table.add_row(
            attack["attack"],
            f"{calm['tx_per_s']:.1f}",
            f"{attacked['tx_per_s']:.1f}",
            "-" if share is None else f"{share:.0%}",
            *(f"{_ms(calm['latency_ms'][which])} / {_ms(attacked['latency_ms'][which])}" for which in ("p50", "p99")),
            " / ".join(f"{silence:,}" for silence in attack["longest_silence_ms"]),
            f"{attack['views'][0]} to {attack['views'][1]}",
        )
    Console(width=TABLE_CHARS, highlight=False).print(table)
    typer.echo(f"load average {figures['load_average'][0]}, {figures['cores']} cores; {figures['failed']} failed")


COLUMNS = {
    "Succ": "succ",
    "Fail": "fail",
    "Send Rate (TPS)": "send_rate_tps",
    "Max Latency (s)": "max_latency_s",
    "Min Latency (s)": "min_latency_s",
    "Avg Latency (s)": "avg_latency_s",
    "Throughput (TPS)": "throughput_tps",
}
"""Of Caliper's table, and which figure each is."""


def _tell_rounds(figures: dict[str, Any]) -> None:
    """Caliper's table."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("Name")
    for title in COLUMNS:
        table.add_column(title, justify="right")
    for each in figures["rounds"]:
        values = [each[name] for name in COLUMNS.values()]
        table.add_row(each["label"], *("-" if value is None else f"{value:,}" for value in values))
    Console(width=TABLE_CHARS, highlight=False).print(table)
    typer.echo(f"load average {figures['load_average'][0]}, {figures['cores']} cores; {figures['failed']} failed")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
