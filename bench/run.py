"""A bench run: a fresh local network, clients that register and are funded, load, figures."""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from bench.limit import SignatureCost, cores, measure_signatures
from bench.load import PHASES, LoadPlan, LoadResult, run_load
from bench.machine import machine_figures
from bench.market import CAPACITY_W
from bench.open_loop import Arrivals
from bench.path import measure_path
from bench.samples import Sample, Window, encoded, latency_of, percentiles
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cluster import Cluster, ContractSet, gateway_name, prepare
from ledger.genesis import load_genesis
from sdk.client import AsyncClient
from sdk.configuration import parse
from sdk.methods import StateDatabaseStatus
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
LAG_EVERY_S = 0.25
UTIME, STIME = 11, 12
"""Places in a process's ``stat`` behind its name."""
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
    """In flight a client: always in a closed loop, at most in an open one."""
    warm_up_s: float = 3.0
    measure_s: float = 10.0
    couchdb_urls: tuple[str, ...] = ()
    """One for each node; none: the embedded state database."""
    rate_tx_per_s: float | None = None
    """Of all clients together, in an open loop; None: a closed one."""
    arrivals: Arrivals = Arrivals.CONSTANT
    seed: int = SEED
    batch_transactions_max: int | None = None
    pipeline_depth: int | None = None
    """Of the nodes; None: as the configuration has it."""


Say = Callable[[str], None]


def _nothing() -> None:
    """Nobody wants to know."""


async def run_bench(
    options: BenchOptions, contracts: ContractSet, say: Say, measuring: Callable[[], None] = _nothing
) -> dict[str, Any]:
    """Measure; the figures by name. ``measuring`` is called when the measured time begins. Ends and removes everything
    that it started."""
    async with network(options.nodes, limits_text(options), contracts, say, options.couchdb_urls) as cluster:
        plans = await admit_clients(cluster, options)
        before, path_before = measure_signatures(), await measure_path(cluster.directory)
        say(f"load for {options.warm_up_s + options.measure_s:g} s")
        lags, start_at_s = Lags(cluster), time.time() + START_DELAY_S
        results, _ = await asyncio.gather(
            load(plans, start_at_s), _watch(lags, start_at_s + options.warm_up_s, options.measure_s, measuring)
        )
        after, path_after = measure_signatures(), await measure_path(cluster.directory)
        databases = await _state_databases(cluster)
    window = window_of(options, start_at_s)
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


def limits_text(options: BenchOptions) -> str:
    """What the nodes' configuration says of limits."""
    chosen = {name: getattr(options, name) for name in ("batch_transactions_max", "pipeline_depth")}
    return NO_PACE + "".join(f"{name} = {value}\n" for name, value in chosen.items() if value is not None)


def window_of(options: BenchOptions, start_at_s: float) -> Window:
    """The measured time of a load that began at ``start_at_s``."""
    from_s = start_at_s + options.warm_up_s
    return Window(from_s, from_s + options.measure_s, options.rate_tx_per_s is not None)


def all_samples(results: Sequence[LoadResult]) -> list[Sample]:
    return [sample for result in results for sample in result.samples]


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


@asynccontextmanager
async def network(
    nodes: int, extra: str, contracts: ContractSet, say: Say, couchdb_urls: tuple[str, ...] = (), lab: bool = False
) -> AsyncIterator[Cluster]:
    """A network that runs on ports and in a directory of its own; ended and removed at the end. Its processes end with
    this one, however that ends. ``lab``: of nodes that take a lab's orders."""
    with tempfile.TemporaryDirectory(prefix="wattq-bench-") as name, claim_ports(nodes * PORTS_A_NODE) as block:
        directory = Path(name) / "net"
        text = configuration_text(nodes, block.first, couchdb_urls, lab) + extra
        prepare(directory, parse(text, "bench"), text, contracts)
        leash, held = os.pipe()
        cluster = Cluster(directory, leash)
        try:
            say(f"starting {nodes} nodes")
            await cluster.up(lab={} if lab else None)
            yield cluster
        finally:
            await cluster.down()
            os.close(held)
            os.close(leash)


def configuration_text(nodes: int, first: int, couchdb_urls: tuple[str, ...], lab: bool = False) -> str:
    """A network of so many nodes on the ports from ``first`` on, with a CouchDB for each or with none."""
    lines = ["[network]", 'name = "wattquorum-bench"', *(["lab = true"] if lab else [])]
    if couchdb_urls:  # databases of its own for each run, since each is another chain
        lines += ["[state]", 'backend = "couchdb"', f'database_prefix = "wattquorum-bench-{time.time_ns()}"']
    for node in range(nodes):
        peer = first + node * PORTS_A_NODE
        lines += [f"[node.node{node + 1}]", f"peer_port = {peer}", f"rest_port = {peer + 1}", "client_port = 0"]
        lines += [f'couchdb_url = "{couchdb_urls[node]}"'] if couchdb_urls else []
    return "\n".join(lines) + "\n"


async def admit_clients(cluster: Cluster, options: BenchOptions, hosts: Sequence[str] = ()) -> list[LoadPlan]:
    """A seller with meters and a buyer, both with money, for each client process. ``hosts``: whose clients they are, in
    turn; all nodes' if it is left out."""
    office, hosts = Office(cluster), hosts or cluster.names
    meters = 1 + int(options.warm_up_s + options.measure_s) // METER_S
    rate = options.rate_tx_per_s
    plans = []
    for number in range(options.clients):
        endpoint = f"unix:{cluster.home(hosts[number % len(hosts)]) / 'node.sock'}"
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
                seed=options.seed + number,
                outstanding=options.outstanding,
                start_at_s=0.0,
                warm_up_s=options.warm_up_s,
                measure_s=options.measure_s,
                rate_per_s=rate and rate / options.clients,
                arrivals=options.arrivals,
                offset_s=number / rate if rate else 0.0,
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


class Lags:
    """How far the state databases lag while the load runs, asked of every node a few times a second; and what processor
    time the nodes take meanwhile, which others at work on the machine change far less than they change throughput."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._found: list[StateDatabaseStatus] = []
        self.cpu_s = 0.0

    def _cpu_s(self) -> float:
        """Of all nodes since they began; 0 where the system does not say."""
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
        self.cpu_s = self._cpu_s() - began_s

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
    return {
        "committed_tx_per_s": round(rate, 1),
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
