"""A run on lab nodes (docs/LAB.md): links that delay and lose frames all the time, and a fault once it is measured."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from bench.fault import FLOODS, SLOW_MS, Fault
from bench.flood import inadmissible, useless_requests
from bench.flooders import ClientFlood, PeerFlood, flood
from bench.options import BenchError, BenchOptions
from ca.keys import SigningKey
from cluster import Cluster
from ledger.genesis import load_genesis
from sdk.client import EXPIRY_BLOCKS, AsyncClient
from sdk.process import socket_path
from sdk.transports import connect

STRANGE = 1_000
"""Requests of somebody whom nobody knows, which a flooding client sends again and again."""
LOOK_S = 0.1
ANSWER_S_MAX = 10.0
LinkOrder = dict[str, float]


def needs_lab(options: BenchOptions) -> bool:
    return options.fault is not Fault.NONE or any(_weather(options).values())


def hosts_of(cluster: Cluster, options: BenchOptions) -> Sequence[str]:
    """Whose clients the load's are: with a fault neither the first primary's nor the last node's, which it may meet."""
    return cluster.names if options.fault is Fault.NONE else cluster.names[1:-1]


class Lab:
    """What is done to one run's network. ``begin`` once its clients are admitted, ``befall`` beside the load."""

    def __init__(self, cluster: Cluster, options: BenchOptions) -> None:
        self._cluster, self._fault, self._options = cluster, options.fault, options
        self._last = cluster.names[-1]
        self._flood: ClientFlood | PeerFlood | None = None

    async def begin(self, endpoint: str) -> None:
        """Put the links' weather, and make ready what the fault needs. ``endpoint``: whom a client floods."""
        if any(_weather(self._options).values()):
            for name in self._cluster.names:
                await order_links(self._cluster.home(name), {"*": _weather(self._options)})
        if self._fault is Fault.FLOODING_CLIENT:
            self._flood = await strangers(self._cluster, endpoint)
        if self._fault is Fault.FLOODING_REPLICA:
            await self._cluster.stop(self._last)
            self._flood = fetching_replica(self._cluster, self._last)

    async def befall(self, from_s: float, until_s: float) -> None:
        """The fault, between two moments of the wall clock. Crashes and slowness stay."""
        if self._fault in FLOODS:
            await self._run_flood(from_s, until_s)
            return
        await asyncio.sleep(max(0.0, from_s - time.time()))
        if self._fault in (Fault.CRASHED_PRIMARY, Fault.CRASHED_REPLICA):
            self._cluster.kill(await self._whom())
        elif self._fault in (Fault.SLOW_PRIMARY, Fault.SLOW_REPLICA):
            weather = _weather(self._options)
            slow = {**weather, "delay_ms": weather["delay_ms"] + SLOW_MS}
            await order_links(self._cluster.home(await self._whom()), {"*": slow})

    async def _run_flood(self, from_s: float, until_s: float) -> None:
        assert self._flood is not None, "it was made ready"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, flood, timed(self._flood, from_s, until_s))

    async def _whom(self) -> str:
        if self._fault in (Fault.CRASHED_REPLICA, Fault.SLOW_REPLICA):
            return self._last
        return await primary(self._cluster, self._cluster.names[1])


def _weather(options: BenchOptions) -> LinkOrder:
    return {
        "delay_ms": options.link_delay_ms,
        "jitter_ms": options.link_jitter_ms,
        "loss": options.link_loss,
    }


def timed(plan: ClientFlood | PeerFlood, from_s: float, until_s: float) -> ClientFlood | PeerFlood:
    return replace(plan, from_s=from_s, until_s=until_s)


async def strangers(cluster: Cluster, endpoint: str) -> ClientFlood:
    """A flood of requests of somebody whom nobody knows, without its times."""
    genesis = load_genesis(cluster.directory / "genesis.json")
    async with AsyncClient([connect(endpoint)], genesis, SigningKey.generate()) as stranger:
        expires = (await stranger.status()).executed_height + EXPIRY_BLOCKS
        strange = await useless_requests(stranger, range(STRANGE), expires)
    return ClientFlood(endpoint, inadmissible(strange, ()), True, 0.0, 0.0)


def fetching_replica(cluster: Cluster, name: str) -> PeerFlood:
    """A flood of fetches in a stopped node's place, without its times."""
    port = cluster.section(name).peer_port
    return PeerFlood("fetches", cluster.directory / "genesis.json", cluster.home(name), port, (), 0.0, 0.0)


async def primary(cluster: Cluster, asked: str) -> str:
    """Who leads, as one node says; ``BenchError`` if it does not."""
    deadline_s = time.monotonic() + ANSWER_S_MAX
    while (status := await cluster.status(asked)) is None:
        if time.monotonic() > deadline_s:
            raise BenchError(f"{asked} does not say who leads")
        await asyncio.sleep(LOOK_S)
    return status.primary


async def order_links(home: Path, faults: dict[str, LinkOrder]) -> None:
    """Tell a lab node what befalls its links from now on; all of their earlier faults end."""
    async with asyncio.timeout(ANSWER_S_MAX):
        reader, writer = await asyncio.open_unix_connection(socket_path(home).with_suffix(".lab"))
        try:
            writer.write(json.dumps({"links": faults}).encode() + b"\n")
            told = json.loads(await reader.readline())
        finally:
            writer.close()
    if told.get("error"):
        raise BenchError(f"{home.name}: {told['error']}")
