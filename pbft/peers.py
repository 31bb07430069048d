"""What the transport knows of one peer: its link, queue and budget, and how often it was at fault or of no use."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pbft.link import Link

FAULT_WINDOW_S = 1.0


class SendQueue:
    """What waits for one peer: votes before bulk, bounded in bytes; the oldest bulk gives way first."""

    def __init__(self, bytes_max: int) -> None:
        self._max = bytes_max
        self._votes: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self.bytes = 0

    def put(self, data: bytes, *, bulk: bool) -> None:
        self.bytes += len(data)
        (self._bulk if bulk else self._votes).append(data)
        while self.bytes > self._max and (self._bulk or self._votes):
            gone = self._bulk.popleft() if self._bulk else self._votes.popleft()
            self.bytes -= len(gone)

    def take(self, bytes_max: int) -> bytes:
        """Up to ``bytes_max`` of whole frames (at least one, if there is any)."""
        frames: list[bytes] = []
        size = 0
        while self._votes or self._bulk:
            source = self._votes or self._bulk
            if frames and size + len(source[0]) > bytes_max:
                break
            frames.append(source.popleft())
            size += len(frames[-1])
        self.bytes -= size
        return b"".join(frames)


class Budget:
    """So many bytes a second, a second's worth at once at most. What is too large for that is a debt."""

    def __init__(self, bytes_per_s: float, now_s: float) -> None:
        self._rate = bytes_per_s
        self._left = bytes_per_s
        self._since_s = now_s

    def set_rate(self, bytes_per_s: float, now_s: float) -> None:
        self.left(now_s)
        self._rate = bytes_per_s

    def left(self, now_s: float) -> float:
        self._left = min(self._rate, self._left + (now_s - self._since_s) * self._rate)
        self._since_s = now_s
        return self._left

    def spend(self, count: int, now_s: float) -> None:
        self._left = self.left(now_s) - count

    def wait_s(self, now_s: float) -> float:
        """How long until there is something left."""
        left = self.left(now_s)
        return 0.0 if left >= 1 else (1 - left) / self._rate


@dataclass(slots=True)
class Faults:
    """Bad (or useless) messages of one peer; more than ``per_s_max`` within a second earn a penalty."""

    per_s_max: int
    _count: int = 0
    _since_s: float = 0.0
    penalty_until_s: float = 0.0

    def add(self, now_s: float, penalty_s: float, count: int = 1) -> bool:
        """Count some; True if a penalty begins now."""
        if now_s < self.penalty_until_s:
            return False
        if now_s >= self._since_s + FAULT_WINDOW_S:
            self._since_s, self._count = now_s, 0
        self._count += count
        if self._count <= self.per_s_max:
            return False
        self._count = 0
        self.penalty_until_s = now_s + penalty_s
        return True


@dataclass(slots=True)
class Peer:
    """``sending`` and ``receiving`` are None for validators: only observers have a budget."""

    key: bytes
    queue: SendQueue
    faults: Faults
    useless: Faults
    link: Link | None = None
    sending: Budget | None = None
    receiving: Budget | None = None

    @property
    def paused_until_s(self) -> float:
        """Until when it is not read from, for whichever reason."""
        return max(self.faults.penalty_until_s, self.useless.penalty_until_s)
