"""Two ways to the same methods: the node's own socket, and REST. Both raise ``Refused`` or ``TransportError``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from sdk import methods, request_ids, wire
from sdk.errors import UNREADABLE, Problem, Refused, TransportError
from sdk.methods import VERSION_PATH, Method, NodeStatus, Nothing, P, R, Submission
from sdk.socket_connection import ANSWER_BYTES_MAX, IN_FLIGHT_MAX, SocketConnection
from sdk.streaming import CREDIT_SHARE, STREAMS_PATH, Events, StreamRequest, read_reply, websocket_events
from sdk.streams import StreamParams
from sdk.unreached import why_unreached

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
ENVELOPE_BYTES = 256
"""More than what a frame adds to token and parameters."""

T = TypeVar("T")


class Transport(Protocol):
    """One endpoint. ``token`` is a session's, or empty. ``vouched``: the node knows this client by its certificate, and
    needs no session."""

    endpoint: str
    vouched: bool

    async def call(self, method: Method[P, R], params: P, token: str = "", timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        """Make one call; ``Refused`` when the node says no, ``TransportError`` when there is no usable answer."""

    def stream(self, params: StreamParams, token: str = "", channel: str = "") -> AsyncGenerator[Events]:
        """Events as they come; raises as ``call`` does, at any time. It must be closed."""

    async def close(self) -> None: ...


def connect(endpoint: str, tls: ssl.SSLContext | None = None, *, vouched: bool = False) -> Transport:
    """A transport for ``http(s)://HOST:PORT``, ``unix:PATH`` or ``tls://HOST:PORT``; it connects when first used.

    ``vouched``: ``tls`` shows a certificate of the client's own key; then ``tls://`` needs no session.
    """
    if endpoint.startswith(("http://", "https://")):
        return HttpTransport(endpoint, tls)
    if endpoint.startswith("tls://") and not endpoint.rpartition(":")[2].isdecimal():
        raise ValueError(f"{endpoint!r}: tls://HOST:PORT needs a port")
    if endpoint.startswith(("unix:", "tls://")):
        return SocketTransport(endpoint, tls, vouched and endpoint.startswith("tls://"))
    raise ValueError(f"{endpoint!r}: an endpoint starts with http://, https://, tls:// or unix:")


class HttpTransport:
    """REST over a pooled HTTP session."""

    vouched = False

    def __init__(self, endpoint: str, tls: ssl.SSLContext | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: Method[P, R], params: P, token: str = "", timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        path, rest = _fill(method, params)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = msgspec.json.encode(rest) if method.verb == "POST" else None
        query = {key: str(value) for key, value in rest.items()} if method.verb == "GET" else None
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._open().request(
                method.verb,
                self.endpoint + path,
                params=query,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_TIMEOUT_S),
                ssl=self._tls if self._tls is not None else True,
            ) as response:
                data = await _read_bounded(response.content)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"{self.endpoint}: {why_unreached(error)}") from None
        return self._answer(method, status, data)

    def _answer(self, method: Method[P, R], status: int, data: bytes) -> R:
        if len(data) > ANSWER_BYTES_MAX:
            raise TransportError(f"{self.endpoint}: an answer of more than {ANSWER_BYTES_MAX} bytes")
        try:
            if status < 400:
                return msgspec.json.decode(data, type=method.result)
            told = msgspec.json.decode(data, type=_ProblemDocument)
        except UNREADABLE as error:
            raise TransportError(f"{self.endpoint}: HTTP {status} without a proper body: {error}") from None
        raise Refused(Problem(told.code, told.detail, status, told.submission()))

    def stream(self, params: StreamParams, token: str = "", channel: str = "") -> AsyncGenerator[Events]:
        request = StreamRequest(token=token, **{name: getattr(params, name) for name in params.__struct_fields__})
        path = f"{VERSION_PATH}/channels/{channel}{STREAMS_PATH}" if channel else VERSION_PATH + STREAMS_PATH
        return websocket_events(self._open(), self.endpoint, path, self._tls, request)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT_MAX))
        return self._session

    async def status(self) -> NodeStatus:
        return await self.call(methods.STATUS, Nothing())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    """A whole answer, or at least one byte more than the bound. (One ``read`` gives only what has arrived.)"""
    data = bytearray()
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            break
    return bytes(data)


class _ProblemDocument(msgspec.Struct):
    code: str
    detail: str = ""
    tx_id: str = ""
    state: Literal["accepted", "committed", "certified"] = "accepted"
    height: int | None = None
    index: int | None = None
    receipt: dict[str, Any] | None = None

    def submission(self) -> Submission | None:
        """How far the transaction came, if it was taken in."""
        if not self.tx_id:
            return None
        return Submission(self.tx_id, self.state, self.height, self.index, receipt=self.receipt)


def _fill(method: Method[P, R], params: P) -> tuple[str, dict[str, Any]]:
    """The path with its braces filled, and the parameters that are left, without defaults that are None."""
    rest = {key: value for key, value in msgspec.to_builtins(params).items() if value is not None}
    path = method.path
    for name in list(rest):
        if "{" + name + "}" in path:
            path = path.replace("{" + name + "}", quote(str(rest.pop(name)), safe=""))
    return path, rest


class SocketTransport:
    """The node's socket: many calls in flight over one connection, reconnected when next used."""

    def __init__(self, endpoint: str, tls: ssl.SSLContext | None = None, vouched: bool = False) -> None:
        self.endpoint = endpoint
        self.vouched = vouched
        self._tls = tls
        self._connection: SocketConnection | None = None
        self._connecting = asyncio.Lock()

    async def call(
        self,
        method: Method[P, R],
        params: P,
        token: str = "",
        timeout_s: float = ANSWER_TIMEOUT_S,
        origin: str = "",
    ) -> R:
        """One call. ``origin``: where it comes from, when it is made for somebody else."""
        try:
            body = wire.encode_body(params)
        except (OverflowError, TypeError, RecursionError) as error:
            raise Refused(Problem("PARAMETERS_INVALID", f"{error}.", 400)) from None
        if len(body) + len(token) > wire.REQUEST_BYTES_MAX - ENVELOPE_BYTES:
            message = f"The call is larger than the {wire.REQUEST_BYTES_MAX} bytes that a node takes."
            raise Refused(Problem("BODY_TOO_LARGE", message, 413))
        connection = await self._connected()
        number = request_ids.current()
        call = wire.Request(0, method.name, token, msgspec.Raw(body), method.channel, origin, number)
        reply = await connection.ask(call, timeout_s)
        try:
            if reply.good:
                return msgspec.msgpack.decode(reply.body, type=method.result)
            problem = msgspec.msgpack.decode(reply.body, type=Problem)
        except UNREADABLE as error:
            raise TransportError(f"{self.endpoint}: {error}") from None
        raise Refused(problem)

    async def stream(
        self, params: StreamParams, token: str = "", channel: str = "", origin: str = ""
    ) -> AsyncGenerator[Events]:
        """One stream. ``origin``: as for ``call``."""
        connection = await self._connected()
        body = msgspec.Raw(wire.encode_body(params))
        number, inbox = connection.begin(wire.Request(0, wire.STREAM, token, body, channel, origin))
        read_bytes = 0
        try:
            while (events := read_reply(reply := await inbox.get(self.endpoint), self.endpoint)) is not None:
                yield events
                read_bytes += len(reply.body)
                if read_bytes >= wire.STREAM_WINDOW_BYTES // CREDIT_SHARE:
                    connection.say(number, wire.CREDIT, read_bytes)
                    read_bytes = 0
        finally:
            connection.end(number)

    async def _connected(self) -> SocketConnection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> SocketConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if self.endpoint.startswith("unix:"):
                    path = self.endpoint.removeprefix("unix:")
                    _, connection = await loop.create_unix_connection(lambda: SocketConnection(self.endpoint), path)
                else:
                    host, _, port = self.endpoint.removeprefix("tls://").rpartition(":")
                    _, connection = await loop.create_connection(
                        lambda: SocketConnection(self.endpoint), host, int(port), ssl=self._tls or True
                    )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise TransportError(f"{self.endpoint}: {type(error).__name__}: {error}") from None
        return connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
