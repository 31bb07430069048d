"""A PBFT replica without I/O: ``step(event, now)`` in, ``Output`` out (Castro and Liskov, OSDI '99; thesis, 2001).

Rules
  One vote of each kind for each (view, sequence); nothing is sent before what it promises is durable.
  q = ceil((n + f + 1) / 2) equal votes decide; f + 1 are enough to believe that an honest replica said it.
  Only events verified at the edge come here; what others do wrong is a typed ``Reject``, what we do wrong an
  assertion.

Phases of a sequence (section)          needs                                  then
  pre-prepare (4.2)                     a fresh proposal of the view's primary  persist it, send PREPARE
  prepared    (4.2)                     q - 1 matching prepares of backups      persist P, send COMMIT
  committed   (4.2)                     q matching commits                      execute in order
  certified   (4.3)                     q equal signed outcomes                 receipts; every K blocks h moves
                                        at the epoch's boundary                 the epoch ends (DESIGN, Membership)
Phases of a view (4.4, 4.5.2)
  active      f + 1 complaints, f + 1 VIEW-CHANGEs for later views, the planned  persist, send VIEW-CHANGE
              rotation's height, or an operators' hand-over
  changing    q VIEW-CHANGEs: the new primary sends NEW-VIEW                    V and O checked, persist, active
              no NEW-VIEW in time                                               next view, doubled, capped wait

No clock, no sockets, no randomness here: the simulator runs exactly what production runs.
"""

from __future__ import annotations

from collections.abc import Callable

from pbft.catch_up import CatchUp
from pbft.config import ReplicaConfig
from pbft.core import Core, Outbox
from pbft.events import Event, Executed, Instant, Output, Received, Recovered, Refuted, RejectReason, Submitted, Tick
from pbft.messages import (
    BatchBody,
    CertifiedBlock,
    Chunk,
    Commit,
    Complaint,
    Complaints,
    FetchBatch,
    Forward,
    Handover,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Status,
    ViewChange,
)
from pbft.normal_case import NormalCase, is_equivocation
from pbft.records import Accepted, Cut, Entered, Left, Muted, Prepared, Record
from pbft.state_transfer import StateTransfer
from pbft.view_changer import ViewChanger

VOTES = (Prepare, Commit, Outcome)


class Replica:
    """One replica of one channel's epoch. ``sign`` signs bytes with its voting key."""

    def __init__(self, config: ReplicaConfig, sign: Callable[[bytes], bytes]) -> None:
        self._core = Core(config, sign)
        self._normal = NormalCase(self._core)
        self._changer = ViewChanger(self._core, self._normal)
        self._transfer = StateTransfer(self._core)
        self._catch_up = CatchUp(self._core, self._normal, self._changer, self._transfer)

    def step(self, event: Event, now: Instant) -> Output:
        """Take one event in. The output's parts are to be carried out in the order that ``Output`` states."""
        core = self._core
        core.out, core.now = Outbox(), now
        match event:
            case Received(sender, _, _):
                assert sender != core.me, "our own messages do not come back"
                self._receive(event)
            case Submitted():
                self._submit(event)
            case Executed():
                self._executed(event)
            case Recovered():
                self._recover(event)
            case Refuted(sender):
                self._transfer.refuted(sender)
            case Tick():
                pass
        self._after()
        return core.out.freeze(self._wake_ms())

    def _after(self) -> None:
        """What time alone can bring about, and what any step may have made possible."""
        self._catch_up.unmute()
        self._changer.rotate()
        self._changer.check_primary()
        self._changer.check_deadline()
        self._normal.propose()
        self._normal.fetch_missed()
        self._transfer.tick()
        self._catch_up.tell()

    def _wake_ms(self) -> int:
        normal, others = self._normal, (self._changer, self._transfer, self._catch_up)
        times = (normal.wake_ms(), normal.missed_wake_ms(), *(other.wake_ms() for other in others))
        return min([time for time in times if time is not None])

    def _executed(self, event: Executed) -> None:
        core = self._core
        self._normal.on_executed(event)
        core.pool.remove(event.inadmissible)
        if core.active and (event.admitted or not len(core.pool)):
            self._changer.withdraw()

    def _receive(self, event: Received) -> None:
        sender, message, batch = event.sender, event.message, event.batch
        if isinstance(message, VOTES):
            if not self._core.is_validator(sender) or self._core.ended:
                self._core.reject(sender, RejectReason.USELESS)
            else:
                self._receive_vote(event)
            return
        match message:
            case Status():
                self._catch_up.on_status(sender, message)
            case CertifiedBlock():
                self._catch_up.on_certified_block(sender, message, batch)
            case Manifest():
                self._transfer.on_manifest(sender, message)
            case Chunk():
                self._transfer.on_chunk(sender, message)
            case FetchBatch(digest):
                self._normal.on_fetch_batch(sender, digest)
            case BatchBody():
                assert batch is not None, "the edge checks a batch"
                self._normal.on_batch_body(batch)
            case Handover():
                self._changer.on_handover(sender, message)
            case _ if not self._core.is_validator(sender) or self._core.ended:
                self._core.reject(sender, RejectReason.USELESS)
            case _:
                self._receive_vote(event)

    def _receive_vote(self, event: Received) -> None:
        """What only validators of this epoch send."""
        sender, message, batch = event.sender, event.message, event.batch
        match message:
            case Prepare():
                self._normal.on_prepare(message)
            case Commit():
                self._normal.on_commit(message)
            case Outcome():
                self._normal.on_outcome(message)
            case Proposal():
                assert batch is not None, "the edge checks a proposal's batch"
                self._normal.on_proposal(sender, message, batch)
            case PrePrepare():
                self._normal.on_second_proposal(sender, message)
            case Complaint():
                self._changer.on_complaint(sender, message)
            case Complaints():
                self._changer.on_complaints(message)
            case ViewChange():
                self._changer.on_view_change(sender, message)
            case NewView():
                self._changer.on_new_view(sender, message)
            case _:
                self._core.reject(sender, RejectReason.USELESS)

    def _submit(self, event: Submitted) -> None:
        """Requests into the pool; those of our own clients go to every replica (section 4.1)."""
        core = self._core
        taken = []
        for request in event.requests:
            if core.pool.add(request, core.now.timer_ms, told=event.own):
                taken.append(request.envelope)
            else:
                core.out.refused.append(request.tx_id)
        if event.own and taken:
            core.broadcast(Forward(tuple(taken)))

    # ------------------------------------------------------------------------------------------ recovering

    def _recover(self, event: Recovered) -> None:
        """Stand where the log and the ledger say that we stood, bound by every vote that we may have cast."""
        core = self._core
        core.outcomes.recover(event.certificate)
        core.low = core.outcomes.low
        core.executed = core.ordered = event.executed_height
        core.boundary, core.first_height = event.boundary, event.first_height
        core.view_base = core.outcomes.certified
        core.next_sequence = core.executed + 1
        core.progress_ms = core.now.timer_ms
        core.monitor.restart(core.now.timer_ms)
        if event.amnesia and not any(isinstance(record, Muted) for record in event.records):
            self._catch_up.mute(None)
            core.persist(Muted(None))
        core.cut = max((record.below for record in event.records if isinstance(record, Cut)), default=0)
        for record in event.records:
            self._restore(record)
        self._catch_up.warn_if_mute()
        # A NEW-VIEW that we entered began below a checkpoint that has moved since: never propose there again.
        core.next_sequence = max(core.next_sequence, core.executed + 1, core.low + 1)
        for statement in event.uncertified:
            core.outcomes.executed(statement)
            if core.votes and statement.height >= core.config.first_height:
                core.outcomes.add(core.sign(Outcome(statement, core.me)))
        for slot in core.log.ascending():
            self._normal.advance(slot)
        self._normal.adopt_rest()
        if event.damaged:
            core.whole = False
            self._transfer.want(max(1, core.cut))
        self._normal.certify()
        self._catch_up.tell(at_once=True)

    def _restore(self, record: Record) -> None:
        core = self._core
        match record:
            case Accepted(proposal, _) if proposal.sequence <= core.low:
                if proposal.view == core.view and core.active:
                    core.next_sequence = max(core.next_sequence, proposal.sequence + 1)
            case Accepted(proposal, body):
                slot = core.log.slot(proposal.sequence)
                slot.keep(proposal.digest, body)
                if proposal.view == core.view and core.active:
                    slot.accepted = proposal
                    core.next_sequence = max(core.next_sequence, proposal.sequence + 1)
                    if proposal.sender != core.me and core.votes:
                        slot.prepares.put(
                            core.sign(Prepare(proposal.view, proposal.sequence, proposal.digest, core.me))
                        )
            case Prepared(certificate) if certificate.pre_prepare.sequence > core.low:
                self._restore_prepared(certificate)
            case Left(view_change, reason):
                self._changer.restore(view_change, reason)
            case Entered(new_view):
                if new_view.view > core.view or (new_view.view == core.view and not core.active):
                    self._changer.resume(new_view)
            case Muted(until_height, view):
                self._catch_up.mute(until_height, view)
            case _:
                pass

    def _restore_prepared(self, certificate: PreparedCertificate) -> None:
        core, proposal = self._core, certificate.pre_prepare
        slot = core.log.slot(proposal.sequence)
        slot.prepared = certificate
        if proposal.view != core.view or not core.active:
            return
        for prepare in certificate.prepares:
            if slot.prepares.get(prepare.sender) is None:
                slot.prepares.put(prepare)
        if core.votes:
            slot.commits.put(core.sign(Commit(proposal.view, proposal.sequence, proposal.digest, core.me)))

    # ------------------------------------------------------------------------------------------- observing

    def wants(self, message: Message) -> bool:
        """Whether a message can still change anything, so that the edge need not verify those that cannot.

        A vote that contradicts what is settled is wanted: it is evidence.
        """
        core = self._core
        match message:
            case Prepare():
                view, sequence, digest = message.view, message.sequence, message.digest
                slot = core.log.slots.get(sequence)
                if slot is None or slot.accepted is None or not slot.is_prepared():
                    return sequence > core.low
                return slot.choice != (view, digest)
            case Commit():
                sequence, digest = message.sequence, message.digest
                slot = core.log.slots.get(sequence)
                return sequence > core.low if slot is None or slot.committed is None else slot.committed != digest
            case Outcome():
                return core.outcomes.wants(message.statement)
            case Proposal(proposal):
                return self._wants_proposal(proposal)
            case Complaint(view, _):
                return view >= core.view
            case CertifiedBlock():
                top = core.ordered + core.config.fetch_blocks_max
                return core.low < message.height <= top and not core.ended
            case Handover(view, to):
                return view == core.view and core.active and to in core.config.leaders
            case NewView() if core.is_entered(message.view):
                return core.new_view is not None and core.new_view.signature != message.signature
            case ViewChange(view) | NewView(view):
                return view > core.view or (view == core.view and not core.active)
            case BatchBody():
                return any(slot.fetching for slot in core.log.ascending())
            case Manifest():
                return self._transfer.chooses
            case Chunk(height):
                return self._transfer.takes(height)
            case _:
                return True

    def _wants_proposal(self, proposal: PrePrepare) -> bool:
        """One of this view's primary for a sequence that still takes one, or of a later view, which may begin soon."""
        core, sequence = self._core, proposal.sequence
        if proposal.sender != core.config.primary(proposal.view) or not core.in_window(sequence) or core.ended:
            return False
        if proposal.view != core.view or not core.active:
            return core.view <= proposal.view < core.view + core.config.n
        slot = core.log.slots.get(sequence)
        if slot is None or slot.accepted is None:
            return sequence > max(core.view_base, core.executed)
        return slot.accepted.digest != proposal.digest

    def condensed(self, message: Message) -> Message:
        """What of it counts: of a second, different proposal for one sequence its pre-prepare alone, as evidence."""
        if isinstance(message, Proposal):
            proposal, slot = message.pre_prepare, self._core.log.slots.get(message.pre_prepare.sequence)
            if slot is not None and slot.accepted is not None and is_equivocation(slot.accepted, proposal):
                return proposal
        return message

    @property
    def view(self) -> int:
        return self._core.view

    @property
    def active(self) -> bool:
        return self._core.active

    @property
    def transfer(self) -> StateTransfer:
        """For status reports."""
        return self._transfer

    @property
    def changer(self) -> ViewChanger:
        """For status reports."""
        return self._changer

    @property
    def core(self) -> Core:
        """For status reports and the simulator's checkers; nobody else looks inside."""
        return self._core
