"""The newest rounds of consensus as one node saw them: who voted for what, phase by phase (OSDI '99, section 4.2).

Validators are named by their places in ``Rounds.validators``. Nothing here is proven: a node that lies can lie here.
"""

from __future__ import annotations

import msgspec


class Round(msgspec.Struct, frozen=True):
    """One sequence's. ``digest``: of the batch, hex. ``prepares`` and ``commits``: who sent such a vote for it;
    ``outcomes``: who signed what executing it led to, until a quorum had."""

    height: int
    view: int
    primary: int
    digest: str
    prepares: tuple[int, ...]
    commits: tuple[int, ...]
    outcomes: tuple[int, ...]
    prepared: bool
    committed: bool
    executed: bool
    certified: bool


class Rounds(msgspec.Struct, frozen=True):
    """By rising height; none while a view has not begun, and just after a checkpoint. ``me``: this node's place, None
    for an observer. ``quorum``: how many equal votes decide."""

    validators: tuple[str, ...]
    me: int | None
    quorum: int
    epoch: int
    view: int
    active: bool
    rounds: tuple[Round, ...]
