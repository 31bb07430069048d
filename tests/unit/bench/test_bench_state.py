"""The comparison of state databases: ratios are of runs beside each other, and a proxy slows, or turns away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.state import Pair, Proxies, compared, comparison, proxied


def figures(rate: float, p50: float, cpu_ms: float = 2.0, lag_ms: float = 10.0, failed: int = 0) -> dict[str, Any]:
    return {
        "committed_tx_per_s": rate,
        "latency_ms": {"p50": p50},
        "node_cpu_ms_per_tx": cpu_ms,
        "state_lag": {"lag_ms": {"p99": lag_ms, "max": 2 * lag_ms}},
        "load_average": [1.0, 1.0, 1.0],
        "failed": failed,
    }


def test_a_drifting_machine_does_not_show_in_the_ratios() -> None:
    pairs = [Pair(figures(speed, 100 / speed), figures(0.9 * speed, 110 / speed)) for speed in (100.0, 20.0, 400.0)]
    found = compared(pairs)
    assert found["tx_per_s_ratios"] == [0.9, 0.9, 0.9]
    assert (found["tx_per_s_ratio"], found["p50_ratio"], found["node_cpu_ratio"]) == (0.9, 1.1, 1.0)
    assert (found["embedded_tx_per_s"], found["tx_per_s"], found["lag_ms_max"]) == (100.0, 90.0, 20.0)


def test_a_comparison_says_how_many_transactions_failed() -> None:
    """`wattq bench run --couchdb-url` ended with a KeyError: it asks each bench for what failed."""
    found = comparison({"slow": [Pair(figures(2.0, 1.0), figures(1.0, 1.0, failed=3))]})
    assert (found["failed"], found["state_databases"]["slow"]["tx_per_s_ratio"]) == (3, 0.5)


async def test_a_proxy_holds_answers_back_or_turns_everybody_away() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(2))
        writer.close()

    async def ask(url: str) -> tuple[bytes, float]:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        began = time.monotonic()
        try:
            writer.write(b"hi")
            return await reader.read(), time.monotonic() - began
        except ConnectionError:
            return b"", 0.0
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with proxied(Proxies((url, url), delay_s=0.1)) as slow, proxied(Proxies((url,), shut=True)) as late:
        for address in slow.addresses:
            answer, took_s = await ask(address)
            assert (answer, took_s >= 0.1) == (b"hi", True)
        assert (await ask(late.addresses[0]))[0] == b""
        late.open()
        assert (await ask(late.addresses[0]))[0] == b"hi"
    server.close()
