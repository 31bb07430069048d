"""Small-scope mutations: a message that is almost right (Winter et al., ByzzFuzz, 2023), signed again by its sender.

The view or the sequence is off by one, or a part is left out. What carries no signature of the sender's (another
replica's votes in a view change) stays as it is: a liar has only its own key.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from ca.keys import SigningKey
from pbft.messages import (
    NULL_DIGEST,
    CertifiedBlock,
    Commit,
    Complaint,
    FetchBlocks,
    Message,
    NewView,
    Outcome,
    Prepare,
    Proposal,
    Scope,
    Status,
    ViewChange,
)

_replace = msgspec.structs.replace


class Mutator:
    """Mutates messages of one replica. ``chance`` decides which mutation."""

    def __init__(self, scope: Scope, sender: int, key: SigningKey, chance: random.Random) -> None:
        self._scope = scope
        self._sender = sender
        self._key = key
        self._chance = chance

    def mutate(self, message: Message) -> Message | None:
        """The message with one small fault; None: it is left out."""
        chosen = self._chance.choice([None, *mutations(message)])
        return None if chosen is None else self._signed(chosen)

    def _signed(self, message: Message) -> Message:
        """With good signatures of ours again, on whatever in it is ours."""
        match message:
            case Proposal(inner, body):
                return Proposal(self._sign(inner), body)
            case NewView(pre_prepares=proposals):
                signed: NewView = self._sign(_replace(message, pre_prepares=tuple(map(self._sign, proposals))))
                return signed
            case Prepare() | Commit() | Complaint() | Outcome() | ViewChange():
                vote: Message = self._sign(message)
                return vote
            case _:
                return message

    def _sign(self, message: Any) -> Any:
        if message.sender != self._sender:
            return message
        return _replace(message, signature=self._key.sign(message.signed(self._scope)))


def mutations(message: Message) -> list[Message]:
    """Every small fault that fits the message, not yet signed."""
    match message:
        case Proposal(inner, body):
            return [Proposal(_replace(inner, **change), body) for change in _shifts(inner)]
        case Prepare() | Commit() | Complaint():
            return [_replace(message, **change) for change in _shifts(message)]
        case Outcome(statement):
            return [_replace(message, statement=_replace(statement, **c)) for c in _shifts(statement, ("height",))]
        case ViewChange():
            return [_replace(message, **change) for change in _view_changes(message)]
        case NewView():
            return [_replace(message, **change) for change in _new_views(message)]
        case Status():
            fields = ("view", "executed_height", "certified_height")
            return [_replace(message, **change) for change in _shifts(message, fields)]
        case FetchBlocks():
            return [_replace(message, **change) for change in _shifts(message, ("first_height",))]
        case CertifiedBlock():
            return [_replace(message, **change) for change in _shifts(message, ("view", "proposer"))]
        case _:
            return []


def _view_changes(message: ViewChange) -> list[dict[str, Any]]:
    """View off by one; no certificate; a prepared certificate left out, or its pre-prepare's numbers off by one."""
    changes = _shifts(message, ("view",))
    if message.certificate is not None:
        changes.append({"certificate": None})
    for place, item in enumerate(message.prepared):
        before, after = message.prepared[:place], message.prepared[place + 1 :]
        changes.append({"prepared": before + after})
        for shift in _shifts(item.pre_prepare):
            moved = _replace(item, pre_prepare=_replace(item.pre_prepare, **shift))
            changes.append({"prepared": (*before, moved, *after)})
    return changes


def _new_views(message: NewView) -> list[dict[str, Any]]:
    """View off by one; one part of V, O or proof left out; one pre-prepare off by one, or its digest null."""
    changes = _shifts(message, ("view",))
    changes.append({"view_changes": message.view_changes[:-1]})
    changes += [
        {"prepared": (*message.prepared[:at], *message.prepared[at + 1 :])} for at in range(len(message.prepared))
    ]
    for place, item in enumerate(message.pre_prepares):
        before, after = message.pre_prepares[:place], message.pre_prepares[place + 1 :]
        changes.append({"pre_prepares": before + after})
        for shift in [*_shifts(item), {"digest": NULL_DIGEST}]:
            changes.append({"pre_prepares": (*before, _replace(item, **shift), *after)})
    return changes


def _shifts(message: object, fields: tuple[str, ...] = ("view", "sequence")) -> list[dict[str, Any]]:
    """Each number off by one, as far as the message has it and it stays a number that a replica may send."""
    present = [(name, getattr(message, name)) for name in fields if hasattr(message, name)]
    return [{name: value + step} for name, value in present for step in (-1, 1) if value + step >= 0]
