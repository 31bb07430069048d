"""A validator that lies over real sockets: the simulator's behaviours between a real replica and its links.

What a behaviour needs of a simulated world is given to it here by a real node: its key, its replica, the wall clock and
the event loop. Those that need more of a world (its disks, its clients, the other liars' replicas) are not in ``LIES``.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from ca.keys import SigningKey
from pbft.config import ReplicaConfig
from pbft.driver import Driver
from pbft.events import Send
from pbft.gate import Rejected
from pbft.messages import (
    BatchBody,
    CertifiedBlock,
    Chunk,
    Forward,
    Manifest,
    Message,
    Proposal,
    encode_frame,
    split_frame,
)
from pbft.replica import Replica
from sdk.configuration import ConfigurationError
from sim.behaviour import Behaviour, Stand
from sim.catalogue import BEHAVIOURS
from sim.plan import Liar as Lie
from sim.plan import Plan

if TYPE_CHECKING:
    from sim.node import SimNode
    from sim.world import World

LIES = (
    "agree-with-all",
    "ask-again",
    "boast",
    "censor",
    "equivocate",
    "far-views",
    "flood",
    "forged-chunks",
    "forged-p-set",
    "forged-view-change",
    "forgotten-p-set",
    "impersonate",
    "late-commit",
    "lying-outcomes",
    "lying-transfer",
    "mute",
    "replay",
    "reuse-signatures",
    "silent",
    "slow-primary",
    "split-commit",
    "stale-view-change",
    "view-storm",
    "vote-ahead",
    "vote-twice",
    "withhold",
    "wrong-checkpoint",
    "wrong-digest",
    "wrong-new-view",
)
"""Behaviours that a real node can show, by the simulator's names."""
_BULK = (Proposal, BatchBody, CertifiedBlock, Forward, Manifest, Chunk)
FOREVER_MS = 1 << 62
"""A real lie ends with its process."""

Wire = Callable[[Sequence[bytes], bytes, bool], None]
"""Puts an encoded frame on the links to some peers; whether it is bulk."""


def told_of(name: str) -> str:
    """A lie in one sentence."""
    return " ".join((inspect.getdoc(BEHAVIOURS[name]) or "").partition("\n\n")[0].split())


class Place:
    """A real node as behaviours see their own."""

    owner, up = 0, True

    def __init__(self, driver: Driver, key: SigningKey, clock_ms: Callable[[], int]) -> None:
        self._driver, self._clock_ms, self.key = driver, clock_ms, key
        self.skew_ms = 0

    @property
    def config(self) -> ReplicaConfig:
        return self._driver.session.config

    @property
    def replica(self) -> Replica:
        return self._driver.replica

    @property
    def clock_ms(self) -> int:
        return self._clock_ms() + self.skew_ms


class Surroundings:
    """A real network as behaviours see their world: one liar, who knows no other."""

    now_ms = 0

    def __init__(self, place: Place, emit: Callable[[Send], None], names: Sequence[str], seed: int) -> None:
        self.nodes, self._emit = [place], emit
        lies = tuple(Lie(place.owner, name) for name in names)
        self.plan = Plan(seed, "real", liars=lies, chaos_ms=FOREVER_MS)

    def emit(self, _: Place, send: Send) -> None:
        self._emit(send)

    def later(self, ms: int, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(ms / 1000, call)


class Liar:
    """Stands between one channel's replica and its links. ``begin`` is called once the event loop runs."""

    def __init__(self, names: Sequence[str], driver: Driver, place: Place, wire: Wire, seed: int) -> None:
        """``ConfigurationError`` for a behaviour that no real node can show."""
        for name in names:
            if name not in LIES:
                raise ConfigurationError(f"no real node can show {name!r}; there are {', '.join(LIES)}")
        self._driver, self._wire = driver, wire
        world = Surroundings(place, self.emit, names, seed)
        self._behaviours: list[Behaviour] = []
        for name in names:
            chance = random.Random(f"{seed}/{name}")  # nothing secret: a lie that can be told again
            stand = Stand(cast("World", world), cast("SimNode", place), chance, {})
            self._behaviours.append(BEHAVIOURS[name](stand))

    def begin(self) -> None:
        for behaviour in self._behaviours:
            behaviour.begin()

    def send(self, keys: Sequence[bytes], frame: bytes, bulk: bool) -> None:
        """What the honest replica sends, or what leaves in its place."""
        epoch, content = split_frame(frame)
        session = self._driver.session
        if epoch != session.epoch.number or not keys:
            self._wire(keys, frame, bulk)
            return
        message = session.gate.decode(content)
        to = session.numbers.number(keys[0]) if len(keys) == 1 else None
        sends: Sequence[Send] = (Send(to, message),)
        for behaviour in self._behaviours:
            sends = [real for item in sends for real in behaviour.outgoing(item)]
        for real in sends:
            if real.message is message and real.to == to:
                self._wire(keys, frame, bulk)
            else:
                self.emit(real)

    def emit(self, send: Send) -> None:
        """Put a message on the links as it is."""
        session = self._driver.session
        keys = session.numbers.others if send.to is None else (session.numbers.key(send.to),)
        self._wire(keys, encode_frame(session.epoch.number, send.message), isinstance(send.message, _BULK))

    def lets_in(self, sender: bytes, frame: bytes) -> bool:
        """What the behaviours say of a frame that has arrived."""
        session = self._driver.session
        try:
            message: Message = session.gate.decode(split_frame(frame)[1])
        except Rejected:
            return True  # the gate's business
        return all(each.incoming(session.numbers.number(sender), message) for each in self._behaviours)
