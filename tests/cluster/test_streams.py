"""Streams of a running network: a node is killed under them, traders hear of their trade, certificates are enough."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from network import Network, Person, until

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import pem_of, trusting_context, user_context
from sdk.client import AsyncClient
from sdk.errors import Refused, TransportError
from sdk.methods import ACCOUNT, SignerParams
from sdk.streams import StreamEvent
from sdk.transports import SocketTransport, connect

pytestmark = [pytest.mark.cluster, pytest.mark.full]
WITHIN_S = 90.0
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "follow.py"


async def collect(client: AsyncClient, topics: list[Any], last: int, found: list[StreamEvent], **options: Any) -> None:
    """Until the first event at or above ``last``."""
    async with aclosing(client.stream(topics, **options)) as stream:
        async for event in stream:
            found.append(event)
            if event.height >= last:
                return


async def trade(network: Network, seller: Person, buyer: Person) -> tuple[str, str]:
    """Of a listing, 300 Wh of which are taken, and of the trade: their ids."""
    offer = {"meter": "M-anna", "interval": await network.interval(), "energy_wh": 1_000, "price": 9, "lot_wh": 100}
    listing: str = (await seller.invoke("market", "post_listing", offer)).value
    taking = {"listing": listing, "meter": "M-dora", "energy_wh": 300, "price_max": 9}
    name: str = (await buyer.invoke("market", "take_listing", taking)).value
    return listing, name


def with_certificate(network: Network, name: str, key: SigningKey, authority: Authority, home: Path) -> SocketTransport:
    """A user's way to a node's socket, known by a certificate."""
    home.mkdir(exist_ok=True)
    issued = authority.issue(create_request(key, name, "Wattquorum", Role.SELLER), name, "Wattquorum", Role.SELLER)
    (home / f"{name}.crt").write_bytes(issued.certificate_pem)
    key.save(home / f"{name}.key")
    context = user_context(pem_of(network.genesis.roots), home / f"{name}.crt", home / f"{name}.key")
    port = network.cluster.configuration.section("node3").client_port
    transport = connect(f"tls://127.0.0.1:{port}", context, vouched=True)
    assert isinstance(transport, SocketTransport)
    return transport


async def test_streams_survive_a_killed_node_and_tell_people_their_own_affairs(
    network: Network, tmp_path: Path
) -> None:
    anna, dora, otto = [await network.admit(name, role, 0) for name, role in
                        (("anna", "seller"), ("dora", "buyer"), ("otto", "buyer"))]  # fmt: skip
    listing, name = await trade(network, anna, dora)
    taking = {"listing": listing, "meter": "M-dora", "energy_wh": 5_000, "price_max": 9}
    with pytest.raises(Refused, match="NOT_ENOUGH_LEFT"):
        await dora.invoke("market", "take_listing", taking)
    top = await network.height("node1")

    # A node is killed under the streams; they go on at others, one over REST and one over verified blocks.
    plain: list[StreamEvent] = []
    proven: list[StreamEvent] = []
    last = top + 15
    async with network.client(1, None) as first, network.client(1, None) as second, asyncio.timeout(WITHIN_S):
        streams = [
            asyncio.create_task(collect(first, ["blocks"], last, plain, from_height=1)),
            asyncio.create_task(collect(second, ["blocks"], last, proven, from_height=1, verified=True)),
        ]

        async def are_on_their_way() -> bool:
            return len(plain) >= top

        await until(are_on_their_way, WITHIN_S)
        network.cluster.kill("node2")
        await asyncio.gather(*streams)
    assert [event.height for event in plain] == list(range(1, last + 1))
    assert [event.data.hash for event in proven][:last] == [event.data.hash for event in plain][: len(proven)]

    # Each hears of its own affairs, and from the beginning.
    heard: dict[str, list[tuple[str, str]]] = {}
    for person in (anna, dora, otto):
        events: list[StreamEvent] = []
        async with asyncio.timeout(WITHIN_S):
            await collect(person.client, ["trades", "notices", "blocks"], last, events, from_height=1)
        heard[person.name] = [(event.kind, event.data.event) for event in events if event.kind != "blocks"]
        traded = [event.data for event in events if event.kind == "trades"]
        assert [(data.trade, data.terms.seller) for data in traded] == (
            [] if person is otto else [(name, anna.key.signer)]
        )
    assert ("notices", "listed") in heard["anna"]
    assert ("notices", "traded") in heard["anna"]
    assert ("notices", "rejected") in heard["dora"]
    assert ("notices", "rejected") not in heard["anna"]
    assert {event for _, event in heard["otto"]} == {"registered", "meter_bound", "deposited"}

    await certificates_replace_sessions(network, anna, tmp_path)
    await the_example_follows(network, tmp_path)


async def certificates_replace_sessions(network: Network, anna: Person, tmp_path: Path) -> None:
    authority = Authority.open(network.cluster.directory / "ca")
    mine = with_certificate(network, "anna", anna.key, authority, tmp_path / "people")
    async with AsyncClient([mine], network.genesis, anna.key) as client, asyncio.timeout(WITHIN_S):
        accounts = await asyncio.gather(*(client.account() for _ in range(200)))
        assert {row.key for row in accounts} == {f"credit/account/{anna.key.signer}"}
        assert client._tokens == {}
        async with aclosing(client.stream(["notices"], from_height=1)) as stream:
            assert (await anext(stream)).data.event == "registered"
    stranger = connect(mine.endpoint, trusting_context(pem_of(network.genesis.roots)))
    with pytest.raises(Refused, match="IDENTITY_REQUIRED"):
        await stranger.call(ACCOUNT, SignerParams(signer=anna.key.signer))
    await stranger.close()
    other = Authority.init(tmp_path / "other", "Grid North")
    forged = with_certificate(network, "mallory", SigningKey.generate(), other, tmp_path / "people")
    with pytest.raises(TransportError):
        await forged.call(ACCOUNT, SignerParams(signer=anna.key.signer))
    await forged.close()


async def the_example_follows(network: Network, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), str(network.cluster.directory), "5", cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    told = [line.split(":")[0] for line in output.decode().splitlines()]
    assert told == [f"block {height}" for height in range(1, 6)]
