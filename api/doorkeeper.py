"""Connections beyond this machine: TLS for whoever begins with it. Others are heard once, to be told to come by https.

The first byte is looked at, not read, so that TLS still finds it. Who says nothing holds a place for so long only.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from api.connections import Connection
from api.pages import PAGES
from api.problems import Respond, problem_response
from ca.listening import Listener, Threshold
from sdk.errors import Problem

FIRST_BYTE_S = 10.0
"""How long whoever connects may take for its first byte, and for the handshake after it."""
TLS_HANDSHAKE = b"\x16"
HOST = re.compile(r"[A-Za-z0-9.\[\]:-]{1,255}\Z")

Make = Callable[[bool], Connection]
"""``make(plain)``: the protocol of a new connection."""


def doorkeeper(make: Make, context: ssl.SSLContext, threshold: Threshold) -> Listener:
    """``threshold``: who has connected and not yet said how it means to go on."""

    async def open_(connected: socket.socket) -> None:
        async with asyncio.timeout(FIRST_BYTE_S):
            plain = await _first_byte(connected) != TLS_HANDSHAKE
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: make(plain),
            connected,
            ssl=None if plain else context,
            ssl_handshake_timeout=None if plain else FIRST_BYTE_S,
        )

    return Listener(open_, threshold)


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
