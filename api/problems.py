"""Refusals as problem documents (RFC 9457): a stable ``code``, a sentence that says what to do, and how far a
transaction came that was taken in all the same."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from api.faults import our_fault
from sdk.errors import Problem, Refused

PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:wattquorum:problem:"
SECURITY_HEADERS = {
    "Server": "Wattquorum",
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("wattq.rest")


class ProblemDocument(msgspec.Struct, frozen=True):
    """What is told instead of an answer. ``code`` is stable; ``detail`` says what to do. The rest is of a transaction
    that was taken in all the same: how far it came, and its receipt if that was asked for."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    tx_id: str | UnsetType = UNSET
    state: Literal["accepted", "committed", "certified"] | UnsetType = UNSET
    height: int | UnsetType | None = UNSET
    index: int | UnsetType | None = UNSET
    receipt: dict[str, Any] | UnsetType = UNSET


def document_of(problem: Problem) -> ProblemDocument:
    title = problem.code.replace("_", " ").capitalize()
    common = (TYPE_PREFIX + problem.code, title, problem.status, problem.code, problem.message)
    if (taken := problem.submission) is None:
        return ProblemDocument(*common)
    return ProblemDocument(*common, taken.tx_id, taken.state, taken.height, taken.index, taken.receipt or UNSET)


def problem_response(problem: Problem) -> web.Response:
    body = msgspec.json.encode(document_of(problem))
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
    if problem.status in (429, 503):
        headers["Retry-After"] = str(max(1, problem.retry_after_s))
    return web.Response(body=body, content_type=PROBLEM_TYPE, status=problem.status, headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Respond) -> web.StreamResponse:
    """Turn refusals and aiohttp's own errors into problem documents."""
    try:
        return await handler(request)
    except Refused as refusal:
        return problem_response(refusal.problem)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem_response(_http_fault(request, error))
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionResetError:
        # Whoever asked has hung up: nobody reads this, and it is no fault of ours.
        return problem_response(Problem("REQUEST_MALFORMED", "The request, or its answer, was cut off.", 400))
    except Exception:
        # One caller's request must not end in a bare page; what went wrong is ours, and goes to the log.
        return problem_response(our_fault(log, f"{request.method} {request.path}"))


async def secure(_: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on an answer, just before it is begun."""
    response.headers.update(SECURITY_HEADERS)


def _http_fault(request: web.Request, error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem("BODY_TOO_LARGE", f"{error.text}. Send less at once.", 413)
    if isinstance(error, web.HTTPMethodNotAllowed):
        verbs = ", ".join(sorted(error.allowed_methods))
        return Problem("VERB_NOT_ALLOWED", f"{request.path[:200]} takes {verbs}, not {request.method[:20]}.", 405)
    if error.status == 404:
        message = f"There is nothing at {request.path[:200]}. A node's /openapi.json lists what there is."
        return Problem("ROUTE_UNKNOWN", message, 404)
    return Problem("REQUEST_MALFORMED", f"{error.reason}: {request.path[:200]}.", error.status)
