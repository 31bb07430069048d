"""Normal case: pre-prepare, prepare, commit, several sequences in flight (OSDI '99, sections 4.2 and 4.3).

A replica accepts one pre-prepare for each (view, sequence), prepares it, holds a prepared certificate at q - 1
matching prepares of backups, commits, and executes in order once q commits match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pbft.core import Core
from pbft.events import AlarmKind, CheckedBatch, Execute, PoolRequest, RejectReason
from pbft.log import Slot
from pbft.messages import (
    NULL_DIGEST,
    Batch,
    BatchBody,
    Commit,
    FetchBatch,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Statement,
    batch_digest,
    encode_batch,
)
from pbft.records import Accepted, Prepared

Vote = TypeVar("Vote", Prepare, Commit)


class NormalCase:
    """Votes on sequences of the current view."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._proposed_ms = 0

    # ------------------------------------------------------------------------------------------- as primary

    def propose(self) -> None:
        """Make as many batches as requests, pipeline and watermarks allow; an empty one when idle for long."""
        core = self._core
        while core.is_primary and core.next_sequence <= core.high:
            in_flight = core.next_sequence - 1 - core.executed
            if in_flight >= core.config.pipeline_depth:
                return
            if core.pool.due(core.now.timer_ms, in_flight <= 0):
                self._propose(core.pool.take())
            elif in_flight <= 0 and core.now.timer_ms >= self._proposed_ms + core.config.block_idle_ms_max:
                self._propose([])
            else:
                return

    def _propose(self, requests: Sequence[PoolRequest]) -> None:
        core = self._core
        envelopes = tuple(request.envelope for request in requests)
        hashes = b"".join([request.envelope_hash for request in requests])
        tx_ids = tuple(request.tx_id for request in requests)
        channel, time_ms = core.scope.channel, core.now.clock_ms
        body = encode_batch(Batch(channel, time_ms, envelopes))
        digest = batch_digest(channel, time_ms, hashes)
        proposal = core.sign(PrePrepare(core.view, core.next_sequence, digest, core.me))
        core.next_sequence += 1
        self._proposed_ms = core.now.timer_ms
        slot = core.log.slot(proposal.sequence)
        self._keep(slot, digest, body, tx_ids)
        slot.accepted = proposal
        slot.voted_ms = core.now.timer_ms
        core.persist(Accepted(proposal, body))
        core.broadcast(Proposal(proposal, body))
        core.pool.mark_proposed(tx_ids, proposal.sequence)
        self.advance(slot)

    def wake_ms(self) -> int | None:
        """When the primary wants to look again."""
        core = self._core
        if not core.is_primary or core.next_sequence > core.high:
            return None
        in_flight = core.next_sequence - 1 - core.executed
        if in_flight >= core.config.pipeline_depth:
            return None
        if in_flight > 0:
            return core.pool.due_at_ms()
        return self._proposed_ms + core.config.block_idle_ms_max

    # ------------------------------------------------------------------------------------------- as backup

    def on_proposal(self, sender: int, message: Proposal, batch: CheckedBatch) -> None:
        """A fresh proposal with its checked batch (section 4.2)."""
        core, proposal = self._core, message.pre_prepare
        if sender != proposal.sender or proposal.sender != core.config.primary(proposal.view):
            core.reject(sender, RejectReason.NOT_PRIMARY)
        elif proposal.view != core.view or not core.active or core.is_primary:
            core.reject(sender, RejectReason.WRONG_VIEW)
        elif not core.in_window(proposal.sequence):
            core.reject(sender, RejectReason.OUTSIDE_WATERMARKS)
        elif batch.digest != proposal.digest:
            core.reject(sender, RejectReason.CONFLICTING_PROPOSAL)
        else:
            self._on_proposal(sender, proposal, batch)

    def _on_proposal(self, sender: int, proposal: PrePrepare, batch: CheckedBatch) -> None:
        core = self._core
        slot = core.log.slot(proposal.sequence)
        if slot.accepted is not None:
            if slot.accepted.digest != proposal.digest:
                core.reject(sender, RejectReason.CONFLICTING_PROPOSAL)
                core.alarm(AlarmKind.EQUIVOCATION, f"primary {sender} proposed twice at {proposal.sequence}")
            return
        if abs(batch.proposed_time_ms - core.now.clock_ms) > core.config.clock_tolerance_ms:
            core.reject(sender, RejectReason.CLOCK_TOLERANCE)
            return
        core.progress_ms = core.now.timer_ms
        core.pool.mark_proposed(batch.tx_ids, proposal.sequence)
        self.accept(slot, proposal, batch.body, batch.tx_ids)

    def accept(self, slot: Slot, proposal: PrePrepare, body: bytes, tx_ids: tuple[bytes, ...]) -> None:
        """Take a pre-prepare and vote for it; its batch is at hand and lawful."""
        core = self._core
        self._keep(slot, proposal.digest, body, tx_ids)
        slot.accepted = proposal
        slot.voted_ms = core.now.timer_ms
        core.persist(Accepted(proposal, body))
        if proposal.sender != core.me:
            vote = core.sign(Prepare(proposal.view, proposal.sequence, proposal.digest, core.me))
            slot.prepares[core.me] = vote
            core.broadcast(vote)
        self.advance(slot)

    def _keep(self, slot: Slot, digest: bytes, body: bytes, tx_ids: tuple[bytes, ...]) -> None:
        slot.bodies[digest] = body
        slot.tx_ids[digest] = tx_ids

    def on_prepare(self, vote: Prepare) -> None:
        core = self._core
        if vote.sender == core.config.primary(vote.view):
            core.reject(vote.sender, RejectReason.NOT_PRIMARY)
        elif self._is_welcome(vote):
            slot = core.log.slot(vote.sequence)
            if self._place(slot.prepares, vote):
                self.advance(slot)

    def on_commit(self, vote: Commit) -> None:
        if self._is_welcome(vote):
            slot = self._core.log.slot(vote.sequence)
            if self._place(slot.commits, vote):
                self.advance(slot)

    def _is_welcome(self, vote: Prepare | Commit) -> bool:
        """Votes of this and later views are kept: a NEW-VIEW may still be on its way."""
        core = self._core
        if not core.in_window(vote.sequence):
            core.reject(vote.sender, RejectReason.OUTSIDE_WATERMARKS)
            return False
        if vote.view < core.view:
            core.reject(vote.sender, RejectReason.WRONG_VIEW)
            return False
        return True

    def _place(self, votes: dict[int, Vote], vote: Vote) -> bool:
        """One place a sender: the highest view's vote. A second one in the same view is a fault."""
        known = votes.get(vote.sender)
        if known is not None and known.view >= vote.view:
            if known.view == vote.view and known.digest != vote.digest:
                self._core.reject(vote.sender, RejectReason.CONFLICTING_VOTE)
                self._core.alarm(AlarmKind.EQUIVOCATION, f"replica {vote.sender} voted twice at {vote.sequence}")
            return False
        votes[vote.sender] = vote
        return True

    def advance(self, slot: Slot) -> None:
        """Move a slot as far as its votes allow: prepared, committed, executed."""
        core = self._core
        accepted = slot.accepted
        if accepted is None or accepted.view != core.view or not core.active:
            return
        if not slot.is_prepared():
            prepares = slot.matching_prepares()
            if accepted.digest not in slot.bodies or len(prepares) < core.config.q - 1:
                return
            slot.prepared = PreparedCertificate(accepted, tuple(prepares[: core.config.q - 1]))
            core.persist(Prepared(slot.prepared))
            vote = core.sign(Commit(accepted.view, accepted.sequence, accepted.digest, core.me))
            slot.commits[core.me] = vote
            core.broadcast(vote)
        if slot.committed is None and slot.matching_commits() >= core.config.q:
            self.commit(slot, accepted.digest)

    def commit(self, slot: Slot, digest: bytes) -> None:
        """The batch with ``digest`` is settled at this sequence for good."""
        assert slot.committed in (None, digest), "two batches committed at one sequence"
        slot.committed = digest
        self._core.progress_ms = self._core.now.timer_ms
        self.execute_ready()

    def execute_ready(self, expected: Statement | None = None) -> None:
        """Hand settled batches to execution, in order, without gaps."""
        core = self._core
        while (slot := core.log.slots.get(core.ordered + 1)) is not None and slot.committed is not None:
            digest = slot.committed
            body = slot.bodies.get(digest)
            if body is None:
                return
            accepted = slot.accepted
            view = accepted.view if accepted is not None else core.view
            core.ordered += 1
            core.out.execute.append(Execute(core.ordered, digest, body, view, core.config.primary(view), expected))

    # ------------------------------------------------------------------------------------------- outcomes

    def on_executed(self, statement: Statement, tx_ids: Sequence[bytes]) -> None:
        """Our execution thread finished a block: sign its outcome, unless a certificate contradicts it."""
        core = self._core
        assert statement.height == core.executed + 1, "blocks finish in order"
        core.executed = statement.height
        core.progress_ms = core.now.timer_ms
        core.pool.remove(tx_ids)
        core.outcomes.executed(statement)
        if core.diverged or core.outcomes.contradicted(statement.height):
            self.diverge(statement.height)
            return
        outcome = core.sign(Outcome(statement, core.me))
        core.outcomes.add(outcome)
        core.broadcast(outcome)
        self.certify()

    def on_outcome(self, sender: int, outcome: Outcome) -> None:
        if not self._core.outcomes.add(outcome):
            self._core.reject(sender, RejectReason.USELESS)
            return
        if self._core.outcomes.contradicted(outcome.statement.height):
            self.diverge(outcome.statement.height)
        self.certify()

    def certify(self) -> None:
        """Note new certificates; every K blocks move the watermarks and cut the log (section 4.3)."""
        core = self._core
        certificates = core.outcomes.advance()
        core.out.certified.extend(certificates)
        interval = core.config.checkpoint_interval_blocks
        stable = core.outcomes.certified // interval * interval
        if stable > core.low:
            core.low = stable
            core.log.drop_below(stable)
            core.out.truncate_below = stable

    def diverge(self, height: int) -> None:
        if not self._core.diverged:
            self._core.diverged = True
            self._core.alarm(AlarmKind.DIVERGED, f"a certificate contradicts our execution of block {height}")

    # ------------------------------------------------------------------------------- batches of a new view

    def on_batch_body(self, batch: CheckedBatch) -> None:
        """A batch that we asked for by digest."""
        for slot in self._core.log.ascending():
            if slot.fetching and slot.accepted is not None and slot.accepted.digest == batch.digest:
                slot.fetching = False
                self.accept(slot, slot.accepted, batch.body, batch.tx_ids)

    def adopt(self, proposal: PrePrepare) -> None:
        """A pre-prepare of a NEW-VIEW: vote at once if the batch is at hand or null, else fetch it first."""
        core = self._core
        if not core.in_window(proposal.sequence):
            return
        slot = core.log.slot(proposal.sequence)
        if proposal.digest == NULL_DIGEST:
            self.accept(slot, proposal, b"", ())
        elif proposal.digest in slot.bodies:
            self.accept(slot, proposal, slot.bodies[proposal.digest], slot.tx_ids[proposal.digest])
        else:
            slot.accepted = proposal
            slot.fetching = True
            core.broadcast(FetchBatch(proposal.digest))

    def fetch_again(self) -> None:
        for slot in self._core.log.ascending():
            if slot.fetching and slot.accepted is not None:
                self._core.broadcast(FetchBatch(slot.accepted.digest))

    def on_fetch_batch(self, sender: int, digest: bytes) -> None:
        for slot in self._core.log.ascending():
            body = slot.bodies.get(digest)
            if body:
                self._core.send(sender, BatchBody(body))
                return
        self._core.reject(sender, RejectReason.USELESS)
