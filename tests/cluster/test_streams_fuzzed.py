"""What OpenAPI cannot fuzz, fuzzed on a running network: the binary socket, WebSockets, server-sent events, channels.

A node answers whatever comes with an event or a typed refusal, or hangs up; it never fails inside, and tells strangers
nothing. Its log is read at the end: a fault of its own leaves a trace there.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
import stream_fuzz
from hypothesis import strategies as st
from network import DEPOSIT, Network
from stream_fuzz import PROBED, Doors, jsons, texts
from throwing import lengths, throw

from ca.tls import pem_of, trusting_context
from cli.founding import Founding, Plan
from ledger.genesis import Genesis
from sdk import wire
from sdk.errors import Problem
from sdk.methods import METHODS
from sdk.streams import PRIVATE_TOPICS, PROBLEM, StreamEvent, StreamParams
from sdk.transports import connect

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

FAST = "rest_signer_calls_per_s_max = 100000\nrest_address_calls_per_s_max = 100000"
MEMBERS = ["node1", "node2", "node3", "node4"]
FAULT = "INTERNAL_ERROR"
HEIGHT_MAX = 60
"""Blocks that are read again and again: the network makes more while it is fuzzed."""


class Lab:
    """A network with a channel ``family``; of its people a stranger to the channel, who is known on the main ledger."""

    def __init__(self, network: Network, family: Genesis) -> None:
        self.network = network
        self.family = family
        section = network.cluster.section("node2")
        context = trusting_context(pem_of(network.genesis.roots))
        self.doors = Doors(section.host, section.rest_port, section.client_port, context)
        self.tokens: list[str] = [""]

    async def prepare(self) -> None:
        operator = self.network.operator
        deposit = {"account": operator.key.signer, "amount": DEPOSIT}
        await operator.invoke("credit", "deposit", deposit, co_signers=[self.network.second_operator])
        otto = await self.network.enter("otto", "buyer", 1)
        async with self.network.client(1, otto.key, failover=False) as client:
            await client.query({"v.type": "user"})
            self.tokens += client._tokens.values()
        await self.network.agree()

    async def throw(
        self, examples: int, strategy: st.SearchStrategy[Any], probe: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Throw examples at the network; no node may fail inside."""
        await throw(examples, strategy, probe)
        for name in self.network.cluster.names:
            for line in (self.network.cluster.home(name) / "log" / "node.log").read_text().splitlines():
                assert "Traceback" not in line, (name, line)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    network = Network(tmp_path_factory.mktemp("streams") / "net", extra=FAST, request_timeout_ms=10_000)
    try:
        await network.start()
        founding = Founding(network.cluster)
        made = Lab(network, await founding.create(Plan("family", MEMBERS)))
        await made.prepare()
        yield made
        await network.agree()
    finally:
        await network.close()


def judge(reply: wire.Reply, *, private: bool) -> None:
    """An answer that a node may give; ``private``: to somebody who may see private topics."""
    if not reply.good:
        problem = msgspec.msgpack.decode(reply.body, type=Problem)
        assert problem.code != FAULT, problem
        assert 400 <= problem.status < 600, problem
    elif reply.more:
        events = msgspec.msgpack.decode(reply.body, type=tuple[StreamEvent, ...])
        assert private or not PRIVATE_TOPICS & {event.kind for event in events}


@lengths
async def test_whatever_comes_by_the_socket_is_answered_or_hung_up_on(lab: Lab, examples: int) -> None:
    async def probe(data: bytes) -> None:
        for reply in await lab.doors.talk(data):
            judge(reply, private=any(token and token.encode() in data for token in lab.tokens))
        assert [reply.good for reply in await lab.doors.talk(b"") if reply.id == PROBED] == [True]

    await lab.throw(examples, stream_fuzz.socket_bytes(lab.tokens), probe)


@lengths
async def test_whatever_a_websocket_says_is_answered_or_hung_up_on(lab: Lab, examples: int) -> None:
    async def probe(data: bytes) -> None:
        for path in ("/v1/streams", "/v1/channels/family/streams"):
            for message in await lab.doors.websocket(path, data):
                assert message["kind"] != PROBLEM or message["code"] != FAULT, message
                assert path == "/v1/streams" or message["kind"] == PROBLEM, message

    await lab.throw(examples, stream_fuzz.websocket_bytes(lab.tokens), probe)


@lengths
async def test_whatever_asks_for_server_sent_events_is_answered(lab: Lab, examples: int) -> None:
    async def probe(drawn: tuple[str, bytes]) -> None:
        status, body = await lab.doors.get(*drawn)
        assert status in (200, 400, 401, 403, 404, 422, 429, 431), (drawn, status, body)
        assert status != 200 or (b"/channels/" not in drawn[0].encode() and b"\nid: " in body), (drawn, body)

    await lab.throw(examples, stream_fuzz.event_requests(lab.tokens), probe)


@lengths
async def test_a_stream_from_any_place_is_the_rest_of_the_whole(lab: Lab, examples: int) -> None:
    """Nothing left out and nothing twice, wherever it begins, and whatever topics are read beside one another."""
    top = min(HEIGHT_MAX, (await lab.network.operator.client.status()).certified_height)
    node = connect(lab.network.cluster.rest_url("node2"))

    async def told(topics: tuple[Any, ...], height: int, index: int) -> list[tuple[int, int, str]]:
        found = []
        params = StreamParams(topics=topics, from_height=height, from_index=index)
        async with aclosing(node.stream(params, lab.tokens[-1])) as stream:
            async for event in (event async for events in stream for event in events):
                if event.height > top:
                    break
                if event.kind in topics:
                    found.append((event.height, event.index, event.kind))
        return found

    whole = await told(("blocks", "trades", "notices"), 1, 0)
    assert [height for height, _, kind in whole if kind == "blocks"] == list(range(1, top + 1))
    assert any(kind == "notices" for _, _, kind in whole)

    async def probe(drawn: tuple[set[str], int, int]) -> None:
        others, height, index = drawn
        topics = ("blocks", *sorted(others))
        expected = [each for each in whole if each[:2] >= (height, index) and each[2] in topics]
        assert await told(topics, height, index) == expected

    places = st.tuples(st.sets(st.sampled_from(["trades", "notices"])), st.integers(1, top), st.integers(0, 3))
    try:
        await lab.throw(examples, places, probe)
    finally:
        await node.close()


@lengths
async def test_a_channel_is_as_one_that_is_not_there_to_whoever_is_no_member(lab: Lab, examples: int) -> None:
    """By REST and by the socket, whatever is asked, and with whichever session of the main ledger."""
    methods = [method for method in METHODS.values() if method.name != "challenge"]

    async def by_rest(channel: str, drawn: tuple[Any, ...]) -> tuple[int, str]:
        method, token, words, body = drawn
        path = method.within(channel).path
        for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            path = path.replace("{" + name + "}", quote(words, safe="") or "1")
        head = f"Authorization: Bearer {token}\r\n".encode() if token else b""
        data = b"" if method.verb == "GET" else json.dumps(body).encode()
        status, answer = await lab.doors.get(path, head, method.verb.encode(), data)
        return status, json.loads(answer)["code"]

    async def by_socket(channel: str, drawn: tuple[Any, ...]) -> list[tuple[int, str]]:
        method, token, _, body = drawn
        call = wire.Request(7, method.name, token, msgspec.Raw(stream_fuzz.encoded(body)), channel)
        replies = [reply for reply in await lab.doors.talk(wire.frame(call)) if reply.id == 7]
        problems = [msgspec.msgpack.decode(reply.body, type=Problem) for reply in replies if not reply.good]
        assert len(problems) == len(replies)
        return [(problem.status, problem.code) for problem in problems]

    async def probe(drawn: tuple[Any, ...]) -> None:
        rest = [await by_rest(channel, drawn) for channel in ("family", "nowhere")]
        assert rest[0] == rest[1], (drawn, rest)
        assert rest[0][1] != FAULT
        socket = [await by_socket(channel, drawn) for channel in ("family", "nowhere")]
        assert socket[0] == socket[1], (drawn, socket)

    bodies = jsons | st.dictionaries(st.sampled_from(["selector", "payload", "signatures", "limit", "signer"]), jsons)
    calls = st.tuples(st.sampled_from(methods), st.sampled_from(lab.tokens), texts, bodies)
    await lab.throw(examples, calls, probe)
