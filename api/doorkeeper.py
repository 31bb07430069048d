"""Connections beyond this machine: TLS for whoever begins with it. Others are heard once, to be told to come by https.

The first byte is looked at, not read, so that TLS still finds it. Who says nothing holds a place for so long only.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Coroutine

from aiohttp import web

from api.connections import Connection, Hall
from api.pages import PAGES
from api.problems import Respond, problem_response
from sdk.errors import Problem

FIRST_BYTE_S = 10.0
"""How long whoever connects may take for its first byte, and for the handshake after it."""
BACKLOG = 256
RESPITE_S = 0.1
"""How long nobody is let in after the system had no room for one more."""
TLS_HANDSHAKE = b"\x16"
HOST = re.compile(r"[A-Za-z0-9.\[\]:-]{1,255}\Z")

Make = Callable[[bool], Connection]
"""``make(plain)``: the protocol of a new connection."""


class Doorkeeper:
    """Listens on one address until ``close``. ``hall``: who has connected and not yet said how it means to go on."""

    def __init__(self, make: Make, context: ssl.SSLContext, hall: Hall) -> None:
        self._make = make
        self._context = context
        self._hall = hall
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0."""
        loop = asyncio.get_running_loop()
        (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._listening = listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(BACKLOG)
        self._start(self._accept(listening))
        return int(listening.getsockname()[1])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, address = await loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(RESPITE_S)
                continue
            if self._hall.enter(str(address[0])):
                self._start(self._open(connected, str(address[0])))
            else:
                connected.close()

    async def _open(self, connected: socket.socket, address: str) -> None:
        try:
            async with asyncio.timeout(FIRST_BYTE_S):
                plain = await _first_byte(connected) != TLS_HANDSHAKE
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make(plain),
                connected,
                ssl=None if plain else self._context,
                ssl_handshake_timeout=None if plain else FIRST_BYTE_S,
            )
        except (OSError, TimeoutError):  # hung up, silent, or no TLS after all
            connected.close()
        except asyncio.CancelledError:
            connected.close()
            raise
        finally:
            self._hall.leave(address)


async def _first_byte(connected: socket.socket) -> bytes:
    """The first byte that comes, which stays to be read; none if the other side hangs up."""
    loop, come = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connected.fileno(), come.set)
    try:
        await come.wait()
    finally:
        loop.remove_reader(connected.fileno())
    return connected.recv(1, socket.MSG_PEEK)


@web.middleware
async def https_only(request: web.Request, handler: Respond) -> web.StreamResponse:
    """Send a browser that asks for the page in the clear on to https, and refuse every call: a token may come with it,
    and would be in the clear the next time too, if this time nothing seemed wrong."""
    if not (isinstance(request.protocol, Connection) and request.protocol.plain):
        return await handler(request)
    if request.method == "GET" and request.path in PAGES and HOST.match(request.host):
        response = web.Response(status=308, headers={"Location": f"https://{request.host}{request.path}"})
    else:
        message = "Beyond its own machine a node is reached by https only. Use https:// with the same host and port."
        response = problem_response(Problem("HTTPS_REQUIRED", message, 403))
    response.force_close()
    return response
