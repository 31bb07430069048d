"""What a run counts: messages and bytes by sequence and phase, and each transaction's way to its certificate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pbft.messages import Commit, Message, Outcome, Prepare, Proposal
from sim.scale.theory import Counts


@dataclass(slots=True)
class Decision:
    """The traffic of one sequence."""

    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    bytes: int = 0
    transactions: int = 0
    certified_at: int | None = None
    """When the first replica had the certificate."""

    @property
    def messages(self) -> Counts:
        return Counts(*self.counts)


@dataclass(slots=True)
class Sample:
    """One transaction: when and where it was submitted, and when that node had its certificate."""

    submitted_at: int
    node: int
    certified_at: int | None = None


def phase_of(message: Message) -> tuple[int, int] | None:
    """(phase, sequence) of a message that a decision is made of."""
    match message:
        case Proposal(pre_prepare, _):
            return 0, pre_prepare.sequence
        case Prepare():
            return 1, message.sequence
        case Commit():
            return 2, message.sequence
        case Outcome(statement, _, _):
            return 3, statement.height
        case _:
            return None


class Tally:
    """One run's counts."""

    def __init__(self) -> None:
        self.decisions: dict[int, Decision] = {}
        self.other: Counter[str] = Counter()
        self.other_bytes: Counter[str] = Counter()
        self.samples: dict[bytes, Sample] = {}
        self.refused = 0
        self.waiting = 0
        """Transactions submitted but not yet certified where they were submitted."""
        self.steps = 0

    def sent(self, message: Message, size: int, copies: int) -> None:
        phase = phase_of(message)
        if phase is None:
            kind = type(message).__name__
            self.other[kind] += copies
            self.other_bytes[kind] += size * copies
            return
        decision = self.decisions.get(phase[1])
        if decision is None:
            decision = self.decisions[phase[1]] = Decision()
        decision.counts[phase[0]] += copies
        decision.bytes += size * copies

    def submitted(self, tx_id: bytes, now: int, node: int) -> None:
        self.samples[tx_id] = Sample(now, node)
        self.waiting += 1

    def refuse(self, tx_id: bytes) -> None:
        self.refused += 1
        self._done(tx_id)

    def certified(self, node: int, height: int, tx_ids: tuple[bytes, ...], now: int) -> None:
        """``node`` has the certificate of the block that holds ``tx_ids``."""
        decision = self.decisions[height]
        if decision.certified_at is None:
            decision.certified_at = now
            decision.transactions = len(tx_ids)
        for tx_id in tx_ids:
            sample = self.samples.get(tx_id)
            if sample is not None and sample.node == node and sample.certified_at is None:
                sample.certified_at = now
                self.waiting -= 1

    def _done(self, tx_id: bytes) -> None:
        if self.samples.pop(tx_id, None) is not None:
            self.waiting -= 1
