"""What the parts of a replica share: where it stands, and the output that the current step is building.

OSDI '99, section 4: a replica's state is the service's, a log of messages, and the view that it is in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import msgspec

from pbft.checkpoint import Outcomes
from pbft.config import OBSERVER, ReplicaConfig
from pbft.events import Alarm, AlarmKind, Execute, Instant, Output, Reject, RejectReason, Send
from pbft.evidence import Conflicting, Evidence, EvidenceKind, conflict
from pbft.log import Log
from pbft.messages import (
    Chunk,
    Commit,
    Complaint,
    ExecutionCertificate,
    Manifest,
    Message,
    NewView,
    Outcome,
    Prepare,
    PrePrepare,
    Scope,
    Status,
    ViewChange,
)
from pbft.monitor import PrimaryMonitor
from pbft.ordering import Pool
from pbft.records import Record

CONVICTIONS_MAX = 4
"""Pieces of evidence of one kind against one replica that are kept in an epoch: each costs a synced file."""

Signed = TypeVar("Signed", PrePrepare, Prepare, Commit, Outcome, ViewChange, NewView, Complaint)


class Outbox(msgspec.Struct):
    """The output of one step, as it grows."""

    persist: list[Record] = []
    send: list[Send] = []
    execute: list[Execute] = []
    certified: list[ExecutionCertificate] = []
    rejects: list[Reject] = []
    alarms: list[Alarm] = []
    refused: list[bytes] = []
    evidence: list[Evidence] = []
    stage: list[Chunk] = []
    truncate_below: int | None = None
    transfer: Manifest | None = None
    install: bool = False
    epoch_ended: bool = False
    retired: bool = False

    def freeze(self, wake_at_ms: int | None) -> Output:
        return Output(
            persist=tuple(self.persist),
            send=tuple(self.send),
            execute=tuple(self.execute),
            certified=tuple(self.certified),
            truncate_below=self.truncate_below,
            transfer=self.transfer,
            stage=tuple(self.stage),
            install=self.install,
            epoch_ended=self.epoch_ended,
            retired=self.retired,
            evidence=tuple(self.evidence),
            wake_at_ms=wake_at_ms,
            rejects=tuple(self.rejects),
            alarms=tuple(self.alarms),
            refused=tuple(self.refused),
        )


class Core:
    """State of one replica. ``ordered`` is the height up to which batches were handed to execution."""

    def __init__(self, config: ReplicaConfig, sign: Callable[[bytes], bytes]) -> None:
        config.validate()
        self.config = config
        self.scope: Scope = config.scope
        self.me = config.index
        self._sign = sign
        self.log = Log()
        self.pool = Pool(config)
        self.outcomes = Outcomes(config)
        self.monitor = PrimaryMonitor(config)
        self.view = 0
        self.active = True
        self.ordered = 0
        self.executed = 0
        self.low = 0
        self.next_sequence = 1
        self.view_base = 0
        """The highest sequence that was settled, or in O, when the current view began."""
        self.new_view: NewView | None = None
        self.peers: dict[int, Status] = {}
        self.silent: set[int] = set()
        """Peers that did not give the blocks that they say to have; asked again only when there is nobody else."""
        self._convictions: Counter[tuple[int, EvidenceKind]] = Counter()
        self.boundary: int | None = None
        """The epoch's last height, once a change of membership has executed."""
        self.first_height = 1
        """The lowest block that our ledger holds."""
        self.ended = False
        self.diverged = False
        self.whole = True
        """False while a peer's snapshot has to replace an unusable ledger: nobody is served."""
        self.installing = False
        self.muted = False
        """True after amnesia, until nothing that we may have voted on is open."""
        self.barren_blocks = 0
        """How many of this view's blocks have executed since the last progress, and brought nothing new while requests
        waited."""
        self.caught_view = -1
        """The newest view whose primary told us something else than others, or was proven to have."""
        self.cut = 0
        """How far our log is cut. What we voted on up to there is forgotten: a certificate has to stand for it."""
        self.view_floor = 0
        """After amnesia: no VIEW-CHANGE for a view up to this one, which we may have asked for already."""
        self.out = Outbox()
        self.now = Instant(0, 0)
        self.progress_ms = 0
        """When the current view last settled a sequence."""

    # --------------------------------------------------------------------------------------------- questions

    @property
    def high(self) -> int:
        """The high watermark h + L; nobody votes above the epoch's boundary (DESIGN "Membership")."""
        high = self.low + self.config.window_blocks
        return high if self.boundary is None else min(high, self.boundary)

    @property
    def votes(self) -> bool:
        """Whether we may sign votes."""
        forgotten = self.muted or self.outcomes.certified < self.cut
        return self.me != OBSERVER and self.whole and not forgotten and not self.ended

    @property
    def is_primary(self) -> bool:
        return self.active and self.votes and self.config.primary(self.view) == self.me

    @property
    def rotation_height(self) -> int | None:
        """The height at which the current view ends by plan."""
        every = self.config.rotation_blocks
        return (self.view_base // every + 1) * every if every else None

    @property
    def proposal_limit(self) -> int:
        """The highest sequence that the primary may propose in this view."""
        rotation = self.rotation_height
        return self.high if rotation is None else min(self.high, rotation)

    def is_entered(self, view: int) -> bool:
        """Whether it is the view in force."""
        return self.active and view == self.view

    def in_window(self, sequence: int) -> bool:
        return self.low < sequence <= self.high

    def is_validator(self, sender: int) -> bool:
        """Whether a peer votes in this epoch; others may be served, and serve."""
        return 0 <= sender < self.config.n

    @property
    def at_high_watermark(self) -> bool:
        """Whether ordering waits for certificates: everything up to the high watermark is ordered."""
        return self.ordered >= self.high

    def credible_height(self) -> int:
        """A height that at least one honest validator has certified: f + 1 of them say so."""
        told = sorted((s.certified_height for peer, s in self.peers.items() if self.is_validator(peer)), reverse=True)
        return told[self.config.weak - 1] if len(told) >= self.config.weak else 0

    # ---------------------------------------------------------------------------------------------- emitting

    def sign(self, message: Signed) -> Signed:
        """The message with its signature in place."""
        assert self.me != OBSERVER, "an observer signs nothing"
        return msgspec.structs.replace(message, signature=self._sign(message.signed(self.scope)))

    def broadcast(self, message: Message) -> None:
        self.out.send.append(Send(None, message))

    def send(self, to: int, message: Message) -> None:
        self.out.send.append(Send(to, message))

    def persist(self, record: Record) -> None:
        self.out.persist.append(record)

    def reject(self, sender: int, reason: RejectReason) -> None:
        self.out.rejects.append(Reject(sender, reason))

    def alarm(self, kind: AlarmKind, detail: str) -> None:
        self.out.alarms.append(Alarm(kind, detail))

    def convict(self, kind: EvidenceKind, first: Conflicting, second: Conflicting) -> None:
        """Keep two conflicting messages of one replica as evidence, and say so; after a few, more prove nothing new."""
        if kind is not EvidenceKind.TWO_OUTCOMES:
            # A replica whose ledger operators rolled back signs other outcomes lawfully.
            self.reject(first.sender, RejectReason.PROVEN_LIE)
        self._convictions[first.sender, kind] += 1
        if self._convictions[first.sender, kind] > CONVICTIONS_MAX:
            return
        self.out.evidence.append(conflict(kind, self.scope, first, second))
        self.alarm(AlarmKind.EQUIVOCATION, f"replica {first.sender}: {kind}")

    def accuse(self, accused: int, complaints: tuple[Complaint, ...]) -> None:
        """Keep f + 1 complaints about a view of ``accused``, once an epoch: more of them say nothing more."""
        self._convictions[accused, EvidenceKind.COMPLAINTS] += 1
        if self._convictions[accused, EvidenceKind.COMPLAINTS] == 1:
            self.out.evidence.append(Evidence(EvidenceKind.COMPLAINTS, self.scope, accused, (), complaints))

    def status(self) -> Status:
        certified = self.outcomes.certified
        return Status(
            epoch=self.scope.epoch,
            view=self.view,
            view_active=self.active,
            executed_height=self.executed,
            certified_height=certified,
            first_height=self.first_height,
            whole=self.whole,
            ordered_height=self.ordered,
        )
