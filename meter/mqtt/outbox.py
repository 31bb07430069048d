"""What waits to be published. A retained topic waits once, with its newest value; signals wait in order, bounded.

Everything retained is remembered, and waits again after each connection: a broker that has restarted may have lost it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message. ``expires_ms``: not sent from then on; 0: never."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expires_ms: int = 0


class Outbox:
    """For one event loop. ``dropped`` counts what found no room: the oldest signal, or a new retained topic."""

    def __init__(self, signals_max: int, retained_max: int) -> None:
        self._signals: deque[Outgoing] = deque()
        self._signals_max = signals_max
        self._retained: dict[str, Outgoing] = {}
        self._retained_max = retained_max
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._some = asyncio.Event()
        self.dropped = 0

    def put(self, message: Outgoing) -> None:
        """Never waits."""
        if message.retain:
            if message.topic not in self._retained and len(self._retained) >= self._retained_max:
                self.dropped += 1
                return
            self._retained[message.topic] = message
            self._waiting[message.topic] = None
        else:
            if len(self._signals) >= self._signals_max:
                self._signals.popleft()
                self.dropped += 1
            self._signals.append(message)
        self._some.set()

    def again(self, prefix: str = "") -> None:
        """Let every retained topic wait that begins so."""
        self._waiting.update((topic, None) for topic in self._retained if topic.startswith(prefix))
        self._some.set()

    async def next(self) -> Outgoing:
        """What is to be sent now, signals first; it stays here until ``sent``."""
        while True:
            if self._signals:
                return self._signals[0]
            if self._waiting:
                return self._retained[next(iter(self._waiting))]
            self._some.clear()
            await self._some.wait()

    def sent(self, message: Outgoing) -> None:
        """The broker has it, or nobody wants it any more."""
        if not message.retain:
            if self._signals and self._signals[0] is message:
                self._signals.popleft()
        elif self._retained.get(message.topic) is message:
            self._waiting.pop(message.topic, None)

    def __len__(self) -> int:
        return len(self._signals) + len(self._waiting)
