"""A request's number: said by whoever asks, or made here. It goes with the call from REST to the node, into logs."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

HEADER = "X-Request-Id"
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")

_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """The number of the request that the running task works on; empty if it works on none."""
    return _current.get()


def begin(given: str = "") -> str:
    """Work on a request from now on: under the number that was given, if it is well formed, or a fresh one."""
    number = given if WELL_FORMED.match(given) else secrets.token_hex(8)
    _current.set(number)
    return number
