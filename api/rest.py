"""REST (M5): each route of ``sdk.methods`` becomes a call on the node's socket through the SDK's transport.

Nothing here touches the node itself. Beside the routes: who calls, and how fast (``callers``); their connections
(``connections``); refusals (``problems``); what a route tells of itself (``openapi``).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from aiohttp import web

from api.answers import tagged
from api.batches import Batches
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
) -> web.Application:
    """The REST application of one node, reached through its socket; by ``health``, if there is one, for its health.

    ``routes``: what is no call of ``sdk.methods``. ``whose``: whose session a token is.
    """
    callers, cors = Callers(whose, options), Cors(options.cors_origins)
    app = web.Application(middlewares=[numbered, https_only, cors.middleware, crowd, problems, callers.middleware])
    app.on_response_prepare.extend((secure, tell_number, cors.allow))
    app.add_routes(routes)
    calls = Routes(node, callers)
    for method in METHODS.values():
        for each in (method, method.within("{channel}")):
            # A key holds slashes, encoded or not.
            path = each.path.replace("{key}", "{key:[\\s\\S]+}")
            app.router.add_route(each.verb, path, calls.respond_to(method), expect_handler=expected)
    batches = Batches(calls.submit_line, callers.body_bytes_max)
    for each in (SUBMIT, SUBMIT.within("{channel}")):
        app.router.add_post(each.path + BATCH, batches.respond, expect_handler=expected)
        app.router.add_route("*", each.path + BATCH, _only_posted)
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
    ) -> None:
        """As in ``make_app``."""
        super().__init__(make_app(node, options, health, routes, whose), options.connections_max)


async def _only_posted(request: web.Request) -> web.StreamResponse:
    """By GET, ``batch`` would be taken for a transaction's id."""
    raise web.HTTPMethodNotAllowed(request.method, ["POST"])


def _described() -> Respond:
    body = msgspec.json.encode(document())

    async def respond(request: web.Request) -> web.StreamResponse:
        return tagged(request, body, "public, no-cache")

    return respond
