"""Who calls REST, how fast, and with how large a body: the holder of a session, or else somebody at an address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from api.buckets import Paces
from api.connections import HEALTH_PATHS
from api.options import RestOptions
from api.problems import Respond
from ca.listening import whose_address

GONE = "gone"
"""The address of whoever has hung up before the system could say where it was."""
Whose = Callable[[str, str], str]
"""``whose(channel, token)``: the signer whose session a token is; empty for none."""


@dataclass(frozen=True, slots=True)
class Caller:
    """``signer`` is empty without a session."""

    signer: str
    address: str
    token: str = ""

    @property
    def name(self) -> str:
        """By which what is kept for a caller is kept."""
        return self.signer or f"@{self.address}"


CALLER = web.RequestKey("caller", Caller)
"""Under which a request holds its own."""


class Callers:
    """Knows callers by their sessions, and keeps each within its pace."""

    def __init__(self, whose: Whose, options: RestOptions, paces: Paces) -> None:
        self._whose = whose
        self._options = options
        self._paces = paces

    @web.middleware
    async def middleware(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Let a request in that is within its caller's pace, with its ``Caller``."""
        token = token_of(request)
        signer = self._whose(request.match_info.get("channel", ""), token) if token else ""
        request[CALLER] = caller = Caller(signer, address_of(request), token)
        if request.path not in HEALTH_PATHS:
            self._paces.charge(caller.address, signer)
        return await handler(request)

    def body_bytes_max(self, caller: Caller) -> int:
        return self._options.body_bytes_max if caller.signer else self._options.stranger_body_bytes_max


def address_of(request: web.Request) -> str:
    """From where a request comes, by `whose_address`; never empty, since only this machine's own users have none."""
    return whose_address(request.remote or GONE)


def header_of(request: web.Request, name: str) -> str:
    """A header that is to be plain text; empty if it is missing. Bytes that are no text could not be passed on."""
    return request.headers.get(name, "").encode("ascii", "replace").decode("ascii")


def token_of(request: web.Request) -> str:
    """A request's bearer token, or nothing."""
    kind, _, token = header_of(request, "Authorization").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
