"""WebSocket and SSE over a node's real socket and ledger: what is said first, what comes, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from desk import Desk, made_desk
from ledgers import ALICE, GENESIS, BoxMachine, envelope, run_block, user_value
from network import until

from api import stream_doors, streams
from api.cors import Cors
from api.members import Door, Doorstep
from api.problems import problems
from api.sessions import Sessions
from api.socket import SocketServer
from api.stream_doors import stream_routes
from sdk.client import AsyncClient
from sdk.node_address import address_of
from sdk.sync import Client
from sdk.transports import HttpTransport, SocketTransport

WITHIN_S = 20.0
WS = "/v1/streams"
PAGE = "https://page.example"


class House:
    """A desk behind its socket, REST before it, and a channel whose members are the desk's people."""

    def __init__(self, home: Path) -> None:
        self.desk: Desk = made_desk(home, BoxMachine())
        self.path = home / "s"
        service = self.desk.service
        nowhere = Door(Sessions(bytes(32), 1), Doorstep())
        family = Door(service._sessions, Doorstep(), self.desk.ledger, service.handle, stream=service.stream)
        self.doors: dict[str, Any] = {"": service, "family": family}
        self.server = SocketServer(service.handle, 50, doors=lambda name: self.doors.get(name, nowhere))
        self.node = SocketTransport(f"unix:{self.path}")

    async def start(self) -> None:
        await self.server.listen_unix(self.path)
        app = web.Application(middlewares=[problems, Cors((PAGE,)).middleware])
        app.add_routes(stream_routes(self.node))
        self.web: TestClient[Any, Any] = TestClient(TestServer(app))
        await self.web.start_server()

    async def close(self) -> None:
        await self.node.close()
        await self.web.close()
        await self.server.close()
        self.desk.close()

    def block(self, *functions: str) -> int:
        ledger = self.desk.ledger
        made = [envelope(ALICE, function=name, nonce=100 * ledger.height + n) for n, name in enumerate(functions)]
        run_block(ledger, *made, time_ms=1 if made else 0)
        self.desk.certify(ledger.height)
        return ledger.height

    async def open(self, path: str = WS, first: Any = None, **headers: str) -> ClientWebSocketResponse:
        socket = await self.web.ws_connect(path, headers=headers)
        if first is not None:
            await socket.send_str(first if isinstance(first, str) else json.dumps(first))
        return socket


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.start()
    yield made
    await made.close()


async def events(socket: ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            message = await socket.receive()
            assert message.type is WSMsgType.TEXT, message
            event = json.loads(message.data)
            if event["kind"] != "heartbeat":
                found.append(event)
    return found


async def problem(socket: ClientWebSocketResponse) -> str:
    """The code with which the stream ends; it is closed behind it."""
    while True:
        (event,) = await events(socket, 1)
        if event["kind"] == "problem":
            break
    assert set(event) == {"kind", "code", "detail", "status"}
    assert len(event["detail"]) > 10
    async with asyncio.timeout(WITHIN_S):
        assert (await socket.receive()).type is WSMsgType.CLOSE
    code: str = event["code"]
    return code


# ----------------------------------------------------------------------------------------------- WebSocket


async def test_a_page_from_elsewhere_opens_none_unless_it_is_named(house: House) -> None:
    """Browsers ask for no leave before they open a WebSocket: any page read what only that browser could reach."""
    own = f"http://{house.web.host}:{house.web.port}"
    for origin in (PAGE, own):
        await (await house.open(Origin=origin)).close()
    for origin in ("https://evil.example", "null", f"{own}.evil.example"):
        with pytest.raises(WSServerHandshakeError) as caught:
            await house.open(Origin=origin)
        assert caught.value.status == 403


async def test_a_websocket_tells_blocks_from_a_height_on(house: House) -> None:
    heights = [house.block() for _ in range(3)]
    socket = await house.open(first={"token": "", "topics": ["blocks"], "from_height": 1})
    told = await events(socket, 5)
    heights.append(house.block())
    told += await events(socket, 1)
    assert told[0] == {"kind": "subscribed", "height": 1}
    assert [(event["kind"], event["height"], event["index"]) for event in told[1:]] == [
        ("blocks", height, 0) for height in [1, *heights]
    ]
    assert told[1]["data"]["hash"] == house.desk.ledger.block(1).statement.header_hash.hex()
    await socket.close()


async def test_the_token_is_in_the_first_message_and_opens_private_topics(house: House) -> None:
    token = await house.desk.token(ALICE)
    socket = await house.open(first={"token": token, "topics": ["notices", "blocks"]})
    (begun,) = await events(socket, 1)
    height = house.block("fail")
    told = await events(socket, 2)
    assert begun == {"kind": "subscribed", "height": height}
    assert [(event["kind"], event["index"]) for event in told] == [("blocks", 0), ("notices", 1)]
    assert (told[1]["data"]["event"], told[1]["data"]["code"]) == ("rejected", "NO")
    await socket.close()


MALFORMED = [
    "", "{", "[]", "null", "7", '"blocks"', "{}", '{"topics":[]}', '{"topics":["everything"]}',
    '{"topics":["blocks"],"from_height":-1}', '{"topics":["blocks"],"from_height":1.5}',
    '{"topics":["blocks"],"colour":1}', '{"topics":["blocks"],"token":7}', '{"topics":"blocks"}',
    '{"topics":["blocks"],"intervals":[-1]}', '{"topics":["book"],"intervals":' + str([1] * 101) + "}",
    "[" * 3_000, '{"topics":["blocks","blocks","blocks","blocks","blocks","blocks"]}',
]  # fmt: skip


async def test_a_malformed_first_message_is_a_problem_and_the_end(house: House) -> None:
    told = {first: await problem(await house.open(first=first)) for first in MALFORMED}
    assert told == dict.fromkeys(MALFORMED, "PARAMETERS_INVALID")
    assert house.desk.service.hub.count == 0


async def test_bytes_first_or_a_second_message_are_a_problem(house: House) -> None:
    socket = await house.open()
    await socket.send_bytes(b"\x00")
    assert await problem(socket) == "PARAMETERS_INVALID"
    socket = await house.open(first={"topics": ["blocks"]})
    await events(socket, 1)
    await socket.send_str("{}")
    assert await problem(socket) == "PARAMETERS_INVALID"


async def test_a_first_message_that_is_too_large_closes_the_socket(house: House) -> None:
    socket = await house.open(first="x" * (stream_doors.MESSAGE_BYTES_MAX + 1))
    async with asyncio.timeout(WITHIN_S):
        message = await socket.receive()
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED)


async def test_whoever_says_nothing_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_doors, "FIRST_MESSAGE_S", 0.05)
    assert await problem(await house.open()) == "BODY_TOO_SLOW"


async def test_a_refusal_is_a_problem_message(house: House) -> None:
    for first, code in (
        ({"topics": ["trades"]}, "IDENTITY_REQUIRED"),
        ({"topics": ["power"], "token": ""}, "IDENTITY_REQUIRED"),
        ({"topics": ["blocks"], "token": "made up"}, "SESSION_UNKNOWN"),
        ({"topics": ["blocks"], "from_height": 5_000}, "HEIGHT_TOO_FAR"),
    ):
        assert await problem(await house.open(first=first)) == code


async def test_a_reader_that_hangs_up_leaves_nothing_behind(house: House) -> None:
    socket = await house.open(first={"topics": ["blocks"]})
    await events(socket, 1)
    assert house.desk.service.hub.count == 1
    await socket.close()

    async def is_gone() -> bool:
        return not house.desk.service.hub.count

    await until(is_gone, WITHIN_S)


async def test_a_session_that_is_over_ends_the_stream(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = await house.open(first={"token": await house.desk.token(ALICE), "topics": ["notices"]})
    await events(socket, 1)
    monkeypatch.setattr("api.service._now_ms", lambda: 2**60)
    assert await problem(socket) == "SESSION_UNKNOWN"


async def test_a_node_that_ends_says_so(house: House) -> None:
    socket = await house.open(first={"topics": ["blocks"]})
    await events(socket, 1)
    await house.server.close()
    assert await problem(socket) == "NODE_UNREACHABLE"


async def test_a_plain_request_is_told_to_open_a_websocket(house: House) -> None:
    response = await house.web.get(WS)
    assert (response.status, (await response.json())["code"]) == (426, "WEBSOCKET_REQUIRED")


# ------------------------------------------------------------------------------------------------ channels


async def test_a_channel_streams_to_its_members_only(house: House) -> None:
    path = "/v1/channels/family/streams"
    for name in ("family", "nowhere"):
        socket = await house.open(f"/v1/channels/{name}/streams", {"token": "", "topics": ["blocks"]})
        assert await problem(socket) == "CHANNEL_UNKNOWN"
    token = await house.desk.token(ALICE)
    socket = await house.open(path, {"token": token, "topics": ["blocks"], "from_height": 1})
    assert [event["kind"] for event in await events(socket, 2)] == ["subscribed", "blocks"]
    await socket.close()
    response = await house.web.get(path + "/blocks")
    assert (response.status, (await response.json())["code"]) == (404, "CHANNEL_UNKNOWN")


async def test_a_member_that_is_suspended_hears_no_more_of_its_channel(house: House) -> None:
    token = await house.desk.token(ALICE)
    first = {"token": token, "topics": ["blocks"], "from_height": 1}
    socket = await house.open("/v1/channels/family/streams", first)
    await events(socket, 2)
    house.desk.plant({f"registry/user/{ALICE.signer}": user_value(ALICE, "seller", suspended=True)})
    house.desk.certify(house.desk.ledger.height)
    assert await problem(socket) == "SUSPENDED"


# ----------------------------------------------------------------------------------------------------- SSE


class Lines:
    """An SSE answer's events: id, kind, data."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def next(self, count: int) -> list[tuple[str, str, Any]]:
        found: list[tuple[str, str, Any]] = []
        fields: dict[str, str] = {}
        async with asyncio.timeout(WITHIN_S):
            while len(found) < count:
                line = (await self.response.content.readline()).decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields.get("event") != "heartbeat":
                    found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
                    fields = {}
                else:
                    fields = {}
        return found


async def test_sse_tells_a_topic_and_goes_on_behind_the_last_event(house: House) -> None:
    for _ in range(4):
        house.block()
    response = await house.web.get(WS + "/blocks", params={"from_height": "1"})
    assert (response.status, response.content_type) == (200, "text/event-stream")
    told = await Lines(response).next(3)
    assert [(place, kind) for place, kind, _ in told[1:]] == [("1-0", "blocks"), ("2-0", "blocks")]
    assert told[1][2]["data"]["height"] == 1
    response.close()
    again = await house.web.get(WS + "/blocks", headers={"Last-Event-ID": told[-1][0]})
    assert [place for place, _, _ in (await Lines(again).next(4))[1:]] == ["3-0", "4-0", "5-0"]
    again.close()


async def test_sse_goes_on_behind_a_stream_that_told_nothing(house: House) -> None:
    response = await house.web.get(WS + "/blocks")
    ((place, kind, _),) = await Lines(response).next(1)
    response.close()
    assert kind == "subscribed"
    height = house.block()
    again = await house.web.get(WS + "/blocks", headers={"Last-Event-ID": place})
    told = await Lines(again).next(2)
    assert [event[0] for event in told[1:]] == [f"{height}-0"]
    again.close()


async def test_sse_takes_its_session_in_the_header(house: House) -> None:
    token = await house.desk.token(ALICE)
    response = await house.web.get(WS + "/notices", headers={"Authorization": f"Bearer {token}"})
    lines = Lines(response)
    await lines.next(1)
    house.block("fail")
    ((_, kind, event),) = await lines.next(1)
    assert (kind, event["data"]["code"]) == ("notices", "NO")
    response.close()


async def test_sse_refuses_before_it_begins(house: House) -> None:
    refused: list[tuple[str, dict[str, str], int, str]] = [
        ("/everything", {}, 400, "PARAMETERS_INVALID"),
        ("/blocks?from_height=x", {}, 400, "PARAMETERS_INVALID"),
        ("/blocks?from_height=1&from_height=2", {}, 400, "PARAMETERS_INVALID"),
        ("/blocks?token=x", {}, 400, "PARAMETERS_INVALID"),
        ("/book?interval=-4", {}, 400, "PARAMETERS_INVALID"),
        ("/blocks", {"Last-Event-ID": "x"}, 400, "PARAMETERS_INVALID"),
        ("/blocks", {"Last-Event-ID": "5"}, 400, "PARAMETERS_INVALID"),
        ("/trades", {}, 401, "IDENTITY_REQUIRED"),
        ("/blocks", {"Authorization": "Bearer x"}, 401, "SESSION_UNKNOWN"),
        ("/blocks?from_height=5000", {}, 422, "HEIGHT_TOO_FAR"),
    ]
    for path, headers, status, code in refused:
        response = await house.web.get(WS + path, headers=headers)
        assert (response.status, (await response.json())["code"]) == (status, code)
    assert house.desk.service.hub.count == 0


# --------------------------------------------------------------------------------------------- with the SDK


async def test_the_sdk_streams_verified_blocks_over_rest_and_over_the_socket(house: House) -> None:
    heights = [1, *(house.block() for _ in range(5))]
    for transport in (HttpTransport(str(house.web.make_url("/"))), SocketTransport(f"unix:{house.path}")):
        async with AsyncClient([transport], GENESIS) as client:
            found = []
            async for event in client.stream(["blocks"], from_height=1, verified=True):
                found.append(event.height)
                assert event.data.state_root
                if len(found) == len(heights):
                    break
        assert found == heights


async def test_the_sdk_opens_its_session_by_itself(house: House) -> None:
    height = house.block("fail")
    house.desk.addresses.add(address_of(str(house.web.make_url("/"))))
    for transport in (HttpTransport(str(house.web.make_url("/"))), SocketTransport(f"unix:{house.path}")):
        async with AsyncClient([_WithCalls(transport, house.path)], GENESIS, ALICE) as client:
            async for event in client.stream(["notices"], from_height=height):
                assert (event.height, event.data.event, event.data.code) == (height, "rejected", "NO")
                break


async def test_the_blocking_client_streams_too_and_ends_when_its_iterator_is_closed(house: House) -> None:
    heights = [1, *(house.block() for _ in range(4))]

    def follow() -> list[int]:
        with Client([f"unix:{house.path}"], GENESIS) as client:
            events = client.stream(["blocks"], from_height=1)
            found = [next(events).height for _ in heights]
            events.close()
            return found

    assert await asyncio.to_thread(follow) == heights

    async def is_gone() -> bool:
        return not house.desk.service.hub.count

    await until(is_gone, WITHIN_S)


class _WithCalls:
    """Calls by the socket, since these routes are all that is served here; streams by ``transport``."""

    vouched = False

    def __init__(self, transport: Any, path: Path) -> None:
        self.endpoint = transport.endpoint
        self.stream = transport.stream
        self._own = transport
        self._socket = SocketTransport(f"unix:{path}")
        self.call = self._socket.call

    async def close(self) -> None:
        await self._socket.close()
        await self._own.close()
