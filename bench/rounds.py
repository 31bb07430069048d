"""Rounds of a Caliper-like workload file, one after another on one network, told in Caliper's terms.

Latency is from the moment when a transaction was begun to its verified receipt; send rate is what was begun, by the
time between the first and the last of it; throughput is what succeeded, by the time from the first begun to the last
verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import msgspec

from bench.caliper import Benchmark, Round, Share
from bench.ground import limits_text, network
from bench.kinds import ON_ASSETS
from bench.limit import cores, measure_signatures
from bench.load import LoadPlan, LoadResult, loading
from bench.machine import machine_figures
from bench.office import Office, People, Wanted, admit_people, meters_for, provide_goods
from bench.options import BenchOptions, Say
from bench.pace import FixedLoad
from bench.run import functions_of
from bench.samples import latency_of
from cluster import Cluster, ContractSet

ROUND_S_MAX = 3_600.0
"""Of a round that ends with a number of transactions."""
TX_PER_S_MAX = 1_000
"""At most so many: for which time a number of transactions needs meters."""
SEEDS_A_ROUND = 100
"""More than there are clients, each of which has a seed of its own."""


async def run_rounds(test: Benchmark, options: BenchOptions, contracts: ContractSet, say: Say) -> dict[str, Any]:
    """Measure; the figures by round. Of ``options`` nodes, limits and seed count. Ends and removes everything that it
    started."""
    async with network(options.nodes, limits_text(options), contracts, say) as cluster:
        office = Office(cluster)
        people = await _people(office, cluster, test)
        before, rounds = measure_signatures(), []
        for number, each in enumerate(test.rounds):
            say(f"round {number + 1} of {len(test.rounds)}: {each.label}")
            seed = options.seed + number * SEEDS_A_ROUND
            shares = Share.all(each.clients(len(people)))
            plans = [await _plan(office, people, each, share, f"r{number}", seed) for share in shares]
            async with loading(plans) as (_, loaded):
                rounds.append(round_figures(each, await loaded))
        limits = [cost.limit_tx_per_s(options.nodes, cores()) for cost in (before, measure_signatures())]
    return {
        "rounds": rounds,
        "failed": sum(each["fail"] for each in rounds),
        "signature_limit_before_tx_per_s": round(limits[0], 1),
        "signature_limit_after_tx_per_s": round(limits[1], 1),
        "clients": test.workers.number,
        "nodes": options.nodes,
        "seed": options.seed,
        "configuration": msgspec.to_builtins(options),
        **machine_figures(),
    }


async def _people(office: Office, cluster: Cluster, test: Benchmark) -> list[People]:
    homes = [cluster.home(name) for name in cluster.names]
    endpoints = [f"unix:{homes[n % len(homes)] / 'node.sock'}" for n in range(test.workers.number)]
    if any(each.kind in ON_ASSETS for each in test.rounds):
        await office.deploy(endpoints[0])
    return [await admit_people(office, endpoint, number) for number, endpoint in enumerate(endpoints)]


async def _plan(office: Office, crowd: Sequence[People], each: Round, share: Share, name: str, seed: int) -> LoadPlan:
    people, arguments = crowd[share.number], each.workload.arguments
    goods = Wanted(
        owner=f"client{share.number}{name}",
        kind=each.kind,
        meters=meters_for(each.txDuration or (each.txNumber or 0) / TX_PER_S_MAX),
        seed=seed + share.number,
        value_bytes=arguments.byteSize,
        assets=arguments.assets,
    )
    pace = each.rateControl.pace(share)
    return LoadPlan(
        endpoint=people.endpoint,
        genesis=office.genesis_file,
        keys=people.keys,
        goods=await provide_goods(office, people, goods),
        outstanding=0,
        warm_up_s=0.0,
        measure_s=each.txDuration or ROUND_S_MAX,
        offset_s=0.0 if isinstance(pace, FixedLoad) else share.number / share.clients / pace.first_tps,
        pace=pace,
        number=None if each.txNumber is None else share.of(each.txNumber),
    )


def round_figures(each: Round, results: Sequence[LoadResult]) -> dict[str, Any]:
    """A row of Caliper's table, in seconds and transactions a second, and what it leaves out."""
    begun = sum(result.begun for result in results)
    ended = [sample for result in results for sample in result.samples if sample.verified]
    latencies_ms = [sample.latency_ms for sample in ended]
    busy = [result for result in results if result.begun]
    first_s = min((result.first_begun_s for result in busy), default=0.0)
    sending_s = max((result.last_begun_s for result in busy), default=0.0) - first_s
    lasting_s = max((sample.ended_s for sample in ended), default=first_s) - first_s
    return {
        "label": each.label,
        "succ": len(ended),
        "fail": begun - len(ended),
        "send_rate_tps": _rate(begun, sending_s),
        "max_latency_s": _s(max(latencies_ms, default=None)),
        "min_latency_s": _s(min(latencies_ms, default=None)),
        "avg_latency_s": _s(fmean(latencies_ms) if latencies_ms else None),
        "throughput_tps": _rate(len(ended), lasting_s),
        "latency_ms": latency_of(latencies_ms),
        "refused": sum(result.refused for result in results),
        "workload": str(each.kind),
        "verified_by_function": functions_of(results),
        "round": msgspec.to_builtins(each),
    }


def _rate(number: int, seconds: float) -> float:
    """As Caliper has it where no time passes: the number itself."""
    return round(number / seconds, 1) if seconds > 0 else float(number)


def _s(latency_ms: float | None) -> float | None:
    return None if latency_ms is None else round(latency_ms / 1_000, 3)
