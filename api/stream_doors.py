"""Streams in a browser: WebSocket and server-sent events (SSE), each carried over from the node's socket.

A WebSocket's first message says what is wanted, token and all, so that no token is ever in an address; the messages
that follow are events. SSE has its token in the header, and goes on behind ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from api.callers import address_of, header_of, token_of
from api.faults import our_fault
from api.problems import log
from sdk.errors import UNREADABLE, Problem, Refused, TransportError
from sdk.methods import VERSION_PATH
from sdk.parameter_faults import json_fault
from sdk.streaming import STREAMS_PATH, ProblemMessage, StreamRequest
from sdk.streams import HEARTBEAT, INDEX_MAX, PROBLEM, SUBSCRIBED, StreamEvent, StreamParams

FIRST_MESSAGE_S = 10.0
"""How long whoever connects may take to say what it wants."""
MESSAGE_BYTES_MAX = 16 << 10
SEND_S = 30.0
"""How long one message may wait for whoever does not read."""
PING_S = 20.0
CLOSE_S = 2.0
CHANNEL = "channel"
Events = AsyncGenerator[tuple[StreamEvent, ...]]


class StreamSocket(Protocol):
    """The node's socket, as ``sdk.transports.SocketTransport`` reaches it."""

    def stream(self, params: StreamParams, token: str = ..., channel: str = ..., origin: str = ...) -> Events:
        """One stream, for somebody at the address ``origin``."""


def stream_routes(node: StreamSocket) -> list[web.RouteDef]:
    """Of all channels: the routes beside those of ``sdk.methods``."""
    doors = _Doors(node)
    paths = (VERSION_PATH + STREAMS_PATH, f"{VERSION_PATH}/channels/{{{CHANNEL}}}{STREAMS_PATH}")
    return [
        route
        for path in paths
        for route in (
            web.get(path, doors.websocket, allow_head=False),
            web.get(path + "/{topic}", doors.server_sent, allow_head=False),
        )
    ]


class _Doors:
    def __init__(self, node: StreamSocket) -> None:
        self._node = node

    def _stream(self, request: web.Request, params: StreamParams, token: str) -> Events:
        channel, origin = request.match_info.get(CHANNEL, ""), address_of(request)
        return self._node.stream(params, token, channel=channel, origin=origin)

    # ---------------------------------------------------------------------------------------- WebSocket

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_S, heartbeat=PING_S, max_msg_size=MESSAGE_BYTES_MAX, compress=False
        )
        if not socket.can_prepare(request):
            raise Refused(Problem("WEBSOCKET_REQUIRED", "Open a WebSocket here, or GET a topic below this path.", 426))
        await socket.prepare(request)
        try:
            asked = await _first_message(socket)
            params = StreamParams(**{name: getattr(asked, name) for name in StreamParams.__struct_fields__})
            stream = self._stream(request, params, asked.token)
            await _until_first(_pump(socket, stream), _hear_nothing_more(socket))
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # it does not read: a farewell would wait behind all the rest
        except (Refused, TransportError) as error:
            await _close(socket, _problem_of(error))
        except ConnectionError:
            await socket.close()
        except Exception:
            # The answer has begun, so that no problem document can be one any more.
            await _close(socket, our_fault(log, request.path))
        return socket

    # ---------------------------------------------------------------------------------------------- SSE

    async def server_sent(self, request: web.Request) -> web.StreamResponse:
        params, token = _asked_of(request), token_of(request)
        async with aclosing(self._stream(request, params, token)) as stream:
            try:
                events = await anext(stream)  # a refusal at once is an ordinary problem document
            except TransportError as error:
                raise Refused(_problem_of(error)) from None
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            try:
                await _send(response, events)
                async for events in stream:
                    await _send(response, events)
            except (Refused, TransportError) as error:
                await response.write(_sent_event(PROBLEM, _message(_problem_of(error))))
            except (TimeoutError, ConnectionError):
                if request.transport is not None:
                    request.transport.abort()
            return response


async def _pump(socket: web.WebSocketResponse, stream: Events) -> None:
    async with aclosing(stream):
        async for events in stream:
            for event in events:
                async with asyncio.timeout(SEND_S):
                    await socket.send_str(msgspec.json.encode(event).decode())


async def _first_message(socket: web.WebSocketResponse) -> StreamRequest:
    try:
        message = await socket.receive(timeout=FIRST_MESSAGE_S)
    except TimeoutError:
        sentence = f"Nothing was asked for within {FIRST_MESSAGE_S:g} s. Send the first message at once."
        raise Refused(Problem("BODY_TOO_SLOW", sentence, 408)) from None
    if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        raise ConnectionResetError("the reader has gone")
    if message.type is not WSMsgType.TEXT:
        raise Refused(Problem("PARAMETERS_INVALID", "The first message is text: JSON with token and topics.", 400))
    return _read(message.data)


def _read(text: str) -> StreamRequest:
    try:
        return msgspec.json.decode(text, type=StreamRequest)
    except UNREADABLE as error:
        raise Refused(Problem("PARAMETERS_INVALID", f"{json_fault(error, text.encode())}.", 400)) from None


async def _hear_nothing_more(socket: web.WebSocketResponse) -> None:
    """Until the reader hangs up; whatever else it says is refused."""
    async for _ in socket:
        raise Refused(Problem("PARAMETERS_INVALID", "A stream is asked for once, with the first message.", 400))


async def _until_first(*works: Awaitable[None]) -> None:
    """Until one of them ends, or fails; the others are ended with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result


async def _close(socket: web.WebSocketResponse, problem: Problem) -> None:
    """Say why, and close. Whoever does not read is not waited for."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.send_str(_message(problem).decode())
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=problem.code.encode())
    except (TimeoutError, ConnectionError):
        return


def _asked_of(request: web.Request) -> StreamParams:
    """Topic, query string and ``Last-Event-ID`` as parameters."""
    given: dict[str, Any] = {}
    for name, value in request.query.items():
        if name not in ("from_height", "interval") or name in given:
            raise Refused(
                Problem("PARAMETERS_INVALID", f"The parameter {name[:64]!r} is unknown, or given twice.", 400)
            )
        given[name] = value
    if "interval" in given:
        given["intervals"] = (given.pop("interval"),)
    if last := header_of(request, "Last-Event-ID"):
        height, _, index = last.partition("-")
        given |= {"from_height": height, "from_index": index}
    try:
        params = msgspec.convert({**given, "topics": (request.match_info["topic"],)}, StreamParams, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(Problem("PARAMETERS_INVALID", f"{error}.", 400)) from None
    return _behind(params) if last else params


def _behind(params: StreamParams) -> StreamParams:
    """From what follows the event that was told last."""
    if params.from_index >= INDEX_MAX:
        return msgspec.structs.replace(params, from_height=params.from_height + 1, from_index=0)
    return msgspec.structs.replace(params, from_index=params.from_index + 1)


async def _send(response: web.StreamResponse, events: tuple[StreamEvent, ...]) -> None:
    for event in events:
        async with asyncio.timeout(SEND_S):
            await response.write(_sent_event(event.kind, msgspec.json.encode(event), _place(event)))


def _place(event: StreamEvent) -> str:
    """What a reader goes on behind: nothing for power, which is not of the chain."""
    if event.kind == SUBSCRIBED:
        return f"{event.height - 1}-{INDEX_MAX}"
    if event.kind == HEARTBEAT:
        return f"{event.height}-{INDEX_MAX}"
    return f"{event.height}-{event.index}" if event.height else ""


def _sent_event(kind: str, data: bytes, place: str = "") -> bytes:
    head = f"id: {place}\n" if place else ""
    return f"{head}event: {kind}\ndata: ".encode() + data + b"\n\n"


def _message(problem: Problem) -> bytes:
    return msgspec.json.encode(ProblemMessage(problem.code, problem.message, problem.status))


def _problem_of(error: Refused | TransportError) -> Problem:
    if isinstance(error, Refused):
        return error.problem
    return Problem("NODE_UNREACHABLE", f"The node does not answer: {error}.", 503)
