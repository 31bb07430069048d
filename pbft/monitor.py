"""The slow-primary defence: what the primary delivers against what it should. OSDI '99, section 4.5.2 (liveness), asks
only that a request executes some day; this goes beyond it (after Aardvark, NSDI '09, and RBFT, ICDCS '13; DESIGN).

A correct primary proposes at once when nothing is in flight and requests wait, and fills its batches. Two shares
are measured over ``primary_window_ms``: the time in which requests waited although the pipeline was empty, and
the transactions proposed against those that would have fitted. Both are free of the machine's speed, so that a
slow or loaded machine accuses nobody. A share below ``primary_share_percent_min`` is a reason to complain.
"""

from __future__ import annotations

from pbft.config import ReplicaConfig


class PrimaryMonitor:
    """Measures one view's primary from a backup's place."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self.share_percent = 100
        """The lower share of the last whole window."""
        self.restart(0)

    def restart(self, now_ms: int) -> None:
        """A view begins."""
        self.share_percent = 100
        self._begin_window(now_ms)
        self._waiting = False

    def _begin_window(self, now_ms: int) -> None:
        self._since_ms = self._seen_ms = now_ms
        self._idle_ms = 0
        self._owed = self._delivered = 0

    def observe(self, now_ms: int, *, waiting: bool) -> None:
        """Time has passed. ``waiting``: from now on requests wait while nothing is in flight."""
        if self._waiting:
            self._idle_ms += now_ms - self._seen_ms
        self._seen_ms, self._waiting = now_ms, waiting
        elapsed_ms = now_ms - self._since_ms
        if elapsed_ms >= self._config.primary_window_ms:
            busy = 100 - 100 * self._idle_ms // elapsed_ms
            filled = 100 * self._delivered // self._owed if self._owed else 100
            self.share_percent = min(busy, filled)
            self._begin_window(now_ms)

    def delivered(self, admitted: int, owed: int) -> None:
        """A batch brought so many transactions; ``owed`` others had waited for a while, and would have fitted."""
        self._delivered += admitted
        self._owed += admitted + owed

    @property
    def slow(self) -> bool:
        return self.share_percent < self._config.primary_share_percent_min

    def wake_ms(self) -> int | None:
        """When a window in which requests wait ends."""
        return self._since_ms + self._config.primary_window_ms if self._waiting else None
