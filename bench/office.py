"""Who trades on the bench's network, admitted as its operators would: people, meters, money, a contract."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.assets import CONTRACT, SOURCE, Assets
from bench.day import METERS, ChainClock
from bench.kinds import ASKED, OF_KNOWN_ASSETS, ON_ASSETS, Kind
from bench.load import LoadPlan
from bench.market import CAPACITY_W, Side
from bench.options import BenchError, BenchOptions
from bench.sources import Goods
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cluster import Cluster, gateway_name
from ledger.genesis import load_genesis
from sdk.calling import Call
from sdk.client import AsyncClient
from sdk.errors import SdkError
from sdk.transports import connect

INTERVAL_S = 900
DELIVERY_AHEAD = 40
DEPOSIT = 10**12
METER_S = 20
"""Seconds of load for which one meter's intervals suffice, at more than a thousand transactions a second."""


async def admit_clients(cluster: Cluster, options: BenchOptions, hosts: Sequence[str] = ()) -> list[LoadPlan]:
    """A seller with meters and a buyer, both with money, for each client process, and what its kind of load needs.
    ``hosts``: whose clients they are, in turn; all nodes' if it is left out."""
    office, hosts = Office(cluster), hosts or cluster.names
    endpoints = [f"unix:{cluster.home(hosts[n % len(hosts)]) / 'node.sock'}" for n in range(options.clients)]
    if options.workload in ON_ASSETS:
        await office.deploy(endpoints[0])
    return [await _client(office, options, number, endpoint) for number, endpoint in enumerate(endpoints)]


async def _client(office: Office, options: BenchOptions, number: int, endpoint: str) -> LoadPlan:
    """One client process's people and goods."""
    day, rate = options.workload is Kind.DAY, options.rate_tx_per_s
    zone, gateway = "z", office.gateway
    keys: dict[Side, Path] = {"regulator": office.regulator} if options.workload in ASKED else {}
    if day:  # a book and a gateway of its own: what one client trades, it settles
        zone = f"z{number}"
        keys["gateway"] = await office.admit(endpoint, f"gateway{number}", Role.GATEWAY)
        gateway = SigningKey.load(keys["gateway"]).signer
        await office.separate(endpoint, zone)
    keys["seller"] = await office.admit(endpoint, f"seller{number}", Role.SELLER)
    keys["buyer"] = await office.admit(endpoint, f"buyer{number}", Role.BUYER)
    count = METERS if day else 1 + int(options.warm_up_s + options.measure_s) // METER_S
    meters = tuple(f"seller{number}-{meter}" for meter in range(count))
    for side, bound in (("seller", meters), ("buyer", (f"buyer{number}",))):
        await office.provide(endpoint, keys[side], bound, zone, gateway)  # type: ignore[index]  # both are sides
    goods = Goods(
        seed=options.seed + number,
        meters=meters,
        buyers_meter=f"buyer{number}",
        first_interval=int(time.time()) // INTERVAL_S + DELIVERY_AHEAD,
        owner=f"client{number}",
        kind=options.workload,
        value_bytes=options.value_bytes,
        clock=office.clock() if day else None,
    )
    if options.workload in OF_KNOWN_ASSETS:
        await office.create_assets(endpoint, keys["seller"], goods)
    return LoadPlan(
        endpoint=endpoint,
        genesis=office.genesis_file,
        keys=keys,
        goods=goods,
        outstanding=options.outstanding,
        start_at_s=0.0,
        warm_up_s=options.warm_up_s,
        measure_s=options.measure_s,
        rate_per_s=rate and rate / options.clients,
        arrivals=options.arrivals,
        offset_s=number / rate if rate else 0.0,
    )


class Office:
    """Admits people to the bench's market as the operators would."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._users = cluster.directory / "users"
        self.genesis_file = cluster.directory / "genesis.json"
        self._genesis = load_genesis(self.genesis_file)
        self._operators = [SigningKey.load(self._users / f"operator{i}.key") for i in (1, 2)]
        self.gateway = SigningKey.load(self._users / f"{gateway_name(cluster.names[0])}.key").signer
        """Of meters that nobody reads."""
        self.regulator = self._users / "regulator1.key"
        self._authority = Authority.open(cluster.directory / "ca")

    def clock(self) -> ChainClock:
        """Of the nodes, where it is not the one on the wall."""
        clock = self._cluster.configuration.clock
        assert clock.start_ms is not None, "it was configured"
        return ChainClock(clock.start_ms, clock.wall_start_ms, clock.rate)

    async def admit(self, endpoint: str, name: str, role: Role) -> Path:
        """Register somebody; where the key is."""
        key, path = SigningKey.generate(), self._users / f"{name}.key"
        key.save(path)
        organisation = self._cluster.configuration.network.organisation
        request = create_request(key, name, organisation, role)
        certificate = self._authority.issue(request, name, organisation, role).certificate_der
        async with self._client(endpoint, key) as client:
            await client.invoke("registry", "register", {"certificate_der": base64.b64encode(certificate).decode()})
        return path

    async def provide(self, endpoint: str, path: Path, meters: Iterable[str], zone: str, gateway: str) -> None:
        """Deposit money for whose key that is, and bind meters."""
        owner = SigningKey.load(path).signer
        common = {"owner": owner, "zone": zone, "capacity_w": CAPACITY_W, "gateway": gateway}
        async with self._client(endpoint, self._operators[0]) as operator:
            deposit = {"account": owner, "amount": DEPOSIT}
            await operator.invoke("credit", "deposit", deposit, co_signers=[self._operators[1]])
            await _all(operator, (Call("registry", "bind_meter", {"meter": meter, **common}) for meter in meters))

    async def separate(self, endpoint: str, zone: str) -> None:
        """Give a zone a book of its own."""
        terms = {"name": zone, "zones": [zone], "mechanism": "continuous", "grid_fee": 0, "ties": "time"}
        await self._govern(endpoint, "set_product", terms)

    async def deploy(self, endpoint: str) -> None:
        """The contract of assets; ``BenchError`` where it is not at hand."""
        try:
            source = SOURCE.read_text("utf-8")
        except OSError:
            raise BenchError(f"{SOURCE} is not there: it comes with the repository, not with the wheel") from None
        await self._govern(endpoint, "deploy", {"name": CONTRACT, "source": source})

    async def create_assets(self, endpoint: str, path: Path, goods: Goods) -> None:
        """What a client reads or updates."""
        steps = Assets(goods.seed, goods.kind, goods.owner, goods.value_bytes).first()
        async with self._client(endpoint, SigningKey.load(path)) as client:
            await _all(client, (Call(step.contract, step.function, step.args) for step in steps))

    async def _govern(self, endpoint: str, function: str, args: dict[str, object]) -> None:
        async with self._client(endpoint, self._operators[0]) as operator:
            await operator.invoke("governance", function, args, co_signers=[self._operators[1]])

    def _client(self, endpoint: str, key: SigningKey) -> AsyncClient:
        return AsyncClient([connect(endpoint)], self._genesis, key)


async def _all(client: AsyncClient, calls: Iterable[Call]) -> None:
    """Many at once; the first error, once all are told."""
    told = [outcome async for _, outcome in client.do_many(calls)]
    for outcome in told:
        if isinstance(outcome, SdkError):
            raise outcome
