"""Floods: well-signed votes of future views and sequences, view changes, garbage, and questions that cost answers."""

from __future__ import annotations

from collections.abc import Callable

from pbft.events import Send
from pbft.messages import (
    BatchBody,
    Commit,
    Complaint,
    FetchBatch,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Forward,
    Message,
    Outcome,
    Prepare,
    PrePrepare,
    Proposal,
    Statement,
    ViewChange,
)
from sim.behaviour import Behaviour, Stand

EVERY_MS = 50
FAR = 1_000
BODY_BYTES = 2_000


class Flood(Behaviour):
    """``count`` messages of some kind every 50 ms to everyone, as long as the chaos lasts."""

    def __init__(self, stand: Stand, count: int = 6) -> None:
        super().__init__(stand)
        self._count = count
        self._kinds: list[Callable[[], Message]] = [
            self._prepare,
            self._commit,
            self._outcome,
            self._proposal,
            self._view_change,
            lambda: stand.sign(Complaint(self._view(), stand.me, height=stand.certified)),
            lambda: BatchBody(stand.chance.randbytes(BODY_BYTES)),
            lambda: Forward((stand.chance.randbytes(BODY_BYTES),)),
            lambda: FetchBatch(stand.chance.randbytes(32)),
            lambda: FetchBlocks(1, FAR),
            lambda: FetchManifest(0),
            lambda: FetchChunk(8 * stand.chance.randrange(20), stand.chance.randrange(20)),
        ]

    def begin(self) -> None:
        self.stand.later(EVERY_MS, self._flood)

    def _flood(self) -> None:
        for _ in range(self._count):
            self.stand.emit(Send(None, self.stand.chance.choice(self._kinds)()))
        if self.stand.world.now_ms < self.stand.world.plan.chaos_ms:
            self.stand.later(EVERY_MS, self._flood)

    def _view(self) -> int:
        return self.stand.node.replica.view + self.stand.chance.randrange(FAR)

    def _what(self) -> tuple[int, int, bytes, int]:
        sequence = self.stand.node.replica.core.executed + self.stand.chance.randrange(FAR)
        return self._view(), sequence, self.stand.chance.randbytes(32), self.stand.me

    def _prepare(self) -> Message:
        return self.stand.sign(Prepare(*self._what()))

    def _commit(self) -> Message:
        return self.stand.sign(Commit(*self._what()))

    def _proposal(self) -> Message:
        return Proposal(self.stand.sign(PrePrepare(*self._what())), self.stand.chance.randbytes(BODY_BYTES))

    def _view_change(self) -> Message:
        return self.stand.sign(ViewChange(self._view() + 1, None, (), self.stand.me))

    def _outcome(self) -> Message:
        height = self.stand.node.replica.core.executed + self.stand.chance.randrange(FAR)
        statement = Statement(height, *(self.stand.chance.randbytes(32) for _ in range(4)))
        return self.stand.sign(Outcome(statement, self.stand.me))
