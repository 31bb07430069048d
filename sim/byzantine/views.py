"""Lies in view changes: stale and forged VIEW-CHANGEs, P-sets of every kind of falsehood, NEW-VIEWs with a wrong O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pbft.events import Send
from pbft.messages import (
    NULL_DIGEST,
    NUMBER_MAX,
    Commit,
    Complaint,
    ExecutionCertificate,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Statement,
    ViewChange,
)
from pbft.view_change import base_of, open_sequences
from sim.behaviour import Behaviour, Stand

_replace = msgspec.structs.replace
SEEN_MAX = 200
STORM_MS = 150
FAR_EVERY_MS = 700
FAR_COMPLAINTS = 0.7


class ForgePSets(Behaviour):
    """Each of the others gets a VIEW-CHANGE of its own, whose P-set lies in some way; some of them get the true one."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._prepares: dict[tuple[int, int], list[Prepare]] = {}

    def incoming(self, sender: int, message: object) -> bool:
        if isinstance(message, Prepare) and len(self._prepares) < SEEN_MAX:
            self._prepares.setdefault((message.view, message.sequence), []).append(message)
        return True

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, ViewChange):
            return (send,)
        targets = self.stand.others if send.to is None else [send.to]
        return [Send(to, self._lie(message)) for to in targets]

    def _lie(self, message: ViewChange) -> ViewChange:
        lies: list[Callable[[ViewChange], tuple[PreparedCertificate, ...]]] = [
            lambda m: m.prepared,
            lambda m: (),
            lambda m: m.prepared[:-1],
            self._other_digests,
            self._too_few,
            self._one_voter_twice,
            self._invented,
        ]
        return self.stand.sign(_replace(message, prepared=self.stand.chance.choice(lies)(message)))

    def _other_digests(self, message: ViewChange) -> tuple[PreparedCertificate, ...]:
        """Digests of its own making; votes for them that nobody signed."""
        return tuple(self._moved(item, digest=self.stand.chance.randbytes(32)) for item in message.prepared)

    def _moved(self, item: PreparedCertificate, **changes: Any) -> PreparedCertificate:
        prepares = tuple(_replace(prepare, **changes) for prepare in item.prepares)
        return PreparedCertificate(_replace(item.pre_prepare, **changes), prepares)

    def _too_few(self, message: ViewChange) -> tuple[PreparedCertificate, ...]:
        return tuple(_replace(item, prepares=item.prepares[:-1]) for item in message.prepared)

    def _one_voter_twice(self, message: ViewChange) -> tuple[PreparedCertificate, ...]:
        return tuple(_replace(item, prepares=(*item.prepares[:-1], item.prepares[0])) for item in message.prepared)

    def _invented(self, message: ViewChange) -> tuple[PreparedCertificate, ...]:
        """For the next sequence, of the latest view that we led: our pre-prepare and our prepare, q - 1 times."""
        stand, view = self.stand, message.view - 1
        sequence = max((item.pre_prepare.sequence for item in message.prepared), default=0) + 1
        digest = stand.chance.randbytes(32)
        proposal = stand.sign(PrePrepare(view, sequence, digest, stand.me))
        votes = [stand.sign(Prepare(view, sequence, digest, stand.me))] * (stand.config.q - 1)
        forged = tuple(_replace(vote, sender=other) for vote, other in zip(votes, stand.others, strict=False))
        return (*message.prepared, PreparedCertificate(proposal, forged))


class StaleViewChange(Behaviour):
    """Sends its first VIEW-CHANGE again for every later view, re-dated, and without the certificate."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._first: ViewChange | None = None

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, ViewChange):
            return (send,)
        if self._first is None:
            self._first = message
        stale = _replace(self._first, view=message.view)
        bare = _replace(message, certificate=None)
        return [Send(send.to, self._first), Send(send.to, self.stand.sign(self.stand.chance.choice([stale, bare])))]


class ForgeCertificates(Behaviour):
    """View changes rest on a certificate of a height that nobody reached, with signatures that nobody made."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, ViewChange):
            return (send,)
        height = self.stand.node.replica.core.executed + self.stand.chance.randrange(1, 40)
        statement = Statement(height, *(self.stand.chance.randbytes(32) for _ in range(4)))
        signatures = tuple((index, self.stand.chance.randbytes(64)) for index in range(self.stand.config.q))
        forged = ExecutionCertificate(self.stand.scope.epoch, statement, signatures)
        return send, Send(send.to, self.stand.sign(_replace(message, certificate=forged)))


class WrongNewView(Behaviour):
    """As new primary: a NEW-VIEW whose O does not follow from V, another one for each backup."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if not isinstance(message, NewView) or message.sender != self.stand.me:
            return (send,)
        targets = self.stand.others if send.to is None else [send.to]
        return [Send(to, self._lie(message)) for to in targets]

    def _lie(self, message: NewView) -> NewView:
        proposals = message.pre_prepares
        top = proposals[-1].sequence if proposals else 0
        extra = PrePrepare(message.view, top + 1, self.stand.chance.randbytes(32), self.stand.me)
        lies: list[dict[str, Any]] = [
            {},
            {"pre_prepares": ()},
            {"pre_prepares": proposals[1:]},
            {"pre_prepares": proposals[:-1]},
            {"pre_prepares": tuple(_replace(item, digest=NULL_DIGEST) for item in proposals)},
            {"pre_prepares": tuple(_replace(item, digest=self.stand.chance.randbytes(32)) for item in proposals)},
            {"pre_prepares": (*proposals, extra)},
            {"view_changes": message.view_changes[:-1]},
            {"view_changes": (message.view_changes[0],) * len(message.view_changes)},
            {"prepared": message.prepared[:-1]},
            self._unproven(message),
        ]
        lie = _replace(message, **self.stand.chance.choice(lies))
        return self.stand.sign(_replace(lie, pre_prepares=tuple(self.stand.sign(item) for item in lie.pre_prepares)))

    def _unproven(self, message: NewView) -> dict[str, Any]:
        """Our own claim for one more sequence, and O with it, but no proof."""
        config, stand = self.stand.node.replica.core.config, self.stand
        top = max((item.sequence for item in message.pre_prepares), default=base_of(config, message.view_changes))
        view = message.view - 1
        claim = PreparedCertificate(PrePrepare(view, top + 1, stand.chance.randbytes(32), config.primary(view)), ())
        changes = tuple(
            stand.sign(_replace(change, prepared=(*change.prepared, claim))) if change.sender == stand.me else change
            for change in message.view_changes
        )
        found = open_sequences(config, changes)
        proposals = tuple(PrePrepare(message.view, s, digest, stand.me) for s, digest in found)
        return {"view_changes": changes, "pre_prepares": proposals}


class ViewStorm(Behaviour):
    """Complains all the time and asks for views far ahead: one replica must not move the others."""

    def begin(self) -> None:
        self.stand.later(STORM_MS, self._storm)

    def _storm(self) -> None:
        stand = self.stand
        view = stand.node.replica.view
        stand.emit(Send(None, stand.sign(Complaint(view, stand.me, height=stand.certified))))
        ahead = view + stand.chance.randrange(1, 9)
        stand.emit(Send(None, stand.sign(ViewChange(ahead, None, (), stand.me))))
        if stand.world.now_ms < stand.world.plan.chaos_ms:
            stand.later(STORM_MS, self._storm)


class FarViews(Behaviour):
    """Now and then a complaint about, and a VIEW-CHANGE for, a view that nobody will ever reach: one word must not
    count against each of the views between."""

    def begin(self) -> None:
        self.stand.later(FAR_EVERY_MS, self._speak)

    def _speak(self) -> None:
        stand = self.stand
        distance = stand.chance.choice([1, stand.config.n, stand.config.n + 1, 10_000, NUMBER_MAX])
        view = min(NUMBER_MAX, stand.node.replica.view + distance)
        if stand.chance.random() < FAR_COMPLAINTS:
            stand.emit(Send(None, stand.sign(Complaint(view, stand.me, height=stand.certified))))
        else:
            stand.emit(Send(None, stand.sign(ViewChange(view, None, (), stand.me))))
        stand.later(FAR_EVERY_MS, self._speak)


class ForgetPrepared(Behaviour):
    """Votes as honestly as any, but its VIEW-CHANGEs know nothing: to undo what committed takes more than one."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        message = send.message
        if isinstance(message, ViewChange):
            return (Send(send.to, self.stand.sign(_replace(message, prepared=(), certificate=None))),)
        return (send,)


class SplitCommit(Behaviour):
    """As primary, lets only one backup commit, and then falls silent: what that one executed must survive."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        match send.message:
            case Commit():
                return (Send(self.stand.others[0], send.message),)
            case Proposal() if self.stand.chance.random() < 0.2:
                return ()
            case _:
                return (send,)
