"""What the parts of a replica share: where it stands, and the output that the current step is building."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from pbft.checkpoint import Outcomes
from pbft.config import ReplicaConfig
from pbft.events import Alarm, AlarmKind, Execute, Instant, Output, Reject, RejectReason, Send
from pbft.log import Log
from pbft.messages import (
    Commit,
    Complaint,
    ExecutionCertificate,
    Message,
    NewView,
    Outcome,
    Prepare,
    PrePrepare,
    Scope,
    Status,
    ViewChange,
)
from pbft.ordering import Pool
from pbft.records import Record

Signed = TypeVar("Signed", PrePrepare, Prepare, Commit, Outcome, ViewChange, NewView, Complaint)


@dataclass(slots=True)
class Outbox:
    """The output of one step, as it grows."""

    persist: list[Record] = field(default_factory=list)
    send: list[Send] = field(default_factory=list)
    execute: list[Execute] = field(default_factory=list)
    certified: list[ExecutionCertificate] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    truncate_below: int | None = None

    def freeze(self, wake_at_ms: int | None) -> Output:
        return Output(
            persist=tuple(self.persist),
            send=tuple(self.send),
            execute=tuple(self.execute),
            certified=tuple(self.certified),
            truncate_below=self.truncate_below,
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
        self.view = 0
        self.active = True
        self.ordered = 0
        self.executed = 0
        self.low = 0
        self.next_sequence = 1
        self.new_view: NewView | None = None
        self.peers: dict[int, Status] = {}
        self.diverged = False
        self.out = Outbox()
        self.now = Instant(0, 0)
        self.progress_ms = 0
        """When the current view last did what is expected of it."""

    # --------------------------------------------------------------------------------------------- questions

    @property
    def high(self) -> int:
        return self.low + self.config.window_blocks

    @property
    def is_primary(self) -> bool:
        return self.active and self.config.primary(self.view) == self.me

    def in_window(self, sequence: int) -> bool:
        return self.low < sequence <= self.high

    @property
    def at_high_watermark(self) -> bool:
        """Whether ordering waits for certificates: everything up to the high watermark is ordered."""
        return self.ordered >= self.high

    # ---------------------------------------------------------------------------------------------- emitting

    def sign(self, message: Signed) -> Signed:
        """The message with its signature in place."""
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

    def status(self) -> Status:
        return Status(self.view, self.active, self.executed, self.outcomes.certified)
