"""A bench run: a fresh local network, clients that register and are funded, load, figures."""

from __future__ import annotations

import asyncio
import base64
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.limit import cores, measure_signatures
from bench.load import LoadPlan, LoadResult, run_load
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cluster import Cluster, ContractSet, gateway_name, port_is_free, prepare
from ledger.genesis import load_genesis
from sdk.client import AsyncClient
from sdk.configuration import parse
from sdk.transports import connect

PORT_FIRST, PORT_LAST, PORT_STEP = 28_600, 38_600, 200
PORTS_A_NODE = 2
INTERVAL_S = 900
DELIVERY_AHEAD = 40
DEPOSIT = 10**12
START_DELAY_S = 6.0
"""Time for the client processes to start before the common beginning."""


class BenchError(Exception):
    """The bench cannot run; the message says why."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured."""

    nodes: int = 4
    clients: int = 2
    outstanding: int = 128
    warm_up_s: float = 3.0
    measure_s: float = 10.0


Say = Callable[[str], None]


async def run_bench(options: BenchOptions, contracts: ContractSet, say: Say) -> dict[str, Any]:
    """Measure; the figures by name. Ends and removes everything that it started."""
    cost = measure_signatures()
    with tempfile.TemporaryDirectory(prefix="wattq-bench-") as name:
        directory = Path(name) / "net"
        text = _configuration(options)
        prepare(directory, parse(text, "bench"), text, contracts)
        cluster = Cluster(directory)
        try:
            say(f"starting {options.nodes} nodes")
            await cluster.up()
            plans = await _admit(cluster, options)
            say(f"load for {options.warm_up_s + options.measure_s:g} s")
            results = await _load(plans)
        finally:
            await cluster.down()
    return _figures(options, results, cost.sign_us, cost.verify_us, cost.limit_tx_per_s(options.nodes, cores()))


def _configuration(options: BenchOptions) -> str:
    count = options.nodes * PORTS_A_NODE
    for first in range(PORT_FIRST, PORT_LAST, PORT_STEP):
        if all(port_is_free("127.0.0.1", first + offset) for offset in range(count)):
            break
    else:
        raise BenchError(f"no free block of {count} ports between {PORT_FIRST} and {PORT_LAST}")
    lines = ["[network]", 'name = "wattquorum-bench"']
    for node in range(options.nodes):
        peer = first + node * PORTS_A_NODE
        lines += [f"[node.node{node + 1}]", f"peer_port = {peer}", f"rest_port = {peer + 1}", "client_port = 0"]
    return "\n".join(lines) + "\n"


async def _admit(cluster: Cluster, options: BenchOptions) -> list[LoadPlan]:
    """A buyer with a meter and money for each client process."""
    genesis = load_genesis(cluster.directory / "genesis.json")
    users = cluster.directory / "users"
    operators = [SigningKey.load(users / f"operator{i}.key") for i in (1, 2)]
    authority = Authority.open(cluster.directory / "ca")
    organisation = cluster.configuration.network.organisation
    plans = []
    start_at_s = time.time() + START_DELAY_S + 2 * options.clients
    for number in range(options.clients):
        node = cluster.names[number % options.nodes]
        endpoint = f"unix:{cluster.home(node) / 'node.sock'}"
        key, name = SigningKey.generate(), f"client{number}"
        key.save(users / f"{name}.key")
        request = create_request(key, name, organisation, Role.BUYER)
        certificate = authority.issue(request, name, organisation, Role.BUYER).certificate_der
        async with AsyncClient([connect(endpoint)], genesis, key) as client:
            await client.invoke("registry", "register", {"certificate_der": base64.b64encode(certificate).decode()})
        gateway = SigningKey.load(users / f"{gateway_name(node)}.key").signer
        binding = {"meter": name, "owner": key.signer, "zone": "z", "capacity_w": 10_000, "gateway": gateway}
        async with AsyncClient([connect(endpoint)], genesis, operators[0]) as operator:
            await operator.invoke("registry", "bind_meter", binding)
            deposit = {"account": key.signer, "amount": DEPOSIT}
            await operator.invoke("credit", "deposit", deposit, co_signers=[operators[1]])
        plans.append(
            LoadPlan(
                endpoint=endpoint,
                genesis=cluster.directory / "genesis.json",
                key=users / f"{name}.key",
                meter=name,
                interval=int(time.time()) // INTERVAL_S + DELIVERY_AHEAD,
                outstanding=options.outstanding,
                start_at_s=start_at_s,
                warm_up_s=options.warm_up_s,
                measure_s=options.measure_s,
            )
        )
    return plans


async def _load(plans: list[LoadPlan]) -> list[LoadResult]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(len(plans), mp_context=get_context("spawn")) as pool:
        return list(await asyncio.gather(*(loop.run_in_executor(pool, run_load, plan) for plan in plans)))


def _figures(
    options: BenchOptions, results: list[LoadResult], sign_us: float, verify_us: float, limit: float
) -> dict[str, Any]:
    latencies = sorted(latency for result in results for latency in result.latencies_ms)
    rate = sum(result.certified for result in results) / options.measure_s
    return {
        "committed_tx_per_s": round(rate, 1),
        "signature_limit_tx_per_s": round(limit, 1),
        "ratio_to_signature_limit": round(rate / limit, 4),
        "latency_ms": {"p50": _percentile(latencies, 0.5), "p99": _percentile(latencies, 0.99)},
        "refused": sum(result.refused for result in results),
        "failed": sum(result.failed for result in results),
        "nodes": options.nodes,
        "clients": options.clients,
        "outstanding_per_client": options.outstanding,
        "measure_s": options.measure_s,
        "sign_us": round(sign_us, 1),
        "verify_us": round(verify_us, 1),
        "cores": cores(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "version": version("wattquorum"),
    }


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else None
