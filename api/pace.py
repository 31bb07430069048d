"""How fast one client's requests are taken in: so many a second, however many connections it has.

What comes faster waits for its turn before anything is done for it, so that a client that floods a node takes a share
of it that is known, and others' requests do not queue up behind its own. What would wait too long is refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sdk.errors import Problem, Refused

BURST_S = 1.0
"""What a client did not use of the last second it may use at once."""
WAIT_S_MAX = 10.0
REFUSED_COST = 5
"""As how many requests one counts that is refused: it costs the node as much and is worth nothing."""
CLIENTS_MAX = 10_000
"""Clients whose pace is remembered; beyond it those that are not waiting are forgotten."""


class Pace:
    """One a node. ``per_s``: requests a second of one client."""

    def __init__(self, per_s: int) -> None:
        self._interval_s = 1 / per_s
        self._due_s: dict[str, float] = {}
        """When each client's latest request was, or is, due."""

    def check(self, client: str) -> None:
        """``Refused`` if this client's next request would wait too long for its turn."""
        if self._next_s(client) > asyncio.get_running_loop().time() + WAIT_S_MAX:
            message = "You have more requests waiting here than their pace allows. Send fewer at once."
            raise Refused(Problem("TOO_MANY_REQUESTS", message, 429))

    def _next_s(self, client: str) -> float:
        """When this client's next request would be due."""
        now_s = asyncio.get_running_loop().time()
        return max(self._due_s.get(client, 0.0), now_s - BURST_S) + self._interval_s

    def charge(self, client: str) -> float:
        """Take the next turn of this client; when it is due, by the event loop's clock. ``Refused`` if too late."""
        self.check(client)
        now_s, due_s = asyncio.get_running_loop().time(), self._next_s(client)
        if len(self._due_s) >= CLIENTS_MAX:
            self._due_s = {known: due for known, due in self._due_s.items() if due > now_s}
        self._due_s[client] = due_s
        return due_s

    def pay_back(self, client: str) -> None:
        """A turn that was charged to this client was not its own after all."""
        if client in self._due_s:
            self._due_s[client] -= self._interval_s

    async def turn(self, client: str) -> None:
        """Wait until a request of this client is due; ``Refused`` if that takes too long."""
        await wait_until(self.charge(client))

    def refused(self, client: str) -> None:
        """A request of this client was refused. However many are, none waits longer for that than any may wait."""
        due_s = self._next_s(client) + (REFUSED_COST - 1) * self._interval_s
        self._due_s[client] = min(due_s, asyncio.get_running_loop().time() + WAIT_S_MAX)


class Places:
    """How many calls each address has under way; further ones are refused. The Unix socket, whose users have no
    address, is the node's own user's."""

    def __init__(self, per_origin_max: int) -> None:
        self._max = per_origin_max
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, origin: str) -> Iterator[None]:
        """Hold a place while a call is under way; ``Refused`` if there is none."""
        if origin and self._taken[origin] >= self._max:
            message = f"Your address has {self._max} calls under way here. Wait for some of them."
            raise Refused(Problem("TOO_MANY_REQUESTS", message, 429))
        self._taken[origin] += 1
        try:
            yield
        finally:
            self._taken[origin] -= 1
            if not self._taken[origin]:
                del self._taken[origin]


async def wait_until(due_s: float) -> None:
    """Until a turn is due, by the event loop's clock."""
    wait_s = due_s - asyncio.get_running_loop().time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)
