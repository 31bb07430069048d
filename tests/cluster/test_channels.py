"""A channel of four on a network of five: real processes, one set of links, two ledgers.

Who is no member learns nothing but its name, from nodes that hold it as from one that does not.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from network import DEPOSIT, Network, Person, until
from typer.testing import CliRunner

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from cli.founding import Founding, Plan, place_genesis
from cli.main import app
from contracts.catalog import channel_sources
from ledger.genesis import Genesis
from ledger.receipts import ReceiptInvalid, verify_receipt
from sdk import methods
from sdk.client import AsyncClient
from sdk.errors import Refused
from sdk.methods import METHODS, NodeStatus
from sdk.transports import HttpTransport, connect

pytestmark = pytest.mark.cluster

WITHIN_S = 120.0
MEMBERS = ["node1", "node2", "node3", "node4"]
SECRET_ZONE = "a-zone-that-nobody-else-may-read"
BLOCKS = 5
NOTES = '''"""What members have to tell each other."""


@export("operator")
def write(text: str):
    """Keep a text."""
    put("last", {"type": "note", "text": text})
'''
"""A contract of the channel's own."""
AWAY = (-1, -1, "")
"""Where a node stands that does not answer."""


class World:
    """The network, its channel ``family``, and people in it."""

    def __init__(self, network: Network, founding: Founding, genesis: Genesis) -> None:
        self.network = network
        self.founding = founding
        self.genesis = genesis
        self.operator = self.inside("operator1", network.operator.key)

    def inside(self, name: str, key: SigningKey, *nodes: str) -> Person:
        """Somebody's client in the channel, by way of the members' nodes."""
        endpoints = [connect(self.network.cluster.rest_url(node)) for node in nodes or MEMBERS]
        person = Person(name, key, AsyncClient(endpoints, self.genesis, key, "family"))
        self.network.people.append(person)
        return person

    async def admit(self, name: str, role: Role, nodes: Sequence[str] = MEMBERS) -> Person:
        """A member of the channel, with a meter there and money, who is unknown to the main ledger."""
        key = SigningKey.generate()
        issued = Authority.open(self.network.cluster.directory / "ca").issue(
            create_request(key, name, "Wattquorum", role), name, "Wattquorum", role, 30
        )
        text = base64.b64encode(issued.certificate_der).decode()
        await self.operator.invoke("registry", "admit", {"certificate_der": text})
        gateway = SigningKey.load(self.network.cluster.directory / "users" / "gateway-node1.key").signer
        terms = {"meter": f"M-{name}", "owner": key.signer, "zone": SECRET_ZONE, "capacity_w": 20_000}
        await self.operator.invoke("registry", "bind_meter", {**terms, "gateway": gateway})
        deposit = {"account": key.signer, "amount": DEPOSIT}
        await self.operator.invoke("credit", "deposit", deposit, co_signers=[self.network.second_operator])
        return self.inside(name, key, *nodes)

    async def statuses(self) -> dict[str, NodeStatus | None]:
        return await self.founding.statuses("family")

    async def heights(self) -> set[tuple[int, int, str]]:
        """Where the members' nodes stand."""
        found = (await self.statuses()).values()
        return {(s.executed_height, s.certified_height, s.state_root) if s else AWAY for s in found}

    async def main_goes_on(self) -> None:
        """Wait until the main ledger is a few blocks further."""
        top = await self.network.height("node1") + BLOCKS

        async def further() -> bool:
            return await self.network.height("node1") >= top

        await until(further, WITHIN_S)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    network = Network(tmp_path / "net", nodes=5)
    try:
        await network.start()
        founding, contracts = Founding(network.cluster), tmp_path / "contracts"
        contracts.mkdir()
        for name, source in {**channel_sources(), "notes": NOTES}.items():
            (contracts / f"{name}.py").write_text(source)
        plan = Plan("family", MEMBERS, contracts=contracts, parameters={"fee_permille": 0})
        yield World(network, founding, await founding.create(plan))
    finally:
        await network.close()


async def trade(seller: Person, buyer: Person, meter: str, interval: int) -> Any:
    """A listing, and a part of it taken: the trade's outcome, whose receipt has been verified."""
    offer = {"meter": meter, "interval": interval, "energy_wh": 1_000, "price": 200_000, "lot_wh": 100}
    listing = await seller.invoke("market", "post_listing", offer)
    taking = {"listing": listing.value, "meter": f"M-{buyer.name}", "energy_wh": 300, "price_max": 200_000}
    return await buyer.invoke("market", "take_listing", taking)


async def answers(world: World, node: str, channel: str, token: str = "") -> dict[str, tuple[int, Any]]:
    """What REST says to every reading call in a channel."""
    found: dict[str, tuple[int, Any]] = {}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    fill = {
        "tx_id": "ab" * 32, "hash": "ab" * 32, "signer": world.operator.key.signer, "height": "1", "interval": "1",
        "key": "governance/epoch", "registration": "0" * 32,
    }  # fmt: skip
    bodies: dict[str, Any] = {
        "query": {"selector": {}},
        "view": {"contract": "credit", "function": "total"},
        "submit": {"payload": "{}", "signatures": [{"public_key": "", "signature": ""}]},
        "enrol": {"request": ""},
        "renew": {"serial": "1", "proof": ""},
        "waiting": {"certificate": "", "time_ms": 1, "proof": ""},
        "decide": {"certificate": "", "registration": "0" * 32, "verdict": "refuse", "time_ms": 1, "proof": ""},
        "handover": {"message": ""},
        "log_level": {"level": "info"},
    }
    async with aiohttp.ClientSession(headers=headers) as session:
        for method in METHODS.values():
            if method.name in ("challenge", "session"):
                continue
            path = method.within(channel).path
            for name, value in fill.items():
                path = path.replace("{" + name + "}", value)
            query = {"key": "governance/epoch"} if method.name == "proof" else {}
            query |= {"height": "1"} if method.name == "value" else {}
            url = world.network.cluster.rest_url(node) + path
            async with session.request(method.verb, url, params=query, json=bodies.get(method.name)) as answer:
                found[method.name] = (answer.status, await answer.json(content_type=None))
    return found


async def test_two_ledgers_trade_at_once_and_each_proves_its_own(world: World, tmp_path: Path) -> None:
    network = world.network
    sol, bea = await world.admit("sol", Role.SELLER), await world.admit("bea", Role.BUYER)
    sun, bob = await network.admit("sun", "seller", 0), await network.admit("bob", "buyer", 1)
    interval = await network.interval()
    inside, outside = await asyncio.gather(trade(sol, bea, "M-sol", interval), trade(sun, bob, "M-sun", interval))
    assert verify_receipt(inside.receipt, world.genesis).tx_id == inside.tx_id
    for receipt, genesis in ((inside.receipt, network.genesis), (outside.receipt, world.genesis)):
        with pytest.raises(ReceiptInvalid):
            verify_receipt(receipt, genesis)
    rows = await bea.client.query({"v.type": "trade"}, prove=True, min_height=inside.height)
    assert [row.value["buyer"] for row in rows.rows] == [bea.key.signer]
    proven, _ = await bea.client.proof("governance/epoch")
    assert [validator["name"] for validator in proven.value["validators"]] == MEMBERS
    # Contracts and parameters are its own.
    assert (await world.operator.invoke("notes", "write", {"text": "hello"})).code == "OK"
    with pytest.raises(Refused, match="CONTRACT_UNKNOWN"):
        await network.operator.invoke("notes", "write", {"text": "hello"})
    fees = [await who.client.proof("governance/parameter/fee_permille") for who in (bea, bob)]
    assert [fee.value for fee, _ in fees] == [{"value": 0}, {"value": 10}]
    # The fifth node's disk: its directories, and every byte of every file in them.
    home = network.cluster.home("node5")
    assert not (home / "channels").exists()
    assert not (home / "data" / "channels").exists()
    await network.cluster.down()
    assert not [path for path in home.rglob("*") if path.is_file() and SECRET_ZONE.encode() in path.read_bytes()]
    own = network.cluster.home("node1") / "data" / "channels" / "family"
    assert [path for path in own.rglob("*") if path.is_file() and SECRET_ZONE.encode() in path.read_bytes()]
    (tmp_path / "receipt.json").write_text(json.dumps(inside.receipt_json))
    trusted = ["--genesis", str(world.founding.genesis_path("family"))]
    for words in (["chain", str(own)], ["receipt", str(tmp_path / "receipt.json")]):
        told = CliRunner().invoke(app, ["verify", *words, *trusted, "--json"])
        assert (told.exit_code, json.loads(told.stdout)["valid"]) == (0, True), told.output
    told = CliRunner().invoke(app, ["verify", "chain", str(own), "--genesis", str(tmp_path / "net" / "genesis.json")])
    assert told.exit_code == 1


async def test_who_is_no_member_learns_nothing_but_the_name(world: World) -> None:
    network = world.network
    eve = await network.admit("eve", "buyer", 0)
    token = await session(world, "node1", "", eve.key)
    for given in ("", token):
        there, nowhere = [await answers(world, "node1", channel, given) for channel in ("family", "nowhere")]
        assert there == nowhere
        assert {status for status, _ in there.values()} <= {400, 401, 404, 415}
        assert await answers(world, "node5", "family", given) == there
    # She has the genesis file, so that she can sign for the channel; her signature is good, and she is nobody.
    register, stranger = {"certificate_der": "AAAA"}, world.inside("eve", eve.key).client
    signed = await stranger.sign("registry", "register", register, nonce=0, expires_at_height=1_000)
    # A member's envelope for the main ledger is a member's as well.
    payload = await network.operator.client.sign("registry", "resume", {"user": "x"})
    for node in ("node1", "node5"):
        endpoint = HttpTransport(network.cluster.rest_url(node))
        for text, signatures in ((signed.payload, signed.signatures), (payload.payload, payload.signatures)):
            params = methods.SubmitParams(payload=text, signatures=signatures)
            told = {await refused(endpoint, methods.SUBMIT.within(name), params) for name in ("family", "nowhere")}
            assert told == {("CHANNEL_UNKNOWN", 404)}
        await endpoint.close()
        for channel in ("family", "nowhere"):
            with pytest.raises(Refused, match="CHANNEL_UNKNOWN"):
                await session(world, node, channel, eve.key)
    listed = await eve.client.call(methods.CHANNELS, methods.Nothing())
    record = methods.ChannelRecord("family", world.genesis.chain_id.hex(), closed=False)
    assert listed.channels == (record,)
    # A member sees it, by name and by the same routes.
    member = world.operator.client
    assert (await member.status()).channel == "family"
    assert (await member.call(methods.HEADERS, methods.HeadersParams(first=1, limit=1))).headers[0].height == 1


async def test_a_member_killed_comes_back_to_both_ledgers_and_a_closed_channel_rests(world: World) -> None:
    network = world.network
    network.cluster.kill("node2")
    await network.cluster.wait_gone("node2")
    sol = await world.admit("sol", Role.SELLER)
    await network.admit("sun", "seller", 0)
    network.cluster.start("node2")
    await network.cluster.wait_ready("node2")
    top = (await sol.client.status()).certified_height

    async def caught_up() -> bool:
        status = (await world.statuses())["node2"]
        return status is not None and status.votes and status.certified_height >= top

    await until(caught_up, WITHIN_S)
    await network.agree()

    network.cluster.kill("node3")
    await network.cluster.wait_gone("node3")
    await world.operator.invoke("registry", "suspend", {"user": sol.key.signer, "reason": "x"})
    await world.operator.invoke("registry", "resume", {"user": sol.key.signer})
    await world.founding.close("family")
    with pytest.raises(Refused, match="CHANNEL_CLOSED") as caught:
        await sol.invoke("market", "cancel_listing", {"listing": "x"})
    assert caught.value.status == 410

    async def rests() -> bool:
        places = await world.heights() - {AWAY}
        executed, certified, _ = next(iter(places))
        closed = all(status.closed for status in (await world.statuses()).values() if status is not None)
        return closed and len(places) == 1 and executed == certified > top

    await until(rests, WITHIN_S)
    await world.main_goes_on()  # a block that was under way as the channel closed may still come
    resting = await world.heights()
    await world.main_goes_on()
    assert await world.heights() == resting, "no block comes any more"
    network.cluster.start("node3")
    await network.cluster.wait_ready("node3")

    async def together() -> bool:
        return await world.heights() == resting - {AWAY}

    await until(together, WITHIN_S)
    assert (await sol.client.account()).value["available"] == DEPOSIT
    assert [record.closed for record in await world.founding.channels()] == [True]


async def test_a_node_follows_a_channel_once_admitted_and_takes_anothers_place(world: World) -> None:
    network = world.network
    home = network.cluster.home("node5")
    place_genesis(home, world.genesis)
    follower = world.inside("operator1", world.operator.key, "node5").client

    async def turned_away() -> bool:
        return any(status and status.rejects.get("not_a_member") for status in (await world.statuses()).values())

    await until(turned_away, WITHIN_S)
    status = await follower.status()
    assert (status.executed_height, status.observer) == (0, True)
    await world.founding.admit("family", home / "node.crt")
    top = (await world.operator.client.status()).certified_height

    async def follows() -> bool:
        return (await follower.status()).certified_height >= top

    await until(follows, WITHIN_S)
    assert (await follower.status()).observer
    await replaces(world, "node4", "node5")

    async def votes() -> bool:
        return (await follower.status()).votes

    await until(votes, WITHIN_S)
    # Voted out of the channel, but not out of the network: it goes on there, and shows what it has of the channel.
    left = world.inside("operator1", world.operator.key, "node4").client
    assert (await left.status()).epoch <= (await follower.status()).epoch == 1
    sol = await world.admit("sol", Role.SELLER, nodes=("node1", "node2", "node3", "node5"))
    top = (await world.operator.client.status()).executed_height

    async def has_it_too() -> bool:
        """The others may have certified the deposit without it."""
        return (await follower.status()).executed_height >= top

    await until(has_it_too, WITHIN_S)
    assert (await follower.account(sol.key.signer)).value["available"] == DEPOSIT
    await network.agree()


async def replaces(world: World, old: str, new: str) -> None:
    """Have the channel's operators put one node in the place of another."""
    validators = [
        {"name": v.name, "public_key": base64.b64encode(v.public_key).decode(), "address": v.address}
        for v in world.network.genesis.validators
        if v.name != old and v.name in (*MEMBERS, new)
    ]
    args = {"validators": validators, "first_primary": 0, "at_height": 0}
    await world.operator.invoke("governance", "set_validators", args, co_signers=[world.network.second_operator])


async def session(world: World, node: str, channel: str, key: SigningKey) -> str:
    """A session's token in a channel, opened the way the client opens one."""
    genesis = world.genesis if channel else world.network.genesis
    endpoint = HttpTransport(world.network.cluster.rest_url(node))
    client = AsyncClient([endpoint], genesis, key, "family" if channel else "")
    client._channel = channel
    try:
        return await client._open_session(endpoint)
    finally:
        await client.close()


async def refused(endpoint: HttpTransport, method: Any, params: Any) -> tuple[str, int]:
    try:
        await endpoint.call(method, params)
    except Refused as refusal:
        return refusal.code, refusal.status
    return "OK", 200
