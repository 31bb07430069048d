"""Texts in order, of which one more costs a short list's insertion however many there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

RUN_MAX = 512
"""A run of more is cut in two."""


class Ordered:
    """A set of texts, kept in runs one behind the other."""

    __slots__ = ("_firsts", "_runs")

    def __init__(self) -> None:
        self._runs: list[list[str]] = []
        self._firsts: list[str] = []

    def last(self, text: str) -> str | None:
        """The greatest that is not greater."""
        at = bisect_right(self._firsts, text) - 1
        if at < 0:
            return None
        run = self._runs[at]
        return run[bisect_right(run, text) - 1]

    def next(self, text: str) -> str | None:
        """The least that is greater."""
        at = bisect_right(self._firsts, text) - 1
        if at >= 0:
            run = self._runs[at]
            place = bisect_right(run, text)
            if place < len(run):
                return run[place]
        return self._firsts[at + 1] if at + 1 < len(self._firsts) else None

    def add(self, text: str) -> None:
        """One that is not there yet."""
        if not self._runs:
            self._runs.append([text])
            self._firsts.append(text)
            return
        at = max(0, bisect_right(self._firsts, text) - 1)
        run = self._runs[at]
        insort(run, text)
        self._firsts[at] = run[0]
        if len(run) > RUN_MAX:
            second = run[RUN_MAX // 2 :]
            del run[RUN_MAX // 2 :]
            self._runs.insert(at + 1, second)
            self._firsts.insert(at + 1, second[0])

    def remove(self, text: str) -> None:
        """One that is there."""
        at = bisect_right(self._firsts, text) - 1
        run = self._runs[at]
        del run[bisect_left(run, text)]
        if run:
            self._firsts[at] = run[0]
        else:
            del self._runs[at], self._firsts[at]
