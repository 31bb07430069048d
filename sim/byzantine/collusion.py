"""Colluders: one proposes two batches, and all of them vote for the one where it was sent, and for the other there.

With f of them no two quorums can differ; with f + 1 they must be seen to break agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pbft.events import Send
from pbft.messages import Commit, Outcome, Prepare, PrePrepare, Proposal, decode_batch
from sim.behaviour import Behaviour
from sim.byzantine.proposals import rebatched, votes_for

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
        twin = rebatched(message, decode_batch(message.body).envelopes, later_ms=1)
        twin = Proposal(stand.sign(twin.pre_prepare), twin.body)
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
