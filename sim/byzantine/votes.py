"""A lying voter: votes twice, votes ahead, withholds, replays, and uses signatures for what they were not made for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from pbft.events import Send
from pbft.messages import Commit, Complaint, Message, NewView, Outcome, Prepare, Proposal, Status, ViewChange
from sim.behaviour import Behaviour, Stand

REMEMBERED_MAX = 300
AHEAD = 30
"""Sequences beyond the voted one that a replica votes ahead: across every boundary and watermark."""


class VoteTwice(Behaviour):
    """Beside each vote another for a digest of its own making, to everyone."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        match send.message:
            case Prepare() as vote:
                return send, Send(send.to, self.stand.sign(msgspec.structs.replace(vote, digest=self._other())))
            case Commit() as vote_:
                return send, Send(send.to, self.stand.sign(msgspec.structs.replace(vote_, digest=self._other())))
            case _:
                return (send,)

    def _other(self) -> bytes:
        return self.stand.chance.randbytes(32)


class VoteAhead(Behaviour):
    """Votes for sequences and views that nobody proposed yet, above watermarks and epoch boundaries."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        vote = send.message
        if not isinstance(vote, Commit) or send.to is not None:
            return (send,)
        what = (vote.view + self.stand.chance.randrange(2), vote.sequence + 1 + self.stand.chance.randrange(AHEAD))
        digest = self.stand.chance.choice([vote.digest, self.stand.chance.randbytes(32)])
        early = (Prepare(*what, digest, self.stand.me), Commit(*what, digest, self.stand.me))
        return send, Send(None, self.stand.sign(early[0])), Send(None, self.stand.sign(early[1]))


class Withhold(Behaviour):
    """Says nothing but its status to some of the others; ``share_percent`` of them, chosen again for each view."""

    def __init__(self, stand: Stand, share_percent: int = 50) -> None:
        super().__init__(stand)
        self._share_percent = share_percent
        self._deprived: dict[int, frozenset[int]] = {}

    def outgoing(self, send: Send) -> Sequence[Send]:
        if isinstance(send.message, Status):
            return (send,)
        deprived = self._of_view(self.stand.node.replica.view)
        if send.to is not None:
            return () if send.to in deprived else (send,)
        return [Send(to, send.message) for to in self.stand.others if to not in deprived]

    def _of_view(self, view: int) -> frozenset[int]:
        if view not in self._deprived:
            others = self.stand.others
            count = max(1, len(others) * self._share_percent // 100)
            self._deprived[view] = frozenset(self.stand.chance.sample(others, count))
        return self._deprived[view]


class Replay(Behaviour):
    """Sends what it sent or heard before once more, to somebody, with every message of its own."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._known: deque[Message] = deque(maxlen=REMEMBERED_MAX)

    def incoming(self, sender: int, message: Message) -> bool:
        self._known.append(message)
        return True

    def outgoing(self, send: Send) -> Sequence[Send]:
        self._known.append(send.message)
        old = self._known[self.stand.chance.randrange(len(self._known))]
        return send, Send(self.stand.chance.choice(self.stand.others), old)


class ReuseSignatures(Behaviour):
    """Puts a vote's signature under the vote of the other phase, of the next view and of the next sequence."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        vote = send.message
        if not isinstance(vote, Prepare | Commit):
            return (send,)
        other = Commit if isinstance(vote, Prepare) else Prepare
        fields = (vote.view, vote.sequence, vote.digest, vote.sender, vote.signature)
        stolen: list[Any] = [
            other(*fields),
            msgspec.structs.replace(vote, view=vote.view + 1),
            msgspec.structs.replace(vote, sequence=vote.sequence + 1),
            msgspec.structs.replace(vote, digest=bytes(32)),
            Complaint(vote.view, vote.sender, vote.signature),
        ]
        return [send, *(Send(send.to, message) for message in stolen)]


class Impersonate(Behaviour):
    """Passes others' votes on as its own words, and its own as theirs."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        vote = send.message
        if not isinstance(vote, Prepare | Commit | Outcome | Complaint):
            return (send,)
        victim = self.stand.chance.choice(self.stand.others)
        return send, Send(send.to, msgspec.structs.replace(vote, sender=victim))


class Mute(Behaviour):
    """Sends no messages of some kinds: a replica that proposes but does not vote, or votes but does not certify."""

    KINDS: tuple[type, ...] = (Proposal, Prepare, Commit, Outcome, ViewChange, NewView)

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._silent = frozenset(stand.chance.sample([kind.__name__ for kind in self.KINDS], 2))

    def outgoing(self, send: Send) -> Sequence[Send]:
        return () if type(send.message).__name__ in self._silent else (send,)


class Silent(Behaviour):
    """Sends nothing at all."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        return ()
