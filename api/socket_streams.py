"""A stream over the socket: frames under one call's number, as fast as the caller takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Protocol

import msgspec

from sdk import wire
from sdk.errors import UNREADABLE, Problem, Refused
from sdk.streams import StreamEvent, StreamParams

STALL_S = 30.0
"""How long a caller may leave its window full: whoever reads nothing for so long is sent away."""
BODY_BYTES = 32 << 10
"""Events are put together into frames of about this size."""


class StreamDoor(Protocol):
    """Who streams in one channel, and knows its people."""

    def stream(self, params: StreamParams, token: str, origin: str = "") -> AsyncGenerator[tuple[StreamEvent, ...]]:
        """Events until it ends; raises ``Refused``."""

    def vouch(self, signer: str) -> str:
        """A session's token for somebody whose certificate was seen; empty if the channel does not know it."""


class Flow:
    """What a caller still takes of a stream, in bytes. The last frame may go beyond it."""

    def __init__(self) -> None:
        self._left = wire.STREAM_WINDOW_BYTES
        self._open = asyncio.Event()
        self._open.set()

    def grant(self, size_bytes: int) -> None:
        self._left = min(self._left + max(0, size_bytes), wire.STREAM_WINDOW_BYTES)
        if self._left > 0:
            self._open.set()

    async def take(self, size_bytes: int) -> None:
        """Wait until the caller takes more; ``Refused`` SLOW_READER if it does not in time."""
        try:
            async with asyncio.timeout(STALL_S):
                await self._open.wait()
        except TimeoutError:
            message = f"Nothing was read for {STALL_S:g} s. Read faster, or ask for less; go on where you were."
            raise Refused(Problem("SLOW_READER", message, 429)) from None
        self._left -= size_bytes
        if self._left <= 0:
            self._open.clear()


def bodies(events: tuple[StreamEvent, ...]) -> Iterator[bytes]:
    """The events, encoded, in pieces that a frame holds."""
    piece: list[msgspec.Raw] = []
    size_bytes = 0
    for event in events:
        encoded = wire.encode_body(event)
        piece.append(msgspec.Raw(encoded))
        size_bytes += len(encoded)
        if size_bytes >= BODY_BYTES:
            yield wire.encode_body(piece)
            piece, size_bytes = [], 0
    if piece:
        yield wire.encode_body(piece)


def read_stream_params(data: msgspec.Raw) -> StreamParams:
    try:
        return msgspec.msgpack.decode(data, type=StreamParams)
    except UNREADABLE as error:
        raise Refused(Problem("PARAMETERS_INVALID", f"{error}.", 400)) from None
