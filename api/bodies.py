"""Bodies of requests, within bounds of size and time."""

from __future__ import annotations

import asyncio

from aiohttp import web

from sdk.errors import Problem, Refused

BODY_S = 30.0
"""In which a body has to have come, however slowly."""


async def read_body(request: web.Request, bytes_max: int) -> bytes:
    """The whole body; ``Refused`` for one that is too large or too slow, before it is read where its length is told."""
    if (request.content_length or 0) > bytes_max:
        raise too_large(bytes_max)
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > bytes_max:
                    raise too_large(bytes_max)
    except web.RequestPayloadError:
        raise malformed() from None
    except TimeoutError:
        message = f"The body did not arrive within {BODY_S:g} s. Send it again."
        raise Refused(Problem("BODY_TOO_SLOW", message, 408)) from None
    return bytes(data)


def check_media_type(request: web.Request, *taken: str) -> None:
    """``Refused`` for a body that says it is something else; one that says nothing is taken for what is expected."""
    if "Content-Type" in request.headers and request.content_type not in taken:
        message = f"The body has to be {' or '.join(taken)}; this one says that it is {request.content_type[:80]}."
        raise Refused(Problem("MEDIA_TYPE_UNKNOWN", message, 415))


def too_large(bytes_max: int) -> Refused:
    message = f"The body is larger than the {bytes_max} bytes that this node takes from you. Send less at once."
    return Refused(Problem("BODY_TOO_LARGE", message, 413))


def malformed() -> Refused:
    message = "The body is not encoded as the request's head says, or was cut off. Send it again."
    return Refused(Problem("REQUEST_MALFORMED", message, 400))
