"""A server of one application on one address: TLS if it has a context, and a bound on its connections."""

from __future__ import annotations

import asyncio
import ssl

from aiohttp import web

from api.connections import ADDRESS_SHARE, Connection, Hall, check_expectation
from api.doorkeeper import doorkeeper
from ca.listening import Listener, Threshold

SHUTDOWN_S = 1.0
"""How long one that ends waits for answers under way: what waits for a block will get none any more."""


class HttpServer:
    """``listen`` once, then ``close``."""

    def __init__(self, app: web.Application, connections_max: int) -> None:
        self._runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S)
        self._connections_max = connections_max
        self.hall = Hall(connections_max)
        self._server: asyncio.Server | None = None
        self._doorkeeper: Listener | None = None

    @property
    def app(self) -> web.Application:
        """The application, to which more may be added before ``listen``."""
        return self._runner.app

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0."""
        await self._runner.setup()
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None, "it has been set up"
        manager.request_handler = check_expectation(manager.request_handler)

        def accept(plain: bool = False) -> Connection:
            return Connection(manager, loop, self.hall, plain)

        if context is not None:
            threshold = Threshold(self._connections_max, max(1, self._connections_max // ADDRESS_SHARE))
            self._doorkeeper = doorkeeper(accept, context, threshold)
            return await self._doorkeeper.listen(host, port)
        self._server = await loop.create_server(accept, host, port, reuse_address=True)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._doorkeeper is not None:
            await self._doorkeeper.close()
        await self._runner.cleanup()
