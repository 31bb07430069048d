"""Stretches of the key space where a scan has found nothing, so that nobody goes through what was deleted there again.

A store may keep deleted keys for a while, and walks over each of them: 60,000 took 10 ms a scan of no rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

GAPS_MAX = 8_192
"""Beyond it all are forgotten, and found again as they are needed."""


class Gaps:
    """From each low up to, not including, its high there is no key. They neither overlap nor touch."""

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._lows: list[str] = []
        self._highs: dict[str, str] = {}

    def end(self, place: str) -> str:
        """The end of the gap in which a place lies, or the place itself."""
        low = self._low(place)
        return place if low is None else self._highs[low]

    def next(self, place: str, otherwise: str) -> str:
        """Where the first gap behind a place begins."""
        at = bisect_right(self._lows, place)
        return self._lows[at] if at < len(self._lows) else otherwise

    def add(self, low: str, high: str) -> None:
        """There is nothing from ``low`` up to ``high``, of which nothing was known."""
        if len(self._lows) >= GAPS_MAX:
            self._lows.clear()
            self._highs.clear()
        at = bisect_left(self._lows, low)
        if at < len(self._lows) and self._lows[at] == high:
            high = self._highs.pop(self._lows.pop(at))
        if at and self._highs[self._lows[at - 1]] == low:
            low = self._lows[at - 1]
        else:
            self._lows.insert(at, low)
        self._highs[low] = high

    def fill(self, key: str) -> None:
        """There is a key now."""
        low = self._low(key)
        if low is None:
            return
        high, behind = self._highs[low], key + "\0"
        if low == key:
            del self._lows[bisect_left(self._lows, low)]
            del self._highs[low]
        else:
            self._highs[low] = key
        if behind < high:
            self.add(behind, high)

    def empty(self, key: str) -> None:
        """A key is gone: the gaps before and behind it are one."""
        behind = key + "\0"
        at = bisect_left(self._lows, key)
        if behind in self._highs or (at and self._highs[self._lows[at - 1]] == key):
            self.add(key, behind)

    def _low(self, place: str) -> str | None:
        at = bisect_right(self._lows, place) - 1
        return self._lows[at] if at >= 0 and place < self._highs[self._lows[at]] else None
