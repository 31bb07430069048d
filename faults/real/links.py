"""What a lab does to the frames that a node sends each of its peers: cut, hold, delay, loss, doubles, damage, a narrow
pipe.

Faults are the sender's: a cut in both directions is one at each end. Frames that wait keep their order, unless
``jitter_ms`` or ``slow`` is set. Nothing here is bounded by the peers' good will: what waits has a limit, and the rest
is lost.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

WAITING_BYTES_MAX = 64 << 20
"""Frames that wait for one peer; what comes beyond is lost, and counted as ``overflowed``."""
DELAY_MS_MAX = 600_000
EVERYBODY = "*"
"""In place of a peer's name: all of those that are not named."""

Send = Callable[[bytes], None]


class LinkFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What befalls frames to one peer. Shares are of 1; ``bytes_per_s`` 0 is no limit."""

    cut: bool = False
    delay_ms: int = 0
    jitter_ms: int = 0
    """So much more, by chance: a frame may then overtake another."""
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    """One bit turned."""
    bytes_per_s: int = 0
    held: bool = False
    """Nothing arrives until this fault ends; then everything does, at once and in order."""
    slow: float = 0.0
    """The share that takes up to ``slow_ms_max`` more, and is overtaken."""
    slow_ms_max: int = 0

    def __post_init__(self) -> None:
        for name in ("delay_ms", "jitter_ms", "slow_ms_max"):
            if not 0 <= getattr(self, name) <= DELAY_MS_MAX:
                raise ValueError(f"{name} is from 0 to {DELAY_MS_MAX:,} ms")
        for name in ("loss", "duplication", "corruption", "slow"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1")
        if self.bytes_per_s < 0:
            raise ValueError("bytes_per_s is 0, for no limit, or more")


HEALTHY = LinkFault()


class _Pipe:
    """Frames on their way to one peer."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self.free_s = 0.0
        """When the last frame that was let into the pipe will have left it."""
        self.last_s = 0.0
        """When the last frame that keeps its order arrives."""
        self.held: list[tuple[bytes, Send]] = []


class Links:
    """The faults of one node's links. ``names`` tells a peer's key's name; whose is not known is nobody's fault."""

    def __init__(self, name_of: Callable[[bytes], str], seed: int) -> None:
        self._name_of = name_of
        self._chance = random.Random(f"links/{seed}")
        self._faults: dict[str, LinkFault] = {}
        self._pipes: dict[bytes, _Pipe] = {}
        self.befallen: Counter[str] = Counter()
        """What was done to frames, by kind."""
        self.carried = 0
        """Frames in all, healthy ones too."""

    @property
    def faults(self) -> Mapping[str, LinkFault]:
        return self._faults

    def put(self, faults: Mapping[str, LinkFault]) -> None:
        """These, and no others, from now on; what is on its way already arrives, and what was held and is no more."""
        self._faults = dict(faults)
        for key, pipe in self._pipes.items():
            if pipe.held and not self.fault_of(key).held:
                self._let_go(pipe)

    def fault_of(self, key: bytes) -> LinkFault:
        return self._faults.get(self._name_of(key), self._faults.get(EVERYBODY, HEALTHY))

    def carry(self, key: bytes, frame: bytes, send: Send) -> None:
        """Send a frame to a peer, now, later, twice or never."""
        self.carried += 1
        fault = self.fault_of(key)
        if fault == HEALTHY:
            send(frame)
            return
        if fault.cut or self._chance.random() < fault.loss:
            self.befallen["cut" if fault.cut else "lost"] += 1
            return
        if fault.held:
            self._hold(key, frame, send)
            return
        copies = 1 + (self._chance.random() < fault.duplication)
        self.befallen["doubled"] += copies - 1
        for _ in range(copies):
            self._later(key, self._damaged(frame, fault), fault, send)

    def _hold(self, key: bytes, frame: bytes, send: Send) -> None:
        pipe = self._pipes.setdefault(key, _Pipe())
        if self._is_full(pipe, frame):
            return
        pipe.waiting_bytes += len(frame)
        pipe.held.append((frame, send))
        self.befallen["held"] += 1

    def _let_go(self, pipe: _Pipe) -> None:
        held, pipe.held = pipe.held, []
        for frame, send in held:
            pipe.waiting_bytes -= len(frame)
            send(frame)

    def _is_full(self, pipe: _Pipe, frame: bytes) -> bool:
        """Whether there is no room for a frame to wait, which is then lost."""
        if pipe.waiting_bytes + len(frame) <= WAITING_BYTES_MAX:
            return False
        self.befallen["overflowed"] += 1
        return True

    def _damaged(self, frame: bytes, fault: LinkFault) -> bytes:
        if not frame or self._chance.random() >= fault.corruption:
            return frame
        self.befallen["damaged"] += 1
        place = self._chance.randrange(len(frame))
        return frame[:place] + bytes([frame[place] ^ 1 << self._chance.randrange(8)]) + frame[place + 1 :]

    def _later(self, key: bytes, frame: bytes, fault: LinkFault, send: Send) -> None:
        pipe = self._pipes.setdefault(key, _Pipe())
        if self._is_full(pipe, frame):
            return
        loop = asyncio.get_running_loop()
        at_s = self._arrival_s(pipe, len(frame), fault, loop.time())
        if at_s <= loop.time():
            send(frame)
            return
        pipe.waiting_bytes += len(frame)
        self.befallen["delayed"] += 1

        def arrive() -> None:
            pipe.waiting_bytes -= len(frame)
            send(frame)

        loop.call_at(at_s, arrive)

    def _arrival_s(self, pipe: _Pipe, size: int, fault: LinkFault, now_s: float) -> float:
        left_s = now_s
        if fault.bytes_per_s:
            left_s = pipe.free_s = max(now_s, pipe.free_s) + size / fault.bytes_per_s
        at_s = left_s + fault.delay_ms / 1000
        if fault.slow and self._chance.random() < fault.slow:
            self.befallen["slow"] += 1
            return at_s + self._chance.random() * fault.slow_ms_max / 1000
        if fault.jitter_ms:
            return at_s + self._chance.random() * fault.jitter_ms / 1000
        pipe.last_s = max(pipe.last_s, at_s)
        return pipe.last_s
