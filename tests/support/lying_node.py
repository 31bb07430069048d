"""A node that lies: it passes everything on to an honest one, and changes the answers that it is told to.

And page files from elsewhere: the same as any node serves, from an address that the liar has no hand in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

STATIC = Path(__file__).resolve().parents[2] / "api" / "static"
NODE = '<meta name="wattquorum-node" content="">'
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Allow-Methods": "GET, POST",
}

Lie = Callable[[Any], Any]
"""Makes of an answer, as JSON, the forged one."""


class Liar:
    """``lies``: by a part of the path, what becomes of the answers to it. ``address`` once it has been entered: at
    ``known_as`` (HOST:PORT), an address of the honest node, or people's sessions would end here."""

    def __init__(self, honest: str, known_as: str) -> None:
        self.honest = honest
        self.known_as = known_as
        self.lies: dict[str, Lie] = {}
        self.told: list[str] = []
        """The paths about which it has lied."""
        self.address = ""

    async def __aenter__(self) -> Liar:
        self._session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner, self.address = await _serve(app, int(self.known_as.rpartition(":")[2]))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(headers=CORS)
        kept = {name: value for name, value in request.headers.items() if name in ("Authorization", "Content-Type")}
        asked = self._session.request(
            request.method, self.honest + request.path_qs, headers=kept, data=await request.read()
        )
        async with asked as answer:
            body = await answer.read()
            for part, lie in self.lies.items():
                if part in request.path and answer.status == 200:
                    body = json.dumps(lie(json.loads(body))).encode()
                    self.told.append(request.path)
            return web.Response(body=body, status=answer.status, content_type=answer.content_type, headers=CORS)


class Elsewhere:
    """The page's files, to ask ``node``; ``address`` once it has been entered."""

    def __init__(self, node: str) -> None:
        self._index = (STATIC / "index.html").read_text(encoding="utf-8").replace(NODE, NODE[:-2] + node + '">')
        assert node in self._index, "the page says where its node is"
        self.address = ""

    async def __aenter__(self) -> Elsewhere:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_static("/static/", STATIC)
        self._runner, self.address = await _serve(app)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=self._index, content_type="text/html")


async def _serve(app: web.Application, port: int = 0) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"
