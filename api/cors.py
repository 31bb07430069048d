"""Pages that are served from elsewhere and ask this node: only those of origins that the operator has named.

Nothing here protects the node: whoever is no browser says what it likes. It keeps other people's pages from reading, in
somebody's browser, what only that browser can reach.
"""

from __future__ import annotations

from aiohttp import web

from api.problems import Respond, problem_response
from sdk import request_ids
from sdk.errors import Problem

VERBS = "GET, POST"
HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, " + request_ids.HEADER
EXPOSED = "ETag, Retry-After, Idempotent-Replay, " + request_ids.HEADER
PREFLIGHT_S = 600
"""How long a browser may go by an answer."""


def _is_websocket(request: web.Request) -> bool:
    """Browsers ask for no leave before they open one."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


class Cors:
    """``origins``: as browsers say them, ``https://HOST`` or with a port."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Answer a browser that asks beforehand."""
        if _is_websocket(request) and not self._is_own(request) and not self._allows(request):
            message = "Pages of this origin may not read here. The operator names those that may: rest.cors_origins."
            return problem_response(Problem("ORIGIN_NOT_ALLOWED", message, 403))
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or not self._allows(request):
            return await handler(request)
        headers = {
            "Access-Control-Allow-Methods": VERBS,
            "Access-Control-Allow-Headers": HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
        return web.Response(status=204, headers=headers)

    async def allow(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say on an answer that is about to begin whose page may read it."""
        if self._origins:
            response.headers.add("Vary", "Origin")
        if self._allows(request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED

    @staticmethod
    def _is_own(request: web.Request) -> bool:
        """Whether it is no browser's, or of a page that this node has served."""
        origin = request.headers.get("Origin")
        return origin is None or origin.partition("://")[2] == request.host != ""

    def _allows(self, request: web.Request) -> bool:
        return request.headers.get("Origin", "") in self._origins
