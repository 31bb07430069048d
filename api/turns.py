"""What callers send is taken in turn by turn of the event loop: so many calls in each, of all callers together.

A burst of thousands of calls in one piece (subscriptions, most of all) would otherwise stand the loop until the last
is begun. So it waits where it came from: nothing more is read of a caller before its calls are taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

CALLS_A_TURN = 128
"""Calls that are begun in one turn of the event loop: some milliseconds."""
CALLS_EACH = 16
"""Calls of one caller that are taken before the next caller's."""


class Taker(Protocol):
    def take(self, calls_max: int) -> int:
        """Begin up to so many calls; how many they were. Fewer: there are no more that can be begun now."""


class Turns:
    """One a server."""

    def __init__(self) -> None:
        self._waiting: deque[Taker] = deque()

    def wait(self, taker: Taker) -> None:
        """Have a caller's calls taken, soon; it is not waiting already."""
        self._waiting.append(taker)
        if len(self._waiting) == 1:
            self._soon()

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        left = CALLS_A_TURN
        while self._waiting and left > 0:
            calls = min(CALLS_EACH, left)
            taken = self._waiting[0].take(calls)
            left -= taken
            if taken == calls:
                self._waiting.rotate(-1)
            else:
                self._waiting.popleft()
        if self._waiting:
            self._soon()
