"""The message log: what a replica knows of each sequence between the watermarks (OSDI '99, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pbft.messages import Commit, Prepare, PreparedCertificate, PrePrepare

Vote = TypeVar("Vote", Prepare, Commit)
Choice = tuple[int, bytes]
"""A view and a digest."""


class Votes:
    """One kind of votes on one sequence. A sender has one place: its highest view's vote."""

    __slots__ = ("_by_sender", "_tally")

    def __init__(self) -> None:
        self._by_sender: dict[int, Prepare | Commit] = {}
        self._tally: dict[Choice, int] = {}

    def get(self, sender: int) -> Prepare | Commit | None:
        return self._by_sender.get(sender)

    def put(self, vote: Prepare | Commit) -> None:
        """Take a vote in, in the place of an earlier view's."""
        before = self._by_sender.get(vote.sender)
        if before is not None:
            old = (before.view, before.digest)
            self._tally[old] -= 1
            if not self._tally[old]:
                del self._tally[old]
        self._by_sender[vote.sender] = vote
        choice = (vote.view, vote.digest)
        self._tally[choice] = self._tally.get(choice, 0) + 1

    def count(self, choice: Choice) -> int:
        return self._tally.get(choice, 0)

    def senders(self, choice: Choice) -> list[int]:
        """Who voted so, ascending."""
        return sorted(s for s, vote in self._by_sender.items() if (vote.view, vote.digest) == choice)


@dataclass(slots=True)
class Slot:
    """One sequence."""

    sequence: int
    accepted: PrePrepare | None = None
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    """Batches by digest: at most the accepted, the prepared and the committed one."""
    prepares: Votes = field(default_factory=Votes)
    commits: Votes = field(default_factory=Votes)
    prepared: PreparedCertificate | None = None
    committed: bytes | None = None
    """The digest that committed here; never changes once set."""
    voted_ms: int = 0
    fetching: bool = False

    @property
    def choice(self) -> Choice:
        """What the accepted pre-prepare asks to vote for."""
        assert self.accepted is not None, "only asked about an accepted slot"
        return self.accepted.view, self.accepted.digest

    def matching_prepares(self) -> list[Prepare]:
        """Prepares of backups for the accepted pre-prepare, by sender."""
        assert self.accepted is not None, "only asked about an accepted slot"
        found = [self.prepares.get(sender) for sender in self.prepares.senders(self.choice)]
        return [vote for vote in found if isinstance(vote, Prepare) and vote.sender != self.accepted.sender]

    def is_prepared(self) -> bool:
        """Whether the accepted pre-prepare has its prepared certificate."""
        return self.prepared is not None and self.prepared.pre_prepare == self.accepted

    def keep(self, digest: bytes, body: bytes) -> None:
        """Keep a batch, and only those others that may still be asked for."""
        wanted = {digest, self.committed}
        if self.accepted is not None:
            wanted.add(self.accepted.digest)
        if self.prepared is not None:
            wanted.add(self.prepared.pre_prepare.digest)
        for other in [known for known in self.bodies if known not in wanted]:
            del self.bodies[other]
        self.bodies[digest] = body

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
