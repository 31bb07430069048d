"""One vote for each (sender, phase, view, sequence): noted as messages leave honest replicas."""

from __future__ import annotations

from pbft.messages import Commit, Message, Outcome, Prepare, PrePrepare, Proposal, ViewChange


class VoteBook:
    """Remembers what each replica signed; ``faults`` are sentences about those who signed two things."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, int, int], bytes] = {}
        self.faults: list[str] = []

    def note(self, sender: int, message: Message, boundary: int | None = None) -> None:
        """Take note of a message; those passed on for others are not the sender's own. ``boundary``: the last height
        of the epoch, if the sender knows it."""
        inner = message.pre_prepare if isinstance(message, Proposal) else message
        if boundary is not None and isinstance(inner, PrePrepare | Prepare | Commit) and inner.sequence > boundary:
            self.faults.append(f"boundary: replica {sender} voted at {inner.sequence}, above {boundary}")
        match message:
            case Proposal(pre_prepare, _):
                self._vote(sender, pre_prepare)
            case Prepare() | Commit():
                self._vote(sender, message)
            case Outcome(statement, _, _):
                self._place(sender, "outcome", 0, statement.height, statement.state_root + statement.header_hash)
            case ViewChange(view, _, _, _, signature):
                self._place(sender, "view-change", view, 0, signature)
            case _:
                pass

    def _vote(self, sender: int, vote: PrePrepare | Prepare | Commit) -> None:
        self._place(sender, type(vote).__name__, vote.view, vote.sequence, vote.digest)

    def _place(self, sender: int, phase: str, view: int, sequence: int, content: bytes) -> None:
        known = self._known.setdefault((sender, phase, view, sequence), content)
        if known != content:
            self.faults.append(f"one vote: replica {sender} signed two {phase}s at view {view}, sequence {sequence}")
