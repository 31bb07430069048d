"""Health and metrics over HTTP: ``/healthz``, ``/readyz`` and ``/metrics``.

They are on the REST port, where only this machine is shown metrics, and in the clear on a port of their own if
``node.NAME.metrics_port`` says so: whoever reaches that one, a Prometheus or a kubelet, may see them all.
"""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address
from typing import Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from api.connections import ALIVE, READY, Connection, Hall
from api.measures import Measures
from api.problems import Respond, problems, secure
from api.readiness import faults_of
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import STATUS, Method, NodeStatus, Nothing, P, R

METRICS = "/metrics"
READY_TIMEOUT_S = 3.0
READY_KEPT_S = 0.5
"""How long an answer is good for whoever else asks."""
"""In which the node has to say how it is; a kubelet waits for less."""
CONNECTIONS_MAX = 32
"""To the metrics' own port; an address has a quarter of them."""
NO_ROUTE = "none"


class Readiness(msgspec.Struct, frozen=True):
    """``reasons``: sentences that say why the node is not ready; none if it is."""

    ready: bool
    reasons: tuple[str, ...]
    executed_height: int = 0
    certified_height: int = 0


class Socket(Protocol):
    """The node's socket."""

    async def call(self, method: Method[P, R], params: P, token: str = ..., timeout_s: float = ...) -> R: ...


class Operations:
    """``node``: a connection of its own, so that no other call is waited for."""

    def __init__(self, node: Socket, registry: CollectorRegistry, measures: Measures) -> None:
        self._node = node
        self._registry = registry
        self._measures = measures
        self._readiness: asyncio.Future[Readiness] | None = None
        self._asked_s = 0.0

    def attach(self, app: web.Application) -> None:
        """Put the routes on REST's application and count what it answers, before it begins to serve."""
        app.middlewares.insert(0, self._counted())
        app.add_routes(self._routes(self._metrics_to_this_machine))

    def app(self) -> web.Application:
        """The application of the port that metrics have for themselves."""
        app = web.Application(middlewares=[problems])
        app.on_response_prepare.append(secure)
        app.add_routes(self._routes(self._metrics))
        return app

    def _routes(self, metrics: Respond) -> list[web.RouteDef]:
        return [web.get(ALIVE, self._alive), web.get(READY, self._ready), web.get(METRICS, metrics)]

    async def _alive(self, _: web.Request) -> web.StreamResponse:
        """The process turns its event loop; whatever is wrong beyond that, no restart mends."""
        return web.json_response({"alive": True})

    async def _ready(self, _: web.Request) -> web.StreamResponse:
        """The node is asked twice a second at most, however many ask: this is answered at any pace."""
        now_s = time.monotonic()
        if self._readiness is None or now_s > self._asked_s + READY_KEPT_S:
            self._asked_s = now_s
            self._readiness = asyncio.ensure_future(self._ask())
        return _told(await asyncio.shield(self._readiness))

    async def _ask(self) -> Readiness:
        try:
            status = await self._node.call(STATUS, Nothing(), "", READY_TIMEOUT_S)
        except (TransportError, Refused) as error:
            return Readiness(False, (f"The node does not say how it is: {error}.",))
        return readiness(status)

    async def _metrics_to_this_machine(self, request: web.Request) -> web.StreamResponse:
        if not _is_loopback(request.remote):
            message = "Metrics are shown to this machine, and on node.NAME.metrics_port if the operator set one."
            raise Refused(Problem("METRICS_ELSEWHERE", message, 403))
        return await self._metrics(request)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        # In the event loop: what the collectors read belongs to it, and takes a few milliseconds.
        return web.Response(body=encode(self._registry), headers={"Content-Type": media_type})

    def _counted(self) -> Middleware:
        requests, seconds = self._measures.requests, self._measures.request_seconds

        @web.middleware
        async def counted(request: web.Request, handler: Respond) -> web.StreamResponse:
            begun_s, status = time.monotonic(), 500
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else NO_ROUTE
            try:
                response = await handler(request)
                status = response.status
            except web.HTTPException as error:
                status = error.status
                raise
            finally:
                requests.labels(route, _verb(request), str(status)).inc()
            if isinstance(response, web.Response):  # a stream lasts as long as its reader likes
                seconds.labels(route).observe(time.monotonic() - begun_s)
            return response

        return counted


class OperationsServer:
    """Serves health and metrics on a port of their own."""

    def __init__(self, operations: Operations) -> None:
        self._runner = web.AppRunner(operations.app())
        self._hall = Hall(CONNECTIONS_MAX)
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0."""
        await self._runner.setup()
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None, "it has been set up"
        self._server = await loop.create_server(
            lambda: Connection(manager, loop, self._hall), host, port, reuse_address=True
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


def readiness(status: NodeStatus) -> Readiness:
    faults = faults_of(status)
    return Readiness(not faults, faults, status.executed_height, status.certified_height)


def _told(found: Readiness) -> web.Response:
    body = msgspec.json.encode(found)
    return web.Response(body=body, content_type="application/json", status=200 if found.ready else 503)


def _is_loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


def _verb(request: web.Request) -> str:
    """Of those that there are: a label that callers could choose would have no bound."""
    return request.method if request.method in {"GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT"} else "OTHER"
