"""A thin layer on aiohttp: the few calls of CouchDB's protocol that the state database makes.

Why not a library: docs/decisions/0003-couchdb-client.md. Calls block; a private thread runs the event loop. Waits are
bounded, and what may come right by itself (no connection, no answer in time, 429, 5xx) is tried again with back-off.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import re
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from ledger.statedb.documents import StateDatabaseAway, StateDatabaseUnusable

RETRIES = 3
RETRY_S = 0.125
"""Doubles with each try; a random part keeps nodes from asking in step."""
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 8
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
CLOSE_TIMEOUT_S = 5.0
DEPTH_MAX = 200
"""Of an answer's JSON: our documents are nested far less."""
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """Where a CouchDB is and how to enter. The names of settings are for error messages."""

    url: str
    user: str
    password: str
    request_timeout_s: float = 10.0
    tls: ssl.SSLContext | None = None
    url_setting: str = "node.NAME.couchdb_url"
    user_setting: str = "WATTQ_COUCHDB_USER and WATTQ_COUCHDB_PASSWORD"


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: decoded JSON, or None if it was none."""

    status: int
    body: Any

    @property
    def error(self) -> str:
        return str(self.body.get("error", "")) if isinstance(self.body, dict) else ""

    @property
    def reason(self) -> str:
        told = self.body.get("reason", "") if isinstance(self.body, dict) else ""
        return f"{self.status} {self.error} {told}".strip()


def listed(answer: Answer, name: str) -> list[Any]:
    """The list that an answer is to hold; ``StateDatabaseAway`` for a proxy's page, or whatever else came instead."""
    rows = answer.body.get(name) if isinstance(answer.body, dict) else None
    if not isinstance(rows, list):
        raise StateDatabaseAway(f"an answer without {name!r} where rows were asked for")
    return rows


class CouchClient:
    """``run`` blocks until a coroutine made of ``call`` has ended on the private loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="couchdb", daemon=True)
        self._thread.start()

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run to the end, from another thread; ``StateDatabaseAway`` if the client is closed meanwhile."""
        if self._closed:
            raise StateDatabaseAway("closed")
        try:
            return asyncio.run_coroutine_threadsafe(make(), self._loop).result()
        except CancelledError:
            raise StateDatabaseAway("closed") from None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)
        self._loop.close()

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: bytes | Any = None, *, timeout_s: float = 0.0, retries: int = RETRIES
    ) -> Answer:
        """One request, tried ``retries`` times more. A call that changes something may have been done although it
        raises ``StateDatabaseAway``, or twice: the caller looks at the revisions."""
        delay_s = RETRY_S
        for left in range(retries, -1, -1):
            try:
                answer = await self._call(method, path, body, timeout_s or self._access.request_timeout_s)
                if answer.status != TOO_MANY_REQUESTS and answer.status < SERVER_ERROR:
                    return answer
                why = answer.reason
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = f"{type(error).__name__} {error}".strip()
            if left:
                await asyncio.sleep(delay_s * (1 + random.random()))
                delay_s *= 2
        raise StateDatabaseAway(f"{self._access.url_setting}: {self._access.url}: {method} failed: {why}")

    async def _call(self, method: str, path: str, body: bytes | Any, timeout_s: float) -> Answer:
        access = self._access
        if self._session is None:
            self._session = _session(access)
        # aiohttp takes large bytes from a file only, lest their sending holds the loop.
        raw = None if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        data = None if raw is None else io.BytesIO(raw)
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.request(
                method, access.url + path, data=data, timeout=timeout, allow_redirects=False
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientConnectorCertificateError as error:
            raise StateDatabaseUnusable(f"{access.url_setting}: {access.url}: {error}") from None
        except aiohttp.InvalidURL:
            raise StateDatabaseUnusable(f"{access.url_setting}: {access.url!r} is no URL") from None
        if answer.status in (401, 403):
            told = Answer(answer.status, _decoded(content)).reason
            raise StateDatabaseUnusable(f"{access.user_setting}: {access.url} refuses them: {told}")
        return Answer(answer.status, _decoded(content))


def _session(access: Access) -> aiohttp.ClientSession:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if access.user:
        token = base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=access.tls or True)
    return aiohttp.ClientSession(headers=headers, connector=connector)


def _decoded(content: bytes) -> Any:
    """JSON with whole numbers exact; None for what is none, such as a proxy's page."""
    try:
        return msgspec.json.decode(content) if content else None
    except RecursionError:
        return _decoded(_cut(content))
    except (msgspec.DecodeError, UnicodeDecodeError):  # what people write by hand may hold half a surrogate pair
        try:
            return json.loads(content)
        except RecursionError:
            return _decoded(_cut(content))
        except ValueError:
            return None


def _cut(content: bytes) -> bytes:
    """The same, null in place of whatever is nested deeper than ``DEPTH_MAX``: what we write never is."""
    kept, depth, at = bytearray(), 0, 0
    for found in _TOKENS.finditer(content):
        sign = found.group()
        if sign in b"[{":
            depth += 1
            if depth == DEPTH_MAX + 1:
                kept += content[at : found.start()] + b"null"
        elif sign in b"]}":
            depth -= 1
            if depth == DEPTH_MAX:
                at = found.end()
    return bytes(kept + content[at:]) if depth == 0 else b""


def quoted(text: str) -> str:
    """Text as one segment of a path: keys hold slashes, and may hold NUL."""
    return quote(text, safe="")
