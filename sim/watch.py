"""Sees what nodes do while they do it: faults that wait for something strike then, and the lab has its records.

A fault that waits for a message strikes between two copies of it: a node that it crashes has sent the one and never
sends the other. Faults that wait for heights, views and epochs strike after the step that brought them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pbft.messages import Message
from sim.plan import Fault, Trigger

if TYPE_CHECKING:
    from sim.node import SimNode
    from sim.world import World

MESSAGES = {
    "pre-prepare": "Proposal",
    "prepare": "Prepare",
    "commit": "Commit",
    "outcome": "Outcome",
    "complaint": "Complaint",
    "view-change": "ViewChange",
    "new-view": "NewView",
    "certified-block": "CertifiedBlock",
    "manifest": "Manifest",
    "chunk": "Chunk",
}
"""Kinds of messages that a fault can wait for, and their classes."""


class StruckDown(BaseException):
    """A node was crashed in the middle of its step, whose rest must not happen. Only the world catches it."""

    def __init__(self, place: int) -> None:
        super().__init__(f"node {place} is struck down while it sends")


class Seen(NamedTuple):
    """Where a node stood after a step that changed it."""

    at_ms: int
    place: int
    epoch: int
    view: int
    active: bool
    height: int
    certified: int


class Cry(NamedTuple):
    """An alarm."""

    at_ms: int
    place: int
    kind: str
    detail: str


class Watch:
    """``strike(number)`` lets a fault of the timeline happen. ``seen`` and ``cries`` are the records."""

    def __init__(self, world: World, strike: Callable[[int], None]) -> None:
        self.seen: list[Seen] = []
        self.cries: list[Cry] = []
        self._world = world
        self._strike = strike
        self._waiting: list[tuple[int, Fault, Trigger]] = []
        self._copies: dict[tuple[int, int, int, int], set[int]] = {}
        """(fault, sender's place, view, sequence) -> whom such a message left for."""
        self._stood: dict[int, tuple[int, int, bool, int, int]] = {}
        self._cried: dict[int, int] = {}

    def wait(self, number: int, fault: Fault) -> None:
        """Have a fault strike once what it waits for has come."""
        assert fault.when is not None, "waits for something"
        self._waiting.append((number, fault, fault.when))

    # ---------------------------------------------------------------------------------------------- messages

    def left(self, node: SimNode, to: int, message: Message) -> None:
        """A copy of a message is on its way."""
        came = [
            (number, fault)
            for number, fault, when in self._waiting
            if when.sent and self._is_enough(number, when, node.place, to, message)
        ]
        for number, fault in came:
            self._forget(number)
            if fault.at_ms:
                self._world.later(fault.at_ms, partial(self._strike, number))
                continue
            was_up = node.up
            self._strike(number)
            if was_up and not node.up:
                raise StruckDown(node.place)

    def _is_enough(self, number: int, when: Trigger, place: int, to: int, message: Message) -> bool:
        if type(message).__name__ != MESSAGES[when.sent]:
            return False
        view, sequence = place_of(message)
        if when.view not in (None, view) or when.sequence not in (None, sequence):
            return False
        receivers = self._copies.setdefault((number, place, view, sequence), set())
        receivers.add(to)
        return len(receivers) >= when.copies

    # ------------------------------------------------------------------------------------------------- steps

    def stepped(self, node: SimNode) -> None:
        """A node has taken a step."""
        core = node.replica.core
        state = (node.config.scope.epoch, core.view, core.active, node.ledger.height, core.outcomes.certified)
        if self._stood.get(node.place) != state:
            self._stood[node.place] = state
            self.seen.append(Seen(self._world.now_ms, node.place, *state))
            if node.owner not in self._world.plan.byzantine:
                self._come(*state[:4])
        for alarm in node.alarms[self._cried.get(node.place, 0) :]:
            self.cries.append(Cry(self._world.now_ms, node.place, str(alarm.kind), alarm.detail))
        self._cried[node.place] = len(node.alarms)

    def _come(self, epoch: int, view: int, active: bool, height: int) -> None:
        """An honest node stands here."""
        for number, fault, when in list(self._waiting):
            if when.sent:
                continue
            reached = (when.height, height), (when.epoch, epoch), (when.view, view if active else -1)
            if any(wanted is not None and have >= wanted for wanted, have in reached):
                self._forget(number)
                self._world.later(fault.at_ms, partial(self._strike, number))

    def _forget(self, number: int) -> None:
        self._waiting = [entry for entry in self._waiting if entry[0] != number]


def place_of(message: Message) -> tuple[int, int]:
    """The view and the sequence, or height, that a message belongs to; -1 for none."""
    inner = getattr(message, "pre_prepare", message)
    statement = getattr(message, "statement", None)
    view, sequence = getattr(inner, "view", -1), getattr(inner, "sequence", -1)
    height = statement.height if statement is not None else getattr(message, "height", sequence)
    return view, height
