"""Normal case: pre-prepare, prepare, commit, several sequences in flight (OSDI '99, sections 4.2 and 4.3).

A replica accepts one pre-prepare for each (view, sequence), prepares it, holds a prepared certificate at q - 1
matching prepares of backups, commits, and executes in order once q commits match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pbft.core import Core
from pbft.events import AlarmKind, CheckedBatch, Execute, Executed, PoolRequest, RejectReason
from pbft.evidence import EvidenceKind
from pbft.log import Slot, Votes
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
    batch_digest,
    encode_batch,
)
from pbft.ordering import owed_beside
from pbft.records import Accepted, Prepared

AHEAD = 2
"""How many pipelines beyond what is ordered here a correct primary may be. What is proposed farther ahead than that
is voted for, but is not served yet: its clients go on waiting."""


MISSED_SHARE = 4
"""A quarter of the status interval after f + 1 others have prepared it, a proposal that did not come is asked for."""


@dataclass(frozen=True, slots=True)
class _Proposed:
    """A proposal as it came: in which view, when, with what, and which requests had waited for a while."""

    view: int
    at_ms: int
    requests: Sequence[PoolRequest]
    waiting: Sequence[PoolRequest]


class NormalCase:
    """Votes on sequences of the current view."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._proposed_ms = 0
        self._proposals: dict[int, _Proposed] = {}
        """What was proposed in this view at heights that have not executed; at most a window's."""
        self._missed: dict[int, tuple[bytes, int, int]] = {}
        """Sequences that others prepare and we were not sent: digest, when to ask for it, how often we did; at most a
        window's."""
        self._hopeless: set[int] = set()
        """Heights without hope for a certificate that an alarm was raised for; at most a window's."""

    # ------------------------------------------------------------------------------------------- as primary

    def propose(self) -> None:
        """Make as many batches as requests, pipeline and watermarks allow; an empty one when idle for long."""
        core = self._core
        while core.is_primary and core.next_sequence <= core.proposal_limit:
            in_flight = core.next_sequence - 1 - core.executed
            if in_flight >= core.config.pipeline_depth:
                return
            if core.pool.due(core.now.timer_ms, max(0, in_flight)):
                self._propose(core.pool.take())
            elif in_flight <= 0 and core.now.timer_ms >= self._proposed_ms + core.config.block_idle_ms_max:
                self._propose([])
            else:
                return

    def _propose(self, requests: Sequence[PoolRequest]) -> None:
        core = self._core
        envelopes = tuple(request.envelope for request in requests)
        hashes = b"".join([request.envelope_hash for request in requests])
        channel, time_ms = core.scope.channel, core.now.clock_ms
        body = encode_batch(Batch(channel, time_ms, envelopes))
        digest = batch_digest(channel, time_ms, hashes)
        proposal = core.sign(PrePrepare(core.view, core.next_sequence, digest, core.me))
        core.next_sequence += 1
        self._proposed_ms = core.now.timer_ms
        slot = core.log.slot(proposal.sequence)
        slot.keep(digest, body)
        slot.accepted = proposal
        slot.voted_ms = core.now.timer_ms
        core.persist(Accepted(proposal, body))
        core.broadcast(Proposal(proposal, body))
        self._note_proposed(proposal.sequence, requests)
        self.advance(slot)

    def wake_ms(self) -> int | None:
        """When the primary wants to look again."""
        core = self._core
        if not core.is_primary or core.next_sequence > core.proposal_limit:
            return None
        in_flight = core.next_sequence - 1 - core.executed
        if in_flight >= core.config.pipeline_depth:
            return None
        if in_flight > 0:
            return core.pool.due_at_ms(in_flight)
        return self._proposed_ms + core.config.block_idle_ms_max

    # ------------------------------------------------------------------------------------------- as backup

    def on_proposal(self, sender: int, message: Proposal, batch: CheckedBatch) -> None:
        """A fresh proposal with its checked batch (section 4.2).

        What a new view began above is settled or in its O: there the primary has nothing to propose.
        """
        core, proposal = self._core, message.pre_prepare
        if proposal.sender != core.config.primary(proposal.view):
            core.reject(sender, RejectReason.NOT_PRIMARY)
        elif proposal.view != core.view or not core.active or core.is_primary:
            core.reject(sender, RejectReason.WRONG_VIEW)
        elif not core.in_window(proposal.sequence):
            self._reject_outside(sender, proposal.sequence)
        elif proposal.sequence <= core.view_base:
            core.reject(sender, RejectReason.BELOW_VIEW)
        elif batch.digest != proposal.digest:
            core.reject(sender, RejectReason.CONFLICTING_PROPOSAL)
        else:
            self._on_proposal(sender, proposal, batch)

    def _on_proposal(self, sender: int, proposal: PrePrepare, batch: CheckedBatch) -> None:
        core = self._core
        slot = core.log.slot(proposal.sequence)
        if slot.accepted is not None:
            if slot.accepted.digest != proposal.digest:
                self._convict(sender, slot.accepted, proposal)
            return
        if proposal.sequence <= core.executed or slot.committed not in (None, proposal.digest):
            # Executed without our vote, or before a power cut that lost the vote but not the block.
            core.reject(sender, RejectReason.CONFLICTING_PROPOSAL)
            return
        if self._is_untimely(batch) and not self._is_vouched_for(slot, proposal.digest):
            core.reject(sender, RejectReason.CLOCK_TOLERANCE)
            return
        if proposal.sequence <= core.ordered + AHEAD * core.config.pipeline_depth:
            self._note_proposed(proposal.sequence, batch.requests)
        self.accept(slot, proposal, batch.body)

    def _is_untimely(self, batch: CheckedBatch) -> bool:
        return abs(batch.proposed_time_ms - self._core.now.clock_ms) > self._core.config.clock_tolerance_ms

    def _is_vouched_for(self, slot: Slot, digest: bytes) -> bool:
        """f + 1 replicas prepare it: one honest at least had it in time, and found it in order.

        Else a primary whose proposals are almost too old would reach as many as it needs, and be refused by the rest.
        """
        return slot.prepares.count((self._core.view, digest)) >= self._core.config.weak

    def _convict(self, sender: int, accepted: PrePrepare, other: PrePrepare) -> None:
        """The primary said two things about one sequence. ``sender`` may be an honest one who tells us so."""
        core = self._core
        if sender == other.sender:
            core.reject(sender, RejectReason.CONFLICTING_PROPOSAL)
        core.convict(EvidenceKind.TWO_PROPOSALS, accepted, other)
        core.caught_view = max(core.caught_view, other.view)

    def _note_proposed(self, sequence: int, requests: Sequence[PoolRequest]) -> None:
        """What a proposal is worth shows once it has executed: until then keep what it was, and what it passed over."""
        core = self._core
        core.pool.mark_proposed(requests, sequence)
        patience_ms = core.config.status_interval_ms
        waiting = core.pool.owed(core.now.timer_ms - patience_ms, core.config.batch_transactions_max)
        self._proposals[sequence] = _Proposed(core.view, core.now.timer_ms, requests, waiting)

    def _note_served(self, height: int, admitted: Sequence[bytes]) -> None:
        """Clients were served, and the primary did its work, by what was new in the block; what repeats is neither."""
        core, proposed = self._core, self._proposals.pop(height, None)
        if proposed is None or proposed.view != core.view:
            return
        known = frozenset(admitted)
        new = [request for request in proposed.requests if request.tx_id in known]
        core.pool.note_served(frozenset(request.client for request in new), proposed.at_ms)
        core.monitor.delivered(len(new), owed_beside(core.config, new, proposed.waiting))

    def accept(self, slot: Slot, proposal: PrePrepare, body: bytes) -> None:
        """Take a pre-prepare and vote for it; its batch is at hand and lawful."""
        core = self._core
        slot.keep(proposal.digest, body)
        slot.accepted = proposal
        slot.voted_ms = core.now.timer_ms
        core.persist(Accepted(proposal, body))
        if proposal.sender != core.me and core.votes:
            vote = core.sign(Prepare(proposal.view, proposal.sequence, proposal.digest, core.me))
            slot.prepares.put(vote)
            core.broadcast(vote)
        self.advance(slot)

    def _reject_outside(self, sender: int, sequence: int) -> None:
        core = self._core
        above = core.boundary is not None and sequence > core.boundary
        core.reject(sender, RejectReason.ABOVE_BOUNDARY if above else RejectReason.OUTSIDE_WATERMARKS)

    def on_second_proposal(self, sender: int, proposal: PrePrepare) -> None:
        """A pre-prepare that contradicts one that we accepted; its batch is of no interest, and was not looked at."""
        slot = self._core.log.slots.get(proposal.sequence)
        if slot is not None and slot.accepted is not None and is_equivocation(slot.accepted, proposal):
            self._convict(sender, slot.accepted, proposal)
        elif sender == proposal.sender:
            self._core.reject(sender, RejectReason.CONFLICTING_PROPOSAL)

    def on_prepare(self, vote: Prepare) -> None:
        core = self._core
        if vote.sender == core.config.primary(vote.view):
            core.reject(vote.sender, RejectReason.NOT_PRIMARY)
        elif self._is_welcome(vote):
            slot = core.log.slot(vote.sequence)
            if self._place(slot.prepares, vote):
                self._note_missed(slot, vote)
                self._note_deceit(slot, vote)
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
            self._reject_outside(vote.sender, vote.sequence)
            return False
        if vote.view < core.view:
            core.reject(vote.sender, RejectReason.WRONG_VIEW)
            return False
        return True

    def _place(self, votes: Votes, vote: Prepare | Commit) -> bool:
        """One place a sender: the highest view's vote. A second one in the same view is a fault."""
        known = votes.get(vote.sender)
        if known is not None and known.view >= vote.view:
            if known.view == vote.view and known.digest != vote.digest:
                kind = EvidenceKind.TWO_PREPARES if isinstance(vote, Prepare) else EvidenceKind.TWO_COMMITS
                self._core.reject(vote.sender, RejectReason.CONFLICTING_VOTE)
                self._core.convict(kind, known, vote)
            return False
        votes.put(vote)
        return True

    # ---------------------------------------------------------------------------------- missed proposals

    def _note_missed(self, slot: Slot, vote: Prepare) -> None:
        """f + 1 replicas prepare what we have not been sent: one honest at least has it, and may be asked for it."""
        core = self._core
        if slot.accepted is None and vote.sequence not in self._missed and self._is_missed(slot, vote.digest):
            patience_ms = core.config.status_interval_ms // MISSED_SHARE
            self._missed[vote.sequence] = (vote.digest, core.now.timer_ms + patience_ms, 0)

    def _is_missed(self, slot: Slot, digest: bytes) -> bool:
        core = self._core
        fresh = slot.sequence > max(core.view_base, core.executed)
        follows = core.active and not core.is_primary and fresh and core.in_window(slot.sequence)
        return follows and slot.accepted is None and self._is_vouched_for(slot, digest)

    def _note_deceit(self, slot: Slot, vote: Prepare) -> None:
        """f + 1 replicas prepare something else than the primary proposed to us: it lied to them or to us. We can't
        vote for theirs any more, nor prove anything alone; once a view they are shown what we were told: the proof.

        Else a lying primary would make f replicas mute, or hide what they wait for, and nobody else would know.
        """
        core, accepted = self._core, slot.accepted
        if accepted is None or accepted.view != core.view or not core.active or accepted.sender == core.me:
            return
        deceived = vote.view == core.view and vote.digest != accepted.digest and self._is_vouched_for(slot, vote.digest)
        body = slot.bodies.get(accepted.digest)
        if deceived and body and core.caught_view < core.view:
            core.caught_view = core.view
            core.broadcast(Proposal(accepted, body))

    def fetch_missed(self) -> None:
        """Ask those who have a proposal that the primary keeps from us, or sends late, one after another.

        Else a lying primary could be late to f replicas, whose complaints alone are no reason, and slow all others.
        """
        core = self._core
        for sequence, (digest, ask_at_ms, asked) in list(self._missed.items()):
            slot = core.log.slots.get(sequence)
            if slot is None or not self._is_missed(slot, digest):
                del self._missed[sequence]
            elif ask_at_ms <= core.now.timer_ms:
                senders = slot.prepares.senders((core.view, digest))
                core.send(senders[asked % len(senders)], FetchBatch(digest))
                self._missed[sequence] = (digest, core.now.timer_ms + core.config.status_interval_ms, asked + 1)

    def missed_wake_ms(self) -> int | None:
        return min((ask_at_ms for _, ask_at_ms, _ in self._missed.values()), default=None)

    # ------------------------------------------------------------------------------------------- advancing

    def advance(self, slot: Slot) -> None:
        """Move a slot as far as its votes allow: prepared, committed, executed."""
        core = self._core
        accepted = slot.accepted
        if accepted is None or accepted.view != core.view or not core.active:
            return
        if not slot.is_prepared():
            needed = core.config.q - 1
            if accepted.digest not in slot.bodies or slot.prepares.count(slot.choice) < needed:
                return
            slot.prepared = PreparedCertificate(accepted, tuple(slot.matching_prepares()[:needed]))
            core.persist(Prepared(slot.prepared))
            if core.votes:
                vote = core.sign(Commit(accepted.view, accepted.sequence, accepted.digest, core.me))
                slot.commits.put(vote)
                core.broadcast(vote)
        if slot.committed is None and slot.commits.count(slot.choice) >= core.config.q:
            self.commit(slot, accepted.digest)

    def commit(self, slot: Slot, digest: bytes) -> None:
        """The batch with ``digest`` is settled at this sequence for good."""
        assert slot.committed in (None, digest), "two batches committed at one sequence"
        slot.committed = digest
        self.execute_ready()

    def _progress(self, admitted: Sequence[bytes]) -> None:
        """Something is settled. Blocks without anything new are no progress while requests wait."""
        if admitted or not len(self._core.pool):
            self._core.progress_ms, self._core.barren_blocks = self._core.now.timer_ms, 0
        elif self._core.executed > self._core.view_base:
            self._core.barren_blocks += 1

    def execute_ready(self) -> None:
        """Hand settled batches to execution, in order, without gaps."""
        core = self._core
        while (slot := core.log.slots.get(core.ordered + 1)) is not None and slot.committed is not None:
            body = slot.bodies.get(slot.committed)
            if body is None or core.installing or core.diverged or not core.whole:
                return
            accepted = slot.accepted
            view = accepted.view if accepted is not None else core.view
            core.ordered += 1
            core.next_sequence = max(core.next_sequence, core.ordered + 1)  # what is settled is not proposed anew
            core.out.execute.append(Execute(core.ordered, slot.committed, body, view, core.config.primary(view)))

    # ------------------------------------------------------------------------------------------- outcomes

    def on_executed(self, event: Executed) -> None:
        """Our execution thread finished a block: sign its outcome, unless a certificate contradicts it."""
        core, statement = self._core, event.statement
        assert statement.height == core.executed + 1, "blocks finish in order"
        core.executed = statement.height
        core.boundary = event.boundary
        core.pool.remove(event.tx_ids)
        core.pool.settle(statement.height)
        self._note_served(statement.height, event.admitted)
        self._progress(event.admitted)
        core.outcomes.executed(statement)
        if not core.diverged and core.votes and core.outcomes.contradicted() is None:
            outcome = core.sign(Outcome(statement, core.me))
            core.outcomes.add(outcome)
            core.broadcast(outcome)
        self.certify()

    def on_outcome(self, outcome: Outcome) -> None:
        core = self._core
        height, sender = outcome.statement.height, outcome.sender
        before = core.outcomes.known(height, sender)
        if before is not None and before.statement != outcome.statement:
            core.convict(EvidenceKind.TWO_OUTCOMES, before, outcome)
        if not core.outcomes.add(outcome):
            core.reject(sender, RejectReason.USELESS)
            return
        self.certify()
        self._check_hope(height)

    def _check_hope(self, height: int) -> None:
        """Say so, once a height, when the outcomes differ so much that no certificate can form (DESIGN "Disagree")."""
        core = self._core
        why = core.outcomes.hopeless(height)
        if why is not None and height not in self._hopeless:
            self._hopeless.add(height)
            core.alarm(AlarmKind.NO_CERTIFICATE, why)

    def certify(self) -> None:
        """Note new certificates; every K blocks move the watermarks and cut the log (section 4.3)."""
        core = self._core
        core.out.certified.extend(core.outcomes.advance())
        wrong = core.outcomes.contradicted()
        if wrong is not None and not core.diverged:
            core.diverged = True
            core.alarm(AlarmKind.DIVERGED, f"a certificate contradicts our execution of block {wrong}")
        stable = core.outcomes.stable()
        if stable > core.low:
            core.low = stable
            core.outcomes.forget_below(stable)
            core.log.drop_below(stable)
            core.out.truncate_below = stable
            self._hopeless = {height for height in self._hopeless if height > stable}
            self.adopt_rest()
        if core.boundary is not None and core.outcomes.certified >= core.boundary and not core.ended:
            core.ended = core.out.epoch_ended = True

    # ------------------------------------------------------------------------------- batches of a new view

    def on_batch_body(self, batch: CheckedBatch) -> None:
        """A batch that we asked for by digest. If we have left the view meanwhile, the next one may name it again."""
        for slot in self._core.log.ascending():
            if slot.fetching and slot.accepted is not None and slot.accepted.digest == batch.digest:
                slot.fetching = False
                if self._core.active:
                    self.accept(slot, slot.accepted, batch.body)
                else:
                    slot.keep(batch.digest, batch.body)

    def adopt(self, proposal: PrePrepare) -> None:
        """A pre-prepare of a NEW-VIEW: vote at once if the batch is at hand or null, else fetch it first."""
        core = self._core
        if not core.in_window(proposal.sequence):
            return
        slot = core.log.slot(proposal.sequence)
        if proposal.digest == NULL_DIGEST:
            self.accept(slot, proposal, b"")
        elif proposal.digest in slot.bodies:
            self.accept(slot, proposal, slot.bodies[proposal.digest])
        else:
            slot.accepted = proposal
            slot.fetching = True
            core.broadcast(FetchBatch(proposal.digest))

    def adopt_rest(self) -> None:
        """Take up the NEW-VIEW's pre-prepares that lay outside our watermarks, or that a restart interrupted."""
        core = self._core
        if core.new_view is None or not core.active or core.new_view.view != core.view:
            return
        for proposal in core.new_view.pre_prepares:
            slot = core.log.slots.get(proposal.sequence)
            if proposal.sequence > core.low and (slot is None or slot.accepted is None):
                self.adopt(proposal)

    def fetch_again(self) -> None:
        for slot in self._core.log.ascending():
            if slot.fetching and slot.accepted is not None:
                self._core.broadcast(FetchBatch(slot.accepted.digest))

    def on_fetch_batch(self, sender: int, digest: bytes) -> None:
        for slot in self._core.log.ascending():
            body = slot.bodies.get(digest)
            if body:
                self._core.send(sender, self._found(slot, digest, body))
                return
        self._core.reject(sender, RejectReason.USELESS)

    def _found(self, slot: Slot, digest: bytes, body: bytes) -> Proposal | BatchBody:
        """A batch, with its pre-prepare if that is a fresh one of this view: whoever asks for it may have missed it."""
        core, accepted = self._core, slot.accepted
        fresh = core.active and slot.sequence > core.view_base and accepted is not None and accepted.digest == digest
        return Proposal(accepted, body) if fresh and accepted is not None else BatchBody(body)


def is_equivocation(accepted: PrePrepare, other: PrePrepare) -> bool:
    """Whether one primary said two things about one sequence of one view."""
    about, what = (accepted.view, accepted.sequence, accepted.sender), (other.view, other.sequence, other.sender)
    return about == what and accepted.digest != other.digest
