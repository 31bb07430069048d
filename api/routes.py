"""The routes of ``sdk.methods``: path, query string and body into a method's parameters, and its result into JSON."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from aiohttp import web

from api.answers import IMMUTABLE, REVALIDATED, tagged, untagged
from api.bodies import check_media_type, read_body
from api.callers import CALLER, Caller, Callers
from api.idempotency import HEADER as IDEMPOTENCY_KEY
from api.idempotency import Idempotency
from api.pace import Places
from api.problems import Respond, problem_response
from sdk.errors import UNREADABLE, Problem, Refused, TransportError
from sdk.methods import SUBMIT, WAIT_MS_MAX, Method, P, R, Submission
from sdk.parameter_faults import json_fault, parameter_fault

CALL_TIMEOUT_S = WAIT_MS_MAX / 1000 + 5
ADDRESS_CALLS_MAX = 64
"""Calls of one address that are under way. They outlive their connections, as the node works on them all the same."""
JSON = "application/json"
IMMUTABLE_METHODS = frozenset({"genesis"})
"""Whose answers never change, and are the same for everybody."""


class Socket(Protocol):
    """The node's socket, as ``sdk.transports.SocketTransport`` reaches it."""

    async def call(
        self, method: Method[P, R], params: P, token: str = ..., timeout_s: float = ..., origin: str = ...
    ) -> R:
        """One call, made for somebody at the address ``origin``."""


class Routes:
    """``node`` answers; ``callers`` says how large a body may be."""

    def __init__(self, node: Socket, callers: Callers) -> None:
        self._node = node
        self._callers = callers
        self._places = Places(ADDRESS_CALLS_MAX)
        self._idempotency = Idempotency()

    def respond_to(self, method: Method[Any, Any]) -> Respond:
        if method.verb == "GET":
            return self._reader(method)
        return self._submit if method is SUBMIT else self._poster(method)

    def _reader(self, method: Method[Any, Any]) -> Respond:
        keep = IMMUTABLE if method.name in IMMUTABLE_METHODS else REVALIDATED

        async def respond(request: web.Request) -> web.StreamResponse:
            answer = await self._call(request, method, _asked(request, method))
            return tagged(request, msgspec.json.encode(answer), keep)

        return respond

    def _poster(self, method: Method[Any, Any]) -> Respond:
        async def respond(request: web.Request) -> web.StreamResponse:
            params = _told(await self._body(request), method)
            return untagged(msgspec.json.encode(await self._call(request, method, params)))

        return respond

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        key, caller, body = request.headers.get(IDEMPOTENCY_KEY), _scope(request), await self._body(request)
        if key is None:
            return untagged(msgspec.json.encode(await self.submit_line(request, body)))
        known = self._idempotency.recall(caller, key, body)
        if known is not None:
            return known
        try:
            response = untagged(msgspec.json.encode(await self.submit_line(request, body)))
        except Refused as refusal:
            taken = refusal.problem.submission
            if taken is None or refusal.status >= 500:
                raise
            response = problem_response(refusal.problem)
        self._idempotency.keep(caller, key, response)
        return response

    async def submit_line(self, request: web.Request, body: bytes) -> Submission:
        """Submit an envelope for whoever made the request."""
        return await self._call(request, SUBMIT, _told(body, SUBMIT))

    async def _body(self, request: web.Request) -> bytes:
        check_media_type(request, JSON)
        return await read_body(request, self._callers.body_bytes_max(request[CALLER]))

    async def _call(self, request: web.Request, method: Method[P, R], params: P) -> R:
        caller: Caller = request[CALLER]
        asked = method.within(request.match_info.get("channel", ""))
        try:
            with self._places.one(caller.address):
                return await self._node.call(asked, params, caller.token, CALL_TIMEOUT_S, caller.address)
        except TransportError as error:
            raise unreachable(error) from None


def unreachable(error: TransportError) -> Refused:
    return Refused(Problem("NODE_UNREACHABLE", f"The node does not answer: {error}. Try another one.", 503))


def _scope(request: web.Request) -> str:
    """Within which an idempotency key is a caller's own."""
    caller: Caller = request[CALLER]
    return f"{request.match_info.get('channel', '')}/{caller.name}"


def _asked(request: web.Request, method: Method[P, R]) -> P:
    """A GET's parameters: those of the path and of the query string, which are text."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise _invalid(f"The parameter {name[:64]!r} is given twice")
        given[name] = value
    given |= {name: value for name, value in request.match_info.items() if name != "channel"}
    try:
        params = msgspec.convert(given, method.params, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _invalid(parameter_fault(error)) from None
    for name in given:
        if getattr(params, name) is None:  # a query string has no null; the word would be taken for leaving it out
            raise _invalid(f"The parameter {name!r} cannot be null")
    return params


def _told(body: bytes, method: Method[P, R]) -> P:
    """A POST's parameters: its JSON body, strictly."""
    try:
        return msgspec.json.decode(body, type=method.params)
    except UNREADABLE as error:
        raise _invalid(json_fault(error, body)) from None


def _invalid(what: str) -> Refused:
    return Refused(Problem("PARAMETERS_INVALID", f"{what}. A node's /openapi.json says what is expected.", 400))
