"""Catching up: who stands where, what to send again, and blocks executed on the strength of their certificates.

Links may lose messages when they break. Replicas tell each other where they stand, and each sends again what
the other still lacks; so any network that delivers again brings everyone to one view and one height.
"""

from __future__ import annotations

from pbft.core import Core
from pbft.events import CheckedBatch, RejectReason
from pbft.messages import NULL_DIGEST, CertifiedBlock, FetchBlocks, Forward, Proposal, Status
from pbft.normal_case import NormalCase
from pbft.view_changer import ViewChanger


class CatchUp:
    """Status exchange, resending and fetching."""

    def __init__(self, core: Core, normal: NormalCase, changer: ViewChanger) -> None:
        self._core = core
        self._normal = normal
        self._changer = changer
        self._status_ms = 0
        self._fetching: tuple[int, int] | None = None
        self._fetch_until_ms = 0

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
        waiting = core.pool.unproposed(core.now.timer_ms - core.config.status_interval_ms)
        if waiting:
            envelopes = tuple(request.envelope for request in waiting[: core.config.resend_requests_max])
            core.send(core.config.primary(core.view), Forward(envelopes))

    def wake_ms(self) -> int:
        return self._status_ms + self._core.config.status_interval_ms

    def on_status(self, sender: int, status: Status) -> None:
        """Send ``sender`` what it lacks, and fetch from it what we lack."""
        self._core.peers[sender] = status
        self._send_view(sender, status)
        if status.view == self._core.view and status.view_active and self._core.active:
            self._send_votes(sender, status)
        self._send_outcomes(sender, status)
        self._fetch(sender, status)

    def _send_view(self, sender: int, status: Status) -> None:
        core = self._core
        own = self._changer.own_view_change()
        if own is not None:
            core.send(sender, own)
        behind = status.view < core.view or (status.view == core.view and not status.view_active)
        if core.active and behind and core.new_view is not None:
            core.send(sender, core.new_view)

    def _send_votes(self, sender: int, status: Status) -> None:
        """Our proposals and votes for sequences that the other has not executed, once they had time to arrive."""
        core = self._core
        last = min(core.high, status.executed_height + core.config.resend_sequences_max)
        for sequence in range(status.executed_height + 1, last + 1):
            slot = core.log.slots.get(sequence)
            if slot is None or slot.accepted is None or slot.accepted.view != core.view:
                continue
            if core.now.timer_ms < slot.voted_ms + core.config.status_interval_ms:
                continue
            accepted = slot.accepted
            fresh = core.new_view is None or all(p.sequence != sequence for p in core.new_view.pre_prepares)
            if accepted.sender == core.me and accepted.digest != NULL_DIGEST and fresh:
                core.send(sender, Proposal(accepted, slot.bodies[accepted.digest]))
            for vote in (slot.prepares.get(core.me), slot.commits.get(core.me)):
                if vote is not None and vote.view == core.view:
                    core.send(sender, vote)

    def _send_outcomes(self, sender: int, status: Status) -> None:
        core = self._core
        last = min(core.executed, status.certified_height + core.config.resend_sequences_max)
        for height in range(status.certified_height + 1, last + 1):
            outcome = core.outcomes.own(height, core.me)
            if outcome is not None and not core.diverged:
                core.send(sender, outcome)

    # ----------------------------------------------------------------------------------------- fetching

    def _fetch(self, sender: int, status: Status) -> None:
        """Ask for certified blocks when votes alone will not bring us there."""
        core = self._core
        first = max(core.ordered, core.outcomes.certified) + 1 if core.executed == core.ordered else core.ordered + 1
        first = min(first, core.outcomes.certified + 1) if core.outcomes.certified < core.executed else first
        if status.certified_height < first:
            return
        stuck = core.now.timer_ms >= core.progress_ms + core.config.status_interval_ms
        far = status.certified_height > core.ordered + core.config.pipeline_depth
        if not (stuck or far) or (self._fetching is not None and core.now.timer_ms < self._fetch_until_ms):
            return
        last = min(status.certified_height, first + core.config.fetch_blocks_max - 1)
        self._fetching = (sender, last)
        self._fetch_until_ms = core.now.timer_ms + core.config.request_timeout_ms
        core.send(sender, FetchBlocks(first, last))

    def on_certified_block(self, sender: int, block: CertifiedBlock, batch: CheckedBatch | None) -> None:
        """A block with its certificate: settled without our vote. The edge checked header, batch and signatures."""
        core = self._core
        statement = block.certificate.statement
        height = statement.height
        if height <= core.outcomes.certified or height > core.ordered + core.config.fetch_blocks_max:
            core.reject(sender, RejectReason.USELESS)
            return
        core.outcomes.learn(block.certificate)
        if core.outcomes.contradicted(height):
            self._normal.diverge(height)
        if height > core.ordered:
            digest = batch.digest if batch is not None else NULL_DIGEST
            slot = core.log.slot(height)
            slot.bodies[digest] = block.body
            slot.tx_ids[digest] = batch.tx_ids if batch is not None else ()
            self._normal.commit(slot, digest)
        self._normal.certify()
        self._fetch_on(sender, height)

    def _fetch_on(self, sender: int, height: int) -> None:
        if self._fetching != (sender, height):
            return
        self._fetching = None
        status = self._core.peers.get(sender)
        if status is not None:
            self._fetch(sender, status)
