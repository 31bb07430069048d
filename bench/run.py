"""A bench run: a fresh local network, clients that register and are funded, load, figures."""

from __future__ import annotations

import asyncio
import base64
import os
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.limit import SignatureCost, cores, measure_signatures
from bench.load import PHASES, LoadPlan, LoadResult, run_load
from bench.market import CAPACITY_W
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cluster import Cluster, ContractSet, gateway_name, prepare
from ledger.genesis import load_genesis
from sdk.client import AsyncClient
from sdk.configuration import parse
from sdk.ports import claim_ports
from sdk.transports import connect

PORTS_A_NODE = 2
INTERVAL_S = 900
DELIVERY_AHEAD = 40
DEPOSIT = 10**12
SEED = 20_260_101
NO_PACE = "[limits]\nclient_requests_per_s_max = 1_000_000\n"
"""Two clients stand for many here: how fast each may be is not what is measured."""
METER_S = 20
"""Seconds of load for which one meter's intervals suffice, at more than a thousand transactions a second."""
START_DELAY_S = 5.0
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
    async with network(options.nodes, NO_PACE, contracts, say) as cluster:
        plans = await admit_clients(cluster, options)
        before = measure_signatures()
        say(f"load for {options.warm_up_s + options.measure_s:g} s")
        results = await load(plans, time.time() + START_DELAY_S)
        after = measure_signatures()
    return _figures(options, results, before, after)


@asynccontextmanager
async def network(nodes: int, extra: str, contracts: ContractSet, say: Say) -> AsyncIterator[Cluster]:
    """A network that runs on ports and in a directory of its own; ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="wattq-bench-") as name, claim_ports(nodes * PORTS_A_NODE) as block:
        directory = Path(name) / "net"
        text = configuration_text(nodes, block.first) + extra
        prepare(directory, parse(text, "bench"), text, contracts)
        cluster = Cluster(directory)
        try:
            say(f"starting {nodes} nodes")
            await cluster.up()
            yield cluster
        finally:
            await cluster.down()


def configuration_text(nodes: int, first: int) -> str:
    """A network of so many nodes on the ports from ``first`` on."""
    lines = ["[network]", 'name = "wattquorum-bench"']
    for node in range(nodes):
        peer = first + node * PORTS_A_NODE
        lines += [f"[node.node{node + 1}]", f"peer_port = {peer}", f"rest_port = {peer + 1}", "client_port = 0"]
    return "\n".join(lines) + "\n"


async def admit_clients(cluster: Cluster, options: BenchOptions) -> list[LoadPlan]:
    """A seller with meters and a buyer, both with money, for each client process."""
    office = Office(cluster)
    meters = 1 + int(options.warm_up_s + options.measure_s) // METER_S
    plans = []
    for number in range(options.clients):
        endpoint = f"unix:{cluster.home(cluster.names[number % options.nodes]) / 'node.sock'}"
        sellers = tuple(f"seller{number}-{meter}" for meter in range(meters))
        buyers = f"buyer{number}"
        plans.append(
            LoadPlan(
                endpoint=endpoint,
                genesis=cluster.directory / "genesis.json",
                keys={
                    "seller": await office.admit(endpoint, f"seller{number}", Role.SELLER, sellers),
                    "buyer": await office.admit(endpoint, buyers, Role.BUYER, (buyers,)),
                },
                meters=sellers,
                buyers_meter=buyers,
                first_interval=int(time.time()) // INTERVAL_S + DELIVERY_AHEAD,
                seed=SEED + number,
                outstanding=options.outstanding,
                start_at_s=0.0,
                warm_up_s=options.warm_up_s,
                measure_s=options.measure_s,
            )
        )
    return plans


class Office:
    """Admits people to the bench's market as the operators would."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._users = cluster.directory / "users"
        self._genesis = load_genesis(cluster.directory / "genesis.json")
        self._operators = [SigningKey.load(self._users / f"operator{i}.key") for i in (1, 2)]
        self._gateway = SigningKey.load(self._users / f"{gateway_name(cluster.names[0])}.key").signer
        self._authority = Authority.open(cluster.directory / "ca")

    async def admit(self, endpoint: str, name: str, role: Role, meters: tuple[str, ...]) -> Path:
        """Register somebody, bind the meters, deposit money; where the key is."""
        key, path = SigningKey.generate(), self._users / f"{name}.key"
        key.save(path)
        organisation = self._cluster.configuration.network.organisation
        request = create_request(key, name, organisation, role)
        certificate = self._authority.issue(request, name, organisation, role).certificate_der
        async with AsyncClient([connect(endpoint)], self._genesis, key) as client:
            await client.invoke("registry", "register", {"certificate_der": base64.b64encode(certificate).decode()})
        common = {"owner": key.signer, "zone": "z", "capacity_w": CAPACITY_W, "gateway": self._gateway}
        deposit = {"account": key.signer, "amount": DEPOSIT}
        async with AsyncClient([connect(endpoint)], self._genesis, self._operators[0]) as operator:
            await operator.invoke("credit", "deposit", deposit, co_signers=[self._operators[1]])
            for meter in meters:
                await operator.invoke("registry", "bind_meter", {"meter": meter, **common})
        return path


async def load(plans: list[LoadPlan], start_at_s: float) -> list[LoadResult]:
    """Run one process for each plan; all begin together."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(len(plans), mp_context=get_context("spawn")) as pool:
        runs = [loop.run_in_executor(pool, run_load, replace(plan, start_at_s=start_at_s)) for plan in plans]
        return list(await asyncio.gather(*runs))


def _figures(
    options: BenchOptions, results: list[LoadResult], before: SignatureCost, after: SignatureCost
) -> dict[str, Any]:
    rate = sum(result.verified for result in results) / options.measure_s
    limits = [cost.limit_tx_per_s(options.nodes, cores()) for cost in (before, after)]
    limit = sum(limits) / len(limits)
    return {
        "committed_tx_per_s": round(rate, 1),
        "signature_limit_tx_per_s": round(limit, 1),
        "signature_limit_before_tx_per_s": round(limits[0], 1),
        "signature_limit_after_tx_per_s": round(limits[1], 1),
        "ratio_to_signature_limit": round(rate / limit, 4),
        "latency_ms": latency_of([latency for result in results for latency in result.latencies_ms]),
        "phases_ms": {
            name: latency_of([latency for result in results for latency in result.phases_ms[name]]) for name in PHASES
        },
        "trades_per_s": round(sum(result.trades for result in results) / options.measure_s, 1),
        "refused": sum(result.refused for result in results),
        "failed": sum(result.failed for result in results),
        "nodes": options.nodes,
        "clients": options.clients,
        "outstanding_per_client": options.outstanding,
        "measure_s": options.measure_s,
        "sign_us": round((before.sign_us + after.sign_us) / 2, 1),
        "verify_us": round((before.verify_us + after.verify_us) / 2, 1),
        **machine_figures(),
    }


def machine_figures() -> dict[str, Any]:
    """Where and when it was measured."""
    return {
        "cores": cores(),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "machine": platform.machine(),
        "python": platform.python_version(),
        "version": version("wattquorum"),
    }


def latency_of(values: list[float]) -> dict[str, float | None]:
    """The median and the 99th percentile."""
    ordered = sorted(values)
    return {"p50": _percentile(ordered, 0.5), "p99": _percentile(ordered, 0.99)}


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None
