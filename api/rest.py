"""REST (M5): each route of ``sdk.methods`` becomes a call on the node's socket through the SDK's transport.

A route decodes path, query string and body into the method's parameters, and encodes its result as JSON.
Errors are problem+json (RFC 9457) with a stable ``code`` and a sentence. Nothing here touches the node itself.
An address has so many calls under way, and a share of the connections; ``/v1/health`` has a few places of its own.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from api.pace import Places
from api.socket import our_fault
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import METHODS, STATUS, WAIT_MS_MAX, Method, NodeStatus, Nothing, P, Params, R

PROBLEM_TYPE = "application/problem+json"
CALL_TIMEOUT_S = WAIT_MS_MAX / 1000 + 5
SHUTDOWN_S = 1.0
"""How long a node that ends waits for answers under way: what waits for a block will get none any more."""
ADDRESS_CALLS_MAX = 64
"""Calls of one address that are under way. They outlive their connections, as the node works on them all the same."""
ADDRESS_SHARE = 4
"""An address has the connections' fourth part at most."""
HEALTH_CONNECTIONS_MAX = 16
"""Connections beyond the others that are answered about health only."""
IDLE_S, HEALTH_IDLE_S = 75.0, 5.0
"""How long a connection without a request keeps its place."""
HEALTH = "/v1/health"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

log = logging.getLogger("wattq.rest")


class Socket(Protocol):
    """The node's socket, as ``sdk.transports.SocketTransport`` reaches it."""

    async def call(
        self, method: Method[P, R], params: P, token: str = ..., timeout_s: float = ..., origin: str = ...
    ) -> R:
        """One call, made for somebody at the address ``origin``."""


Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(node: Socket, body_bytes_max: int, health: Socket | None = None) -> web.Application:
    """The REST application of one node, reached through its socket; by ``health``, if there is one, for its health."""
    places = Places(ADDRESS_CALLS_MAX)
    app = web.Application(middlewares=[_problems], client_max_size=body_bytes_max)
    for method in METHODS.values():
        for each in (method, method.within("{channel}")):
            # A key holds slashes, encoded or not.
            path = each.path.replace("{key}", "{key:[\\s\\S]+}")
            app.router.add_route(each.verb, path, _responder(node, method, places), expect_handler=_expected)
    app.router.add_get(HEALTH, _health(health or node))
    static = Path(str(files("api") / "static"))
    app.router.add_get("/", _page(static / "index.html"))
    app.router.add_static("/static/", static)
    return app


class RestServer:
    """Serves the application on one address; ``port`` 0 in the configuration means it is not started at all."""

    def __init__(
        self, node: Socket, body_bytes_max: int, connections_max: int = 256, health: Socket | None = None
    ) -> None:
        self._runner = web.AppRunner(make_app(node, body_bytes_max, health), shutdown_timeout=SHUTDOWN_S)
        self._hall = _Hall(connections_max)
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0."""
        await self._runner.setup()
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None, "it has been set up"

        def accept() -> _Connection:
            return _Connection(manager, loop, self._hall)

        self._server = await loop.create_server(accept, host, port, ssl=context, reuse_address=True)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


class _Hall:
    """Who is connected: how many in all, and from each address."""

    def __init__(self, connections_max: int) -> None:
        self._max = connections_max
        self._address_max = max(1, connections_max // ADDRESS_SHARE)
        self._inside: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        return self._inside.total() >= self._max

    def enter(self, address: str) -> bool:
        """Count a connection; False if there is no room for it."""
        beyond = self._inside.total() >= self._max + HEALTH_CONNECTIONS_MAX
        if beyond or self._inside[address] >= self._address_max:
            return False
        self._inside[address] += 1
        return True

    def leave(self, address: str) -> None:
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]


class _Connection(web.RequestHandler):
    """What is not even HTTP, or has a line that is too long, never reaches the application: it is answered here."""

    __slots__ = ("_address", "_hall", "for_health_only")

    def __init__(self, manager: web.Server, loop: asyncio.AbstractEventLoop, hall: _Hall) -> None:
        self.for_health_only = hall.is_full
        idle_s = HEALTH_IDLE_S if self.for_health_only else IDLE_S
        access_log: Any = None  # it keeps none
        super().__init__(manager, loop=loop, access_log=access_log, keepalive_timeout=idle_s)
        self._hall = hall
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else ""
        if self._hall.enter(address):
            self._address = address
        else:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._address is not None:
            self._hall.leave(self._address)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        response = _problem(_protocol_fault(status, exc))
        response.force_close()
        return response


def _protocol_fault(status: int, error: BaseException | None) -> Problem:
    if isinstance(error, LineTooLong):
        return Problem("HEADERS_TOO_LARGE", "A line of the request's head is too long.", 431)
    if status < 500:
        return Problem("REQUEST_MALFORMED", "This is no HTTP request that the node understands.", status)
    return our_fault(log, "an HTTP request")


async def _expected(request: web.Request) -> web.StreamResponse | None:
    """Answer ``Expect: 100-continue``; nothing else can be expected."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return _problem(Problem("EXPECTATION_UNKNOWN", "Only 100-continue can be expected.", 417))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


def _responder(node: Socket, method: Method[Any, Any], places: Places) -> Respond:
    async def respond(request: web.Request) -> web.StreamResponse:
        params = await _params(request, method)
        address = request.remote or ""
        try:
            asked = method.within(request.match_info.get("channel", ""))
            with places.one(address):
                result = await node.call(asked, params, _token(request), CALL_TIMEOUT_S, address)
        except TransportError as error:
            raise Refused(Problem("NODE_UNREACHABLE", f"The node does not answer: {error}.", 503)) from None
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")

    return respond


def _token(request: web.Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def _params(request: web.Request, method: Method[Any, Any]) -> Params:
    """Path and query (text, converted) or path and JSON body (strict) into the method's parameters."""
    try:
        if method.verb == "GET":
            places = {name: value for name, value in request.match_info.items() if name != "channel"}
            given = {**_single(request), **places}
            params: Params = msgspec.convert(given, method.params, strict=False)
        else:
            params = msgspec.json.decode(await request.read(), type=method.params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Problem("PARAMETERS_INVALID", f"{error}.", 400)) from None
    return params


def _single(request: web.Request) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in request.query.items():
        if key in given:
            raise Refused(Problem("PARAMETERS_INVALID", f"The parameter {key[:64]!r} is given twice.", 400))
        given[key] = value
    return given


def _health(node: Socket) -> Respond:
    """200 when the node executes and hears a quorum's certificates, 503 with the same body otherwise."""

    async def respond(_: web.Request) -> web.StreamResponse:
        try:
            status: NodeStatus = await node.call(STATUS, Nothing())
        except TransportError as error:
            raise Refused(Problem("NODE_UNREACHABLE", f"The node does not answer: {error}.", 503)) from None
        well = status.view_active and not status.alarms
        body = {
            "status": "ok" if well else "degraded",
            "executed_height": status.executed_height,
            "certified_height": status.certified_height,
            "view": status.view,
            "alarms": status.alarms,
        }
        return web.Response(
            body=msgspec.json.encode(body), content_type="application/json", status=200 if well else 503
        )

    return respond


def _page(path: Path) -> Respond:
    async def respond(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    return respond


@web.middleware
async def _problems(request: web.Request, handler: Respond) -> web.StreamResponse:
    """Turn refusals and aiohttp's own errors into problem documents, and put the security headers on everything."""
    crowded = isinstance(request.protocol, _Connection) and request.protocol.for_health_only
    try:
        if crowded and request.path != HEALTH:
            raise Refused(Problem("TOO_MANY_CONNECTIONS", "The node has no connection free. Try again shortly.", 503))
        response = await handler(request)
    except Refused as refusal:
        response = _problem(refusal.problem)
    except web.HTTPRequestEntityTooLarge as error:
        response = _problem(Problem("BODY_TOO_LARGE", f"{error.text}.", 413))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _problem(Problem(f"HTTP_{error.status}", f"{error.reason}: {request.path}", error.status))
    except Exception:
        # One caller's request must not end in a bare page; what went wrong is ours, and goes to the log.
        response = _problem(our_fault(log, f"{request.method} {request.path}"))
    response.headers.update(SECURITY_HEADERS)
    if crowded:
        response.force_close()
    return response


def _problem(problem: Problem) -> web.Response:
    document: dict[str, Any] = {
        "type": f"urn:wattquorum:problem:{problem.code}",
        "title": problem.code.replace("_", " ").capitalize(),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.message,
    }
    if (taken := problem.submission) is not None:
        document |= {"tx_id": taken.tx_id, "state": taken.state, "height": taken.height, "index": taken.index}
        document |= {"receipt": taken.receipt} if taken.receipt is not None else {}
    body = msgspec.json.encode(document)
    return web.Response(body=body, content_type=PROBLEM_TYPE, status=problem.status, headers=SECURITY_HEADERS)
