"""A small network of real processes for tests: quick timers, free ports, people with keys."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cli.contracts import shipped_contracts
from cluster import Cluster, gateway_name, prepare
from ledger.genesis import Genesis, load_genesis
from sdk.client import AsyncClient, Outcome
from sdk.configuration import parse
from sdk.errors import Refused, TransportError
from sdk.methods import HEADERS, HeadersParams
from sdk.ports import BLOCK_PORTS, HOST, claim_ports, port_is_free
from sdk.transports import HttpTransport, connect

INTERVAL_MS = 900_000
DEPOSIT = 50_000_000


def free_ports(count: int) -> list[int]:
    """Ports that are free, in no row. None is where outgoing connections begin: those were taken a moment later at
    times."""
    return list(islice(filter(lambda port: port_is_free(HOST, port), _ports()), count))


@cache
def _ports() -> Iterator[int]:
    """This process's, from one block after another that is its own meanwhile."""
    while True:
        with claim_ports(1) as block:
            yield from range(block.first, block.first + BLOCK_PORTS - 1)


def configuration_text(
    nodes: int, extra: str = "", request_timeout_ms: int = 1_000, network: str = "", timers: str = ""
) -> str:
    """``network``, ``timers``: more lines of those sections; ``extra``: of the limits, and sections after them."""
    ports = free_ports(3 * nodes)
    lines = [
        "[network]",
        'name = "test"',
        network,
        "[timers]",
        timers,
        "block_idle_ms_max = 200",
        f"request_timeout_ms = {request_timeout_ms}",
        "view_change_timeout_ms = 1000",
        "view_change_timeout_ms_max = 4000",
        "status_interval_ms = 200",
        "[limits]",
        "checkpoint_interval_blocks = 8",
        "window_blocks = 32",
        extra,
    ]
    for node in range(nodes):
        peer, rest, client = ports[3 * node : 3 * node + 3]
        lines += [f"[node.node{node + 1}]", f"peer_port = {peer}", f"rest_port = {rest}", f"client_port = {client}"]
        lines += ['certificate_authority = "ca"'] if node == 0 else []
    return "\n".join(lines) + "\n"


@dataclass
class Person:
    """Somebody with a key, a certificate and a client that starts at one node and fails over to the others."""

    name: str
    key: SigningKey
    client: AsyncClient
    acknowledged: list[str] = field(default_factory=list)

    async def invoke(self, contract: str, function: str, args: dict[str, Any], **options: Any) -> Outcome:
        """Submit and journal what a quorum acknowledged."""
        outcome = await self.client.invoke(contract, function, args, **options)
        self.acknowledged.append(outcome.tx_id)
        return outcome


class Network:
    """A running cluster and the people on it. ``close`` ends everything."""

    def __init__(
        self, directory: Path, nodes: int = 4, extra: str = "", request_timeout_ms: int = 1_000, text: str = ""
    ) -> None:
        """``text``: the configuration, if it is not that of ``configuration_text``."""
        text = text or configuration_text(nodes, extra, request_timeout_ms)
        prepare(directory, parse(text, "test"), text, shipped_contracts())
        self.cluster = Cluster(directory)
        self.genesis: Genesis = load_genesis(directory / "genesis.json")
        self.people: list[Person] = []

    async def start(self) -> None:
        await self.cluster.up()
        self.operator = self.person_of("operator1", 0)
        self.second_operator = SigningKey.load(self.cluster.directory / "users" / "operator2.key")

    async def close(self) -> None:
        await asyncio.gather(*(person.client.close() for person in self.people))
        await self.cluster.down()

    def client(self, node: int, key: SigningKey | None, *, failover: bool = True) -> AsyncClient:
        names = self.cluster.names
        order = names[node:] + names[:node] if failover else [names[node]]
        return AsyncClient([connect(self.cluster.rest_url(name)) for name in order], self.genesis, key)

    def person_of(self, name: str, node: int) -> Person:
        """Somebody whose identity the genesis file holds."""
        key = SigningKey.load(self.cluster.directory / "users" / f"{name}.key")
        return self._person(name, key, node)

    def _person(self, name: str, key: SigningKey, node: int) -> Person:
        person = Person(name, key, self.client(node, key))
        self.people.append(person)
        return person

    async def enter(self, name: str, role: str, node: int) -> Person:
        """S1: code, certificate request over REST, registration."""
        key = SigningKey.generate()
        code = Authority.open(self.cluster.directory / "ca").new_admission_code(Role(role), name)
        async with self.client(0, None) as stranger:
            certificate = await stranger.enrol(create_request(key, name, "Wattquorum", Role(role)), code)
        person = self._person(name, key, node)
        await person.invoke("registry", "register", {"certificate_der": base64.b64encode(certificate).decode()})
        return person

    async def admit(self, name: str, role: str, node: int) -> Person:
        """Have somebody enter; then a meter and money."""
        person = await self.enter(name, role, node)
        key = person.key
        gateway = SigningKey.load(self.cluster.directory / "users" / f"{gateway_name('node1')}.key").signer
        binding = {
            "meter": f"M-{name}",
            "owner": key.signer,
            "zone": "z",
            "capacity_w": 20_000,
            "gateway": gateway,
        }
        await self.operator.invoke("registry", "bind_meter", binding)
        deposit = {"account": key.signer, "amount": DEPOSIT}
        await self.operator.invoke("credit", "deposit", deposit, co_signers=[self.second_operator])
        return person

    async def height(self, name: str) -> int:
        status = await self.cluster.status(name)
        return status.executed_height if status is not None else -1

    async def interval(self, ahead: int = 8) -> int:
        status = await self.operator.client.status()
        return status.block_time_ms // INTERVAL_MS + ahead

    async def agree(self, within_s: float = 90.0) -> str:
        """Wait until every node holds the block that is newest now, and the same root after it; that root.

        Newer blocks come meanwhile: heights that are read one after another need never be equal.
        """
        height = max([await self.height(name) for name in self.cluster.names])
        roots: dict[str, str] = {}

        async def all_hold_it() -> bool:
            nonlocal height
            for name in self.cluster.names:
                status = await self.cluster.status(name)
                if status is not None and status.first_height > height:  # it came by a snapshot, and never holds it
                    height = status.executed_height
                    roots.clear()
                if name not in roots and (root := await self._root(name, height)) is not None:
                    roots[name] = root
            return len(roots) == len(self.cluster.names)

        await until(all_hold_it, within_s)
        assert len(set(roots.values())) == 1, (height, roots)
        return next(iter(roots.values()))

    async def _root(self, name: str, height: int) -> str | None:
        """A node's state root after a block; None as long as it does not answer or does not hold that block."""
        transport = HttpTransport(self.cluster.rest_url(name))
        try:
            found = await transport.call(HEADERS, HeadersParams(first=height, limit=1))
        except (TransportError, Refused):
            return None
        finally:
            await transport.close()
        return found.headers[0].state_root if found.headers else None


async def until(condition: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Poll ``condition`` until it holds; fails when it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)
