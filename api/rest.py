"""REST (M5): each route of ``sdk.methods`` becomes a call on the node's socket through the SDK's transport.

A route decodes path, query string and body into the method's parameters, and encodes its result as JSON.
Errors are problem+json (RFC 9457) with a stable ``code`` and a sentence. Nothing here touches the node itself.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from sdk.errors import Problem, Refused, TransportError
from sdk.methods import METHODS, STATUS, WAIT_MS_MAX, Method, NodeStatus, Nothing, Params
from sdk.transports import Transport

PROBLEM_TYPE = "application/problem+json"
CALL_TIMEOUT_S = WAIT_MS_MAX / 1000 + 5
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

log = logging.getLogger("wattq.rest")

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(node: Transport, body_bytes_max: int) -> web.Application:
    """The REST application of one node, reached through its socket."""
    app = web.Application(middlewares=[_problems], client_max_size=body_bytes_max)
    for method in METHODS.values():
        app.router.add_route(method.verb, method.path, _responder(node, method))
    app.router.add_get("/v1/health", _health(node))
    static = Path(str(files("api") / "static"))
    app.router.add_get("/", _page(static / "index.html"))
    app.router.add_static("/static/", static)
    return app


class RestServer:
    """Serves the application on one address; ``port`` 0 in the configuration means it is not started at all."""

    def __init__(self, node: Transport, body_bytes_max: int) -> None:
        self._runner = web.AppRunner(make_app(node, body_bytes_max), access_log=None)

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=context).start()

    async def close(self) -> None:
        await self._runner.cleanup()


def _responder(node: Transport, method: Method[Any, Any]) -> Respond:
    async def respond(request: web.Request) -> web.StreamResponse:
        params = await _params(request, method)
        try:
            result = await node.call(method, params, _token(request), timeout_s=CALL_TIMEOUT_S)
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
            given = {**_single(request), **request.match_info}
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


def _health(node: Transport) -> Respond:
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
    try:
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
        log.exception("%s %s failed", request.method, request.path)
        response = _problem(Problem("INTERNAL_ERROR", "The node failed to answer; its log says why.", 500))
    response.headers.update(SECURITY_HEADERS)
    return response


def _problem(problem: Problem) -> web.Response:
    document = {
        "type": f"urn:wattquorum:problem:{problem.code}",
        "title": problem.code.replace("_", " ").capitalize(),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.message,
    }
    return web.Response(body=msgspec.json.encode(document), content_type=PROBLEM_TYPE, status=problem.status)
