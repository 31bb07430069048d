"""The message log: what a replica knows of each sequence between the watermarks (OSDI '99, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pbft.messages import Commit, Prepare, PreparedCertificate, PrePrepare


@dataclass(slots=True)
class Slot:
    """One sequence. A sender has one place for its prepare and one for its commit: the highest view's."""

    sequence: int
    accepted: PrePrepare | None = None
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    tx_ids: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    prepares: dict[int, Prepare] = field(default_factory=dict)
    commits: dict[int, Commit] = field(default_factory=dict)
    prepared: PreparedCertificate | None = None
    committed: bytes | None = None
    """The digest that committed here; never changes once set."""
    voted_ms: int = 0
    fetching: bool = False

    def matching_prepares(self) -> list[Prepare]:
        """Prepares of backups for the accepted pre-prepare, by sender."""
        assert self.accepted is not None, "only asked about an accepted slot"
        wanted = (self.accepted.view, self.accepted.digest)
        primary = self.accepted.sender
        return [
            self.prepares[sender]
            for sender in sorted(self.prepares)
            if sender != primary and (self.prepares[sender].view, self.prepares[sender].digest) == wanted
        ]

    def matching_commits(self) -> int:
        assert self.accepted is not None, "only asked about an accepted slot"
        wanted = (self.accepted.view, self.accepted.digest)
        return sum(1 for vote in self.commits.values() if (vote.view, vote.digest) == wanted)

    def is_prepared(self) -> bool:
        """Whether the accepted pre-prepare has its prepared certificate."""
        return self.prepared is not None and self.prepared.pre_prepare == self.accepted

    def forget_view(self) -> None:
        """A new view begins: what was accepted in the old one no longer counts; certificates stay."""
        self.accepted = None
        self.fetching = False


class Log:
    """Slots by sequence, only for those above the low watermark and up to the high one."""

    def __init__(self) -> None:
        self.slots: dict[int, Slot] = {}

    def slot(self, sequence: int) -> Slot:
        found = self.slots.get(sequence)
        if found is None:
            found = self.slots[sequence] = Slot(sequence)
        return found

    def ascending(self) -> list[Slot]:
        return [self.slots[sequence] for sequence in sorted(self.slots)]

    def drop_below(self, low: int) -> None:
        for sequence in [known for known in self.slots if known <= low]:
            del self.slots[sequence]
