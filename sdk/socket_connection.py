"""One connection to a node's socket: requests in flight and streams, told apart by their numbers."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from sdk import wire
from sdk.errors import UNREADABLE, TransportError
from sdk.streaming import Inbox

IN_FLIGHT_MAX = 1_024
ANSWER_BYTES_MAX = 16 << 20
CLOSE_TIMEOUT_S = 2.0


class SocketConnection(asyncio.Protocol):
    """Requests in flight, and streams, by id; losing the connection fails them all."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._frames = wire.Frames(ANSWER_BYTES_MAX)
        self._waiting: dict[int, asyncio.Future[wire.Reply]] = {}
        self._streams: dict[int, Inbox] = {}
        self._next_id = 0
        self._transport: asyncio.Transport | None = None
        self.closed = False
        self._lost = asyncio.Event()

    async def ask(self, request: wire.Request, timeout_s: float) -> wire.Reply:
        """The reply to a request, which gets its number here."""
        if self.closed or self._transport is None:
            raise TransportError(f"{self._endpoint}: the connection is closed")
        if len(self._waiting) >= IN_FLIGHT_MAX:
            raise TransportError(f"{self._endpoint}: {IN_FLIGHT_MAX} calls are in flight already")
        self._next_id += 1
        number = self._next_id
        future: asyncio.Future[wire.Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._transport.write(wire.frame(msgspec.structs.replace(request, id=number)))
            async with asyncio.timeout(timeout_s):
                return await future
        except (TimeoutError, wire.FrameTooLong) as error:
            raise TransportError(f"{self._endpoint}: {type(error).__name__}: {error}") from None
        finally:
            self._waiting.pop(number, None)

    def begin(self, request: wire.Request) -> tuple[int, Inbox]:
        """Ask for a stream: its number, and where it comes in until ``end``."""
        if self.closed or self._transport is None:
            raise TransportError(f"{self._endpoint}: the connection is closed")
        self._next_id += 1
        inbox = self._streams[self._next_id] = Inbox()
        self._transport.write(wire.frame(msgspec.structs.replace(request, id=self._next_id)))
        return self._next_id, inbox

    def say(self, number: int, method: str, value: int | None = None) -> None:
        """Something about a stream, which has no answer."""
        if not self.closed and self._transport is not None:
            self._transport.write(wire.frame(wire.Request(number, method, "", msgspec.Raw(wire.encode_body(value)))))

    def end(self, number: int) -> None:
        if self._streams.pop(number, None) is not None:
            self.say(number, wire.CANCEL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit asyncio's

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                reply = wire.decode_reply(frame)
                if (inbox := self._streams.get(reply.id)) is not None:
                    if not inbox.put(reply):
                        raise wire.FrameTooLong("the node streams more than it was granted")
                    continue
                future = self._waiting.get(reply.id)
                if future is not None and not future.done():
                    future.set_result(reply)
        except (wire.FrameTooLong, *UNREADABLE) as error:
            self._fail(TransportError(f"{self._endpoint}: {error}"))
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._lost.set()
        self._fail(TransportError(f"{self._endpoint}: the connection was lost"))

    def _fail(self, error: TransportError) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        for inbox in self._streams.values():
            inbox.fail(error)

    def hang_up(self) -> None:
        self.closed = True
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.close()

    async def close(self) -> None:
        """Hang up, and wait for the other end: TLS says goodbye, which a loop that ends at once would leave open."""
        self.hang_up()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._lost.wait()
        except TimeoutError:
            if self._transport is not None:
                self._transport.abort()
