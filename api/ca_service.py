"""`wattq ca serve`: the CA over HTTPS, apart from any node. It answers ``sdk.methods.ENROLMENT`` as a node does, and
``GET /v1/health``. Connections, calls of an address, and bodies are bounded as a node's are."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

import msgspec
from aiohttp import web

from api.buckets import Paces
from api.ca_chain import ChainKnowledge, ChainRevocations
from api.callers import Callers
from api.connections import HEALTH, crowd, expected
from api.doorkeeper import https_only
from api.enrolment import Office
from api.http_server import HttpServer
from api.numbering import numbered, tell_number
from api.options import RestOptions
from api.problems import problems, secure
from api.rest import nobody
from api.routes import Routes
from ca.authority import Authority, now_ms
from ca.lifetimes import not_after_ms_of, status_of
from ca.server import ServerCertificate
from sdk.methods import ENROLMENT, Method, P, R

BODY_BYTES_MAX = 32_768
CALLS_PER_S_MAX = 100
"""Of one address; a node passes on what all its users ask."""
OPTIONS = RestOptions(
    body_bytes_max=BODY_BYTES_MAX, stranger_body_bytes_max=BODY_BYTES_MAX, address_calls_per_s_max=CALLS_PER_S_MAX
)

log = logging.getLogger("wattq.ca")


class CaHealth(msgspec.Struct, frozen=True):
    """The CA's certificate as ``CertificateStatus`` has it, and how old what it knows of revocations is: ``chain`` by
    asking nodes, null if it asks none; ``noted_ms`` when one was last noted in its directory (UTC), 0 if none was."""

    holder: str
    not_after_ms: int
    days: int
    warning_days: int
    chain: ChainKnowledge | None
    noted_ms: int


class CaService:
    """Serves one CA's office. ``chain``: where revocations are asked for, if it is to ask."""

    def __init__(self, authority: Authority, office: Office, chain: ChainRevocations | None = None) -> None:
        callers = Callers(nobody, OPTIONS, Paces(OPTIONS))
        app = web.Application(middlewares=[numbered, https_only, crowd, problems, callers.middleware])
        app.on_response_prepare.extend((secure, tell_number))
        calls = Routes(_Desk(office), callers)
        for method in ENROLMENT:
            app.router.add_route(method.verb, method.path, calls.respond_to(method), expect_handler=expected)
        app.router.add_get(HEALTH, self._health)
        self._server = HttpServer(app, OPTIONS.connections_max)
        self._authority, self._office, self._chain = authority, office, chain
        if chain is not None:
            authority.revoked_elsewhere = chain.is_revoked

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Begin to serve; the port, which the system chose if ``port`` is 0."""
        return await self._server.listen(host, port, context)

    async def run(self, shown: ServerCertificate, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(shown.run())]
                if self._chain is not None:
                    running.append(tasks.create_task(self._chain.run()))
                await stop.wait()
                for task in running:
                    task.cancel()
        finally:
            await self.close()

    async def close(self) -> None:
        await self._server.close()
        await self._office.close()
        if self._chain is not None:
            await self._chain.close()

    async def _health(self, _: web.Request) -> web.StreamResponse:
        ends = status_of("ca", not_after_ms_of(self._authority.certificate), now_ms())
        status = 200 if ends.days >= 0 else 503
        health = CaHealth(
            ends.holder,
            ends.not_after_ms,
            ends.days,
            ends.warning_days,
            None if self._chain is None else self._chain.knowledge(),
            await asyncio.to_thread(self._authority.revocation_noted_ms),
        )
        return web.Response(body=msgspec.json.encode(health), content_type="application/json", status=status)


class _Desk:
    """The office as routes see it."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def call(
        self, method: Method[P, R], params: P, token: str = "", timeout_s: float = 0.0, origin: str = ""
    ) -> R:
        answer: Any = await self._office.answer(method, params, origin)
        return answer  # type: ignore[no-any-return]
