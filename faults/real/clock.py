"""A lab node's wall clock, which jumps by order: what the process takes for the time of day, as libfaketime does it."""

from __future__ import annotations

import time


class WallClock:
    """``skew_ms``: how far it is off. Timers run by the monotonic clock, which nobody sets."""

    def __init__(self) -> None:
        self.skew_ms = 0
        self._real = time.time_ns
        self._gains_ms_per_s, self._since_ns = 0, time.monotonic_ns()

    def drift(self, gains_ms_per_s: int) -> None:
        """It gains, or loses, so much each second from now on; what it gained by another rate before is gone."""
        if gains_ms_per_s == self._gains_ms_per_s:
            return
        self._gains_ms_per_s, self._since_ns = gains_ms_per_s, time.monotonic_ns()

    def install(self) -> None:
        """Have everything in this process that asks ``time.time_ns`` be told this."""
        setattr(time, "time_ns", self.now_ns)  # noqa: B010  # a function's name, for mypy

    def now_ns(self) -> int:
        gained_ns = self._gains_ms_per_s * (time.monotonic_ns() - self._since_ns) // 1_000
        return self._real() + self.skew_ms * 1_000_000 + gained_ns
