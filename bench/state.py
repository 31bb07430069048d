"""What a state database costs: commits with each kind of it under full load, and latency and lag under a light one.

Embedded, CouchDB, a CouchDB that is stopped, one that is slow, and one that comes when the measured time begins, with
all that came before it to catch up with. All in one run on fresh networks, interleaved, since a machine drifts; the
ratios are of medians.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bench.run import BenchOptions, Say, run_bench
from cluster import ContractSet

DELAY_S = 0.2
STOPPED = "http://127.0.0.1:1"
"""Nobody listens there."""
MODES = ("embedded", "couchdb", "stopped", "slow", "catching_up")
LIGHT_MODES = ("embedded", "couchdb")
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
    options: BenchOptions, contracts: ContractSet, urls: tuple[str, ...], repeats: int, say: Say
) -> dict[str, Any]:
    """``urls``: a CouchDB for each node. The figures of every run, and each mode against the embedded one."""
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    light: dict[str, list[dict[str, Any]]] = {mode: [] for mode in LIGHT_MODES}
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(proxied(Proxies(urls, delay_s=DELAY_S)))
        late = await stack.enter_async_context(proxied(Proxies(urls)))
        chosen: dict[str, tuple[str, ...]] = {
            "embedded": (),
            "couchdb": urls,
            "stopped": (STOPPED,) * options.nodes,
            "slow": tuple(slow.addresses),
            "catching_up": tuple(late.addresses),
        }
        calm = replace(options, outstanding=LIGHT_OUTSTANDING)
        for number in range(repeats):
            for mode in MODES:
                say(f"{mode}, run {number + 1} of {repeats}")
                late.shut = True
                runs[mode].append(
                    await run_bench(replace(options, couchdb_urls=chosen[mode]), contracts, say, late.open)
                )
            for mode in LIGHT_MODES:
                say(f"{mode} under a light load, run {number + 1} of {repeats}")
                light[mode].append(await run_bench(replace(calm, couchdb_urls=chosen[mode]), contracts, say))
    return {"full_load": compared(runs), "light_load": compared(light)}


def compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians by mode, and against the embedded one."""
    rates = _medians(runs, lambda run: run["committed_tx_per_s"])
    p50s = _medians(runs, lambda run: run["latency_ms"]["p50"])
    return {
        "committed_tx_per_s": rates,
        "latency_p50_ms": p50s,
        "ratio_to_embedded": {mode: round(rate / rates["embedded"], 3) for mode, rate in rates.items()},
        "p50_to_embedded": {mode: round(p50 / p50s["embedded"], 3) for mode, p50 in p50s.items()},
        "lag_ms_p99": _medians(runs, lambda run: run["state_lag"]["lag_ms"]["p99"]),
        "lag_ms_max": {mode: max(run["state_lag"]["lag_ms"]["max"] for run in found) for mode, found in runs.items()},
        "load_average": [run["load_average"][0] for found in zip(*runs.values(), strict=True) for run in found],
        "runs": runs,
    }


def _medians(runs: dict[str, list[dict[str, Any]]], figure: Callable[[dict[str, Any]], float]) -> dict[str, float]:
    return {mode: round(statistics.median(figure(run) for run in found), 2) for mode, found in runs.items()}


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
