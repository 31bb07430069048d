"""Committed throughput with each state database: embedded, CouchDB, a CouchDB that is stopped, one that is slow.

All in one run on fresh networks, interleaved, since a machine drifts; the ratios are of medians.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from bench.run import BenchOptions, Say, run_bench
from cluster import ContractSet

DELAY_S = 0.2
STOPPED = "http://127.0.0.1:1"
"""Nobody listens there."""
MODES = ("embedded", "couchdb", "stopped", "slow")


async def compare(
    options: BenchOptions, contracts: ContractSet, urls: tuple[str, ...], repeats: int, say: Say
) -> dict[str, Any]:
    """``urls``: a CouchDB for each node. The figures of every run, and each mode against the embedded one."""
    runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    async with AsyncExitStack() as stack:
        slow = tuple([await stack.enter_async_context(slowed(url)) for url in urls])
        chosen = {"embedded": (), "couchdb": urls, "stopped": (STOPPED,) * options.nodes, "slow": slow}
        for number in range(repeats):
            for mode in MODES:
                say(f"{mode}, run {number + 1} of {repeats}")
                runs[mode].append(await run_bench(replace(options, couchdb_urls=chosen[mode]), contracts, say))
    rates = {mode: statistics.median(run["committed_tx_per_s"] for run in found) for mode, found in runs.items()}
    p50s = {mode: statistics.median(run["latency_ms"]["p50"] for run in found) for mode, found in runs.items()}
    return {
        "committed_tx_per_s": rates,
        "latency_p50_ms": p50s,
        "ratio_to_embedded": {mode: round(rate / rates["embedded"], 3) for mode, rate in rates.items()},
        "p50_to_embedded": {mode: round(p50 / p50s["embedded"], 3) for mode, p50 in p50s.items()},
        "runs": runs,
    }


@asynccontextmanager
async def slowed(url: str) -> AsyncIterator[str]:
    """The address of a proxy that holds each piece of an answer back."""
    host, _, port = url.removeprefix("http://").partition(":")
    open_pipes: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        try:
            while data := await reader.read(1 << 20):
                await asyncio.sleep(delay_s)
                writer.write(data)
        except OSError:
            pass  # the other side is gone
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        for pipe in (copy(reader, back, 0.0), copy(there, writer, DELAY_S)):
            task = asyncio.create_task(pipe)
            open_pipes.add(task)
            task.add_done_callback(open_pipes.discard)

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        for task in list(open_pipes):
            task.cancel()
        await asyncio.gather(*open_pipes, return_exceptions=True)
