"""The network that is measured: fresh, of real processes, on ports and in a directory of its own."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.day import RATE
from bench.options import BenchOptions, Say
from cluster import Cluster, ContractSet, prepare
from sdk.configuration import parse
from sdk.ports import claim_ports

PORTS_A_NODE = 2
NO_PACE = "[limits]\nclient_requests_per_s_max = 1_000_000\n"
"""Two clients stand for many here: how fast each may be is not what is measured."""
CLOCK_TOLERANCE_MS = 10_000
"""As configured, by the clock on the wall."""


def limits_text(options: BenchOptions) -> str:
    """What the nodes' configuration says of limits."""
    chosen = {name: getattr(options, name) for name in ("batch_transactions_max", "pipeline_depth")}
    return NO_PACE + "".join(f"{name} = {value}\n" for name, value in chosen.items() if value is not None)


@asynccontextmanager
async def network(
    nodes: int,
    extra: str,
    contracts: ContractSet,
    say: Say,
    couchdb_urls: tuple[str, ...] = (),
    lab: bool = False,
    clocked: bool = False,
) -> AsyncIterator[Cluster]:
    """A network that runs on ports and in a directory of its own; ended and removed at the end. Its processes end with
    this one, however that ends. ``lab``: of nodes that take a lab's orders; ``clocked``: whose clocks run as fast as a
    trading day's."""
    with tempfile.TemporaryDirectory(prefix="wattq-bench-") as name, claim_ports(nodes * PORTS_A_NODE) as block:
        directory = Path(name) / "net"
        text = configuration_text(nodes, block.first, couchdb_urls, lab, clocked) + extra
        prepare(directory, parse(text, "bench"), text, contracts)
        leash, held = os.pipe()
        cluster = Cluster(directory, leash)
        try:
            say(f"starting {nodes} nodes")
            await cluster.up(lab={} if lab else None)
            yield cluster
        finally:
            await cluster.down()
            os.close(held)
            os.close(leash)


def configuration_text(
    nodes: int, first: int, couchdb_urls: tuple[str, ...], lab: bool = False, clocked: bool = False
) -> str:
    """A network of so many nodes on the ports from ``first`` on, with a CouchDB for each or with none."""
    lines = ["[network]", 'name = "wattquorum-bench"', *(["lab = true"] if lab or clocked else [])]
    lines += _clock_lines() if clocked else []
    if couchdb_urls:  # databases of its own for each run, since each is another chain
        lines += ["[state]", 'backend = "couchdb"', f'database_prefix = "wattquorum-bench-{time.time_ns()}"']
    for node in range(nodes):
        peer = first + node * PORTS_A_NODE
        lines += [f"[node.node{node + 1}]", f"peer_port = {peer}", f"rest_port = {peer + 1}", "client_port = 0"]
        lines += [f'couchdb_url = "{couchdb_urls[node]}"'] if couchdb_urls else []
    return "\n".join(lines) + "\n"


def _clock_lines() -> list[str]:
    """A clock that shows the time on the wall now, and from here on runs as fast as a trading day's."""
    now_s = int(time.time())
    start = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tolerance = f"clock_tolerance_ms = {int(CLOCK_TOLERANCE_MS * RATE)}"
    return [
        "[clock]",
        f'start = "{start}"',
        f"rate = {RATE}",
        f"wall_start_ms = {now_s * 1_000}",
        "[timers]",
        tolerance,
    ]
