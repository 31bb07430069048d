"""Leaving a view and beginning the next (OSDI '99, sections 4.4 and 4.5.2).

A replica complains when the primary is silent, passes over a client or is slow; f + 1 complaints make everyone
leave, so that no single client or replica can oust a primary. Time-outs double with each view that does not
come about, are capped, reset on progress, and start only at q VIEW-CHANGEs, so that a lone replica never runs
away. Views also end by plan, every ``rotation_blocks``, and by an operators' hand-over.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbft.core import Core
from pbft.events import RejectReason
from pbft.evidence import EvidenceKind
from pbft.messages import COMPLAINT_BLOCKS, Complaint, Complaints, Handover, NewView, PrePrepare, ViewChange
from pbft.normal_case import NormalCase
from pbft.records import Entered, Left
from pbft.view_change import bare, base_of, chosen, is_new_view, is_view_change, open_sequences

BARREN_PIPELINES = 2
"""How many pipelines of blocks without anything new a correct primary may propose while requests wait: it knows what
has become inadmissible once that has executed."""


class ViewChanger:
    """Decides when to leave, collects VIEW-CHANGEs, makes and checks NEW-VIEWs."""

    def __init__(self, core: Core, normal: NormalCase) -> None:
        self._core = core
        self._normal = normal
        self._complaints: dict[int, Complaint] = {}
        """The newest complaint of each replica, ours too."""
        self._changes: dict[int, ViewChange] = {}
        """The highest VIEW-CHANGE of each replica, ours too."""
        self._deadline_ms: int | None = None
        self._failed_views = 0
        self._looked_ms = 0
        self._handed_on: int | None = None
        """The view whose hand-over we passed on: once is enough, and we may be unable to leave."""
        self.reason: Complaints | Handover | None = None
        """Why we left the last view, if that can be shown to others."""

    # ---------------------------------------------------------------------------------------- suspecting

    def suspect_at_ms(self) -> int | None:
        """When our patience with a primary that settles nothing ends, or None while nothing is owed."""
        core, config = self._core, self._core.config
        executing = core.executed < core.ordered and core.barren_blocks < BARREN_PIPELINES * config.pipeline_depth
        if executing or not self._judges():
            return None
        silence = core.progress_ms + config.block_idle_ms_max + config.request_timeout_ms
        oldest = core.pool.oldest_ms()
        if oldest is None:
            return silence
        return min(silence, max(oldest, core.progress_ms) + config.request_timeout_ms)

    def _judges(self) -> bool:
        """Whether the primary can owe us anything. While blocks wait for execution its time-out stops, unless they
        bring nothing new; whom it serves, and how much, is judged all the same."""
        core = self._core
        if not core.active or not core.votes or core.diverged or core.installing:
            return False
        return not core.at_high_watermark or self._has_gone_on()

    def _has_gone_on(self) -> bool:
        """Whether somebody asks for a later view. At the high watermark only certificates help, and if their outcome is
        the one that lacks, only in a common view can they execute what we have."""
        core = self._core
        if core.outcomes.hopeless(core.outcomes.certified + 1) is not None:
            return False  # two against two: no view helps
        left = any(self._is_about_us(self._complaints[s]) for s in self._complaints if s != core.me)
        return left or any(self._changes[s].view > core.view for s in self._changes if s != core.me)

    def _is_about_us(self, complaint: Complaint) -> bool:
        """Whether it speaks against our view: it names that one or one of the next, not any that is far away, and was
        made about where we are. A withdrawn one stays signed, for a liar to put beside its own when all is well."""
        core = self._core
        is_near = abs(complaint.height - core.outcomes.certified) <= COMPLAINT_BLOCKS
        return is_near and core.view <= complaint.view < core.view + core.config.n

    def check_primary(self) -> None:
        """Complain when the primary owes us something for too long, censors a client, is slow, or was caught lying."""
        core = self._core
        if not self._judges():
            return
        self._measure()
        due = self.suspect_at_ms()
        late = due is not None and due <= core.now.timer_ms
        caught = core.caught_view == core.view and not core.is_primary
        if not self._has_complained() and (late or caught or core.monitor.slow or self._sees_censorship()):
            self._complain()
            core.broadcast(self._complaints[core.me])
            self._count_complaints()

    def _complain(self) -> None:
        core = self._core
        self._complaints[core.me] = core.sign(Complaint(core.view, core.me, height=core.outcomes.certified))

    def _measure(self) -> None:
        core = self._core
        oldest_ms = core.pool.oldest_told_ms()
        patience_ms = core.config.status_interval_ms
        owed = oldest_ms is not None and oldest_ms + patience_ms <= core.now.timer_ms
        following = core.log.slots.get(core.ordered + 1)
        in_flight = core.ordered > core.executed or (following is not None and following.accepted is not None)
        core.monitor.observe(core.now.timer_ms, waiting=owed and not in_flight and not core.is_primary)

    def _sees_censorship(self) -> bool:
        """Looked at from time to time only: it asks about every waiting client."""
        core = self._core
        if core.now.timer_ms < self._looked_ms + core.config.status_interval_ms:
            return False
        self._looked_ms = core.now.timer_ms
        return core.pool.censored(core.config.request_timeout_ms)

    def _has_complained(self) -> bool:
        own = self._complaints.get(self._core.me)
        return own is not None and own.view == self._core.view

    def repeat_complaint(self) -> None:
        """Send our complaint about the current view, if we have one, as of now."""
        core = self._core
        if core.active and self._has_complained():
            if self._complaints[core.me].height != core.outcomes.certified:
                self._complain()
            core.broadcast(self._complaints[core.me])

    def withdraw(self) -> None:
        """The view makes progress: our complaint is void, and the next time-out is the shortest again."""
        core = self._core
        self._failed_views = 0
        if not self._has_complained() or core.monitor.slow or core.caught_view == core.view:
            return
        if not core.pool.censored(core.config.request_timeout_ms):
            del self._complaints[core.me]

    def on_complaint(self, sender: int, complaint: Complaint) -> None:
        known = self._complaints.get(sender)
        if complaint.view < self._core.view:
            self._core.reject(sender, RejectReason.WRONG_VIEW)
            return
        if known is not None and _when(known) >= _when(complaint):
            return
        self._complaints[sender] = complaint
        self._count_complaints()

    def _count_complaints(self) -> None:
        core = self._core
        against = [self._complaints[s] for s in sorted(self._complaints) if self._is_about_us(self._complaints[s])]
        if not core.active or not core.votes or len(against) < core.config.weak:
            return
        complaints = tuple(against[: core.config.weak])
        if all(complaint.view == core.view for complaint in complaints):
            core.accuse(core.config.primary(core.view), complaints)
        self.leave(core.view + 1, Complaints(complaints))

    def on_complaints(self, message: Complaints) -> None:
        """Somebody left our view and shows why; ours may be among them, withdrawn but signed."""
        for complaint in message.complaints:
            known = self._complaints.get(complaint.sender)
            if complaint.view >= self._core.view and (known is None or _when(known) < _when(complaint)):
                self._complaints[complaint.sender] = complaint
        self._count_complaints()

    # --------------------------------------------------------------------------------------------- leaving

    def leave(self, view: int, reason: Complaints | Handover | None = None) -> None:
        """Stop taking part in the current view and ask for ``view``; ``reason`` is shown to those who stay behind."""
        core = self._core
        assert view > core.view, "views only grow"
        assert core.votes, "only voters leave"
        core.view, core.active = max(view, core.view_floor + 1), False
        self.reason = reason
        self._deadline_ms = None
        prepared = tuple(
            slot.prepared
            for slot in core.log.ascending()
            if slot.prepared is not None and slot.sequence > core.outcomes.certified
        )
        message = core.sign(ViewChange(core.view, core.outcomes.newest, prepared, core.me))
        self._changes[core.me] = message
        core.persist(Left(message, reason))
        core.broadcast(message)
        self._collect()

    def rotate(self) -> None:
        """Leave a view whose planned blocks are certified (DESIGN: optional rotation)."""
        core = self._core
        limit = core.rotation_height
        if limit is not None and core.active and core.votes and core.outcomes.certified >= limit:
            self.leave(core.view + 1)

    def on_handover(self, sender: int, handover: Handover) -> None:
        """Operators want another primary: leave for the next view that it leads, and tell the others."""
        core = self._core
        if handover.view != core.view or not core.active or handover.to not in core.config.leaders:
            core.reject(sender, RejectReason.BAD_HANDOVER)
            return
        if self._handed_on != handover.view:
            self._handed_on = handover.view
            core.broadcast(handover)
        if core.votes:
            views = range(core.view + 1, core.view + 1 + len(core.config.leaders))
            self.leave(next(view for view in views if core.config.primary(view) == handover.to), handover)

    def own_view_change(self) -> ViewChange | None:
        """Our VIEW-CHANGE while we wait for its view to begin."""
        return None if self._core.active else self._changes.get(self._core.me)

    def on_view_change(self, sender: int, message: ViewChange) -> None:
        core = self._core
        known = self._changes.get(sender)
        if message.view < core.view or (message.view == core.view and core.active):
            core.reject(sender, RejectReason.WRONG_VIEW)
            return
        if known is not None and known.view >= message.view:
            if known.view == message.view and known.signed(core.scope) != message.signed(core.scope):
                core.convict(EvidenceKind.TWO_VIEW_CHANGES, bare(known), bare(message))
            return
        if not is_view_change(core.config, message):
            core.reject(sender, RejectReason.BAD_VIEW_CHANGE)
            return
        self._convict_primaries(message)
        self._changes[sender] = message
        self._join()
        self._collect()

    def _convict_primaries(self, message: ViewChange) -> None:
        """A P-set may hold the other half of an equivocation."""
        core = self._core
        for item in message.prepared:
            theirs = item.pre_prepare
            slot = core.log.slots.get(theirs.sequence)
            for ours in () if slot is None else (slot.accepted, slot.prepared.pre_prepare if slot.prepared else None):
                if ours is not None and ours.view == theirs.view and ours.digest != theirs.digest:
                    core.convict(EvidenceKind.TWO_PROPOSALS, ours, theirs)

    def _join(self) -> None:
        """f + 1 replicas ask for later views: follow to the lowest that at least one honest one has reached."""
        core = self._core
        later = sorted((m.view for s, m in self._changes.items() if s != core.me and m.view > core.view), reverse=True)
        if core.votes and len(later) >= core.config.weak:
            self.leave(later[core.config.weak - 1])

    def _collect(self) -> None:
        """At q VIEW-CHANGEs for this view: as its primary make the NEW-VIEW, as a backup start waiting for it."""
        core = self._core
        if core.active:
            return
        ready = [self._changes[s] for s in sorted(self._changes) if self._changes[s].view == core.view]
        reached = sum(1 for message in self._changes.values() if message.view >= core.view)
        if reached >= core.config.q and self._deadline_ms is None:
            self._deadline_ms = core.now.timer_ms + self._timeout_ms()
        if len(ready) >= core.config.q and core.votes and core.config.primary(core.view) == core.me:
            self._begin(tuple(ready[: core.config.q]))

    def _timeout_ms(self) -> int:
        config = self._core.config
        return min(config.view_change_timeout_ms << min(self._failed_views, 16), config.view_change_timeout_ms_max)

    def check_deadline(self) -> None:
        """The view did not begin in time: try the next, with twice the patience.

        The others may be in it: its primary can have left us out. Whoever owes them progress there needs our word
        against it as much as theirs, so we complain, and show that to those who stay behind.
        """
        core = self._core
        if self._deadline_ms is not None and not core.active and self._deadline_ms <= core.now.timer_ms and core.votes:
            self._failed_views += 1
            self._complain()
            self.leave(self._next_view(), Complaints((self._complaints[core.me],)))

    def _next_view(self) -> int:
        """The next one; but where so many are ahead that none below can gather q, the lowest that can, if it is near.

        A replica that lost its log is ahead by a round of leaders, and a quorum may need it.
        """
        core = self._core
        reached = sorted(message.view for message in self._changes.values())
        lowest = reached[core.config.q - 1] if len(reached) >= core.config.q else 0
        return lowest if core.view < lowest <= core.view + 2 * len(core.config.leaders) else core.view + 1

    def wake_ms(self) -> int | None:
        """When to look again: the view change's deadline, or the end of our patience if we have not complained."""
        core = self._core
        if not core.active:
            return self._deadline_ms if core.votes else None
        if self._has_complained():
            return None
        due, end = self.suspect_at_ms(), core.monitor.wake_ms()
        if due is None or end is None:
            return end if due is None else due
        return min(due, end)

    # ------------------------------------------------------------------------------------------- beginning

    def _begin(self, view_changes: tuple[ViewChange, ...]) -> None:
        core = self._core
        proposals = tuple(
            core.sign(PrePrepare(core.view, sequence, digest, core.me))
            for sequence, digest in open_sequences(core.config, view_changes)
        )
        proof = tuple(chosen(core.config, view_changes).values())
        message = core.sign(NewView(core.view, tuple(map(bare, view_changes)), proposals, core.me, prepared=proof))
        core.broadcast(message)
        self._enter(message)

    def on_new_view(self, sender: int, message: NewView) -> None:
        """A NEW-VIEW of this or a later view, from its primary or passed on by somebody."""
        core = self._core
        if core.is_entered(message.view):
            self._compare(message)
            return
        if message.view < core.view:
            return
        if not is_new_view(core.config, message):
            core.reject(sender, RejectReason.BAD_NEW_VIEW)
            return
        self._enter(message)

    def _compare(self, message: NewView) -> None:
        """Another NEW-VIEW of the view that we are in: its primary may have told others something else."""
        core, ours = self._core, self._core.new_view
        if ours is None or ours.signature == message.signature or ours.sender != message.sender:
            return
        if ours.signed(core.scope) != message.signed(core.scope):
            core.convict(EvidenceKind.TWO_NEW_VIEWS, ours, message)

    def _enter(self, message: NewView) -> None:
        self._core.persist(Entered(message))
        self.resume(message)
        for proposal in message.pre_prepares:
            self._normal.adopt(proposal)
        self._normal.certify()

    def resume(self, message: NewView) -> None:
        """Be in the view that ``message`` began; its pre-prepares come separately."""
        core = self._core
        core.view, core.active, core.new_view = message.view, True, message
        self.reason = None
        core.progress_ms, core.barren_blocks = core.now.timer_ms, 0
        self._deadline_ms = None
        base = base_of(core.config, message.view_changes)
        for change in message.view_changes:
            if change.certificate is not None:
                core.outcomes.learn(change.certificate)
        top = message.pre_prepares[-1].sequence if message.pre_prepares else base
        core.view_base = top
        core.next_sequence = top + 1
        core.pool.restart(self._kept(message), core.now.timer_ms)
        core.monitor.restart(core.now.timer_ms)
        for slot in core.log.ascending():
            slot.forget_view()
        self._changes = {s: m for s, m in self._changes.items() if m.view > core.view}
        self._complaints = {s: c for s, c in self._complaints.items() if c.view >= core.view}

    def _kept(self, message: NewView) -> Iterator[int]:
        """Where the batch of a view before goes on in this one. A null request or another batch in its place does not
        propose what it held."""
        for proposal in message.pre_prepares:
            slot = self._core.log.slots.get(proposal.sequence)
            if slot is not None and slot.accepted is not None and slot.accepted.digest == proposal.digest:
                yield proposal.sequence

    # -------------------------------------------------------------------------------- for status reports

    @property
    def deadline_ms(self) -> int | None:
        """When we ask for another view than the one that we wait for; None as long as too few ask for that."""
        return self._deadline_ms

    def asked(self) -> dict[int, int]:
        """The view that each replica's newest VIEW-CHANGE asks for."""
        return {sender: message.view for sender, message in self._changes.items()}

    def complainants(self) -> list[int]:
        """Who speaks against the present view's primary, as far as we have heard."""
        return sorted(sender for sender, complaint in self._complaints.items() if self._is_about_us(complaint))

    def restore(self, message: ViewChange, reason: Complaints | Handover | None) -> None:
        """After a restart: we had left for this view."""
        core = self._core
        if message.view > core.view or (message.view == core.view and not core.active):
            core.view, core.active = message.view, False
            self._changes[core.me] = message
            self.reason = reason


def _when(complaint: Complaint) -> tuple[int, int]:
    """Later complaints of a replica take the place of earlier ones."""
    return complaint.view, complaint.height
