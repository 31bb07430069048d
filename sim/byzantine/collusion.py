"""Colluders: one proposes two batches, and all of them vote for the one where it was sent, and for the other there.

With f of them no two quorums can differ; with f + 1 they must be seen to break agreement. ``Collude`` knows the other
colluders and uses their keys; ``AgreeWithAll`` needs to know nobody, and so can be told by real nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pbft.events import Send
from pbft.messages import CertifiedBlock, Commit, Message, Outcome, Prepare, PrePrepare, Proposal
from sim.behaviour import Behaviour, Stand
from sim.byzantine.proposals import twin_of, votes_for

PLOTS = "plots"


class Collude(Behaviour):
    """As primary splits the honest in two; as any colluder votes in each half for that half's batch."""

    def outgoing(self, send: Send) -> Sequence[Send]:
        match send.message:
            case Proposal() as message if message.pre_prepare.sender == self.stand.me and send.to is None:
                return self._split(message)
            case Prepare() | Commit() as vote if (vote.view, vote.sequence) in self._plots:
                return ()
            case Outcome():
                return ()
            case _:
                return (send,)

    @property
    def _plots(self) -> dict[tuple[int, int], Any]:
        plots: dict[tuple[int, int], Any] = self.stand.cabal.setdefault(PLOTS, {})
        return plots

    def _split(self, message: Proposal) -> Sequence[Send]:
        stand = self.stand
        twin = twin_of(stand, message)
        liars = {node.config.index for node in stand.liars}
        honest = [index for index in range(stand.config.n) if index not in liars]
        half = len(honest) // 2
        sides = ((message, honest[:half]), (twin, honest[half:]))
        self._plots[message.pre_prepare.view, message.pre_prepare.sequence] = sides
        sends = [Send(to, proposal) for proposal, side in sides for to in side]
        sends += [Send(liar, message) for liar in liars if liar != stand.me]
        for liar in stand.liars:
            self._vote(liar.behaviours, sides)
        return sends

    def _vote(self, behaviours: Sequence[Behaviour], sides: Sequence[tuple[Proposal, list[int]]]) -> None:
        """Every colluder votes at once, each in its own name."""
        for behaviour in behaviours:
            if isinstance(behaviour, Collude):
                for proposal, side in sides:
                    behaviour.vote(proposal.pre_prepare, side)

    def vote(self, proposal: PrePrepare, side: Sequence[int]) -> None:
        """Our votes for one side's batch, to that side; a primary has no prepare."""
        prepare, commit = votes_for(self.stand, proposal)
        for to in side:
            if proposal.sender != self.stand.me:
                self.stand.emit(Send(to, prepare))
            self.stand.emit(Send(to, commit))


class AgreeWithAll(Behaviour):
    """As primary, one batch to every other backup and another to the rest; and to each of the others, alone, the same
    vote, and the same outcome, as it has just given.

    Two such liars would answer each other for ever: each message is answered once, in the order of its sequences.
    """

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._answered: dict[tuple[int, type], tuple[int, int]] = {}

    def outgoing(self, send: Send) -> Sequence[Send]:
        match send.message:
            case Proposal() as message if message.pre_prepare.sender == self.stand.me and send.to is None:
                return self._split(message)
            case Prepare() | Commit() | Outcome():
                return ()
            case _:
                return (send,)

    def incoming(self, sender: int, message: Message) -> bool:
        match message:
            case Proposal(PrePrepare() as vote) | (Prepare() as vote) | (Commit() as vote):
                if vote.sender == sender and self._is_new(sender, type(message), (vote.view, vote.sequence)):
                    self._echo(sender, message, vote)
            case Outcome(statement) if self._is_new(sender, Outcome, (0, statement.height)):
                self.stand.emit(Send(sender, self.stand.sign(Outcome(statement, self.stand.me))))
        return not isinstance(
            message, CertifiedBlock
        )  # our replica knows of one truth, or it would end by its assertions

    def _echo(self, sender: int, message: Message, vote: PrePrepare | Prepare | Commit) -> None:
        """A primary has no prepare."""
        prepare, commit = votes_for(self.stand, vote)
        if not isinstance(message, Commit) and self.stand.config.primary(vote.view) != self.stand.me:
            self.stand.emit(Send(sender, prepare))
        self.stand.emit(Send(sender, commit))

    def _is_new(self, sender: int, kind: type, when: tuple[int, int]) -> bool:
        if when <= self._answered.get((sender, kind), (-1, -1)):
            return False
        self._answered[sender, kind] = when
        return True

    def _split(self, message: Proposal) -> Sequence[Send]:
        two = message, twin_of(self.stand, message)
        return [Send(to, two[place % 2]) for place, to in enumerate(self.stand.others)]
