"""The common beginning of several client processes: as soon as each of them is ready, however long that takes.

On a busy machine a process takes many seconds to start; what begins before the last one is there measures less load.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event, Semaphore
from typing import Any

from bench.options import BenchError

READY_S_MAX = 180.0
"""In which every client has to be ready."""
LOOK_S = 0.2
"""How often the parent looks whether a client has failed instead."""
AHEAD_S = 0.5
"""From when the last one is ready to the beginning: they are told meanwhile."""


@dataclass(frozen=True, slots=True)
class Start:
    """Shared by the processes. ``begin`` and ``release`` belong to the parent, ``join`` and ``wait`` to a client."""

    ready: Semaphore
    told: Event
    at_s: Synchronized[float]
    """Wall clock of the beginning; 0 if there is none."""

    @classmethod
    def of(cls, context: SpawnContext) -> Start:
        return cls(context.Semaphore(0), context.Event(), context.Value("d", 0.0))

    async def begin(self, clients: int, results: asyncio.Future[Any]) -> float:
        """When all begin, once so many are ready. Raises what ``results`` has come to instead, or ``BenchError``."""
        deadline_s, ready = time.monotonic() + READY_S_MAX, 0
        while ready < clients:
            if results.done():
                results.result()
            if time.monotonic() > deadline_s:
                raise BenchError(f"{clients - ready} of {clients} clients were not ready after {READY_S_MAX:g} s")
            ready += await asyncio.to_thread(self.ready.acquire, True, LOOK_S)
        self.at_s.value = time.time() + AHEAD_S
        self.told.set()
        return self.at_s.value

    def release(self) -> None:
        """Whoever still waits for a beginning waits no longer."""
        self.told.set()

    def join(self) -> None:
        """Have this process begin with the others."""
        global _joined
        _joined = self

    def wait(self) -> float:
        """Say that this client is ready; when all begin. Blocks. ``BenchError`` if they do not."""
        self.ready.release()
        if not self.told.wait(READY_S_MAX) or not self.at_s.value:
            raise BenchError("the other clients were not ready")
        return self.at_s.value


_joined: Start


def joined() -> Start:
    """The beginning that this process has joined."""
    return _joined
