"""Both transports: answers, refusals, and everything that is no answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.socket import Handler, SocketServer
from sdk import methods, transports, wire
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import Nothing
from sdk.streams import StreamParams
from sdk.transports import HttpTransport, SocketTransport, connect

SIGNER = "ab" * 32
TAKEN = methods.Submission(SIGNER, "certified", 7, 3, receipt={"v": 1})
ROW = methods.Row("k", 1, 0, "x" * 300_000)
Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize("endpoint", ["", "localhost:1", "ftp://x", "tls://host", "tls://host:port", "http:/x"])
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|PORT"):
        connect(endpoint)


async def test_an_endpoint_says_which_transport() -> None:
    for endpoint in ("http://h:1", "https://h:1"):
        assert isinstance(connect(endpoint), HttpTransport)
    for endpoint in ("unix:/tmp/x", "tls://h:1"):
        assert isinstance(connect(endpoint), SocketTransport)


async def test_who_is_not_reached_is_told_as_the_system_says_it() -> None:
    """The library's own text had a TLS context in it, as an object with its address."""
    trusting = ssl.create_default_context()
    for endpoint in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
        transport = HttpTransport(endpoint, trusting)
        with pytest.raises(TransportError, match=r"Cannot connect: .*Connect call failed") as caught:
            await transport.call(methods.STATUS, Nothing())
        assert "object at" not in str(caught.value)
        with pytest.raises(TransportError, match=r"Cannot connect: .*Connect call failed") as caught:
            await anext(transport.stream(StreamParams(topics=("blocks",))))
        assert "object at" not in str(caught.value)
        await transport.close()


# ------------------------------------------------------------------------------------------------- REST


class Rest:
    """A web server whose one handler is set by the test, and a transport to it."""

    def __init__(self) -> None:
        self.respond: Respond
        self.seen: list[web.Request] = []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.seen.append(request)
        return await self.respond(request)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(app)
        await self.server.start_server()
        self.transport = HttpTransport(str(self.server.make_url("/")))

    async def close(self) -> None:
        await self.transport.close()
        await self.server.close()

    def answers(self, body: bytes, status: int = 200) -> None:
        async def respond(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status)

        self.respond = respond


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    made = Rest()
    await made.start()
    yield made
    await made.close()


async def test_a_get_fills_path_and_query(rest: Rest) -> None:
    rest.answers(msgspec.json.encode(methods.Headers(())))
    await rest.transport.call(methods.HEADERS, methods.HeadersParams(first=3, limit=2), "token")
    rest.answers(msgspec.json.encode(ROW))
    await rest.transport.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    first, second = rest.seen
    assert (first.method, first.path_qs) == ("GET", "/v1/headers?first=3&limit=2")
    assert first.headers["Authorization"] == "Bearer token"
    assert (second.path, "Authorization" in second.headers) == (f"/v1/accounts/{SIGNER}", False)


async def test_a_post_sends_json(rest: Rest) -> None:
    rest.answers(msgspec.json.encode(methods.Rows((), 5, "")))
    await rest.transport.call(methods.QUERY, methods.QueryParams(selector={"v.a": 1}))
    assert msgspec.json.decode(await rest.seen[0].read())["selector"] == {"v.a": 1}


async def test_an_answer_that_arrives_in_pieces_is_read_whole(rest: Rest) -> None:
    data = msgspec.json.encode(ROW)

    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(data), 50_000):
            await response.write(data[start : start + 50_000])
            await asyncio.sleep(0)
        return response

    rest.respond = respond
    assert await rest.transport.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER)) == ROW


async def test_a_problem_document_is_a_refusal(rest: Rest) -> None:
    rest.answers(b'{"code":"NOT_YOURS","detail":"Not yours.","status":403}', 403)
    with pytest.raises(Refused, match=r"NOT_YOURS: Not yours\.") as caught:
        await rest.transport.call(methods.STATUS, Nothing())
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 200), (b"<html>", 200), (b"{}", 200), (b"<html>", 500), (b"\xff", 404), (b"[" * 100_000, 200)],
    ids=lambda value: str(value)[:12],
)
async def test_what_is_no_answer_is_the_transports_error(rest: Rest, body: bytes, status: int) -> None:
    rest.answers(body, status)
    with pytest.raises(TransportError, match="proper body"):
        await rest.transport.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))


async def test_an_endless_answer_is_cut_off(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "ANSWER_BYTES_MAX", 100_000)
    rest.answers(msgspec.json.encode(ROW))
    with pytest.raises(TransportError, match="more than 100000 bytes"):
        await rest.transport.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))


async def test_a_node_that_is_not_there(rest: Rest) -> None:
    await rest.server.close()
    with pytest.raises(TransportError, match="http://"):
        await rest.transport.call(methods.STATUS, Nothing())


async def test_a_node_that_does_not_answer_in_time(rest: Rest) -> None:
    never = asyncio.Event()

    async def respond(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    rest.respond = respond
    with pytest.raises(TransportError, match="Timeout"):
        await rest.transport.call(methods.STATUS, Nothing(), timeout_s=0.02)
    never.set()


# ----------------------------------------------------------------------------------------------- the socket


async def echo(method: str, params: Any, token: str, origin: str) -> msgspec.Struct:
    if method == "nonce":
        raise Refused(Problem("NO", "No nonce.", 409))
    if method == "submit":
        raise Refused(Problem("NO_QUORUM_YET", "Not yet.", 504, TAKEN))
    if method == "account":
        return methods.Row(params.signer, 1, 0, token)
    if method == "query":
        return methods.Rows(tuple(methods.Row("k", 1, 0, "x" * 1_000_000) for _ in range(params.limit)), 1, "")
    if method == "status":
        raise ZeroDivisionError
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[SocketTransport]:
    server = SocketServer(echo, connections_max=2)
    await server.listen_unix(tmp_path / "s")
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    yield transport
    await transport.close()
    await server.close()


async def test_calls_share_a_connection_and_keep_their_answers_apart(socket: SocketTransport) -> None:
    signers = [f"{number:064x}" for number in range(50)]
    calls = [socket.call(methods.ACCOUNT, methods.SignerParams(signer=signer), f"t{signer}") for signer in signers]
    assert [(row.key, row.value) for row in await asyncio.gather(*calls)] == [(s, f"t{s}") for s in signers]


async def test_the_socket_is_its_users_own(socket: SocketTransport, tmp_path: Path) -> None:
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


async def test_refusals_and_our_own_faults_travel(socket: SocketTransport, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Refused, match="NO: No nonce") as caught:
        await socket.call(methods.NONCE, methods.SignerParams(signer=SIGNER))
    assert caught.value.status == 409
    with pytest.raises(Refused, match="INTERNAL_ERROR"):
        await socket.call(methods.STATUS, Nothing())
    assert "ZeroDivisionError" in caplog.text


async def test_a_call_larger_than_a_node_takes_is_refused_before_it_is_sent(socket: SocketTransport) -> None:
    waiting = asyncio.create_task(socket.call(methods.GENESIS, Nothing(), timeout_s=5))
    await asyncio.sleep(0)
    large = methods.QueryParams(selector={"a": "x" * wire.REQUEST_BYTES_MAX})
    with pytest.raises(Refused, match="BODY_TOO_LARGE") as caught:
        await socket.call(methods.QUERY, large)
    assert caught.value.status == 413
    almost = methods.QueryParams(
        selector={"a": "x" * (wire.REQUEST_BYTES_MAX - transports.ENVELOPE_BYTES - 100)}, limit=1
    )
    assert len((await socket.call(methods.QUERY, almost)).rows) == 1
    assert not waiting.done(), "the connection has been kept"
    waiting.cancel()


async def test_how_far_a_refused_transaction_came_travels(socket: SocketTransport, rest: Rest) -> None:
    params = methods.SubmitParams(
        payload="{}", signatures=(methods.SignatureText(public_key=b"", signature=b""),), timeout_ms=5
    )
    with pytest.raises(Refused, match="NO_QUORUM_YET") as caught:
        await socket.call(methods.SUBMIT, params)
    assert (caught.value.status, caught.value.problem.submission) == (504, TAKEN)
    document = {"code": "NO_QUORUM_YET", "detail": "Not yet.", "tx_id": SIGNER, "state": "certified", "height": 7}
    rest.answers(msgspec.json.encode({**document, "index": 3, "receipt": {"v": 1}}), 504)
    with pytest.raises(Refused, match="NO_QUORUM_YET") as caught:
        await rest.transport.call(methods.SUBMIT, params)
    assert (caught.value.tx_id, caught.value.problem.submission) == (SIGNER, TAKEN)


async def test_an_answer_too_large_for_a_frame_is_refused_not_swallowed(socket: SocketTransport) -> None:
    assert len((await socket.call(methods.QUERY, methods.QueryParams(selector={}, limit=2))).rows) == 2
    with pytest.raises(Refused, match="ANSWER_TOO_LARGE"):
        await socket.call(methods.QUERY, methods.QueryParams(selector={}, limit=9), timeout_s=5)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object()], ids=lambda value: type(value).__name__)
async def test_parameters_that_cannot_be_sent_are_refused(socket: SocketTransport, value: Any) -> None:
    with pytest.raises(Refused, match="PARAMETERS_INVALID"):
        await socket.call(methods.QUERY, methods.QueryParams(selector={"v.a": value}))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def request(method: str, params: bytes, number: int = 1) -> bytes:
    data = b"\x94" + wire.encode(number) + wire.encode(method) + b"\xa0" + params
    return len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (request("nothing", b"\x80"), "METHOD_UNKNOWN"),
        (request("account", b"\x80"), "PARAMETERS_INVALID"),
        (request("account", wire.encode({"signer": "x"})), "PARAMETERS_INVALID"),
        (request("account", wire.encode({"signer": SIGNER, "extra": 1})), "PARAMETERS_INVALID"),
        (request("headers", wire.encode({"limit": 0})), "PARAMETERS_INVALID"),
        (request("query", wire.encode({"selector": {"a": b""}, "limit": 10**6})), "PARAMETERS_INVALID"),
    ],
)
async def test_a_bad_call_gets_a_code(socket: SocketTransport, tmp_path: Path, data: bytes, code: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(data)
    (length,) = [int.from_bytes(await reader.readexactly(4), "big")]
    reply = wire.decode_reply(await reader.readexactly(length))
    assert (reply.good, msgspec.msgpack.decode(reply.body, type=Problem).code) == (False, code)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x02\x91\x01",
        request("query", b"\x81\xa8selector\x81\xa1a" + b"\x91" * 200_000 + b"\x01"),
    ],
    ids=["too long", "no msgpack", "no request", "nested without end"],
)
async def test_whoever_breaks_the_framing_is_hung_up_on_and_nobody_else(
    socket: SocketTransport, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await socket.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(data)
    assert await reader.read() == b""
    writer.close()
    await socket.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    assert "Fatal error" not in caplog.text


async def test_more_connections_than_allowed_are_closed(socket: SocketTransport, tmp_path: Path) -> None:
    await socket.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    second = SocketTransport(socket.endpoint)
    await second.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    third = SocketTransport(socket.endpoint)
    with pytest.raises(TransportError):
        await third.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER), timeout_s=5)
    await socket.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    await second.close()
    await third.close()


async def test_a_call_without_answer_ends_and_a_lost_connection_is_made_anew(socket: SocketTransport) -> None:
    with pytest.raises(TransportError, match="Timeout"):
        await socket.call(methods.GENESIS, Nothing(), timeout_s=0.02)
    waiting = asyncio.create_task(socket.call(methods.GENESIS, Nothing(), timeout_s=5))
    await asyncio.sleep(0)
    await socket.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))
    await socket.close()
    with pytest.raises(TransportError, match="lost"):
        await waiting
    await socket.call(methods.ACCOUNT, methods.SignerParams(signer=SIGNER))


async def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="FileNotFound"):
        await SocketTransport(f"unix:{tmp_path / 'none'}").call(methods.STATUS, Nothing())


# --------------------------------------------------------------------------------------------- channels


async def test_rest_asks_another_channel_below_its_name(rest: Rest) -> None:
    rest.answers(msgspec.json.encode(ROW))
    await rest.transport.call(methods.ACCOUNT.within("family"), methods.SignerParams(signer=SIGNER))
    assert rest.seen[0].path == f"/v1/channels/family/accounts/{SIGNER}"


async def test_the_socket_names_the_channel_that_is_asked(tmp_path: Path) -> None:
    def channels(name: str) -> Handler:
        async def named(method: str, params: Any, token: str, origin: str) -> msgspec.Struct:
            return methods.Row(name, 1, 0, method)

        return named

    server = SocketServer(echo, connections_max=2, channels=channels)
    await server.listen_unix(tmp_path / "s")
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    params = methods.SignerParams(signer=SIGNER)
    try:
        assert (await transport.call(methods.ACCOUNT.within("family"), params)).key == "family"
        assert (await transport.call(methods.ACCOUNT, params)).key == SIGNER
    finally:
        await transport.close()
        await server.close()


async def test_a_server_without_channels_knows_none(socket: SocketTransport) -> None:
    with pytest.raises(Refused, match="CHANNEL_UNKNOWN"):
        await socket.call(methods.ACCOUNT.within("family"), methods.SignerParams(signer=SIGNER))
