"""How fast one client's requests are taken in: so many a second, however many connections it has.

What comes faster waits for its turn before anything is done for it, so that a client that floods a node takes a share
of it that is known, and others' requests do not queue up behind its own. What would wait too long is refused.
"""

from __future__ import annotations

import asyncio

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

    async def turn(self, client: str) -> None:
        """Wait until a request of this client is due; ``Refused`` if that takes too long."""
        self.check(client)
        now_s, due_s = asyncio.get_running_loop().time(), self._next_s(client)
        if len(self._due_s) >= CLIENTS_MAX:
            self._due_s = {known: due for known, due in self._due_s.items() if due > now_s}
        self._due_s[client] = due_s
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)

    def refused(self, client: str) -> None:
        """A request of this client was refused."""
        self._due_s[client] = self._next_s(client) + (REFUSED_COST - 1) * self._interval_s
