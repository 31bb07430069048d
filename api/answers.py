"""Answers of calls as JSON, with a tag by which a caller that has one already need not be sent it again."""

from __future__ import annotations

from hashlib import sha256

from aiohttp import web

ETAG_BYTES = 16
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "private, no-cache"
"""May be kept by the caller alone, and asked for again each time: what one may read depends on who asks."""
NOT_KEPT = "no-store"


def tagged(request: web.Request, body: bytes, keep: str = REVALIDATED) -> web.Response:
    """The answer to a GET: 304 if the caller names what it would be sent."""
    tag = sha256(body).hexdigest()[: 2 * ETAG_BYTES]
    headers = {"ETag": f'"{tag}"', "Cache-Control": keep, "Vary": "Authorization"}
    named = request.if_none_match or ()
    if any(each.value in (tag, "*") for each in named):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def untagged(body: bytes) -> web.Response:
    """The answer to a POST, which is of that moment."""
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": NOT_KEPT})
