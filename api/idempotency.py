"""``Idempotency-Key``: a call that is repeated under the same key, with the same body, gets the same answer.

A transaction is the same however often it is sent: its id is its payload's hash. So a key that is forgotten, since
there is room for so many, costs nobody anything. A refusal of what was not ordered is not kept: time may change it.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from aiohttp import web

from sdk.errors import Problem, Refused

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replay"
WELL_FORMED = re.compile(r"[!-~]{1,128}\Z")
KEYS_MAX, KEYS_EACH_MAX = 4_096, 64
"""Keys remembered, of all callers and of each; the oldest give way."""
ANSWERS_BYTES_MAX, ANSWER_BYTES_MAX = 16 << 20, 256 << 10
"""What the answers may have in all, and each; a longer one is not kept."""

Name = tuple[str, str]
"""A caller, and a key of its own."""


@dataclass(slots=True)
class _Remembered:
    digest: bytes
    status: int = 0
    content_type: str = ""
    body: bytes = b""


class Idempotency:
    """One a node."""

    def __init__(self) -> None:
        self._known: OrderedDict[Name, _Remembered] = OrderedDict()
        self._each: Counter[str] = Counter()
        self._bytes = 0

    def recall(self, caller: str, key: str, body: bytes) -> web.Response | None:
        """The answer that this call had before, if it is remembered; ``Refused`` for a key that is malformed, or came
        with another body."""
        if not WELL_FORMED.match(key):
            message = f"An {HEADER} is 1 to 128 printable ASCII characters. Send a UUID."
            raise Refused(Problem("IDEMPOTENCY_KEY_INVALID", message, 400))
        digest = sha256(body).digest()
        known = self._known.get((caller, key))
        if known is None:
            self._add((caller, key), _Remembered(digest))
            return None
        if known.digest != digest:
            message = f"This {HEADER} came with another body before. Use a fresh key for each transaction."
            raise Refused(Problem("IDEMPOTENCY_KEY_REUSED", message, 422))
        self._known.move_to_end((caller, key))
        if not known.status:
            return None
        return web.Response(
            body=known.body, status=known.status, content_type=known.content_type, headers={REPLAYED: "true"}
        )

    def keep(self, caller: str, key: str, response: web.Response) -> None:
        """Remember the final answer to a call."""
        known, body = self._known.get((caller, key)), response.body
        if known is None or known.status or not isinstance(body, bytes) or len(body) > ANSWER_BYTES_MAX:
            return
        known.status, known.content_type, known.body = response.status, response.content_type, body
        self._bytes += len(body)
        while self._bytes > ANSWERS_BYTES_MAX:
            self._forget(next(iter(self._known)))

    def _add(self, name: Name, made: _Remembered) -> None:
        if self._each[name[0]] >= KEYS_EACH_MAX:
            self._forget(next(known for known in self._known if known[0] == name[0]))
        elif len(self._known) >= KEYS_MAX:
            self._forget(next(iter(self._known)))
        self._known[name] = made
        self._each[name[0]] += 1

    def _forget(self, name: Name) -> None:
        self._bytes -= len(self._known.pop(name).body)
        self._each[name[0]] -= 1
        if not self._each[name[0]]:
            del self._each[name[0]]
