"""Threads for what blocks, a few for each purpose, so that no kind of call can delay another kind.

A pool has bounds for how many calls are under way and for how long one is waited for; both are refused as 503.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from sdk.errors import Problem, Refused

T = TypeVar("T")
Args = TypeVarTuple("Args")


class BoundedPool:
    """Runs at most ``threads`` calls at once; ``calls_max`` counts those that wait for a thread too."""

    def __init__(self, name: str, threads: int, calls_max: int, timeout_s: float) -> None:
        self._name = name
        self._max = calls_max
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._calls = 0

    async def run(self, call: Callable[[*Args], T], *args: *Args) -> T:
        """The call's result; ``Refused`` TOO_BUSY at once or TOO_SLOW at the time limit."""
        self._enter()
        future = self._threads.submit(call, *args)
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            message = f"The node did not get to this within {self._timeout_s:g} s. Try again, or ask for less."
            raise Refused(Problem("TOO_SLOW", message, 503)) from None

    def _enter(self) -> None:
        with self._lock:
            if self._calls >= self._max:
                message = f"The node has {self._max} {self._name} under way. Try again shortly."
                raise Refused(Problem("TOO_BUSY", message, 503))
            self._calls += 1

    def _leave(self, _: Future[T]) -> None:
        """A call has ended, or was given up before it began; one given up later still holds its thread until then."""
        with self._lock:
            self._calls -= 1
