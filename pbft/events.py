"""What reaches the core, already verified at the edge, and what leaves it.

``Output.persist`` must be durable before anything in ``Output.send`` leaves the machine: a vote that a crash
makes us forget could be cast twice (DESIGN "Agree").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import msgspec

from pbft.evidence import Evidence
from pbft.messages import Chunk, ExecutionCertificate, Manifest, Message, Statement
from pbft.records import Record


class Instant(NamedTuple):
    """Now: ``timer_ms`` is monotonic and drives time-outs; ``clock_ms`` is the clock that block time follows."""

    timer_ms: int
    clock_ms: int


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch whose shape, sizes, gas and client signatures the edge found good."""

    body: bytes
    digest: bytes
    proposed_time_ms: int
    requests: tuple[PoolRequest, ...]

    @property
    def tx_ids(self) -> tuple[bytes, ...]:
        return tuple(request.tx_id for request in self.requests)


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A client's request, signatures checked; ``gas_limit`` is what it declares; ``client``: its first signer, or the
    same for all whom the chain does not know. ``terms``: the ledger's own, for ``LedgerPort.inadmissible``."""

    envelope: bytes
    envelope_hash: bytes
    tx_id: bytes
    gas_limit: int
    client: str
    terms: object = None


class Received(msgspec.Struct, frozen=True):
    """A verified message. ``batch`` comes with Proposal, BatchBody and CertifiedBlock (None: a null request's)."""

    sender: int
    message: Message
    batch: CheckedBatch | None = None


class Submitted(msgspec.Struct, frozen=True):
    """Requests that are admissible in our executed state: from our clients (``own``) or forwarded by a peer, whose key
    is ``sender``."""

    requests: tuple[PoolRequest, ...]
    own: bool
    sender: bytes = b""


class Executed(msgspec.Struct, frozen=True):
    """A block has been executed. ``tx_ids`` were in it; ``inadmissible`` requests in the pool no longer can be.

    ``admitted``: those of ``tx_ids`` that were admissible when their turn came. The others, such as what was ordered
    twice, served nobody.
    ``boundary``: the epoch's last height, once a change of membership has executed.
    """

    statement: Statement
    tx_ids: tuple[bytes, ...]
    inadmissible: tuple[bytes, ...] = ()
    boundary: int | None = None
    admitted: tuple[bytes, ...] = ()


class Tick(msgspec.Struct, frozen=True):
    """The time that was asked for has come."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The first event after a start: what the log holds, and the ledger's height, newest certificate, and the
    outcomes of the blocks above that, ascending.

    ``first_height``: the lowest block held. ``amnesia``: the log was lost, so that votes may have been cast that
    nobody here remembers. ``damaged``: the ledger cannot be used and is to be replaced by a peer's snapshot.
    """

    records: tuple[Record, ...]
    executed_height: int
    certificate: ExecutionCertificate | None
    uncertified: tuple[Statement, ...]
    boundary: int | None = None
    first_height: int = 1
    amnesia: bool = False
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Refuted:
    """What ``sender`` sent for our state transfer was proven wrong at the edge."""

    sender: int


Event: TypeAlias = Received | Submitted | Executed | Tick | Recovered | Refuted


class Send(msgspec.Struct, frozen=True):
    """``to`` None means every other replica."""

    to: int | None
    message: Message


class Execute(msgspec.Struct, frozen=True):
    """Run the batch at ``height``, the next one."""

    height: int
    digest: bytes
    body: bytes
    view: int
    proposer: int


class RejectReason(StrEnum):
    """Faults of others; counted, never raised."""

    WRONG_SENDER = "wrong_sender"
    WRONG_VIEW = "wrong_view"
    NOT_PRIMARY = "not_primary"
    OUTSIDE_WATERMARKS = "outside_watermarks"
    BELOW_VIEW = "below_view"
    CONFLICTING_PROPOSAL = "conflicting_proposal"
    CONFLICTING_VOTE = "conflicting_vote"
    CLOCK_TOLERANCE = "clock_tolerance"
    DUPLICATE_REQUEST = "duplicate_request"
    BAD_VIEW_CHANGE = "bad_view_change"
    BAD_NEW_VIEW = "bad_new_view"
    BAD_CERTIFICATE = "bad_certificate"
    POOL_FULL = "pool_full"
    ABOVE_BOUNDARY = "above_boundary"
    BAD_HANDOVER = "bad_handover"
    USELESS = "useless"
    PROVEN_LIE = "proven_lie"
    """The sender signed two things of which an honest replica signs one."""


class Reject(msgspec.Struct, frozen=True):
    sender: int
    reason: RejectReason


class AlarmKind(StrEnum):
    """What an operator must hear of."""

    DIVERGED = "diverged"
    EQUIVOCATION = "equivocation"
    NO_CERTIFICATE = "no_certificate"
    """Executed, but the signed outcomes differ so that no quorum can agree: operators must act."""
    AMNESIA = "amnesia"
    """Our log was lost: we vote again only once nothing that we may have voted on is open."""


class Alarm(msgspec.Struct, frozen=True):
    kind: AlarmKind
    detail: str


class Output(msgspec.Struct, frozen=True):
    """What the caller must do, in this order: persist durably, then send; execute in order; store certificates.

    ``wake_at_ms`` is the next ``timer_ms`` at which a ``Tick`` is wanted (DESIGN's timers, as one).
    ``truncate_below``: the log may forget records of sequences up to it.
    """

    persist: tuple[Record, ...] = ()
    send: tuple[Send, ...] = ()
    execute: tuple[Execute, ...] = ()
    certified: tuple[ExecutionCertificate, ...] = ()
    truncate_below: int | None = None
    transfer: Manifest | None = None
    """Begin a state transfer from this snapshot; an older one under way is given up."""
    stage: tuple[Chunk, ...] = ()
    """Verified chunks of it to keep."""
    install: bool = False
    """All chunks are staged: replace the ledger by them, then start a new replica with ``Recovered``."""
    epoch_ended: bool = False
    """The boundary is certified: start a new replica for the ledger's next epoch with ``Recovered``."""
    retired: bool = False
    """We are no longer a validator, and a quorum of the new ones has taken over."""
    evidence: tuple[Evidence, ...] = ()
    """Proof of a replica's lie, to be kept."""
    wake_at_ms: int | None = None
    rejects: tuple[Reject, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    refused: tuple[bytes, ...] = ()
    """Ids of submitted requests for which the pool has no room."""
