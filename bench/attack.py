"""Performance under attack: throughput and latency as shares of the fault-free figures of the same run.

Four lab nodes and two clients under steady load. One attack after another, each with a calm window right before it, so
that a machine that grows slower or faster does not look like an attack: a primary that crashes, one that is slow, a
client that floods, and a replica that floods in the last node's place, which is down in the calm window too. The crash
has a network of its own, which ends with it: who comes back under full load takes from the others what it lacks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

from bench.fault import SLOW_MS, Fault
from bench.flood import LEAD_S, WARM_UP_S, ratio, window
from bench.flooders import ClientFlood, Flooded, PeerFlood, flood
from bench.ground import network
from bench.lab import fetching_replica, order_links, primary, strangers, timed
from bench.limit import cores, measure_signatures
from bench.load import LoadResult, loading
from bench.machine import machine_figures
from bench.office import admit_clients
from bench.options import BenchError, BenchOptions, Say
from cluster import Cluster, ContractSet

NODES = 4
HOSTS = ("node2", "node3")
"""Whose clients the honest ones are: neither the first primary nor whoever floods."""
FLOODER = "node4"
REST_S = 4.0
"""After an attack, before the next calm window."""


@dataclass(frozen=True, slots=True)
class AttackOptions:
    """``only``: names of attacks, or a part of them; all if empty."""

    outstanding: int = 32
    calm_s: float = 8.0
    attack_s: float = 12.0
    only: tuple[str, ...] = ()

    @property
    def chosen(self) -> list[str]:
        return [name for name in ATTACKS if not self.only or any(part in name for part in self.only)]


@dataclass(slots=True)
class _Turn:
    """One attack: its times by the wall clock, and in which epochs and views it began and ended."""

    name: str
    calm_s: float
    begin_s: float = 0.0
    end_s: float = 0.0
    views: list[str] = field(default_factory=list)
    flooded: Flooded | None = None


async def run_attacks(options: AttackOptions, contracts: ContractSet, say: Say) -> dict[str, Any]:
    """Measure; the figures by attack. Ends and removes everything that it started."""
    if not options.chosen:
        raise BenchError(f"no such attack; there are: {'; '.join(ATTACKS)}")
    before, stages = measure_signatures(), list[_Stage]()
    for names in _networks(options.chosen):
        async with network(NODES, "", contracts, say, lab=True) as cluster:
            stages.append(await _Run(cluster, options, names, say).run())
    limits = [cost.limit_tx_per_s(NODES, cores()) for cost in (before, measure_signatures())]
    return {
        **_one_after_another(stages),
        "signature_limit_before_tx_per_s": round(limits[0], 1),
        "signature_limit_after_tx_per_s": round(limits[1], 1),
        "honest_clients": len(HOSTS),
        "outstanding_per_client": options.outstanding,
        "slow_primary_ms": SLOW_MS,
        **machine_figures(),
    }


def _networks(chosen: Sequence[str]) -> list[list[str]]:
    """Which attacks meet the same network."""
    crash = [name for name in chosen if name == Fault.CRASHED_PRIMARY]
    others = [name for name in chosen if name not in crash]
    return [names for names in (crash, others) if names]


@dataclass(frozen=True, slots=True)
class _Stage:
    """What one network met. Times are in seconds from the beginning of its load."""

    attacks: list[dict[str, Any]]
    tx_by_second: list[int]
    began_at_s: list[float]
    ended_at_s: list[float]
    failed: int
    refused: int


def _one_after_another(stages: Sequence[_Stage]) -> dict[str, Any]:
    """The figures of all, on one axis of time."""
    figures: dict[str, Any] = {"attacks": [], "tx_by_second": [], "began_at_s": [], "ended_at_s": []}
    for stage in stages:
        since_s = len(figures["tx_by_second"])
        figures["attacks"] += stage.attacks
        figures["tx_by_second"] += stage.tx_by_second
        figures["began_at_s"] += [round(since_s + at_s, 1) for at_s in stage.began_at_s]
        figures["ended_at_s"] += [round(since_s + at_s, 1) for at_s in stage.ended_at_s]
    figures["failed"] = sum(stage.failed for stage in stages)
    figures["refused"] = sum(stage.refused for stage in stages)
    return figures


class _Run:
    """One network's."""

    def __init__(self, cluster: Cluster, options: AttackOptions, chosen: Sequence[str], say: Say) -> None:
        self._cluster, self._options, self._chosen, self._say = cluster, options, chosen, say
        self._turns: list[_Turn] = []

    async def run(self) -> _Stage:
        options, chosen = self._options, self._chosen
        turn_s = options.calm_s + LEAD_S + options.attack_s + REST_S
        total_s = 2 * WARM_UP_S + turn_s * len(chosen) + REST_S
        bench = BenchOptions(NODES, len(HOSTS), options.outstanding, 0.0, total_s)
        plans = await admit_clients(self._cluster, bench, HOSTS)
        self._strange = await strangers(self._cluster, plans[0].endpoint)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as self._pool:
            async with loading(plans) as (start_at_s, loaded):
                await asyncio.sleep(start_at_s + WARM_UP_S - time.time())
                for name in chosen:
                    self._say(f"{options.chosen.index(name) + 1} of {len(options.chosen)}: {name}")
                    await self._turn(name)
                self._say("waiting for the load's end")
                results = await loaded
        if self._turns[-1].end_s > start_at_s + total_s:
            raise BenchError("the load ended before the last attack did: this machine is too busy")
        return _Stage(
            attacks=[self._figures(turn, results) for turn in self._turns],
            tx_by_second=_by_second(results, start_at_s, self._turns[-1].end_s),
            began_at_s=[turn.begin_s - start_at_s for turn in self._turns],
            ended_at_s=[turn.end_s - start_at_s for turn in self._turns],
            failed=sum(result.failed for result in results),
            refused=sum(result.refused for result in results),
        )

    async def _turn(self, name: str) -> None:
        if name == Fault.FLOODING_REPLICA:
            await self._cluster.stop(FLOODER)
            await asyncio.sleep(REST_S)
        turn = _Turn(name, time.time())
        self._turns.append(turn)
        await asyncio.sleep(self._options.calm_s)
        turn.views.append(await self._view())
        await ATTACKS[name](self, turn)
        turn.views.append(await self._view())
        await asyncio.sleep(REST_S)

    async def _attacked(self, turn: _Turn, lead_s: float = 0.0) -> None:
        """The window in which an attack that has begun is measured."""
        turn.begin_s = time.time() + lead_s
        turn.end_s = turn.begin_s + self._options.attack_s
        await asyncio.sleep(turn.end_s - time.time())

    # ----------------------------------------------------------------------------------------------- attacks

    async def _crashed_primary(self, turn: _Turn) -> None:
        """From the very moment in which it dies: the time without a primary is in the figures."""
        name = await primary(self._cluster, HOSTS[0])
        self._cluster.kill(name)
        await self._attacked(turn)
        await self._cluster.wait_gone(name)

    async def _slow_primary(self, turn: _Turn) -> None:
        home = self._cluster.home(await primary(self._cluster, HOSTS[0]))
        await order_links(home, {"*": {"delay_ms": SLOW_MS}})
        await self._attacked(turn)
        await order_links(home, {})

    async def _flooding_client(self, turn: _Turn) -> None:
        await self._flooded(turn, self._strange)

    async def _flooding_replica(self, turn: _Turn) -> None:
        await self._flooded(turn, fetching_replica(self._cluster, FLOODER))

    async def _flooded(self, turn: _Turn, plan: ClientFlood | PeerFlood) -> None:
        begin_s = time.time()
        until_s = begin_s + LEAD_S + self._options.attack_s
        flooding = asyncio.get_running_loop().run_in_executor(self._pool, flood, timed(plan, begin_s, until_s))
        await self._attacked(turn, LEAD_S)
        turn.flooded = await flooding

    # ----------------------------------------------------------------------------------------------- looking

    async def _view(self) -> str:
        """The newest epoch and view in which somebody stands."""
        told = await asyncio.gather(*(self._cluster.status(name) for name in HOSTS))
        epoch, view = max(((status.epoch, status.view) for status in told if status is not None), default=(0, 0))
        return f"{epoch}.{view}"

    def _figures(self, turn: _Turn, results: Sequence[LoadResult]) -> dict[str, Any]:
        before_s = turn.calm_s + self._options.calm_s
        calm, attacked = window(results, turn.calm_s, before_s), window(results, turn.begin_s, turn.end_s)
        return {
            "attack": turn.name,
            "calm": calm,
            "attacked": attacked,
            "throughput_share": ratio(attacked["tx_per_s"], calm["tx_per_s"]),
            "p50_times": ratio(attacked["latency_ms"]["p50"], calm["latency_ms"]["p50"]),
            "p99_times": ratio(attacked["latency_ms"]["p99"], calm["latency_ms"]["p99"]),
            "longest_silence_ms": [
                _silence_ms(results, turn.calm_s, before_s),
                _silence_ms(results, turn.begin_s, turn.end_s),
            ],
            "views": turn.views,
            "flooder_messages": None if turn.flooded is None else turn.flooded.messages,
        }


ATTACKS: dict[str, Callable[[_Run, _Turn], Awaitable[None]]] = {
    Fault.CRASHED_PRIMARY: _Run._crashed_primary,
    Fault.SLOW_PRIMARY: _Run._slow_primary,
    Fault.FLOODING_CLIENT: _Run._flooding_client,
    Fault.FLOODING_REPLICA: _Run._flooding_replica,
}
"""In this order: the crash first, in its own network, and in the other the last node is down in the end."""


def _silence_ms(results: Sequence[LoadResult], from_s: float, until_s: float) -> int:
    """The longest time in which no client verified a receipt."""
    ended = (sample.ended_s for result in results for sample in result.samples)
    moments = sorted([from_s, *(at_s for at_s in ended if from_s <= at_s < until_s), until_s])
    return round(1_000 * max(later - earlier for earlier, later in pairwise(moments)))


def _by_second(results: Sequence[LoadResult], from_s: float, until_s: float) -> list[int]:
    """Receipts verified in each second."""
    counts = [0] * (int(until_s - from_s) + 1)
    for result in results:
        for sample in result.samples:
            if from_s <= sample.ended_s < until_s:
                counts[int(sample.ended_s - from_s)] += 1
    return counts
