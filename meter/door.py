"""The gateway's own small HTTP door: samples of a SCADA, and replacements of meters.

It listens on this machine unless it has a certificate, and takes a bearer token in either case. Answers to samples are
``FeedAnswer``; everything else that is refused is a problem document (RFC 9457) with a stable code.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from ca.listening import Listener, Threshold
from meter.feed import STATUS, FeedDesk
from meter.gateway import Gateway
from sdk.errors import UNREADABLE, Problem, Refused
from sdk.replacement import ReplacementOrder, replacement_of

BODY_BYTES_MAX = 16_384
REQUESTS_AT_ONCE_MAX = 32
"""More are told to come back; idle connections end by themselves."""
CONNECTIONS_MAX, CONNECTIONS_EACH_MAX = 64, 32
"""In all, and of one address."""
BODY_S = 30.0
"""In which a body has to have come, however slowly."""
KEEPALIVE_S, HANDSHAKE_S = 30.0, 10.0
SHUTDOWN_S = 2.0
TOKEN_CHARS_MIN = 16
log = logging.getLogger(__name__)
JSON, PROBLEM = "application/json", "application/problem+json"
HEADERS = {"Server": "Wattquorum"}
CONTINUE = "100-continue"
MALFORMED = Problem("REQUEST_MALFORMED", "This is no HTTP request that the door understands, or a part of one.", 400)
OUR_FAULT = Problem("INTERNAL_ERROR", "The gateway failed at this; its log says how.", 500)
HTTP_CODES = {404: "NOT_FOUND", 405: "VERB_NOT_ALLOWED"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """``listen`` and ``close`` once each. ``replacers``: signers whose orders of replacement are carried out."""

    def __init__(self, gateway: Gateway, feed: FeedDesk, token: str, chain: str, replacers: Collection[str]) -> None:
        if len(token) < TOKEN_CHARS_MIN:
            raise ValueError(f"the door's token has {len(token)} characters; at least {TOKEN_CHARS_MIN} are needed")
        self._gateway, self._feed, self._token = gateway, feed, token
        self._chain, self._replacers = chain, replacers
        self._under_way = 0
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Returns the port. Raises ``OSError`` if it is taken."""
        application = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._guarded])
        for verb, path, handler in (
            ("POST", "/v1/meters/{serial}/samples", self._sample),
            ("POST", "/v1/replacements", self._replace),
            ("GET", "/v1/meters", self._meters),
        ):
            application.router.add_route(verb, path, handler, expect_handler=_expected)
        self._runner = web.AppRunner(application, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        self._listener = Listener(partial(self._open, tls), Threshold(CONNECTIONS_MAX, CONNECTIONS_EACH_MAX))
        return await self._listener.listen(host, port)

    async def _open(self, tls: ssl.SSLContext | None, connected: socket.socket) -> None:
        """Keep the connection's place until it ends, and end it if it has to give way."""
        assert self._runner is not None
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None, "it has been set up"
        transport, caller = await loop.connect_accepted_socket(
            lambda: _Caller(manager, loop), connected, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S if tls else None
        )
        try:
            await caller.gone.wait()
        except asyncio.CancelledError:
            transport.abort()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._listener is not None:
            await self._listener.close()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._is_token(request):
            return _problem(Problem("IDENTITY_REQUIRED", "The door takes its token: Authorization: Bearer …", 401))
        if self._under_way >= REQUESTS_AT_ONCE_MAX:
            return _problem(Problem("TOO_MANY_REQUESTS", "Too much at once. Try again.", 429))
        self._under_way += 1
        try:
            return await handler(request)
        except Refused as refusal:
            return _problem(refusal.problem)
        except web.HTTPRequestEntityTooLarge:
            return _problem(Problem("BODY_TOO_LARGE", f"At most {BODY_BYTES_MAX} bytes.", 413))
        except web.HTTPException as error:
            code = HTTP_CODES.get(error.status, "REQUEST_MALFORMED")
            return _problem(Problem(code, f"{error.reason}: docs/METERS.md has the routes.", error.status))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return _problem(OUR_FAULT)
        finally:
            self._under_way -= 1

    def _is_token(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    async def _sample(self, request: web.Request) -> web.Response:
        answer = await self._feed.take(request.match_info["serial"], await _body(request))
        return _json(answer, STATUS[answer.code])

    async def _replace(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            order = msgspec.json.decode(body, type=ReplacementOrder)
        except UNREADABLE as error:
            raise Refused(Problem("PARAMETERS_INVALID", f"This is no order: {error}.", 400)) from None
        replacement = await asyncio.to_thread(replacement_of, order, self._chain, self._replacers)
        return _json({"meter": replacement.meter, "epoch": await self._gateway.replace(replacement)}, 200)

    async def _meters(self, _: web.Request) -> web.Response:
        return _json(self._gateway.told(), 200)


class _Caller(web.RequestHandler):
    """A connection that tells when it is gone."""

    __slots__ = ("gone",)

    def __init__(self, manager: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        access_log: Any = None  # it keeps none
        super().__init__(manager, loop=loop, access_log=access_log, keepalive_timeout=KEEPALIVE_S)
        self.gone = asyncio.Event()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.gone.set()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """The rest of a body that is not encoded as it says is read after its answer: no fault of the gateway's."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is not even HTTP never reaches the application."""
        if status >= 500:
            log.error("a request failed", exc_info=exc)
        response = _problem(MALFORMED if status < 500 else OUR_FAULT)
        response.force_close()
        return response


async def _expected(request: web.Request) -> web.StreamResponse | None:
    if request.headers["Expect"].lower() != CONTINUE:
        return _problem(Problem("EXPECTATION_UNKNOWN", "Only 100-continue can be expected.", 417))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


async def _body(request: web.Request) -> bytes:
    """``Refused`` for one that does not come, or not as the request's head says."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise Refused(Problem("BODY_TOO_SLOW", f"The body did not arrive within {BODY_S:g} s.", 408)) from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(MALFORMED) from None


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type=JSON, headers=HEADERS)


def _problem(problem: Problem) -> web.Response:
    body = {"type": "about:blank", "status": problem.status, "code": problem.code, "detail": problem.message}
    return web.Response(body=msgspec.json.encode(body), status=problem.status, content_type=PROBLEM, headers=HEADERS)
