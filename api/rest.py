"""REST (M5): each route of ``sdk.methods`` becomes a call on the node's socket through the SDK's transport.

Nothing here touches the node itself. Beside the routes: who calls, and how fast (``callers``); their connections
(``connections``); refusals (``problems``); what a route tells of itself (``openapi``).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import msgspec
from aiohttp import web

from api.answers import tagged
from api.batches import Batches
from api.buckets import Paces
from api.callers import Callers, Whose
from api.connections import HEALTH, crowd, expected
from api.cors import Cors
from api.doorkeeper import https_only
from api.health import health_of
from api.http_server import HttpServer
from api.numbering import numbered, tell_number
from api.openapi import document
from api.options import RestOptions
from api.pages import page_routes
from api.problems import Respond, problems, secure
from api.routes import Routes, Socket
from sdk.methods import METHODS, SUBMIT

BATCH = "/batch"


def nobody(channel: str, token: str) -> str:
    """Where there are no sessions."""
    return ""


def make_app(
    node: Socket,
    options: RestOptions,
    health: Socket | None = None,
    routes: Iterable[web.AbstractRouteDef] = (),
    whose: Whose = nobody,
    paces: Paces | None = None,
) -> web.Application:
    """The REST application of one node, reached through its socket; by ``health``, if there is one, for its health.

    ``routes``: what is no call of ``sdk.methods``. ``whose``: whose session a token is. ``paces``: those of the node's
    other ways in, if it has any.
    """
    callers, cors = Callers(whose, options, paces or Paces(options)), Cors(options.cors_origins)
    app = web.Application(middlewares=[numbered, https_only, cors.middleware, crowd, problems, callers.middleware])
    app.on_response_prepare.extend((secure, tell_number, cors.allow))
    app.add_routes(routes)
    _add_calls(app, Routes(node, callers), callers)
    app.router.add_get(HEALTH, health_of(health or node))
    app.router.add_get("/openapi.json", _described())
    app.add_routes(page_routes())
    return app


class RestServer(HttpServer):
    """A node's; ``port`` 0 in the configuration means it is not started at all."""

    def __init__(
        self,
        node: Socket,
        options: RestOptions,
        health: Socket | None = None,
        routes: Iterable[web.AbstractRouteDef] = (),
        whose: Whose = nobody,
        paces: Paces | None = None,
    ) -> None:
        """As in ``make_app``."""
        super().__init__(make_app(node, options, health, routes, whose, paces), options.connections_max)


def _add_calls(app: web.Application, calls: Routes, callers: Callers) -> None:
    """Words before parameters: ``batch`` is no transaction's id, by whichever verb."""
    served: list[tuple[str, str, Respond]] = []
    batches = Batches(calls.submit_line, callers.body_bytes_max)
    for channel in ("", "{channel}"):
        served.append((SUBMIT.within(channel).path + BATCH, "POST", batches.respond))
        for method in METHODS.values():
            # A key holds slashes, encoded or not.
            path = method.within(channel).path.replace("{key}", "{key:[\\s\\S]+}")
            served.append((path, method.verb, calls.respond_to(method)))
    for path, group in groupby(sorted(served, key=lambda each: (each[0].count("{"), each[0])), lambda each: each[0]):
        responders = {verb: respond for _, verb, respond in group}
        if "GET" in responders:  # the same without its body, as whoever only looks whether it answers asks
            responders["HEAD"] = responders["GET"]
        for verb, respond in responders.items():
            app.router.add_route(verb, path, respond, expect_handler=expected)
        app.router.add_route("*", path, _only(responders), expect_handler=expected)


def _only(verbs: Iterable[str]) -> Respond:
    """Refuses all other verbs."""

    async def respond(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, verbs)

    return respond


def _described() -> Respond:
    body = msgspec.json.encode(document())

    async def respond(request: web.Request) -> web.StreamResponse:
        return tagged(request, body, "public, no-cache")

    return respond
