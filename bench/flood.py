"""What floods cost: a real network under steady load, calm and then flooded, by one flooder at a time.

Honest clients load two of the nodes all the time. Each flood has its own calm window right before it, in the same run,
so that a machine that grows slower or faster does not look like a flood. A validator that floods has the place of the
last node, which is down from then on, for the calm windows too: as many faulty ones as four nodes tolerate.

Where others use the machine too, throughput says little. The nodes' own processor time for each committed transaction
says more: by how much a flood raises it is the share of their work that goes into the flood (``work_lost``).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from bench.flooders import PEER_FLOODS, ClientFlood, Flooded, PeerFlood, flood
from bench.ground import network
from bench.limit import cores, measure_signatures
from bench.load import LoadResult, loading
from bench.machine import machine_figures
from bench.office import Office, admit_clients
from bench.options import BenchError, BenchOptions, Say
from bench.samples import Window, latency_of
from ca.certificates import Role
from ca.keys import SigningKey
from cluster import Cluster, ContractSet
from ledger.genesis import load_genesis
from sdk.client import EXPIRY_BLOCKS, AsyncClient, Signed
from sdk.methods import SignatureText, SubmitParams
from sdk.transports import connect

NODES = 4
CLIENTS = 2
OBSERVER = "observer1"
STRANGE_ENVELOPES = 21_000
"""More than a node remembers as verified, so that none is ever known."""
ADMISSIBLE = 8_000
INADMISSIBLE = 500
LEAD_S = 2.0
"""From the beginning of a flood to the beginning of its window."""
REST_S = 3.0
"""After a flood, before the next calm window; after the last node's end too."""
WARM_UP_S = 6.0


@dataclass(frozen=True, slots=True)
class Flood:
    """``by``: "validator", "observer" or "client"; ``kind``: of ``PEER_FLOODS`` or of ``CLIENT_KINDS``."""

    by: str
    kind: str

    @property
    def name(self) -> str:
        return f"{self.by}: {self.kind}"


CLIENT_KINDS = ("admissible, socket", "admissible, REST", "inadmissible, socket", "inadmissible, REST")
FLOODS = (
    *(Flood("client", kind) for kind in CLIENT_KINDS),
    *(Flood("observer", kind) for kind in ("fetches", "forwards")),
    *(Flood("validator", kind) for kind in PEER_FLOODS),
)
"""In this order: the validators' last, since the last node is down by then."""


@dataclass(frozen=True, slots=True)
class FloodOptions:
    """``only``: names of floods, or a part of them; all if empty."""

    outstanding: int = 32
    calm_s: float = 6.0
    flood_s: float = 10.0
    only: tuple[str, ...] = ()

    @property
    def chosen(self) -> list[Flood]:
        return [flood for flood in FLOODS if not self.only or any(part in flood.name for part in self.only)]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One flood's times, by the wall clock."""

    flood: Flood
    calm_s: float
    begin_s: float
    measured_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class _Ammunition:
    strange: tuple[bytes, ...]
    admissible: dict[str, tuple[SubmitParams, ...]]
    """By kind of flood; each is another client's, whose nonces follow one another."""
    inadmissible: tuple[SubmitParams, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the honest nodes say of themselves: views, and what they rejected."""

    views: tuple[int, ...]
    rejects: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known of one turn beside what the clients saw."""

    flooder: Flooded
    before: _Seen
    after: _Seen
    calm_cpu_s: float
    flooded_cpu_s: float
    """Processor time of the honest nodes in both windows."""


async def run_floods(options: FloodOptions, contracts: ContractSet, say: Say) -> dict[str, Any]:
    """Measure; the figures by flood. Ends and removes everything that it started."""
    if not options.chosen:
        raise BenchError(f"no such flood; there are: {'; '.join(known.name for known in FLOODS)}")
    async with network(NODES, "", contracts, say) as cluster:
        cluster.add_node(OBSERVER)
        return await _Run(cluster, options, say).run()


class _Run:
    def __init__(self, cluster: Cluster, options: FloodOptions, say: Say) -> None:
        self._cluster = cluster
        self._options = options
        self._say = say
        self._names = [name for name in cluster.names if name != OBSERVER]
        self._turns: list[_Turn] = []

    async def run(self) -> dict[str, Any]:
        chosen, options = self._options.chosen, self._options
        turn_s = options.calm_s + LEAD_S + options.flood_s + REST_S
        total_s = WARM_UP_S + REST_S + turn_s * len(chosen)
        bench = BenchOptions(NODES, CLIENTS, options.outstanding, 0.0, total_s)
        plans = await admit_clients(self._cluster, bench)
        self._say("signing what the flooders will send")
        self._ammunition = await self._make(plans[0].endpoint)
        before = measure_signatures()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as self._pool:
            async with loading(plans) as (start_at_s, loaded):
                figures = await self._floods(chosen, start_at_s + WARM_UP_S)
                results = await loaded
        after = measure_signatures()
        limits = [cost.limit_tx_per_s(NODES, cores()) for cost in (before, after)]
        return {
            "floods": [self._figures(turn, results, told) for turn, told in zip(self._turns, figures, strict=True)],
            "signature_limit_before_tx_per_s": round(limits[0], 1),
            "signature_limit_after_tx_per_s": round(limits[1], 1),
            "verify_us": round(fmean((before.verify_us, after.verify_us)), 1),
            "honest_clients": CLIENTS,
            "outstanding_per_client": options.outstanding,
            "failed": sum(result.failed for result in results),
            "refused": sum(result.refused for result in results),
            **machine_figures(),
        }

    # ---------------------------------------------------------------------------------------- ammunition

    async def _make(self, endpoint: str) -> _Ammunition:
        genesis = load_genesis(self._cluster.directory / "genesis.json")
        async with AsyncClient([connect(endpoint)], genesis, SigningKey.generate()) as stranger:
            expires = (await stranger.status()).executed_height + EXPIRY_BLOCKS
            strange = await useless_requests(stranger, range(STRANGE_ENVELOPES), expires)
        office, own = Office(self._cluster), {}
        for number, kind in enumerate(kind for kind in CLIENT_KINDS if kind.startswith("admissible")):
            key = SigningKey.load(await office.admit(endpoint, f"flooder{number}", Role.BUYER))
            async with AsyncClient([connect(endpoint)], genesis, key) as client:
                # Its registration used the first nonce.
                own[kind] = await useless_requests(client, range(2, 2 + ADMISSIBLE), expires)
        return _Ammunition(
            strange=tuple(envelope_of(signed) for signed in strange),
            admissible={kind: tuple(params_of(signed) for signed in requests) for kind, requests in own.items()},
            inadmissible=inadmissible(strange[:INADMISSIBLE], own[CLIENT_KINDS[0]][:INADMISSIBLE]),
        )

    # ------------------------------------------------------------------------------------------- floods

    async def _floods(self, chosen: Sequence[Flood], at_s: float) -> list[_Told]:
        figures = []
        for number, each in enumerate(chosen):
            if each.by == "validator" and len(self._names) == NODES:
                at_s = await self._drop_last(at_s)
            options = self._options
            begin_s = at_s + options.calm_s
            turn = _Turn(each, at_s, begin_s, begin_s + LEAD_S, begin_s + LEAD_S + options.flood_s)
            self._turns.append(turn)
            self._say(f"{number + 1} of {len(chosen)}: {each.name}")
            figures.append(await self._flood(turn))
            at_s = turn.end_s + REST_S
        return figures

    async def _drop_last(self, at_s: float) -> float:
        """Its place is the flooder's from now on; when the next calm window begins."""
        await self._cluster.stop(self._names.pop())
        return at_s + REST_S

    async def _flood(self, turn: _Turn) -> _Told:
        running = asyncio.get_running_loop().run_in_executor(self._pool, flood, self._plan(turn))
        calm, begin = await self._cpu_at(turn.calm_s), await self._cpu_at(turn.begin_s)
        before = await self._seen()
        measured, end = await self._cpu_at(turn.measured_s), await self._cpu_at(turn.end_s)
        told = await running
        return _Told(told, before, await self._seen(), begin - calm, end - measured)

    async def _cpu_at(self, at_s: float) -> float:
        """The processor time that the honest nodes have used by then."""
        await asyncio.sleep(max(0.0, at_s - time.time()))
        return sum(_cpu_s(self._cluster.pid(name)) for name in self._names)

    def _plan(self, turn: _Turn) -> PeerFlood | ClientFlood:
        kind = turn.flood.kind
        if turn.flood.by == "client":
            rest = kind.endswith("REST")
            node = self._names[0]
            endpoint = self._cluster.rest_url(node) if rest else f"unix:{self._cluster.home(node) / 'node.sock'}"
            if kind.startswith("inadmissible"):
                return ClientFlood(endpoint, self._ammunition.inadmissible, True, turn.begin_s, turn.end_s)
            return ClientFlood(endpoint, self._ammunition.admissible[kind], False, turn.begin_s, turn.end_s)
        name = OBSERVER if turn.flood.by == "observer" else list(self._cluster.configuration.validators)[-1]
        envelopes = self._ammunition.strange if kind in ("proposals", "forwards") else ()
        genesis, home = self._cluster.directory / "genesis.json", self._cluster.home(name)
        port = self._cluster.section(name).peer_port
        return PeerFlood(kind, genesis, home, port, envelopes, turn.begin_s, turn.end_s)

    async def _seen(self) -> _Seen:
        told = [await self._cluster.status(name) for name in self._names]
        rejects: dict[str, int] = {}
        for status in told:
            for reason, count in status.rejects.items() if status is not None else ():
                rejects[reason] = rejects.get(reason, 0) + count
        return _Seen(tuple(status.view for status in told if status is not None), rejects)

    # ------------------------------------------------------------------------------------------ figures

    def _figures(self, turn: _Turn, results: Sequence[LoadResult], told: _Told) -> dict[str, Any]:
        calm = window(results, turn.calm_s, turn.begin_s)
        flooded = window(results, turn.measured_s, turn.end_s)
        known = told.before.rejects
        rejects = {reason: count - known.get(reason, 0) for reason, count in told.after.rejects.items()}
        calm_cost, flooded_cost = _cost_ms(told.calm_cpu_s, calm), _cost_ms(told.flooded_cpu_s, flooded)
        return {
            "flood": turn.flood.name,
            "calm": calm,
            "flooded": flooded,
            "ratio": ratio(flooded["tx_per_s"], calm["tx_per_s"]),
            "p99_ratio": ratio(flooded["latency_ms"]["p99"], calm["latency_ms"]["p99"]),
            "ratio_by_client": [
                ratio(
                    window([result], turn.measured_s, turn.end_s)["tx_per_s"],
                    window([result], turn.calm_s, turn.begin_s)["tx_per_s"],
                )
                for result in results
            ],
            "node_cpu_ms_per_tx": [calm_cost, flooded_cost],
            "work_lost": None if not calm_cost or not flooded_cost else round(1 - calm_cost / flooded_cost, 3),
            "views": [told.before.views, told.after.views],
            "rejects": {reason: count for reason, count in rejects.items() if count},
            "flooder": msgspec.to_builtins(told.flooder),
            "flooder_cpu_share": round(told.flooder.cpu_s / (turn.end_s - turn.begin_s), 2),
        }


def window(results: Sequence[LoadResult], from_s: float, until_s: float) -> dict[str, Any]:
    """Throughput and latencies of the transactions whose receipts were verified between two moments."""
    verified = Window(from_s, until_s).verified(sample for result in results for sample in result.samples)
    found = [sample.latency_ms for sample in verified]
    rate = round(len(found) / (until_s - from_s), 1)
    return {"transactions": len(found), "tx_per_s": rate, "latency_ms": latency_of(found)}


def _cost_ms(cpu_s: float, window: dict[str, Any]) -> float | None:
    """Processor time of the nodes for each transaction that was committed meanwhile."""
    return round(1_000 * cpu_s / window["transactions"], 2) if cpu_s and window["transactions"] else None


def _cpu_s(pid: int | None) -> float:
    """What a process has used of the processors; 0 where that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ratio(value: float | None, base: float | None) -> float | None:
    return round(value / base, 3) if value is not None and base else None


# ------------------------------------------------------------------------------------------------- requests


async def useless_requests(client: AsyncClient, nonces: Iterable[int], expires_at_height: int) -> list[Signed]:
    """Lawful requests that need no state: their listing does not exist, so that they fail when they are executed."""
    args = {"listing": "none", "meter": "none", "energy_wh": 10, "price_max": 10}
    return [
        await client.sign("market", "take_listing", args, nonce=nonce, expires_at_height=expires_at_height)
        for nonce in nonces
    ]


def inadmissible(strange: Sequence[Signed], registered: Sequence[Signed]) -> tuple[SubmitParams, ...]:
    """Requests of somebody whom nobody knows, and others that somebody known has not signed."""
    return tuple(params_of(signed) for signed in [*strange, *(_spoilt(signed) for signed in registered)])


def params_of(signed: Signed) -> SubmitParams:
    """As a client submits it."""
    return SubmitParams(payload=signed.payload, signatures=signed.signatures, wait="accepted")


def envelope_of(signed: Signed) -> bytes:
    """As nodes pass it on: payload, then (key, signature) pairs."""
    pairs = tuple((each.public_key, each.signature) for each in signed.signatures)
    return msgspec.msgpack.encode((signed.payload.encode(), pairs))


def _spoilt(signed: Signed) -> Signed:
    """The same with a signature that is none."""
    wrong = tuple(SignatureText(public_key=each.public_key, signature=bytes(64)) for each in signed.signatures)
    return replace(signed, signatures=wrong)
