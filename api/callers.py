"""Who calls REST, how fast, and with how large a body: the holder of a session, or else somebody at an address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from api.connections import HEALTH_PATHS
from api.options import RestOptions
from api.problems import Respond
from sdk.errors import Problem, Refused

BURST_S = 2
"""What a caller did not use of the last seconds it may use at once."""
GONE = "gone"
"""The address of whoever has hung up before the system could say where it was."""
SECOND_NS = 1_000_000_000
CALLERS_MAX = 20_000
"""Callers whose pace is remembered; beyond it the one that was heard of longest ago is forgotten."""
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


class Buckets:
    """A token bucket for each caller: ``per_s`` calls a second, ``BURST_S`` seconds' worth at once."""

    def __init__(self, per_s: int, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._interval_ns = SECOND_NS // per_s
        self._now_ns = now_ns
        self._full_ns: OrderedDict[str, int] = OrderedDict()
        """When each bucket is full again: one number says how much is in it."""

    def take(self, caller: str) -> None:
        """Take one token; ``Refused`` with the time to wait if there is none."""
        now_ns = self._now_ns()
        full_ns = max(self._full_ns.get(caller, 0), now_ns) + self._interval_ns
        over_ns = full_ns - now_ns - BURST_S * SECOND_NS
        if over_ns > 0:
            wait_s = math.ceil(over_ns / SECOND_NS)
            message = f"Your pace, or your address's, is used up. Try again in {wait_s} s, and send fewer at once."
            raise Refused(Problem("TOO_MANY_REQUESTS", message, 429, retry_after_s=wait_s))
        self._full_ns[caller] = full_ns
        self._full_ns.move_to_end(caller)
        if len(self._full_ns) > CALLERS_MAX:
            self._full_ns.popitem(last=False)


class Callers:
    """Knows callers by their sessions, and keeps each within its pace: every call is its address's, and with a session
    its signer's too, since sessions cost nothing."""

    def __init__(self, whose: Whose, options: RestOptions) -> None:
        self._whose = whose
        self._options = options
        self._addresses = Buckets(options.address_calls_per_s_max)
        self._signers = Buckets(options.signer_calls_per_s_max)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Let a request in that is within its caller's pace, with its ``Caller``."""
        token = token_of(request)
        signer = self._whose(request.match_info.get("channel", ""), token) if token else ""
        request[CALLER] = caller = Caller(signer, address_of(request), token)
        if request.path not in HEALTH_PATHS:
            self._addresses.take(caller.address)
            if signer:
                self._signers.take(signer)
        return await handler(request)

    def body_bytes_max(self, caller: Caller) -> int:
        return self._options.body_bytes_max if caller.signer else self._options.stranger_body_bytes_max


def address_of(request: web.Request) -> str:
    """From where a request comes; never empty, since only users of this machine's own have no address."""
    return request.remote or GONE


def token_of(request: web.Request) -> str:
    """A request's bearer token, or nothing."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
