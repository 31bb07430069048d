"""Whether the node is well, for whoever looks after it: 200, or 503 with the same body."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.openapi_extras import Health
from api.problems import Respond
from api.routes import Socket, unreachable
from sdk.errors import TransportError
from sdk.methods import STATUS, NodeStatus, Nothing


def health_of(node: Socket) -> Respond:
    """200 when the node executes and hears a quorum's certificates, 503 with the same body otherwise."""

    async def respond(_: web.Request) -> web.StreamResponse:
        try:
            status: NodeStatus = await node.call(STATUS, Nothing())
        except TransportError as error:
            raise unreachable(error) from None
        well = status.view_active and not status.alarms
        told = "ok" if well else "degraded"
        body = Health(told, status.executed_height, status.certified_height, status.view, status.alarms)
        return web.Response(
            body=msgspec.json.encode(body),
            content_type="application/json",
            status=200 if well else 503,
            headers={"Cache-Control": "no-store"},
        )

    return respond
