"""Leaving a view and beginning the next (OSDI '99, sections 4.4 and 4.5.2).

A replica complains when its clients' requests lie or the primary is silent; f + 1 complaints make everyone
leave, so that no single client or replica can oust a primary. Time-outs double with each view that does not
come about, are capped, and start only at q VIEW-CHANGEs, so that a lone replica never runs away.
"""

from __future__ import annotations

from pbft.core import Core
from pbft.events import RejectReason
from pbft.messages import Complaint, NewView, PrePrepare, ViewChange
from pbft.normal_case import NormalCase
from pbft.records import Entered, Left
from pbft.view_change import base_height, is_new_view, is_view_change, open_sequences


class ViewChanger:
    """Decides when to leave, collects VIEW-CHANGEs, makes and checks NEW-VIEWs."""

    def __init__(self, core: Core, normal: NormalCase) -> None:
        self._core = core
        self._normal = normal
        self._complaints: dict[int, int] = {}
        self._changes: dict[int, ViewChange] = {}
        self._deadline_ms: int | None = None
        self._failed_views = 0

    # --------------------------------------------------------------------------------------------- leaving

    def suspect_at_ms(self) -> int | None:
        """When the primary's patience with us ends, or None while nothing is owed."""
        core, config = self._core, self._core.config
        if not core.active or core.at_high_watermark or core.executed < core.ordered:
            return None
        silence = core.progress_ms + config.block_idle_ms_max + config.request_timeout_ms
        oldest = core.pool.oldest_ms()
        return silence if oldest is None else min(silence, oldest + config.request_timeout_ms)

    def check_primary(self) -> None:
        """Complain when the primary owes us something for too long."""
        due = self.suspect_at_ms()
        if (
            due is not None
            and due <= self._core.now.timer_ms
            and self._complaints.get(self._core.me) != self._core.view
        ):
            self._complaints[self._core.me] = self._core.view
            self.repeat_complaint()
            self._count_complaints()

    def repeat_complaint(self) -> None:
        """Send our complaint about the current view, if we have one."""
        core = self._core
        if core.active and self._complaints.get(core.me) == core.view:
            core.broadcast(core.sign(Complaint(core.view, core.me)))

    def withdraw(self) -> None:
        """The view makes progress: our complaint is void."""
        self._complaints.pop(self._core.me, None)
        self._failed_views = 0

    def on_complaint(self, sender: int, complaint: Complaint) -> None:
        if complaint.view < self._core.view:
            self._core.reject(sender, RejectReason.WRONG_VIEW)
            return
        self._complaints[sender] = complaint.view
        self._count_complaints()

    def _count_complaints(self) -> None:
        core = self._core
        against = sum(1 for view in self._complaints.values() if view == core.view)
        if core.active and against >= core.config.weak:
            self.leave(core.view + 1)

    def leave(self, view: int) -> None:
        """Stop taking part in the current view and ask for ``view``."""
        core = self._core
        assert view > core.view, "views only grow"
        core.view, core.active = view, False
        self._deadline_ms = None
        prepared = tuple(
            slot.prepared
            for slot in core.log.ascending()
            if slot.prepared is not None and slot.sequence > core.outcomes.certified
        )
        message = core.sign(ViewChange(view, core.outcomes.newest, prepared, core.me))
        self._changes[core.me] = message
        core.persist(Left(message))
        core.broadcast(message)
        self._collect()

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
            return
        if not is_view_change(core.config, message):
            core.reject(sender, RejectReason.BAD_VIEW_CHANGE)
            return
        self._changes[sender] = message
        self._join()
        self._collect()

    def _join(self) -> None:
        """f + 1 replicas ask for later views: follow to the lowest that at least one honest one has reached."""
        core = self._core
        later = sorted((m.view for s, m in self._changes.items() if s != core.me and m.view > core.view), reverse=True)
        if len(later) >= core.config.weak:
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
        if len(ready) >= core.config.q and core.config.primary(core.view) == core.me:
            self._begin(tuple(ready[: core.config.q]))

    def _timeout_ms(self) -> int:
        config = self._core.config
        return min(config.view_change_timeout_ms << min(self._failed_views, 16), config.view_change_timeout_ms_max)

    def check_deadline(self) -> None:
        """The view did not begin in time: try the next, with twice the patience."""
        if self._deadline_ms is not None and not self._core.active and self._deadline_ms <= self._core.now.timer_ms:
            self._failed_views += 1
            self.leave(self._core.view + 1)

    def wake_ms(self) -> int | None:
        """When to look again: the view change's deadline, or the end of our patience if we have not complained."""
        core = self._core
        if not core.active:
            return self._deadline_ms
        return None if self._complaints.get(core.me) == core.view else self.suspect_at_ms()

    # ------------------------------------------------------------------------------------------- beginning

    def _begin(self, view_changes: tuple[ViewChange, ...]) -> None:
        core = self._core
        proposals = tuple(
            core.sign(PrePrepare(core.view, sequence, digest, core.me))
            for sequence, digest in open_sequences(view_changes)
        )
        message = core.sign(NewView(core.view, view_changes, proposals, core.me))
        core.broadcast(message)
        self._enter(message)

    def on_new_view(self, sender: int, message: NewView) -> None:
        """A NEW-VIEW of this or a later view, from its primary or passed on by somebody."""
        core = self._core
        if message.view < core.view or (message.view == core.view and core.active):
            return
        if not is_new_view(core.config, message):
            core.reject(sender, RejectReason.BAD_NEW_VIEW)
            return
        self._enter(message)

    def _enter(self, message: NewView) -> None:
        core = self._core
        core.persist(Entered(message))
        self.resume(message)
        for proposal in message.pre_prepares:
            self._normal.adopt(proposal)

    def resume(self, message: NewView) -> None:
        """Be in the view that ``message`` began; its pre-prepares come separately."""
        core = self._core
        core.view, core.active, core.new_view = message.view, True, message
        core.progress_ms = core.now.timer_ms
        self._deadline_ms = None
        base = 0
        for change in message.view_changes:
            base = max(base, base_height(change.certificate))
            if change.certificate is not None:
                core.outcomes.learn(change.certificate)
        top = message.pre_prepares[-1].sequence if message.pre_prepares else base
        core.next_sequence = top + 1
        core.pool.restart((proposal.sequence for proposal in message.pre_prepares), core.now.timer_ms)
        for slot in core.log.ascending():
            slot.forget_view()
        self._changes = {s: m for s, m in self._changes.items() if m.view > core.view}
        self._complaints = {s: v for s, v in self._complaints.items() if v >= core.view}

    def restore(self, message: ViewChange) -> None:
        """After a restart: we had left for this view."""
        self._core.view, self._core.active = message.view, False
        self._changes[self._core.me] = message
