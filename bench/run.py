"""A bench run: a fresh local network, clients that register and are funded, load, figures."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.day import SETTLED_S
from bench.ground import limits_text, network
from bench.kinds import Kind
from bench.lab import Lab, hosts_of, needs_lab
from bench.limit import SignatureCost, cores, measure_signatures
from bench.load import PHASES, LoadResult, loading
from bench.machine import machine_figures
from bench.office import admit_clients
from bench.options import BenchError, BenchOptions, Say
from bench.path import measure_path
from bench.samples import Sample, Window, encoded, latency_of, percentiles
from bench.steady import steadiness
from cluster import Cluster, ContractSet
from sdk.methods import StateDatabaseStatus

LAG_EVERY_S = 0.25
UTIME, STIME = 11, 12
"""Places in a process's ``stat`` behind its name."""


def _nothing() -> None:
    """Nobody wants to know."""


async def run_bench(
    options: BenchOptions, contracts: ContractSet, say: Say, measuring: Callable[[], None] = _nothing
) -> dict[str, Any]:
    """Measure; the figures by name. ``measuring`` is called when the measured time begins. Ends and removes everything
    that it started."""
    day = options.workload is Kind.DAY
    if day and options.warm_up_s < SETTLED_S:
        raise BenchError(f"a trading day settles nothing in its first seconds: a warm-up of {SETTLED_S:g} s or more")
    limits, urls, in_lab = limits_text(options), options.couchdb_urls, needs_lab(options)
    async with network(options.nodes, limits, contracts, say, urls, in_lab, day) as cluster:
        plans = await admit_clients(cluster, options, hosts_of(cluster, options))
        lab = Lab(cluster, options)
        await lab.begin(plans[0].endpoint)
        before, path_before = measure_signatures(), await measure_path(cluster.directory)
        say(f"load for {options.warm_up_s + options.measure_s:g} s")
        lags = Lags(cluster)
        async with loading(plans) as (start_at_s, loaded):
            window = window_of(options, start_at_s)
            results, _, _ = await asyncio.gather(
                loaded,
                _watch(lags, window.from_s, options.measure_s, measuring),
                lab.befall(window.from_s, window.until_s),
            )
        after, path_after = measure_signatures(), await measure_path(cluster.directory)
        databases = await _state_databases(cluster)
    verified = len(window.verified(all_samples(results)))
    figures = figures_of(options, window, results, before, after)
    floor_ms = (path_before.floor_ms(before) + path_after.floor_ms(after)) / 2
    p50_ms = figures["latency_ms"]["p50"]
    return {
        **figures,
        "path_floor_ms": round(floor_ms, 2),
        "p50_to_path_floor": None if p50_ms is None else round(p50_ms / floor_ms, 1),
        "node_cpu_ms_per_tx": round(1000 * lags.cpu_s / max(1, verified), 2),
        "state_databases": databases,
        "state_lag": lags.figures(),
    }


def window_of(options: BenchOptions, start_at_s: float) -> Window:
    """The measured time of a load that began at ``start_at_s``."""
    from_s = start_at_s + options.warm_up_s
    return Window(from_s, from_s + options.measure_s, options.rate_tx_per_s is not None)


def all_samples(results: Sequence[LoadResult]) -> list[Sample]:
    return [sample for result in results for sample in result.samples]


def functions_of(results: Sequence[LoadResult]) -> dict[str, int]:
    """How many of each function were verified, or answered, in the measured time."""
    counted: Counter[str] = sum((result.by_function for result in results), Counter())
    return dict(sorted(counted.items()))


async def _watch(lags: Lags, from_s: float, for_s: float, measuring: Callable[[], None]) -> None:
    """Note how far the state databases lag while is measured."""
    await asyncio.sleep(from_s - time.time())
    measuring()
    await lags.watch(for_s)


async def _state_databases(cluster: Cluster) -> list[dict[str, Any]]:
    """What each node says of its state database, right after the load."""
    statuses = await asyncio.gather(*(cluster.status(name) for name in cluster.names))
    return [
        msgspec.to_builtins(status.state_database)
        for status in statuses
        if status is not None and status.state_database is not None
    ]


class Lags:
    """How far the state databases lag while the load runs, asked of every node a few times a second; and what processor
    time the nodes take meanwhile, which others at work on the machine change far less than they change throughput."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._found: list[StateDatabaseStatus] = []
        self.cpu_s = 0.0

    def _cpu_s(self) -> float:
        """Of all nodes since they began; 0 where the system does not say, or one of them has gone."""
        total = 0
        for name in self._cluster.names:
            try:
                fields = Path(f"/proc/{self._cluster.pid(name)}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                return 0.0
            total += int(fields[UTIME]) + int(fields[STIME])
        return total / os.sysconf("SC_CLK_TCK")

    async def watch(self, seconds: float) -> None:
        began_s = self._cpu_s()
        await self._ask(seconds)
        self.cpu_s = max(0.0, self._cpu_s() - began_s)

    async def _ask(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            statuses = await asyncio.gather(*(self._cluster.status(name) for name in self._cluster.names))
            self._found += [each.state_database for each in statuses if each is not None and each.state_database]
            await asyncio.sleep(LAG_EVERY_S)

    def figures(self) -> dict[str, Any]:
        lags = [float(each.lag_ms) for each in self._found]
        return {
            "lag_ms": {**latency_of(lags), "max": max(lags, default=None)},
            "lag_blocks_max": max((each.lag_blocks for each in self._found), default=None),
            "lag_bytes_max": max((each.lag_bytes for each in self._found), default=None),
            "documents_per_s_max": max((each.documents_per_s for each in self._found), default=None),
            "samples": len(lags),
        }


def figures_of(
    options: BenchOptions, window: Window, results: list[LoadResult], before: SignatureCost, after: SignatureCost
) -> dict[str, Any]:
    """Everything that a run tells, but what its nodes do."""
    samples = all_samples(results)
    timed = window.timed(samples)
    latencies_ms = [sample.latency_ms for sample in timed]
    rate = len(window.verified(samples)) / options.measure_s
    limits = [cost.limit_tx_per_s(options.nodes, cores()) for cost in (before, after)]
    limit = sum(limits) / len(limits)
    steady = steadiness(samples, window)
    return {
        "committed_tx_per_s": round(rate, 1),
        "steady": steady.pop("steady"),
        "steady_state": steady,
        "rate_tx_per_s": options.rate_tx_per_s,
        "signature_limit_tx_per_s": round(limit, 1),
        "signature_limit_before_tx_per_s": round(limits[0], 1),
        "signature_limit_after_tx_per_s": round(limits[1], 1),
        "ratio_to_signature_limit": round(rate / limit, 4),
        "latency_ms": percentiles(latencies_ms),
        "latency_hdr": encoded(latencies_ms),
        "phases_ms": {
            name: latency_of([latency for result in results for latency in result.phases_ms[name]]) for name in PHASES
        },
        "send_lag_ms": latency_of([lag for result in results for lag in result.send_lags_ms]),
        "trades_per_s": round(sum(result.trades for result in results) / options.measure_s, 1),
        "verified_by_function": functions_of(results),
        "refused": sum(result.refused for result in results),
        "failed": sum(result.failed for result in results),
        "unfinished": sum(not sample.verified for sample in timed),
        "by_second": window.by_second(samples),
        "nodes": options.nodes,
        "clients": options.clients,
        "outstanding_per_client": options.outstanding,
        "measure_s": options.measure_s,
        "sign_us": round((before.sign_us + after.sign_us) / 2, 1),
        "verify_us": round((before.verify_us + after.verify_us) / 2, 1),
        "seed": options.seed,
        "configuration": msgspec.to_builtins(options),
        **machine_figures(),
    }
