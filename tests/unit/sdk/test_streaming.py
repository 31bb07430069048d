"""Streams over the node's socket: flow control, refusals, and calls beside them on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api import socket_streams
from api.socket import SocketServer
from sdk import wire
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import NONCE, STATUS, NonceState, Nothing, SignerParams
from sdk.streams import StreamEvent, StreamParams
from sdk.transports import SocketTransport

WITHIN_S = 20.0
BLOCKS = StreamParams(topics=("blocks",))
SIGNER = "ab" * 32


class Node:
    """A door that streams what the test makes, and a handler that answers calls when it is told to."""

    def __init__(self) -> None:
        self.tell: Callable[[StreamParams], AsyncGenerator[Any]] = numbers
        self.asked: list[tuple[StreamParams, str, str]] = []
        self.ended = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.sent = 0

    async def stream(self, params: StreamParams, token: str, origin: str = "") -> AsyncGenerator[Any]:
        self.asked.append((params, token, origin))
        try:
            async with aclosing(self.tell(params)) as events:
                async for event in events:
                    self.sent += 1
                    yield event
        finally:
            self.ended.set()

    def vouch(self, signer: str) -> str:
        return f"session of {signer}"

    async def handle(self, method: str, params: Any, token: str, origin: str) -> Any:
        if method == "nonce" and params.signer == SIGNER:
            await self.may_answer.wait()
        return NonceState(params.signer, 0)


async def numbers(params: StreamParams) -> AsyncGenerator[Any]:
    """Events without end, as fast as they are taken."""
    height = params.from_height
    while True:
        height += 1
        yield (StreamEvent("blocks", height, 0, "x" * 1_000),)
        await asyncio.sleep(0)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[tuple[Node, SocketTransport]]:
    made = Node()
    server = SocketServer(made.handle, 10, doors=lambda channel: made)
    await server.listen_unix(tmp_path / "s")
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    yield made, transport
    await transport.close()
    await server.close()


async def heights(stream: AsyncGenerator[Any], count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            found += [event.height for event in await anext(stream)]
    return found


async def test_a_stream_gives_all_events_in_order_beyond_its_window(node: tuple[Node, SocketTransport]) -> None:
    made, transport = node
    count = 3 * wire.STREAM_WINDOW_BYTES // 1_000
    async with aclosing(transport.stream(BLOCKS, "token", origin="10.0.0.9")) as stream:
        assert await heights(stream, count) == list(range(1, count + 1))
    assert made.asked == [(BLOCKS, "token", "10.0.0.9")]


async def test_whoever_does_not_read_is_sent_no_more_than_its_window(node: tuple[Node, SocketTransport]) -> None:
    made, transport = node
    async with aclosing(transport.stream(BLOCKS)) as stream:
        await anext(stream)
        sent = -1
        while sent != made.sent:  # until the node stands still
            sent = made.sent
            await asyncio.sleep(0.05)
        assert made.sent <= wire.STREAM_WINDOW_BYTES // 1_000 + 2
        assert (await heights(stream, 500))[-1] == 501


async def test_a_reader_that_stalls_is_told_so_and_nobody_else_is(
    node: tuple[Node, SocketTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_streams, "STALL_S", 0.1)
    made, transport = node
    async with aclosing(transport.stream(BLOCKS)) as stalled, aclosing(transport.stream(BLOCKS)) as reading:
        await anext(stalled)
        async with asyncio.timeout(WITHIN_S):
            while not made.ended.is_set():
                await anext(reading)
        with pytest.raises(Refused, match="SLOW_READER"):
            await heights(stalled, 10_000)
        assert await heights(reading, 100)


async def test_closing_a_stream_ends_it_at_the_node(node: tuple[Node, SocketTransport]) -> None:
    made, transport = node
    async with aclosing(transport.stream(BLOCKS)) as stream:
        await heights(stream, 10)
    async with asyncio.timeout(WITHIN_S):
        await made.ended.wait()
    assert (await transport.call(NONCE, SignerParams(signer="cd" * 32))).highest == 0


async def test_calls_are_pipelined_beside_streams_and_answered_out_of_order(
    node: tuple[Node, SocketTransport],
) -> None:
    made, transport = node
    slow = asyncio.ensure_future(transport.call(NONCE, SignerParams(signer=SIGNER)))
    async with aclosing(transport.stream(BLOCKS)) as stream, asyncio.timeout(WITHIN_S):
        await anext(stream)
        quick = await asyncio.gather(*(transport.call(NONCE, SignerParams(signer=f"{n:064x}")) for n in range(500)))
        assert [state.signer for state in quick] == [f"{n:064x}" for n in range(500)]
        assert not slow.done()
        made.may_answer.set()
        assert (await slow).signer == SIGNER


async def test_a_refusal_in_the_midst_of_a_stream_is_told_behind_its_events(
    node: tuple[Node, SocketTransport],
) -> None:
    made, transport = node

    async def two(_: StreamParams) -> AsyncGenerator[Any]:
        yield (StreamEvent("blocks", 1, 0), StreamEvent("blocks", 2, 0))
        raise Refused(Problem("SESSION_UNKNOWN", "Over.", 401))

    made.tell = two
    async with aclosing(transport.stream(BLOCKS)) as stream:
        assert await heights(stream, 2) == [1, 2]
        with pytest.raises(Refused, match="SESSION_UNKNOWN") as caught:
            await anext(stream)
    assert caught.value.status == 401


async def test_a_fault_of_the_nodes_own_is_told_without_its_words(node: tuple[Node, SocketTransport]) -> None:
    made, transport = node

    async def broken(_: StreamParams) -> AsyncGenerator[Any]:
        yield (StreamEvent("blocks", 1, 0),)
        raise RuntimeError("secret")

    made.tell = broken
    async with aclosing(transport.stream(BLOCKS)) as stream:
        await anext(stream)
        with pytest.raises(Refused, match="INTERNAL_ERROR") as caught:
            await anext(stream)
    assert "secret" not in str(caught.value)


async def test_a_lost_connection_fails_its_streams(tmp_path: Path) -> None:
    made = Node()
    server = SocketServer(made.handle, 10, doors=lambda channel: made)
    await server.listen_unix(tmp_path / "s")
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    async with aclosing(transport.stream(BLOCKS)) as stream:
        await anext(stream)
        await server.close()
        with pytest.raises(TransportError, match="lost"):
            await heights(stream, 10_000)
    await transport.close()


async def test_a_node_without_streams_says_so(tmp_path: Path) -> None:
    made = Node()
    server = SocketServer(made.handle, 10)
    await server.listen_unix(tmp_path / "s")
    transport = SocketTransport(f"unix:{tmp_path / 's'}")
    async with aclosing(transport.stream(BLOCKS)) as stream:
        with pytest.raises(Refused, match="METHOD_UNKNOWN"):
            await anext(stream)
    await transport.close()
    await server.close()


@pytest.mark.parametrize(
    "frames",
    [
        [(1, wire.STREAM, {"topics": ["nothing"]})],
        [(1, wire.STREAM, 7)],
        [(1, wire.STREAM, {"topics": []})],
        [(1, wire.STREAM, {"topics": ["blocks"], "more": 1})],
    ],
    ids=str,
)
async def test_malformed_parameters_are_refused(node: tuple[Node, SocketTransport], frames: list[Any]) -> None:
    made, transport = node
    connection = await transport._connected()
    for number, method, body in frames:
        asked = wire.Request(number, method, "", msgspec.Raw(wire.encode_body(body)))
        _, inbox = connection.begin(asked)
        reply = await inbox.get("test")
        assert not reply.good
        assert b"PARAMETERS_INVALID" in bytes(reply.body)
    assert not made.asked


@pytest.mark.parametrize("credit", [-(2**40), 2**60, 0])
async def test_odd_credit_changes_nothing_beyond_the_window(node: tuple[Node, SocketTransport], credit: int) -> None:
    made, transport = node
    async with aclosing(transport.stream(BLOCKS)) as stream:
        await anext(stream)
        connection = await transport._connected()
        connection.say(1, wire.CREDIT, credit)
        connection.say(99, wire.CREDIT, 5)
        connection.say(99, wire.CANCEL)
        sent = -1
        while sent != made.sent:
            sent = made.sent
            await asyncio.sleep(0.05)
        assert made.sent <= 2 * (wire.STREAM_WINDOW_BYTES // 1_000) + 4


async def test_credit_that_is_no_number_and_a_number_used_twice_are_hung_up_on(
    node: tuple[Node, SocketTransport],
) -> None:
    _, transport = node
    connection = await transport._connected()
    assert connection._transport is not None
    connection._transport.write(wire.frame(wire.Request(1, wire.CREDIT, "", msgspec.Raw(wire.encode_body("x")))))
    with pytest.raises(TransportError):
        await transport.call(STATUS, Nothing(), timeout_s=WITHIN_S)
    async with aclosing(transport.stream(BLOCKS)) as stream:
        await anext(stream)
        again = await transport._connected()
        body = msgspec.Raw(wire.encode_body(BLOCKS))
        assert again._transport is not None
        again._transport.write(wire.frame(wire.Request(1, wire.STREAM, "", body)))
        with pytest.raises(TransportError):
            await heights(stream, 100_000)
