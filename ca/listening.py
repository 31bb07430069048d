"""Accepting connections, of which so many at most are on the threshold: accepted, and not yet through their handshake.

TLS tells nobody of a connection before its handshake is done: whoever knocks and says nothing would be counted nowhere,
and take file after file until the node has none left.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import TypeVar

log = logging.getLogger(__name__)

BACKLOG = 256
RESPITE_S = 0.1
"""How long nobody is let in after the system had no room for one more."""
THRESHOLD_MAX, THRESHOLD_EACH_MAX = 256, 32
"""Connections before their handshake, in all and of one address; further ones are hung up on."""


def whose_address(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which a single household has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


G = TypeVar("G")


def giving_way(
    inside: Mapping[str, Collection[G]], own: int, is_idle: Callable[[G], bool] = lambda _: True
) -> tuple[str, G] | None:
    """Who makes room where there is none left: the oldest idle one of the address with the most, if that has more than
    ``own``. So no few addresses keep the others out. ``inside``: who is here, by address, the oldest first."""
    for address in sorted(inside, key=lambda each: len(inside[each]), reverse=True):
        if len(inside[address]) <= own:
            return None
        for guest in inside[address]:
            if is_idle(guest):
                return address, guest
    return None


Open = Callable[[socket.socket], Coroutine[None, None, None]]
"""Takes an accepted connection through its handshake. ``OSError`` or ``TimeoutError`` if it does not come so far."""
Knock = asyncio.Task[None]
"""What one on the threshold is at."""


class Threshold:
    """So many in all, and so many of one address; on a full one ``giving_way`` says who makes room."""

    def __init__(self, most: int = THRESHOLD_MAX, each: int = THRESHOLD_EACH_MAX) -> None:
        self._most, self._each = most, each
        self._here: dict[str, dict[Knock, None]] = {}

    @property
    def count(self) -> int:
        return sum(map(len, self._here.values()))

    def enter(self, address: str, knock: Knock) -> bool:
        own = len(self._here.get(address, ()))
        if own >= self._each or (self.count >= self._most and not self._make_room(own)):
            return False
        self._here.setdefault(address, {})[knock] = None
        return True

    def _make_room(self, own: int) -> bool:
        found = giving_way(self._here, own)
        if found is not None:
            self.leave(*found)
            found[1].cancel()
        return found is not None

    def leave(self, address: str, knock: Knock) -> None:
        """Does nothing for one that had to give way."""
        here = self._here.get(address, {})
        here.pop(knock, None)
        if not here:
            self._here.pop(address, None)


class Listener:
    """Listens on one address from ``listen`` until ``close``."""

    def __init__(self, open_: Open, places: Threshold) -> None:
        self._open, self._places = open_, places
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0. ``OSError`` if it cannot be had."""
        loop = asyncio.get_running_loop()
        (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._listening = listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setblocking(False)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
        self._start(self._accept(listening))
        return int(listening.getsockname()[1])

    @property
    def count(self) -> int:
        """How many are on the threshold."""
        return len(self._tasks) - 1

    async def close(self) -> None:
        """Let nobody in any more; those who are through their handshake stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def _start(self, work: Coroutine[None, None, None]) -> Knock:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, address = await loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(RESPITE_S)
                continue
            self._knock(connected, whose_address(str(address[0])))

    def _knock(self, connected: socket.socket, whose: str) -> None:
        knock = self._start(self._open(connected))

        def ended(_: Knock) -> None:
            self._places.leave(whose, knock)
            error = None if knock.cancelled() else knock.exception()
            if error is not None and not isinstance(error, (OSError, TimeoutError)):
                log.error("a handshake failed", exc_info=error)
            if knock.cancelled() or error is not None:  # hung up, silent, no TLS after all, or no room
                connected.close()

        knock.add_done_callback(ended)
        if not self._places.enter(whose, knock):
            knock.cancel()


def tls_listener(make: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext, handshake_s: float) -> Listener:
    """One whose connections all speak TLS; ``make()`` is each one's protocol."""

    async def open_(connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(make, connected, ssl=context, ssl_handshake_timeout=handshake_s)

    return Listener(open_, Threshold())
