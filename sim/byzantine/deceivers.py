"""A primary that deceives one backup at a time: f of them alone end no view, whatever they have to complain of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pbft.events import PoolRequest, Send
from pbft.messages import Commit, Complaint, Proposal, decode_batch
from sim.behaviour import Behaviour, Stand
from sim.byzantine.proposals import rebatched

LATE_MS = 700
"""How long it keeps its own COMMIT: below every time-out."""
BELATED_MS = 120
"""How much later than the others one backup gets a proposal: on its way, it grows too old."""
SLACK_MS = 50
"""How far from too old for the others."""


class _Deceiver(Behaviour, ABC):
    """``_deceived(proposal)``: whom to send what in its place, asked once a view and sequence. It never complains of
    itself."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._lies: dict[tuple[int, int], tuple[int, Proposal] | None] = {}

    def outgoing(self, send: Send) -> Sequence[Send]:
        message, stand = send.message, self.stand
        if isinstance(message, Complaint) and stand.config.primary(message.view) == stand.me:
            return ()
        if not isinstance(message, Proposal) or message.pre_prepare.sender != stand.me:
            return (send,)
        place = (message.pre_prepare.view, message.pre_prepare.sequence)
        if place not in self._lies:
            self._lies[place] = self._deceived(message)
        lie = self._lies[place]
        if lie is None:
            return (send,)
        to = stand.others if send.to is None else [send.to]
        return [Send(other, lie[1] if other == lie[0] else message) for other in to]

    @abstractmethod
    def _deceived(self, message: Proposal) -> tuple[int, Proposal] | None:
        """To whom something else is proposed than ``message``, and what; None: to nobody."""

    def _honest(self) -> list[int]:
        liars = {node.config.index for node in self.stand.liars}
        return [index for index in self.stand.others if index not in liars]

    def _signed(self, message: Proposal, envelopes: Sequence[bytes]) -> Proposal:
        other = rebatched(message, envelopes)
        return Proposal(self.stand.sign(other.pre_prepare), other.body)


class HideRequests(_Deceiver):
    """As primary, orders nothing of one client, the first that is seen; each backup in turn gets a proposal with what
    it wants in place of the one that commits, so that all have seen it proposed."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self._victim: str | None = None
        self._hidden: dict[bytes, bytes] = {}
        self._shown: dict[int, set[bytes]] = {}

    def admits(self, request: PoolRequest) -> bool:
        self._victim = self._victim or request.client
        if request.client == self._victim:
            self._hidden[request.tx_id] = request.envelope
        return request.client != self._victim

    def _deceived(self, message: Proposal) -> tuple[int, Proposal] | None:
        for to in self._honest():
            shown = self._shown.setdefault(to, set())
            fresh = [raw for tx_id, raw in self._hidden.items() if tx_id not in shown]
            if fresh and message.body:
                shown.update(self._hidden)
                return to, self._signed(message, (*decode_batch(message.body).envelopes, *fresh))
        return None


class LateCommit(_Deceiver):
    """As primary, keeps its COMMIT almost until somebody complains, and has the others wait for it: one backup, always
    the same, gets empty proposals of its own, so that it can't vote for theirs."""

    def __init__(self, stand: Stand, hold_ms: int = LATE_MS) -> None:
        super().__init__(stand)
        self._hold_ms = hold_ms

    def outgoing(self, send: Send) -> Sequence[Send]:
        if isinstance(send.message, Commit) and self.stand.leads:
            self.stand.later(self._hold_ms, lambda: self.stand.emit(send))
            return ()
        return super().outgoing(send)

    def _deceived(self, message: Proposal) -> tuple[int, Proposal] | None:
        return (self._honest()[-1], self._signed(message, ())) if message.body else None


class DateBack(LateCommit):
    """Likewise by its clock, which is almost too slow: what that backup gets comes late, and is too old by then."""

    def begin(self) -> None:
        node = self.stand.node
        node.skew_ms -= self.stand.world.config_of(self.stand.world.genesis.epoch, 0, leaving=False).clock_tolerance_ms
        node.skew_ms += SLACK_MS

    def outgoing(self, send: Send) -> Sequence[Send]:
        found = []
        for item in super().outgoing(send):
            if isinstance(item.message, Proposal) and item.to == self._honest()[-1]:
                self.stand.later(BELATED_MS, lambda late=item: self.stand.emit(late))  # type: ignore[misc]
            else:
                found.append(item)
        return found

    def _deceived(self, message: Proposal) -> tuple[int, Proposal] | None:
        return self._honest()[-1], message
