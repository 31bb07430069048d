"""What a state database costs: commits with each kind of it under full load, and latency and lag under a light one.

Embedded, CouchDB, a CouchDB that is stopped, one that is slow, and one that comes when the measured time begins, with
all that came before it to catch up with. Each on a fresh network, with a run of the embedded one right before or after,
since a machine drifts; the ratios are medians of these pairs.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bench.options import BenchError, BenchOptions, Say
from bench.run import run_bench
from cluster import ClusterError, ContractSet
from sdk.errors import SdkError

DELAY_S = 0.2
STOPPED = "http://127.0.0.1:1"
"""Nobody listens there."""
LIGHT_OUTSTANDING = 2
"""In flight a client, in the light load."""


@dataclass
class Proxies:
    """A proxy for each CouchDB. ``delay_s``: how long an answer is held back; a ``shut`` one turns everybody away."""

    urls: tuple[str, ...]
    delay_s: float = 0.0
    shut: bool = False
    addresses: list[str] = field(default_factory=list)

    def open(self) -> None:
        self.shut = False


async def compare(
    options: BenchOptions,
    contracts: ContractSet,
    urls: tuple[str, ...],
    repeats: int,
    say: Say,
    only: tuple[str, ...] = (),
) -> dict[str, Any]:
    """``urls``: a CouchDB for each node. Each run of a mode has an embedded one beside it, before or after in turns.

    ``only``: names of modes, or a part of them; all if empty.
    """
    pairs: dict[str, list[Pair]] = {}
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(proxied(Proxies(urls, delay_s=DELAY_S)))
        late = await stack.enter_async_context(proxied(Proxies(urls)))
        calm = replace(options, outstanding=LIGHT_OUTSTANDING)
        modes = {
            "couchdb": replace(options, couchdb_urls=urls),
            "stopped": replace(options, couchdb_urls=(STOPPED,) * options.nodes),
            "slow": replace(options, couchdb_urls=tuple(slow.addresses)),
            "catching_up": replace(options, couchdb_urls=tuple(late.addresses)),
            "light_load": replace(calm, couchdb_urls=urls),
        }
        for number in range(repeats):
            for mode, chosen in modes.items():
                if only and not any(part in mode for part in only):
                    continue
                found: dict[bool, dict[str, Any]] = {}
                try:
                    for embedded in (False, True) if number % 2 else (True, False):
                        say(f"{'embedded beside ' * embedded}{mode}, run {number + 1} of {repeats}")
                        late.shut = True
                        what = replace(chosen, couchdb_urls=()) if embedded else chosen
                        found[embedded] = await run_bench(what, contracts, say, late.open)
                        told = found[embedded]
                        say(f"{told['committed_tx_per_s']} transactions/s, {told['node_cpu_ms_per_tx']} ms of CPU each")
                except (BenchError, ClusterError, SdkError) as error:
                    say(f"this pair does not count: {error}")
                else:
                    pairs.setdefault(mode, []).append(Pair(found[True], found[False]))
    return comparison(pairs)


@dataclass(frozen=True, slots=True)
class Pair:
    """Figures of two runs, one right after the other."""

    embedded: dict[str, Any]
    other: dict[str, Any]


def comparison(pairs: dict[str, list[Pair]]) -> dict[str, Any]:
    """The figures of each mode, and how many transactions failed in all runs."""
    runs = [run for found in pairs.values() for pair in found for run in (pair.embedded, pair.other)]
    return {
        "state_databases": {mode: compared(found) for mode, found in pairs.items()},
        "failed": sum(run["failed"] for run in runs),
    }


def compared(pairs: list[Pair]) -> dict[str, Any]:
    """Medians of both, and of the pairs' ratios."""

    def rate(run: dict[str, Any]) -> float:
        return float(run["committed_tx_per_s"])

    def p50(run: dict[str, Any]) -> float:
        return float(run["latency_ms"]["p50"])

    return {
        "embedded_tx_per_s": median(rate(pair.embedded) for pair in pairs),
        "tx_per_s": median(rate(pair.other) for pair in pairs),
        "tx_per_s_ratios": [round(rate(pair.other) / rate(pair.embedded), 3) for pair in pairs],
        "tx_per_s_ratio": median(rate(pair.other) / rate(pair.embedded) for pair in pairs),
        "embedded_node_cpu_ms_per_tx": median(pair.embedded["node_cpu_ms_per_tx"] for pair in pairs),
        "node_cpu_ms_per_tx": median(pair.other["node_cpu_ms_per_tx"] for pair in pairs),
        "node_cpu_ratio": median(
            pair.other["node_cpu_ms_per_tx"] / pair.embedded["node_cpu_ms_per_tx"] for pair in pairs
        ),
        "embedded_p50_ms": median(p50(pair.embedded) for pair in pairs),
        "p50_ms": median(p50(pair.other) for pair in pairs),
        "p50_ratio": median(p50(pair.other) / p50(pair.embedded) for pair in pairs),
        "lag_ms_p99": median(pair.other["state_lag"]["lag_ms"]["p99"] for pair in pairs),
        "lag_ms_max": max(pair.other["state_lag"]["lag_ms"]["max"] for pair in pairs),
        "load_average": [run["load_average"][0] for pair in pairs for run in (pair.embedded, pair.other)],
        "embedded_runs": [pair.embedded for pair in pairs],
        "runs": [pair.other for pair in pairs],
    }


def median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


@asynccontextmanager
async def proxied(proxies: Proxies) -> AsyncIterator[Proxies]:
    """Fills in the addresses, and serves until the end."""
    open_pipes: set[asyncio.Task[None]] = set()
    servers: list[asyncio.Server] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        try:
            while data := await reader.read(1 << 20):
                await asyncio.sleep(delay_s)
                writer.write(data)
        except OSError:
            pass  # the other side is gone
        finally:
            writer.close()

    def start(pipe: Any) -> None:
        task = asyncio.create_task(pipe)
        open_pipes.add(task)
        task.add_done_callback(open_pipes.discard)

    for url in proxies.urls:
        host, _, port = url.removeprefix("http://").partition(":")

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: int = int(port)
        ) -> None:
            if proxies.shut:
                writer.close()
                return
            there, back = await asyncio.open_connection(host, port)
            start(copy(reader, back, 0.0))
            start(copy(there, writer, proxies.delay_s))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        proxies.addresses.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield proxies
    finally:
        for server in servers:
            server.close()
        for task in list(open_pipes):
            task.cancel()
        await asyncio.gather(*open_pipes, return_exceptions=True)
