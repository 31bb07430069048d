"""Who trades on the bench's network, admitted as its operators would: people, meters, money, a contract."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.assets import CONTRACT, KNOWN, SOURCE
from bench.day import METERS, ChainClock
from bench.kinds import OF_KNOWN_ASSETS, ON_ASSETS, VALUE_BYTES, Kind
from bench.load import LoadPlan
from bench.market import CAPACITY_W, Side
from bench.options import BenchError, BenchOptions
from bench.sources import Goods, assets_of
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
    rate, day = options.rate_tx_per_s, options.workload is Kind.DAY
    people = await admit_people(office, endpoint, number, day)
    wanted = Wanted(
        owner=f"client{number}",
        kind=options.workload,
        meters=METERS if day else meters_for(options.warm_up_s + options.measure_s),
        seed=options.seed + number,
        value_bytes=options.value_bytes,
    )
    return LoadPlan(
        endpoint=endpoint,
        genesis=office.genesis_file,
        keys=people.keys,
        goods=await provide_goods(office, people, wanted),
        outstanding=options.outstanding,
        warm_up_s=options.warm_up_s,
        measure_s=options.measure_s,
        rate_per_s=rate and rate / options.clients,
        arrivals=options.arrivals,
        offset_s=number / rate if rate else 0.0,
    )


@dataclass(frozen=True, slots=True)
class People:
    """Whom one client acts for, and which zone their meters are in."""

    endpoint: str
    keys: dict[Side, Path]
    zone: str
    gateway: str


async def admit_people(office: Office, endpoint: str, number: int, day: bool = False) -> People:
    """A seller and a buyer. ``day``: with a book and a gateway of their own, since what they trade they settle."""
    keys: dict[Side, Path] = {"regulator": office.regulator}
    zone, gateway = "z", office.gateway
    if day:
        zone = f"z{number}"
        keys["gateway"] = await office.admit(endpoint, f"gateway{number}", Role.GATEWAY)
        gateway = SigningKey.load(keys["gateway"]).signer
        await office.separate(endpoint, zone)
    keys["seller"] = await office.admit(endpoint, f"seller{number}", Role.SELLER)
    keys["buyer"] = await office.admit(endpoint, f"buyer{number}", Role.BUYER)
    return People(endpoint, keys, zone, gateway)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a load is to trade with. ``owner``: a name that no other load of this network has."""

    owner: str
    kind: Kind
    meters: int
    seed: int
    value_bytes: int = VALUE_BYTES
    assets: int = KNOWN


def meters_for(seconds: float) -> int:
    return 1 + int(seconds) // METER_S


async def provide_goods(office: Office, people: People, wanted: Wanted) -> Goods:
    """Money, meters, and assets where the load needs some before it begins."""
    meters = tuple(f"{wanted.owner}-{meter}" for meter in range(wanted.meters))
    goods = Goods(
        seed=wanted.seed,
        meters=meters,
        buyers_meter=f"{wanted.owner}-buyer",
        first_interval=int(time.time()) // INTERVAL_S + DELIVERY_AHEAD,
        owner=wanted.owner,
        kind=wanted.kind,
        value_bytes=wanted.value_bytes,
        known=wanted.assets,
        clock=office.clock() if wanted.kind is Kind.DAY else None,
    )
    await office.provide(people, "seller", meters)
    await office.provide(people, "buyer", (goods.buyers_meter,))
    if wanted.kind in OF_KNOWN_ASSETS:
        await office.create_assets(people, goods)
    return goods


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

    async def provide(self, people: People, side: Side, meters: Iterable[str]) -> None:
        """Deposit money for a side, and bind its meters."""
        owner = SigningKey.load(people.keys[side]).signer
        common = {"owner": owner, "zone": people.zone, "capacity_w": CAPACITY_W, "gateway": people.gateway}
        async with self._client(people.endpoint, self._operators[0]) as operator:
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

    async def create_assets(self, people: People, goods: Goods) -> None:
        """What a client reads or updates."""
        steps = assets_of(goods).first()
        async with self._client(people.endpoint, SigningKey.load(people.keys["seller"])) as client:
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
