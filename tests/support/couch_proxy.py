"""A proxy before a CouchDB that can be away, refuse to store anything, and speak TLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

START_TIMEOUT_S = CLOSE_TIMEOUT_S = 30.0
REQUEST_BYTES_MAX = 64 << 20


@dataclass
class Proxy:
    """``refusal``: the status, error and reason that every write gets, once it is set."""

    url: str
    refusal: tuple[int, str, str] | None = None
    refused: int = 0
    hidden: str = "/nothing"
    """Paths that end so are not found."""
    away: bool = False
    """Whoever asks is hung up on."""


@contextmanager
def proxied(url: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy in a thread of its own, named ``localhost``."""
    loop = asyncio.new_event_loop()
    made = Proxy("")
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, session, port = asyncio.run_coroutine_threadsafe(_start(made, url, tls), loop).result(START_TIMEOUT_S)
    made.url = f"{'https' if tls else 'http'}://localhost:{port}"
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(_end(runner, session), loop).result(CLOSE_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_TIMEOUT_S)
        loop.close()


async def _start(made: Proxy, url: str, tls: ssl.SSLContext | None) -> tuple[web.AppRunner, aiohttp.ClientSession, int]:
    session = aiohttp.ClientSession()

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        if made.away and request.transport is not None:
            request.transport.abort()
        if made.refusal is not None and (request.method == "PUT" or request.path.endswith("/_bulk_docs")):
            made.refused += 1
            status, error, reason = made.refusal
            return web.json_response({"error": error, "reason": reason}, status=status)
        if request.path.endswith(made.hidden):
            made.refused += 1
            return web.json_response({"error": "not_found", "reason": "missing"}, status=404)
        headers = {name: value for name, value in request.headers.items() if name in ("Authorization", "Content-Type")}
        there = URL(url + request.raw_path, encoded=True)
        async with session.request(request.method, there, data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    return runner, session, int(runner.addresses[0][1])


async def _end(runner: web.AppRunner, session: aiohttp.ClientSession) -> None:
    await session.close()
    await runner.cleanup()
