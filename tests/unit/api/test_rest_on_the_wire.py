"""REST on a real port, before a real node's socket: whatever is sent ends in a problem document, or in an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from network import until

from api.connections import (
    ADDRESS_SHARE,
    HEALTH_CONNECTIONS_MAX,
    SURPLUS_EACH_MAX,
    SURPLUS_MAX,
    Connection,
    Hall,
    Place,
)
from api.options import RestOptions
from api.problems import SECURITY_HEADERS
from api.rest import RestServer
from api.routes import ADDRESS_CALLS_MAX
from api.socket import SocketServer
from api.stream_doors import stream_routes
from ca.listening import whose_address
from sdk import methods, request_ids, wire
from sdk.transports import SocketTransport

OPTIONS = RestOptions(stranger_body_bytes_max=wire.REQUEST_BYTES_MAX)
Exchange = tuple[int, dict[str, str], Any]


class Wire:
    """A REST server; ``send`` sends bytes as they are and reads one answer."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.origins: set[str] = set()

    async def _handle(self, method: str, params: Any, token: str, origin: str) -> msgspec.Struct:
        self.calls.append(method)
        self.origins.add(origin)
        return methods.Rows((), 1, "") if method == "query" else methods.Headers(())

    async def start(self, home: Path) -> None:
        self.socket = SocketServer(self._handle, connections_max=4)
        await self.socket.listen_unix(home / "s")
        self.node = SocketTransport(f"unix:{home / 's'}")
        self.rest = RestServer(self.node, OPTIONS, routes=stream_routes(self.node))
        self.port = await self.rest.listen("127.0.0.1", 0, None)

    async def close(self) -> None:
        await self.rest.close()
        await self.node.close()
        await self.socket.close()

    async def send(self, data: bytes) -> Exchange:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(20):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers["content-length"]))
        finally:
            writer.close()
        return int(head[0].split()[1]), headers, json.loads(body)

    async def post(self, body: bytes, extra: bytes = b"") -> Exchange:
        size = str(len(body)).encode()
        return await self.send(
            b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: " + size + b"\r\n" + extra + b"\r\n" + body
        )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Wire]:
    made = Wire()
    await made.start(tmp_path)
    yield made
    await made.close()


def problem(exchange: Exchange) -> tuple[int, str]:
    status, headers, document = exchange
    assert headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["detail"].endswith(".")
    assert {name.lower(): value for name, value in SECURITY_HEADERS.items()}.items() <= headers.items()
    return status, document["code"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /v1/headers HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", (431, "HEADERS_TOO_LARGE")),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (431, "HEADERS_TOO_LARGE")),
        (b"nonsense\r\n\r\n", (400, "REQUEST_MALFORMED")),
        (b"GET /v1/headers HTTP/9.9\r\n\r\n", (400, "REQUEST_MALFORMED")),
        (b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", (400, "REQUEST_MALFORMED")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, "REQUEST_MALFORMED")),
    ],
    ids=["long header", "long path", "no HTTP", "no such HTTP", "negative length", "TLS"],
)
async def test_what_is_not_http_is_answered_with_a_problem(
    server: Wire, data: bytes, expected: tuple[int, str]
) -> None:
    assert problem(await server.send(data)) == expected
    assert server.calls == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/headers HTTP/1.1\r\nAuthorization: Bearer \xe2\x82\xff",
        b"POST /v1/transactions HTTP/1.1\r\nContent-Length: 0\r\nIdempotency-Key: \xff\xfe",
        b"GET /v1/headers HTTP/1.1\r\nX-Request-Id: \xff\r\nOrigin: \xff\r\nIf-None-Match: \xff\r\nAccept: \xff",
        b"GET /v1/headers?first=\xff HTTP/1.1",
        b"GET /v1/headers?\xff=1 HTTP/1.1",
        b"GET /v1/receipts/\xff HTTP/1.1",
        b"GET /v1/history/\xff/%ff%ED%A0%80 HTTP/1.1",
        b"GET /v1/channels/\xff/status HTTP/1.1",
        b"GET /v1/channels/%ED%A0%80/headers HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /v1/streams/\xff?from_height=\xff HTTP/1.1",
        b"GET /v1/streams/blocks HTTP/1.1\r\nLast-Event-ID: \xff\xfe",
        b"GET /v1/streams/blocks HTTP/1.1\r\nAuthorization: Bearer \xff",
    ],
)
async def test_bytes_that_are_no_text_are_answered_wherever_they_are(server: Wire, head: bytes) -> None:
    """A header's were an INTERNAL_ERROR: what cannot be encoded again went on to the node's socket."""
    status, _, document = await server.send(head + b"\r\nHost: x\r\n\r\n")
    assert status == 200 or document["code"] != "INTERNAL_ERROR", document


@pytest.mark.parametrize("path", [b"/", b"/v1/headers", b"/v1/health", b"/openapi.json", b"/nowhere", b"/v1/streams"])
@pytest.mark.parametrize("expected", [b"miracles", b"\xff\xfe"])
async def test_what_cannot_be_expected_is_a_problem_wherever_it_is_asked(
    server: Wire, path: bytes, expected: bytes
) -> None:
    """Where there was no call of ours to answer it was plain text, or, by bytes that are no text, an INTERNAL_ERROR."""
    head = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nExpect: " + expected
    assert problem(await server.send(head + b"\r\n\r\n")) == (417, "EXPECTATION_UNKNOWN")


@pytest.mark.parametrize("path", [b"/v1/query", b"/v1/transactions", b"/v1/transactions/batch", b"/v1/sessions"])
async def test_whoever_hangs_up_within_a_body_is_no_fault_of_the_nodes(
    server: Wire, path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It was an INTERNAL_ERROR with a traceback in the log, as often as anybody liked."""
    kind = b"application/x-ndjson" if path.endswith(b"batch") else b"application/json"
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: " + kind
    for half in (b"", b"{", b"{}\n{"):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head + b"\r\n\r\n" + half)
        await writer.drain()
        while server.rest.hall.count == 0:  # noqa: ASYNC110  # the other end tells of it by nothing else
            await asyncio.sleep(0)
        writer.transport.abort()
    assert problem(await server.post(b"nonsense")) == (400, "PARAMETERS_INVALID")
    await server.rest.close()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("path", [b"/v1/query", b"/v1/transactions/batch", b"/nowhere", b"/v1/headers"])
@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
async def test_a_body_that_is_not_encoded_as_it_says_is_no_fault_of_the_nodes(
    server: Wire, path: bytes, encoding: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Each left a stack trace in the log, by whatever route, after it had been answered."""
    kind = b"application/x-ndjson" if path.endswith(b"batch") else b"application/json"
    verb = b"GET " if path == b"/v1/headers" else b"POST "
    head = verb + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Type: " + kind
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + b"\r\nContent-Encoding: " + encoding + b"\r\n\r\njunk")
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 200")), answer
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b"http://[", b"\xff\xfe", b"x"])
async def test_a_websocket_of_another_origins_page_is_refused_in_a_sentence(
    server: Wire, origin: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It was an INTERNAL_ERROR with a stack trace in the log: refused before what turns refusals into documents."""
    head = b"GET /v1/streams HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: " + origin
    key = b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert problem(await server.send(head + key)) == (403, "ORIGIN_NOT_ALLOWED")
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_the_node_learns_from_where_a_call_comes(server: Wire) -> None:
    """By whom REST is reached, and who reaches the socket by TCP, whatever that one says of itself."""
    await server.send(b"GET /v1/headers HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
    assert server.origins == {"127.0.0.1"}
    server.origins.clear()
    beyond = await asyncio.get_running_loop().create_server(server.socket._accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", beyond.sockets[0].getsockname()[1])
    params = msgspec.Raw(wire.encode_body(methods.HeadersParams()))
    writer.write(wire.frame(wire.Request(1, "headers", "", params, origin="10.0.0.1")))
    await reader.readexactly(4)
    assert server.origins == {"127.0.0.1"}
    writer.close()
    beyond.close()


async def test_only_100_continue_can_be_expected(server: Wire) -> None:
    assert problem(await server.post(b"{}", b"Expect: miracles\r\n")) == (417, "EXPECTATION_UNKNOWN")


@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["lists", "objects"])
async def test_nesting_of_any_depth_is_answered_and_costs_nobody_the_connection(server: Wire, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for depth in (10, 100, 300, 500, 800, 900, 950, 975, 990, 1_000, 1_100, 2_000, 10_000, 100_000):
        nested = opening * depth + "1" + closing * depth
        exchange = await server.post(f'{{"selector": {{"a": {nested}}}}}'.encode())
        assert exchange[0] == 200 or problem(exchange) == (400, "PARAMETERS_INVALID"), depth
    assert (await server.post(b'{"selector": {}}'))[0] == 200


@pytest.mark.parametrize("number", [2**70, -(2**70), 2**64, "1e400", "-0.0", "1e-400"], ids=str)
async def test_numbers_of_any_size_are_answered(server: Wire, number: object) -> None:
    exchange = await server.post(f'{{"selector": {{"a": {number}}}}}'.encode())
    assert exchange[0] == 200 or problem(exchange) == (400, "PARAMETERS_INVALID")
    assert problem(await server.post(f'{{"selector": {{}}, "limit": {2**70}}}'.encode())) == (400, "PARAMETERS_INVALID")


async def test_a_body_that_grows_beyond_a_calls_bound_is_refused_and_costs_nobody_the_connection(server: Wire) -> None:
    """Short floats take nine bytes each between REST and the node."""
    floats = b",".join([b"1e9"] * 200_000)
    assert problem(await server.post(b'{"selector": {"a": [' + floats + b"]}}")) == (413, "BODY_TOO_LARGE")
    assert server.calls == []
    assert (await server.post(b'{"selector": {}}'))[0] == 200


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds, 10)


ASK = b"GET /v1/headers HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def connected(server: Wire, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections that are known to be in, as each has had an answer."""
    made = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(count)]
    for reader, writer in made:
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    yield [reader for reader, _ in made]
    for _, writer in made:
        writer.close()


class Seated:
    """Somebody in the hall."""

    def __init__(self, idle: bool = False) -> None:
        self.idle, self.gone = idle, False

    @property
    def is_idle(self) -> bool:
        return self.idle

    def give_way(self) -> None:
        self.gone = True


async def test_one_address_has_a_share_of_the_connections_and_hears_so_beyond_it(server: Wire) -> None:
    """Found by a tester: the sixty-fifth connection of an address was reset, and nobody said why."""
    server.rest.hall = hall = Hall(4 * ADDRESS_SHARE)
    async with connected(server, 4):
        _, headers, document = await server.send(ASK)
        assert (document["code"], document["status"]) == ("TOO_MANY_CONNECTIONS", 503)
        assert (headers["connection"], headers["retry-after"]) == ("close", "1")
        assert document["detail"].startswith("Your address has as many connections")
        assert (await server.send(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"))[1]["connection"] == "close"
        assert hall.enter("10.0.0.1", Seated()) is Place.SEAT, "others are let in"
    await eventually(lambda: hall.count == 1)
    async with connected(server, 4):
        pass


async def test_beyond_an_addresss_share_only_so_many_wait_to_hear_why(server: Wire) -> None:
    server.rest.hall = hall = Hall(ADDRESS_SHARE)
    async with AsyncExitStack() as stack:
        for _ in range(1 + SURPLUS_EACH_MAX):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
        await eventually(lambda: (hall.count, len(hall._surplus)) == (1, SURPLUS_EACH_MAX))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        stack.callback(writer.close)
        async with asyncio.timeout(10):
            assert await reader.read() == b"", "closed, unheard"
    await eventually(lambda: not hall._surplus and not hall.count)


def test_addresses_beyond_their_share_take_no_place_of_others() -> None:
    hall = Hall(8 * ADDRESS_SHARE)
    places = [hall.enter(f"10.0.0.{number}", Seated()) for number in range(8) for _ in range(8 + SURPLUS_EACH_MAX)]
    assert places.count(Place.SURPLUS) == SURPLUS_MAX == 4 * SURPLUS_EACH_MAX
    assert hall.count == 8 * ADDRESS_SHARE + HEALTH_CONNECTIONS_MAX


async def test_in_a_full_house_the_biggest_party_gives_up_who_asks_nothing() -> None:
    """Four addresses with a quarter each, and nothing to ask, shut everybody else out; or one household, by IPv6."""
    hall = Hall(16)
    parties = {number: [Seated(idle=True) for _ in range(4)] for number in range(4)}
    parties[0][0].idle = False
    for number, party in parties.items():
        assert all(hall.enter(f"10.0.0.{number}", guest) for guest in party)
    newcomers = [Seated() for _ in range(4)]
    for number, newcomer in enumerate(newcomers):
        assert hall.enter(f"10.0.9.{number}", newcomer) is Place.SEAT
        assert hall.count == 16
    gone = [[guest.gone for guest in party] for party in parties.values()]
    assert gone == [[False, True, False, False], *[[True, False, False, False]] * 3]
    assert not any(newcomer.gone for newcomer in newcomers)


async def test_whoever_sends_a_body_drop_by_drop_gives_way_too(server: Wire) -> None:
    """Four addresses that never ended their bodies filled the house for everybody else."""
    server.rest.hall = hall = Hall(2 * ADDRESS_SHARE)
    async with AsyncExitStack() as stack:
        for number in range(2 * ADDRESS_SHARE):
            local = (f"127.0.0.{2 + number // 2}", 0)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=local)
            stack.callback(writer.close)
            writer.write(b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        await eventually(lambda: hall.count == 2 * ADDRESS_SHARE)
        guests = [cast(Connection, guest) for party in hall._inside.values() for guest in party]
        await eventually(lambda: all(guest._current_request is not None for guest in guests))
        assert (await server.send(ASK))[0] == 200


def test_a_household_is_one_address() -> None:
    hall = Hall(16)
    entered = [hall.enter(f"2001:db8:0:7::{number:x}", Seated()) for number in range(5)]
    assert entered == [Place.SEAT] * 4 + [Place.SURPLUS]
    assert hall.enter("2001:db8:0:8::1", Seated())
    assert hall.enter("::ffff:10.0.0.1", Seated())
    assert whose_address("::ffff:10.0.0.1") == whose_address("10.0.0.1")


async def test_a_full_house_still_says_how_it_is(server: Wire) -> None:
    """Found by a tester: one client's calls shut everybody out, and whoever looked after the node's health too."""
    server.rest.hall = hall = Hall(8)
    for number in range(8):
        assert hall.enter(f"10.0.0.{number}", Seated())
    assert problem(await server.send(ASK)) == (503, "TOO_MANY_CONNECTIONS")
    before = len(server.calls)
    _, headers, _ = await server.send(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert headers["connection"] == "close"
    assert server.calls[before:] == ["status"]
    for number in range(HEALTH_CONNECTIONS_MAX):
        assert hall.enter(f"10.0.1.{number}", Seated())
    assert not hall.enter("10.0.2.0", Seated())


async def test_an_address_has_so_many_calls_under_way(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: 1,024 calls of one client that waited for its pace had all the places."""
    waiting, release = [0], asyncio.Event()

    async def waits(*_: Any) -> methods.Headers:
        waiting[0] += 1
        await release.wait()
        return methods.Headers(())

    monkeypatch.setattr(server.node, "call", waits)
    server.rest.hall = Hall(ADDRESS_SHARE * 2 * ADDRESS_CALLS_MAX)
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(ADDRESS_CALLS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            writer.write(ASK)
            readers.append(reader)
        await eventually(lambda: waiting[0] == ADDRESS_CALLS_MAX)
        assert problem(await server.send(ASK)) == (429, "TOO_MANY_REQUESTS")
        release.set()
        for reader in readers:
            assert b" 200 " in await reader.readuntil(b"\r\n")
    assert (await server.send(ASK))[0] == 200


async def test_a_requests_number_goes_with_it_to_the_node(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def handle(method: str, params: Any, token: str, origin: str) -> msgspec.Struct:
        seen.append(request_ids.current())
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(server.socket, "_handle", handle)
    _, headers, document = await server.send(
        b"GET /v1/headers HTTP/1.1\r\nHost: x\r\nX-Request-Id: from-a-client\r\n\r\n"
    )
    assert (headers["x-request-id"], document["code"]) == ("from-a-client", "INTERNAL_ERROR")
    assert document["detail"].endswith("under request from-a-client.")
    _, headers, document = await server.send(ASK)
    assert document["detail"].endswith(f"under request {headers['x-request-id']}.")
    assert seen == ["from-a-client", headers["x-request-id"]]
