"""A burst of calls does not stand the event loop: so many are begun in one turn, of all callers together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from network import until

from api import socket as api_socket
from api.socket import SocketServer
from api.turns import CALLS_A_TURN, CALLS_EACH
from sdk import wire
from sdk.errors import Problem, Refused
from sdk.methods import Nothing
from sdk.streams import StreamEvent, StreamParams

WITHIN_S = 20.0


class Transport(asyncio.Transport):
    """Remembers what was answered, and whether it is read from."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.closed = False
        self.answered: list[int] = []
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.answered.append(wire.decode_reply(bytes(data)[4:]).id)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Door:
    """Streams to nobody, and counts who asked."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.has_room = False

    async def stream(
        self, params: StreamParams, token: str, origin: str = ""
    ) -> AsyncGenerator[tuple[StreamEvent, ...]]:
        self.begun.append(origin)
        if not self.has_room:
            raise Refused(Problem("TOO_MANY_STREAMS", "There are too many.", 503))
        yield ()

    def vouch(self, signer: str) -> str:
        return ""


async def no_answer(*_: Any) -> msgspec.Struct:
    raise AssertionError("nobody calls")


def connected(server: SocketServer, address: str) -> tuple[Any, Transport]:
    caller, transport = server._accept(), Transport(address)
    caller.connection_made(transport)
    return caller, transport


def subscriptions(count: int) -> bytes:
    params = msgspec.Raw(wire.encode_body(StreamParams(topics=("blocks",))))
    return b"".join(wire.frame(wire.Request(number, wire.STREAM, "", params)) for number in range(count))


async def turns_of(door: Door, count: int) -> list[int]:
    """How many were begun in each turn of the loop until ``count`` are."""
    found: list[int] = []
    async with asyncio.timeout(WITHIN_S):
        while len(door.begun) < count:
            before = len(door.begun)
            await asyncio.sleep(0)
            found.append(len(door.begun) - before)
    return found


async def test_hundreds_of_subscriptions_in_one_piece_are_begun_some_at_a_time() -> None:
    """All of them were begun before the loop came to anything else: a third of a second for a piece of 256 KiB."""
    door = Door()
    server = SocketServer(no_answer, 16, doors=lambda name: door)
    caller, transport = connected(server, "10.0.0.66")
    caller.data_received(subscriptions(5_000))
    found = await turns_of(door, 5_000)
    assert max(found) <= CALLS_A_TURN
    await asyncio.sleep(0)
    assert (sorted(transport.answered), transport.paused) == (list(range(5_000)), False)


async def test_other_callers_have_their_turn_between() -> None:
    door = Door()
    server = SocketServer(no_answer, 16, doors=lambda name: door)
    flooder, _ = connected(server, "10.0.0.66")
    other, _ = connected(server, "10.0.0.1")
    flooder.data_received(subscriptions(5_000))
    other.data_received(subscriptions(1))
    found = await turns_of(door, 5_001)
    assert max(found) <= CALLS_A_TURN
    assert door.begun.index("10.0.0.1") <= CALLS_EACH


async def test_nothing_more_is_read_while_calls_wait_or_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_socket, "IN_FLIGHT_MAX", 4)
    go_on = asyncio.Event()
    under_way = 0

    async def slow(*_: Any) -> msgspec.Struct:
        nonlocal under_way
        under_way += 1
        assert under_way <= 4
        await go_on.wait()
        under_way -= 1
        return Nothing()

    caller, transport = connected(SocketServer(slow, 16), "10.0.0.66")
    nothing = msgspec.Raw(wire.encode_body({}))
    caller.data_received(b"".join(wire.frame(wire.Request(n, "status", "", nothing)) for n in range(50)))

    async def is_full() -> bool:
        return under_way == 4

    async def is_through() -> bool:
        return len(transport.answered) == 50 and not transport.paused

    await until(is_full, WITHIN_S)
    assert transport.paused
    go_on.set()
    await until(is_through, WITHIN_S)


async def test_whoever_hangs_up_or_sends_nonsense_begins_nothing_more() -> None:
    door = Door()
    server = SocketServer(no_answer, 16, doors=lambda name: door)
    caller, transport = connected(server, "10.0.0.66")
    caller.data_received(subscriptions(CALLS_EACH) + b"\xff\xff\xff\xff" + subscriptions(100))
    await turns_of(door, CALLS_EACH)
    gone, _ = connected(server, "10.0.0.67")
    gone.data_received(subscriptions(100))
    gone.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert (len(door.begun), transport.closed) == (CALLS_EACH, True)
