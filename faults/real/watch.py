"""What a lab node tells of itself while it runs: where its replica stands after each step, its alarms, and traps.

A trap waits for a message that leaves for so many receivers, and then holds back whatever the node would send
next, until an order says to go on: so a fault strikes between two copies of one message. Moments are the machine's
monotonic clock, which all its processes share.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from pbft.driver import Driver
from pbft.events import Output
from pbft.gate import Rejected
from pbft.messages import split_frame
from sim.watch import MESSAGES, place_of

TRAPS_MAX = 100
HELD_FRAMES_MAX = 10_000
"""Behind a trap that has sprung; what comes beyond is lost, as on a line that is down."""


class Trap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Springs once a message of the kind ``sent`` has left for ``copies`` peers. ``holds``: and stops all others."""

    number: int
    sent: str
    copies: int = 1
    view: int | None = None
    sequence: int | None = None
    holds: bool = True

    def __post_init__(self) -> None:
        if self.sent not in MESSAGES:
            raise ValueError(f"sent is one of {', '.join(MESSAGES)}")


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """Where the node stands."""

    at_ns: int
    epoch: int
    view: int
    active: bool
    primary: str
    height: int
    certified: int
    first_height: int
    votes: bool
    voter: bool
    """Whether it is a validator of this epoch."""


class Cried(msgspec.Struct, frozen=True, tag="cried"):
    """An alarm."""

    at_ns: int
    kind: str
    detail: str


class Sprung(msgspec.Struct, frozen=True, tag="sprung"):
    """A trap."""

    at_ns: int
    number: int


UNHEARD_MAX = 64
"""Alarms that are kept for the first who listens."""
Event: TypeAlias = Seen | Cried | Sprung
Tell: TypeAlias = Callable[[Event], None]
decode_event = msgspec.json.Decoder(Event).decode


class Watch:
    """``first_height`` is of the ledger; ``height`` as well. Whoever joins hears of everything from then on,
    and of the alarms that nobody has heard: a node that has lost its log says so before anybody can listen."""

    def __init__(self, driver: Driver, heights: Callable[[], tuple[int, int]]) -> None:
        self._driver, self._heights = driver, heights
        self._listeners: list[Tell] = []
        self._stood: Seen | None = None
        self._unheard: deque[Cried] = deque(maxlen=UNHEARD_MAX)
        self._traps: tuple[Trap, ...] = ()
        self._left: dict[tuple[int, int, int], set[bytes]] = {}
        """(trap, view, sequence) -> whom such a message has left for."""
        self._held: list[Callable[[], None]] = []
        self.holding = False
        before = driver.on_step

        def stepped(outputs: Sequence[Output]) -> None:
            before(outputs)
            self._stepped(outputs)

        driver.on_step = stepped

    def join(self, tell: Tell) -> Callable[[], None]:
        """Hear of everything from now on, first of where the node stands; what ends that."""
        self._listeners.append(tell)
        tell(self._stands())
        while self._unheard:
            tell(self._unheard.popleft())
        return lambda: self._listeners.remove(tell)

    # ------------------------------------------------------------------------------------------------ steps

    def _stepped(self, outputs: Sequence[Output]) -> None:
        stands = self._stands()
        if self._stood is None or msgspec.structs.replace(self._stood, at_ns=stands.at_ns) != stands:
            self._stood = stands
            self._tell(stands)
        for output in outputs:
            for alarm in output.alarms:
                cried = Cried(time.monotonic_ns(), str(alarm.kind), alarm.detail)
                self._tell(cried)
                if not self._listeners:
                    self._unheard.append(cried)

    def _stands(self) -> Seen:
        session = self._driver.session
        core, (first_height, height) = session.replica.core, self._heights()
        return Seen(
            time.monotonic_ns(),
            session.epoch.number,
            core.view,
            core.active,
            session.epoch.validators[core.config.primary(core.view)].name,
            height,
            core.outcomes.certified,
            first_height,
            core.votes,
            session.numbers.index in range(len(session.epoch.validators)),
        )

    def _tell(self, event: Event) -> None:
        for tell in list(self._listeners):
            tell(event)

    # ------------------------------------------------------------------------------------------------ traps

    def set_traps(self, traps: Sequence[Trap]) -> None:
        """These, and no others. What a trap that has sprung holds goes on."""
        if tuple(traps) != self._traps:
            self._traps, self._left = tuple(traps[:TRAPS_MAX]), {}
        self.holding = False
        held, self._held = self._held, []
        for go_on in held:
            go_on()

    def hold(self, go_on: Callable[[], None]) -> None:
        """Keep for later what the node would send."""
        if len(self._held) < HELD_FRAMES_MAX:
            self._held.append(go_on)

    def left(self, key: bytes, frame: bytes) -> None:
        """A frame has been put on the link to a peer."""
        if not self._traps:
            return
        try:
            message = self._driver.session.gate.decode(split_frame(frame)[1])
        except Rejected:
            return
        view, sequence = place_of(message)
        for trap in self._traps:
            if type(message).__name__ != MESSAGES[trap.sent]:
                continue
            if trap.view not in (None, view) or trap.sequence not in (None, sequence):
                continue
            receivers = self._left.setdefault((trap.number, view, sequence), set())
            receivers.add(key)
            if len(receivers) >= trap.copies:
                self._spring(trap)

    def _spring(self, trap: Trap) -> None:
        self._traps = tuple(other for other in self._traps if other is not trap)
        self.holding = self.holding or trap.holds
        self._tell(Sprung(time.monotonic_ns(), trap.number))
