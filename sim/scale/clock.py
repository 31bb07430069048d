"""The virtual clock: calls in order of time, then of being asked for."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """Nanoseconds since the beginning. ``at`` asks for a call, ``run_until`` makes them."""

    def __init__(self) -> None:
        self.now = 0
        self._count = 0
        self._calls: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, when: int, call: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heapq.heappush(self._calls, (when, self._count, call, args))

    def run_until(self, end: int) -> None:
        """Make the calls up to ``end``."""
        calls = self._calls
        while calls and calls[0][0] <= end:
            self.now, _, call, args = heapq.heappop(calls)
            call(*args)
        self.now = max(self.now, end)
