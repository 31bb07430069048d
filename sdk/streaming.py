"""A stream from one node, over its socket or over REST, as it comes: events, a refusal, or a lost connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator

import aiohttp
import msgspec

from sdk import wire
from sdk.errors import UNREADABLE, Problem, Refused, TransportError
from sdk.streams import HEARTBEAT_S, PROBLEM, StreamEvent, StreamParams
from sdk.unreached import why_unreached

SILENCE_S = 3 * HEARTBEAT_S
"""A node that streams is never silent for so long."""
CONNECT_TIMEOUT_S = 5.0
MESSAGE_BYTES_MAX = 16 << 20
STREAMS_PATH = "/streams"
CREDIT_SHARE = 4
"""Credit is given when this part of the window has been read."""

Events = tuple[StreamEvent, ...]


class StreamRequest(StreamParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first message on a WebSocket. ``token``: a session's, or empty."""

    token: str = ""


class Inbox:
    """What has come of one stream over the socket and waits for its reader, within what was granted."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[wire.Reply | TransportError] = asyncio.Queue()
        self._held_bytes = 0

    def put(self, reply: wire.Reply) -> bool:
        """False if the node sends more than was granted."""
        self._held_bytes += len(reply.body)
        self._queue.put_nowait(reply)
        return self._held_bytes <= wire.STREAM_WINDOW_BYTES + wire.FRAME_BYTES_MAX

    def fail(self, error: TransportError) -> None:
        self._queue.put_nowait(error)

    async def get(self, endpoint: str) -> wire.Reply:
        try:
            async with asyncio.timeout(SILENCE_S):
                found = await self._queue.get()
        except TimeoutError:
            raise TransportError(f"{endpoint}: nothing was heard for {SILENCE_S:g} s") from None
        if isinstance(found, TransportError):
            raise found
        self._held_bytes -= len(found.body)
        return found


def read_reply(reply: wire.Reply, endpoint: str) -> Events | None:
    """The events of a frame; None for the stream's end. ``Refused`` if that is what it says."""
    try:
        if not reply.good:
            raise Refused(msgspec.msgpack.decode(reply.body, type=Problem))
        return msgspec.msgpack.decode(reply.body, type=Events) if reply.more else None
    except UNREADABLE as error:
        raise TransportError(f"{endpoint}: {error}") from None


async def websocket_events(
    session: aiohttp.ClientSession, endpoint: str, path: str, tls: ssl.SSLContext | None, request: StreamRequest
) -> AsyncGenerator[Events]:
    """The stream of a node's WebSocket."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await session.ws_connect(
                endpoint + path, ssl=tls if tls is not None else True, max_msg_size=MESSAGE_BYTES_MAX
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransportError(f"{endpoint}: {why_unreached(error)}") from None
    try:
        await socket.send_str(msgspec.json.encode(request).decode())
        while True:
            async with asyncio.timeout(SILENCE_S):
                message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise TransportError(f"{endpoint}: the stream has ended")
            yield (_read_message(message.data),)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransportError(f"{endpoint}: {type(error).__name__}: {error}") from None
    except UNREADABLE as error:
        raise TransportError(f"{endpoint}: {error}") from None
    finally:
        await socket.close()


class ProblemMessage(msgspec.Struct, frozen=True):
    """The last message of a WebSocket that ends for a reason."""

    code: str
    detail: str
    status: int = 422
    kind: str = PROBLEM


def _read_message(text: str) -> StreamEvent:
    if msgspec.json.decode(text, type=_Kind).kind == PROBLEM:
        told = msgspec.json.decode(text, type=ProblemMessage)
        raise Refused(Problem(told.code, told.detail, told.status))
    return msgspec.json.decode(text, type=StreamEvent)


class _Kind(msgspec.Struct):
    kind: str
