"""A lab node's wall clock, which jumps by order: what the process takes for the time of day, as libfaketime does it."""

from __future__ import annotations

import time


class WallClock:
    """``skew_ms``: how far it is off. Timers run by the monotonic clock, which nobody sets."""

    def __init__(self) -> None:
        self.skew_ms = 0
        self._real = time.time_ns

    def install(self) -> None:
        """Have everything in this process that asks ``time.time_ns`` be told this."""
        setattr(time, "time_ns", self.now_ns)  # noqa: B010  # a function's name, for mypy

    def now_ns(self) -> int:
        return self._real() + self.skew_ms * 1_000_000
