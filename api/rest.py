"""REST (M5): each route of ``sdk.methods`` becomes a call on the node's socket through the SDK's transport.

A route decodes path, query string and body into the method's parameters, and encodes its result as JSON. Nothing here
touches the node itself. Refusals become problem documents in ``problems``; connections are counted in ``connections``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web

from api.connections import HEALTH, Connection, Hall, crowd, expected
from api.pace import Places
from api.problems import Respond, problems, secure
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import METHODS, STATUS, WAIT_MS_MAX, Method, NodeStatus, Nothing, P, Params, R

CALL_TIMEOUT_S = WAIT_MS_MAX / 1000 + 5
SHUTDOWN_S = 1.0
"""How long a node that ends waits for answers under way: what waits for a block will get none any more."""
ADDRESS_CALLS_MAX = 64
"""Calls of one address that are under way. They outlive their connections, as the node works on them all the same."""


class Socket(Protocol):
    """The node's socket, as ``sdk.transports.SocketTransport`` reaches it."""

    async def call(
        self, method: Method[P, R], params: P, token: str = ..., timeout_s: float = ..., origin: str = ...
    ) -> R:
        """One call, made for somebody at the address ``origin``."""


def make_app(
    node: Socket, body_bytes_max: int, health: Socket | None = None, routes: Iterable[web.AbstractRouteDef] = ()
) -> web.Application:
    """The REST application of one node, reached through its socket; by ``health``, if there is one, for its health.

    ``routes``: what is no call of ``sdk.methods``.
    """
    places = Places(ADDRESS_CALLS_MAX)
    app = web.Application(middlewares=[crowd, problems], client_max_size=body_bytes_max)
    app.on_response_prepare.append(secure)
    app.add_routes(routes)
    for method in METHODS.values():
        for each in (method, method.within("{channel}")):
            # A key holds slashes, encoded or not.
            path = each.path.replace("{key}", "{key:[\\s\\S]+}")
            app.router.add_route(each.verb, path, _responder(node, method, places), expect_handler=expected)
    app.router.add_get(HEALTH, _health(health or node))
    static = Path(str(files("api") / "static"))
    app.router.add_get("/", _page(static / "index.html"))
    app.router.add_static("/static/", static)
    return app


class RestServer:
    """Serves the application on one address; ``port`` 0 in the configuration means it is not started at all."""

    def __init__(
        self,
        node: Socket,
        body_bytes_max: int,
        connections_max: int = 256,
        health: Socket | None = None,
        routes: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        self._runner = web.AppRunner(make_app(node, body_bytes_max, health, routes), shutdown_timeout=SHUTDOWN_S)
        self.hall = Hall(connections_max)
        self._server: asyncio.Server | None = None

    @property
    def app(self) -> web.Application:
        """The application, to which more may be added before ``listen``."""
        return self._runner.app

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0."""
        await self._runner.setup()
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None, "it has been set up"

        def accept() -> Connection:
            return Connection(manager, loop, self.hall)

        self._server = await loop.create_server(accept, host, port, ssl=context, reuse_address=True)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


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
