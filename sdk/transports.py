"""Two ways to the same methods: the node's own socket, and REST. Both raise ``Refused`` or ``TransportError``."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from sdk import methods, wire
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import Method, NodeStatus, Nothing, P, R, Submission

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
IN_FLIGHT_MAX = 1_024
ANSWER_BYTES_MAX = 16 << 20
ENVELOPE_BYTES = 256
"""More than what a frame adds to token and parameters."""

T = TypeVar("T")


class Transport(Protocol):
    """One endpoint. ``token`` is a session's, or empty."""

    endpoint: str

    async def call(self, method: Method[P, R], params: P, token: str = "", timeout_s: float = ANSWER_TIMEOUT_S) -> R:
        """Make one call; ``Refused`` when the node says no, ``TransportError`` when there is no usable answer."""

    async def close(self) -> None: ...


def connect(endpoint: str, tls: ssl.SSLContext | None = None) -> Transport:
    """A transport for ``http(s)://HOST:PORT``, ``unix:PATH`` or ``tls://HOST:PORT``; it connects when first used."""
    if endpoint.startswith(("http://", "https://")):
        return HttpTransport(endpoint, tls)
    if endpoint.startswith("tls://") and not endpoint.rpartition(":")[2].isdecimal():
        raise ValueError(f"{endpoint!r}: tls://HOST:PORT needs a port")
    if endpoint.startswith(("unix:", "tls://")):
        return SocketTransport(endpoint, tls)
    raise ValueError(f"{endpoint!r}: an endpoint starts with http://, https://, tls:// or unix:")


class HttpTransport:
    """REST over a pooled HTTP session."""

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
            raise TransportError(f"{self.endpoint}: {type(error).__name__}: {error}") from None
        return self._answer(method, status, data)

    def _answer(self, method: Method[P, R], status: int, data: bytes) -> R:
        if len(data) > ANSWER_BYTES_MAX:
            raise TransportError(f"{self.endpoint}: an answer of more than {ANSWER_BYTES_MAX} bytes")
        try:
            if status < 400:
                return msgspec.json.decode(data, type=method.result)
            told = msgspec.json.decode(data, type=_ProblemDocument)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TransportError(f"{self.endpoint}: HTTP {status} without a proper body: {error}") from None
        raise Refused(Problem(told.code, told.detail, status, told.submission()))

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

    def __init__(self, endpoint: str, tls: ssl.SSLContext | None = None) -> None:
        self.endpoint = endpoint
        self._tls = tls
        self._connection: _Connection | None = None
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
        call = wire.Request(0, method.name, token, msgspec.Raw(body), method.channel, origin)
        reply = await connection.ask(call, timeout_s)
        try:
            if reply.good:
                return msgspec.msgpack.decode(reply.body, type=method.result)
            problem = msgspec.msgpack.decode(reply.body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TransportError(f"{self.endpoint}: {error}") from None
        raise Refused(problem)

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if self.endpoint.startswith("unix:"):
                    path = self.endpoint.removeprefix("unix:")
                    _, connection = await loop.create_unix_connection(lambda: _Connection(self.endpoint), path)
                else:
                    host, _, port = self.endpoint.removeprefix("tls://").rpartition(":")
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self.endpoint), host, int(port), ssl=self._tls or True
                    )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise TransportError(f"{self.endpoint}: {type(error).__name__}: {error}") from None
        return connection

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()


class _Connection(asyncio.Protocol):
    """Requests in flight by id; losing the connection fails them all."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._frames = wire.Frames(ANSWER_BYTES_MAX)
        self._waiting: dict[int, asyncio.Future[wire.Reply]] = {}
        self._next_id = 0
        self._transport: asyncio.Transport | None = None
        self.closed = False

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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit asyncio's

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                reply = wire.decode_reply(frame)
                future = self._waiting.get(reply.id)
                if future is not None and not future.done():
                    future.set_result(reply)
        except (wire.FrameTooLong, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._fail(TransportError(f"{self._endpoint}: {error}"))
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail(TransportError(f"{self._endpoint}: the connection was lost"))

    def _fail(self, error: TransportError) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def hang_up(self) -> None:
        self.closed = True
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.close()
