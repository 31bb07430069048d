"""Every request has a number: the caller's own or a fresh one. The answer carries it, and so does the log."""

from __future__ import annotations

import logging
import time

from aiohttp import web

from api.problems import Respond
from sdk import request_ids

log = logging.getLogger("wattq.rest")


@web.middleware
async def numbered(request: web.Request, handler: Respond) -> web.StreamResponse:
    """Work under the request's number; at the level debug, log how it went. The route is logged, not what was filled
    into it."""
    request_ids.begin(request.headers.get(request_ids.HEADER, ""))
    begun_s = time.monotonic()
    response = await handler(request)
    if log.isEnabledFor(logging.DEBUG):
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "no route"
        taken_ms = (time.monotonic() - begun_s) * 1000
        log.debug("%s %s: %d in %.1f ms", request.method[:20], route, response.status, taken_ms)
    return response


async def tell_number(_: web.Request, response: web.StreamResponse) -> None:
    """Put the number on an answer that is about to begin."""
    response.headers[request_ids.HEADER] = request_ids.current()
