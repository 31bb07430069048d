"""Block time, as a gateway knows it: how far it is ahead of the gateway's own clock.

Whoever sets a clock wrong for a moment must not have hours of energy closed into the wrong intervals. Two things tell:
certified blocks, whenever one has just been made; and, between them, a clock that nobody sets, which runs beside ours.
"""

from __future__ import annotations

from sdk.clock import Clock

OFFSET_S_MAX = 60.0
"""Farther from block time than this, in real time, our intervals are not the chain's."""
COMPARED_WITHIN_S = 30.0
"""How long a gateway that has just begun waits for block time before it believes a long silence of its meters."""


class BlockClock:
    """``seen`` and ``certified`` bring block times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock.steady_s()
        self._known = False
        self._offset_ms = 0
        self._mark = self._now()
        self._newest_ms: int | None = None

    @property
    def offset_ms(self) -> int:
        """Block time minus our clock's, as last compared, less what our clock was set by since."""
        (then_ms, then_s), (now_ms, now_s) = self._mark, self._now()
        jump_ms = (now_ms - then_ms) - (now_s - then_s) * 1000 * self._clock.rate
        return self._offset_ms - round(jump_ms)

    @property
    def is_off(self) -> bool:
        """Whether our clock is too far from block time to say which interval it is."""
        return abs(self.offset_ms) > OFFSET_S_MAX * 1000 * max(1.0, self._clock.rate)

    @property
    def is_settled(self) -> bool:
        """Whether it has been compared, or waited for long enough; a lab's clock is not one that people set."""
        return self._known or self._clock.rate != 1.0 or self._clock.steady_s() > self._began_s + COMPARED_WITHIN_S

    def seen(self, block_time_ms: int) -> None:
        """The newest block's time, as a node tells it: a comparison only if that block is newer than the last time."""
        before, self._newest_ms = self._newest_ms, block_time_ms
        if before is not None and block_time_ms > before:
            self._compare(block_time_ms - self._clock.now_ms())

    def certified(self, block_time_ms: int, sent_ms: int) -> None:
        """The time of a block with what we sent at ``sent_ms``: halfway is wrong by half of the time at most."""
        self._compare(block_time_ms - (sent_ms + self._clock.now_ms()) // 2)

    def _compare(self, offset_ms: int) -> None:
        self._known, self._offset_ms, self._mark = True, offset_ms, self._now()

    def _now(self) -> tuple[int, float]:
        return self._clock.now_ms(), self._clock.steady_s()
