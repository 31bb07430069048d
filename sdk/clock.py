"""The clock of everything that lives beside consensus: real time, or a lab network's accelerated time.

Nodes, meters, gateways and agents of a lab network derive the same time from the same three numbers, so they need
not talk to each other about it. Nothing that enters state or a signature's check reads this clock.
"""

from __future__ import annotations

import asyncio
import math
import time

from sdk.configuration import ClockSection

SLEEP_S_MAX = 60.0
"""The longest single sleep, so that a corrected system clock is noticed in that time."""


class Clock:
    """Milliseconds since the Unix epoch, UTC.

    Without ``start_ms`` it is the system's clock. With it, a lab clock: ``start_ms`` at the wall time
    ``wall_start_ms`` (None: now), running ``rate`` times as fast as the wall.
    """

    def __init__(self, start_ms: int | None = None, rate: float = 1.0, wall_start_ms: int | None = None) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate {rate}: a clock's rate is a positive number")
        if start_ms is None and (rate != 1.0 or wall_start_ms is not None):
            raise ValueError("only a lab clock, with start_ms, has a rate or a wall_start_ms")
        self.rate = rate
        self._start_ms = start_ms
        self._wall_start_ms = _wall_ms() if wall_start_ms is None else wall_start_ms

    def now_ms(self) -> int:
        """This clock's time."""
        wall_ms = _wall_ms()
        if self._start_ms is None:
            return wall_ms
        return self._start_ms + int((wall_ms - self._wall_start_ms) * self.rate)

    def steady_s(self) -> float:
        """Real time by a clock that nobody sets, and that goes on while the machine sleeps, where there is one."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    async def sleep_until(self, at_ms: int) -> None:
        """Return once ``now_ms() >= at_ms``; at once if it is already so."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110  # time is the condition
            await asyncio.sleep(min(left_ms / self.rate / 1000, SLEEP_S_MAX))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def clock_of(section: ClockSection) -> Clock:
    """The clock that a configuration asks for: the wall's, unless a start is given."""
    start_ms = section.start_ms
    return Clock() if start_ms is None else Clock(start_ms, section.rate, section.wall_start_ms)
