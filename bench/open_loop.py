"""An open loop: transactions are due at times that no answer can move.

A closed loop sends less while the system is slow, and so forgets to measure what users would have met meanwhile: the
coordinated omission. Here whoever is due while no place is free waits, and the wait counts, as in wrk2.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from enum import StrEnum
from itertools import chain, count, takewhile

DRAIN_S = 10.0
"""After the last one was due: what is not verified by then is given up, and counts as having taken so long at least."""


class Arrivals(StrEnum):
    """How the moments are laid at which transactions are due: at equal distances, or by a seeded Poisson process."""

    CONSTANT = "constant"
    POISSON = "poisson"


def due_times(arrivals: Arrivals, rate_per_s: float, from_s: float, until_s: float, seed: int) -> Iterator[float]:
    """When each is due, from ``from_s`` until before ``until_s``."""
    make = {Arrivals.CONSTANT: _constant, Arrivals.POISSON: _poisson}[arrivals]
    return takewhile(lambda due_s: due_s < until_s, make(rate_per_s, from_s, random.Random(seed)))


def _constant(rate_per_s: float, from_s: float, _: random.Random) -> Iterator[float]:
    return (from_s + number / rate_per_s for number in count())


def _poisson(rate_per_s: float, at_s: float, gaps: random.Random) -> Iterator[float]:
    while True:
        at_s += gaps.expovariate(rate_per_s)
        yield at_s


class OpenLoop:
    """Calls ``send`` with each of the times ``due``, at that time of the clock ``now`` or, if ``places`` are taken, as
    soon as one is free."""

    def __init__(
        self, due: Iterator[float], places: int, send: Callable[[float], Awaitable[None]], now: Callable[[], float]
    ) -> None:
        self._due, self._send, self._now = due, send, now
        self._places = asyncio.Semaphore(places)
        self._begun: set[float] = set()

    async def run(self, give_up_s: float) -> list[float]:
        """Until all are done, but not longer than ``give_up_s`` (of the clock); those that are not done then."""
        try:
            async with asyncio.timeout(give_up_s - self._now()), asyncio.TaskGroup() as tasks:
                for due_s in self._due:
                    self._begun.add(due_s)
                    await asyncio.sleep(max(0.0, due_s - self._now()))
                    await self._places.acquire()
                    tasks.create_task(self._one(due_s))
        except TimeoutError:
            pass  # what is not done is told
        return sorted(chain(self._begun, self._due))

    async def _one(self, due_s: float) -> None:
        await self._send(due_s)
        self._begun.remove(due_s)
        self._places.release()
