"""Catching up: who stands where, what to send again, and blocks executed on the strength of their certificates.

Links may lose messages when they break. Replicas tell each other where they stand, and each sends again what
the other still lacks; so any network that delivers again brings everyone to one view and one height (OSDI '99,
section 4.4; thesis, section 5.2, "Message Retransmission"). Peers with ids of n and above are no validators of this
epoch: observers, newcomers, leavers. They are told and fetched from like the others.
"""

from __future__ import annotations

from collections import Counter

from pbft.core import Core
from pbft.events import AlarmKind, CheckedBatch, RejectReason
from pbft.messages import NULL_DIGEST, CertifiedBlock, FetchBlocks, Forward, Proposal, Status
from pbft.normal_case import NormalCase
from pbft.records import Muted
from pbft.state_transfer import StateTransfer
from pbft.view_changer import ViewChanger

PEERS_MAX = 1_024
"""Peers whose status is remembered; those of others are ignored, but for validators', who always have a place."""


class CatchUp:
    """Status exchange, resending and fetching."""

    def __init__(self, core: Core, normal: NormalCase, changer: ViewChanger, transfer: StateTransfer) -> None:
        self._core = core
        self._normal = normal
        self._changer = changer
        self._transfer = transfer
        self._status_ms = 0
        self._fetching: tuple[int, int] | None = None
        self._fetch_until_ms = 0
        self._heard_ms: dict[int, int] = {}
        """When each peer last told where it stands."""
        self._answered_ms: dict[int, int] = {}
        """When each peer was last sent what its status said that it lacks."""
        self._mute_until: int | None = None

    # ------------------------------------------------------------------------------------------ telling

    def tell(self, *, at_once: bool = False) -> None:
        """Send our status, and what only time can show to be lost, every ``status_interval_ms``."""
        core = self._core
        if not at_once and core.now.timer_ms < self.wake_ms():
            return
        self._status_ms = core.now.timer_ms
        core.broadcast(core.status())
        self._changer.repeat_complaint()
        self._normal.fetch_again()
        self._forward_again()

    def _forward_again(self) -> None:
        """Remind the primary of requests that have lain here for a while: the first forwarding may be lost."""
        core = self._core
        if not core.active or core.is_primary:
            return
        before_ms = core.now.timer_ms - core.config.status_interval_ms
        waiting = core.pool.reminders(before_ms, core.config.resend_requests_max, core.now.timer_ms)
        if waiting:
            core.send(core.config.primary(core.view), Forward(tuple(request.envelope for request in waiting)))

    def wake_ms(self) -> int:
        return self._status_ms + self._core.config.status_interval_ms

    def on_status(self, sender: int, status: Status) -> None:
        """Send ``sender`` what it lacks, and fetch from it what we lack."""
        core = self._core
        is_stranger = sender not in core.peers and not core.is_validator(sender)
        if is_stranger and len(core.peers) >= PEERS_MAX:
            core.reject(sender, RejectReason.USELESS)
            return
        core.peers[sender] = status
        self._heard_ms[sender] = core.now.timer_ms
        is_member = core.is_validator(sender) and status.epoch == core.scope.epoch and not core.ended
        if is_member and self._may_answer(sender):
            self._send_view(sender, status)
            if status.view == core.view and status.view_active and core.active:
                self._send_votes(sender, status)
            self._send_outcomes(sender, status)
        self._retire()
        self._learn_mute()
        self._transfer.on_status(sender, status)
        self._fetch(sender, status)

    def _may_answer(self, sender: int) -> bool:
        """A status is a few bytes, its answer may be megabytes: twice an interval is enough for honest peers."""
        now_ms, patience_ms = self._core.now.timer_ms, self._core.config.status_interval_ms // 2
        if now_ms < self._answered_ms.get(sender, -patience_ms) + patience_ms:
            return False
        self._answered_ms[sender] = now_ms
        return True

    def _send_view(self, sender: int, status: Status) -> None:
        core = self._core
        own = self._changer.own_view_change()
        if own is not None:
            core.send(sender, own)
            if status.view < core.view and self._changer.reason is not None:
                core.send(sender, self._changer.reason)
        behind = status.view < core.view or (status.view == core.view and not status.view_active)
        if core.active and behind and core.new_view is not None:
            core.send(sender, core.new_view)

    def _send_votes(self, sender: int, status: Status) -> None:
        """Our votes for sequences that the other has not certified, once they had time to arrive: what it has executed
        may be open for others, in a later view. Proposals, which are large, only where nothing is settled for it.
        """
        core = self._core
        last = min(core.high, status.certified_height + core.config.resend_sequences_max)
        renewed = frozenset(p.sequence for p in core.new_view.pre_prepares) if core.new_view else frozenset()
        for sequence in range(status.certified_height + 1, last + 1):
            slot = core.log.slots.get(sequence)
            if slot is None or slot.accepted is None or slot.accepted.view != core.view:
                continue
            if core.now.timer_ms < slot.voted_ms + core.config.status_interval_ms:
                continue
            accepted = slot.accepted
            fresh = accepted.sender == core.me and accepted.digest != NULL_DIGEST and sequence not in renewed
            if fresh and sequence > status.ordered_height:
                core.send(sender, Proposal(accepted, slot.bodies[accepted.digest]))
            for vote in (slot.prepares.get(core.me), slot.commits.get(core.me)):
                if vote is not None and vote.view == core.view:
                    core.send(sender, vote)

    def _send_outcomes(self, sender: int, status: Status) -> None:
        core = self._core
        last = min(core.executed, status.certified_height + core.config.resend_sequences_max)
        for height in range(status.certified_height + 1, last + 1):
            outcome = core.outcomes.known(height, core.me)
            if outcome is not None and not core.diverged:
                core.send(sender, outcome)

    # ------------------------------------------------------------------------------------ leaving, amnesia

    def _retire(self) -> None:
        """As a former validator: end once q of the new ones stand in this epoch (DESIGN "Membership")."""
        core = self._core
        if core.config.leaving:
            taken = [s for s, told in core.peers.items() if core.is_validator(s) and told.epoch >= core.scope.epoch]
            core.out.retired = len(taken) >= core.config.q

    def mute(self, until_height: int | None, view: int | None = None) -> None:
        """We lost our log: no votes until nothing that we may have voted on can still be open.

        We can't have voted above the high watermark that we had, at most L above what was certified then, which
        at least one of any q other replicas has executed. A liar among those can name any height and so keep us mute;
        the remedy is a new key by reconfiguration. Believing the highest is what safety asks for.
        """
        self._mute_until = until_height
        self._core.muted, self._core.view_floor = view is None, view or 0

    def warn_if_mute(self) -> None:
        """After a start, say so: operators would look for the reason why we don't vote."""
        if self._core.muted:
            until = self._mute_until
            detail = "the log is lost" if until is None else f"until block {until} is certified"
            self._core.alarm(AlarmKind.AMNESIA, f"no votes: {detail}")
        elif self._core.outcomes.certified < self._core.cut:
            detail = f"the ledger is older than the log, until block {self._core.cut} is certified"
            self._core.alarm(AlarmKind.AMNESIA, f"no votes: {detail}")

    def _learn_mute(self) -> None:
        core = self._core
        if not core.muted or self._mute_until is not None:
            return
        told = [s.executed_height for sender, s in core.peers.items() if core.is_validator(sender)]
        if told and len(told) >= min(core.config.q, core.config.n - 1):
            self._mute_until = max(told) + core.config.window_blocks
            core.persist(Muted(self._mute_until))

    def unmute(self) -> None:
        """Vote again, once a block above everything that we may have voted on is certified: in a later view.

        A VIEW-CHANGE that we sent was a promise to vote in no view below its own, at any height. We went no farther
        than one view beyond what f honest others had reached, or to the next one of a leader that operators named. Of
        q others that have certified blocks together since, in one view, at least one is of those. So what we promised
        lies within a round of leaders beyond that view; beyond that round we may vote.
        """
        core, until = self._core, self._mute_until
        certified = core.outcomes.certified
        if (
            not core.muted
            or until is None
            or certified <= until
            or certified < core.cut
            or core.ended
            or not core.whole
        ):
            return
        views = Counter(
            status.view
            for peer, status in core.peers.items()
            if core.is_validator(peer) and status.view_active and status.certified_height > until
        )
        view, count = max(views.items(), key=lambda item: item[1], default=(0, 0))
        if count > 0 and count >= min(core.config.q, core.config.n - 1):
            core.muted, core.view_floor = False, view + len(core.config.leaders)
            self._changer.leave(core.view + 1)
            core.persist(Muted(until, core.view_floor))

    # ----------------------------------------------------------------------------------------- fetching

    def _fetch(self, sender: int, status: Status) -> None:
        """Ask for certified blocks when votes alone will not bring us there."""
        core = self._core
        if self._transfer.wanted or core.diverged or core.ended or not status.whole:
            return
        if core.ordered - core.executed >= core.config.fetch_blocks_max:
            return  # execution has enough to do
        settled = core.outcomes.certified < core.executed == core.ordered
        first = core.outcomes.certified + 1 if settled else core.ordered + 1
        if status.certified_height < first or status.first_height > first:
            return
        stuck = core.now.timer_ms >= core.progress_ms + core.config.status_interval_ms
        far = status.certified_height > core.ordered + core.config.pipeline_depth
        follows = not core.votes
        if not (stuck or far or follows):
            return
        heard = sum(1 for peer in core.peers if core.is_validator(peer))
        if status.certified_height - core.executed > core.config.snapshot_gap_blocks and heard < core.config.weak:
            return  # a snapshot may be the better way: hear f + 1 first
        if self._fetching is not None:
            if core.now.timer_ms < self._fetch_until_ms:
                return
            core.silent.add(self._fetching[0])
            self._fetching = None
        if sender in core.silent and self._has_other_source(first):
            return
        last = min(status.certified_height, first + core.config.fetch_blocks_max - 1)
        self._fetching = (sender, last)
        self._fetch_until_ms = core.now.timer_ms + core.config.request_timeout_ms
        core.send(sender, FetchBlocks(first, last))

    def _has_other_source(self, first: int) -> bool:
        """Whether somebody who has not failed us has said of late to have block ``first``; if nobody, all are forgiven.
        Who is gone for good would keep us from all others."""
        core = self._core
        since_ms = core.now.timer_ms - core.config.request_timeout_ms
        others = [(told, self._heard_ms[peer]) for peer, told in core.peers.items() if peer not in core.silent]
        if any(told.whole and told.certified_height >= first and heard >= since_ms for told, heard in others):
            return True
        core.silent.clear()
        return False

    def on_certified_block(self, sender: int, block: CertifiedBlock, batch: CheckedBatch | None) -> None:
        """A block that a certificate settles, without our vote. The edge checked headers, batch and signatures."""
        core = self._core
        height = block.height
        above = core.boundary is not None and height > core.boundary
        if height <= core.low or height > core.ordered + core.config.fetch_blocks_max or above or core.ended:
            core.reject(sender, RejectReason.USELESS)
            return
        core.outcomes.learn(block.certificate)
        if height > core.ordered:
            digest = batch.digest if batch is not None else NULL_DIGEST
            slot = core.log.slot(height)
            slot.keep(digest, block.body)
            self._normal.commit(slot, digest)
        self._normal.certify()
        self._fetch_on(sender, height)

    def _fetch_on(self, sender: int, height: int) -> None:
        if self._fetching != (sender, height):
            return
        status = self._core.peers.get(sender)
        if status is not None and self._core.ordered >= height:
            self._fetching = None
            self._fetch(sender, status)
