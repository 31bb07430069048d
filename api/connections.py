"""REST's connections: how many there are, how many each address has, and what is answered before there is a request.

Health has a few places of its own, so that a full house still says how it is; and an address that has its share has a
few more, so that it hears why it gets no further one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from api.faults import our_fault
from api.problems import Respond, problem_response
from ca.listening import giving_way, whose_address
from sdk.errors import Problem

ADDRESS_SHARE = 4
"""An address has the connections' fourth part at most."""
HEALTH_CONNECTIONS_MAX = 16
"""Connections beyond the others that are answered about health only."""
SURPLUS_MAX, SURPLUS_EACH_MAX = 16, 4
"""As many again, in all and of one address, for addresses that have their share; further ones are hung up on."""
IDLE_S, HEALTH_IDLE_S = 75.0, 5.0
"""How long a connection without a request keeps its place; one that is heard about health only, in all."""

CONTINUE = "100-continue"
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEALTH, ALIVE, READY = "/v1/health", "/healthz", "/readyz"
HEALTH_PATHS = frozenset({HEALTH, ALIVE, READY})

log = logging.getLogger("wattq.rest")


class Guest(Protocol):
    """A connection, as the hall sees it."""

    @property
    def is_idle(self) -> bool:
        """Whether it asks nothing now, or has not sent all of it."""

    def give_way(self) -> None:
        """Make room for somebody else."""


class Place(Enum):
    """What a connection may ask."""

    SEAT = "anything"
    HEALTH = "about health only, as the house is full"
    SURPLUS = "about health only, as its address has its share"


class Hall:
    """Who is connected: how many in all, and from each address. In a full hall those give way (``ca.listening``) that
    have asked nothing, or not all, to whoever has fewer even with its new one.
    """

    def __init__(self, connections_max: int) -> None:
        self._max = connections_max
        self._address_max = max(1, connections_max // ADDRESS_SHARE)
        self._inside: dict[str, dict[Guest, None]] = {}
        self._surplus: dict[Guest, str] = {}

    @property
    def count(self) -> int:
        """How many there are, but for those of a surplus."""
        return sum(map(len, self._inside.values()))

    def enter(self, address: str, guest: Guest) -> Place | None:
        """Count a connection; None if there is no room for it."""
        whose = whose_address(address)
        own = len(self._inside.get(whose, ()))
        if own >= self._address_max:
            return self._enter_surplus(whose, guest)
        if self.count >= self._max:
            self._make_room(own)
        if self.count >= self._max + HEALTH_CONNECTIONS_MAX:
            return None
        self._inside.setdefault(whose, {})[guest] = None
        return Place.HEALTH if self.count > self._max else Place.SEAT

    def _enter_surplus(self, whose: str, guest: Guest) -> Place | None:
        own = sum(other == whose for other in self._surplus.values())
        if len(self._surplus) >= SURPLUS_MAX or own >= SURPLUS_EACH_MAX:
            return None
        self._surplus[guest] = whose
        return Place.SURPLUS

    def _make_room(self, own: int) -> None:
        found = giving_way(self._inside, own + 1, lambda guest: guest.is_idle)
        if found is not None:
            self.leave(*found)
            found[1].give_way()

    def leave(self, address: str, guest: Guest) -> None:
        if self._surplus.pop(guest, None) is not None:
            return
        whose = whose_address(address)
        inside = self._inside.get(whose, {})
        inside.pop(guest, None)
        if not inside:
            self._inside.pop(whose, None)


class Connection(web.RequestHandler):
    """What is not even HTTP, or has a line that is too long, never reaches the application: it is answered here.

    ``plain``: it should have come by TLS, and did not.
    """

    __slots__ = ("_address", "_hall", "place", "plain")

    def __init__(self, manager: web.Server, loop: asyncio.AbstractEventLoop, hall: Hall, plain: bool = False) -> None:
        self.plain = plain
        self.place: Place | None = None
        access_log: Any = None  # it keeps none
        super().__init__(manager, loop=loop, access_log=access_log, keepalive_timeout=IDLE_S)
        self._hall = hall
        self._address: str | None = None

    @property
    def is_idle(self) -> bool:
        asked = self._current_request
        return asked is None or not asked.content.is_eof()

    def give_way(self) -> None:
        self.force_close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else ""
        self.place = self._hall.enter(address, self)
        if self.place is None:
            self.force_close()
            return
        self._address = address
        if self.place is not Place.SEAT:
            asyncio.get_running_loop().call_later(HEALTH_IDLE_S, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._address is not None:
            self._hall.leave(self._address, self)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """The rest of a body that is not encoded as it says is read after its answer: no fault of ours."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        response = problem_response(_protocol_fault(status, exc))
        response.force_close()
        return response


def _protocol_fault(status: int, error: BaseException | None) -> Problem:
    if isinstance(error, LineTooLong):
        return Problem("HEADERS_TOO_LARGE", "A line of the request's head is too long. Shorten it.", 431)
    if status < 500:
        return Problem("REQUEST_MALFORMED", "This is no HTTP request that the node understands.", status)
    return our_fault(log, "an HTTP request")


def check_expectation(handle: Handle) -> Handle:
    """What looks at ``Expect`` before anything else does: it is answered before any middleware is asked."""

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", CONTINUE).lower() != CONTINUE:
            return problem_response(Problem("EXPECTATION_UNKNOWN", "Only 100-continue can be expected.", 417))
        return await handle(request)

    return checked


async def expected(request: web.Request) -> web.StreamResponse | None:
    """Answer ``Expect: 100-continue``; see ``check_expectation``."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


TOLD: dict[Place | None, str] = {
    Place.HEALTH: "The node has no connection free. Try again shortly.",
    Place.SURPLUS: "Your address has as many connections as one may have here. Close some, or use those again.",
}


@web.middleware
async def crowd(request: web.Request, handler: Respond) -> web.StreamResponse:
    """A connection beyond those there is room for is answered about health, and ended."""
    told = TOLD.get(request.protocol.place) if isinstance(request.protocol, Connection) else None
    if told is None:
        return await handler(request)
    if request.path in HEALTH_PATHS:
        response = await handler(request)
    else:
        response = problem_response(Problem("TOO_MANY_CONNECTIONS", told, 503))
    response.force_close()
    return response
