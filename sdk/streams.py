"""What a node tells as it happens: topics, the events of each, and how a stream is asked for.

Events of the chain come in order of (height, index), each once, and only when its block is certified. ``index`` is a
place among the events of that block that this reader may see: 0 is the block itself, then come the books of the
intervals that it changed, then what became of the reader's affairs. So a stream goes on elsewhere, or later, where it
ended: at (height, index + 1).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sdk.methods import Book, HeaderRecord, Height, Params

Topic = Literal["blocks", "trades", "book", "notices", "power"]
TOPICS: tuple[Topic, ...] = ("blocks", "trades", "book", "notices", "power")
PRIVATE_TOPICS = frozenset({"trades", "notices", "power"})
"""What takes an identity."""
SUBSCRIBED, HEARTBEAT, PROBLEM = "subscribed", "heartbeat", "problem"
HEARTBEAT_S = 10.0
"""A stream with nothing else to tell says this often up to which height it has told all."""
INDEX_MAX = 2**31
INTERVALS_MAX = 100

Interval = Annotated[int, Meta(ge=0, le=2**40)]


class StreamParams(Params, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``from_height``: begin with that block, at ``from_index`` in it; 0: with the next one to be certified.
    ``intervals``: the only ones whose books are wanted. ``proofs``: give each block its header and certificate."""

    topics: Annotated[tuple[Topic, ...], Meta(min_length=1, max_length=len(TOPICS))]
    from_height: Height = 0
    from_index: Annotated[int, Meta(ge=0, le=INDEX_MAX)] = 0
    intervals: Annotated[tuple[Interval, ...], Meta(max_length=INTERVALS_MAX)] = ()
    proofs: bool = False


class StreamEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """``kind``: a topic; or ``subscribed`` (``height``: the first block whose events follow) or ``heartbeat``
    (``height``: all events up to that block have been told). ``index`` is left out of those two, ``data`` too; power
    has neither height nor index, as it is not of the chain."""

    kind: str
    height: int
    index: int = -1
    data: Any = None


class BlockProof(msgspec.Struct, frozen=True):
    """A block's hashed header (``ledger.blocks.Header``), the certificate of that very block if there is one, and
    ``boundaries``, from genesis to that certificate's epoch, if the one told before is of another epoch."""

    header: Any
    certificate: Any
    boundaries: tuple[Any, ...] = ()


class ProvenHeader(HeaderRecord, frozen=True, kw_only=True):
    proof: BlockProof


class TradeTerms(msgspec.Struct, frozen=True):
    """What was agreed, and never changes. ``meter``: the seller's; energy in Wh, prices in micro-currency per kWh."""

    interval: int
    meter: str
    buyer_meter: str
    seller: str
    buyer: str
    energy_wh: int
    price: int
    grid_fee: int
    imbalance_price: int
    source: str


class TradeEvent(msgspec.Struct, frozen=True):
    """What happened to a trade: ``traded``, or an event of the settlement. ``tx_id``: the transaction in which; None at
    a deadline. ``data``: as the contract told it."""

    trade: str
    event: str
    time_ms: int
    tx_id: str | None
    terms: TradeTerms
    data: dict[str, Any]


class NoticeEvent(msgspec.Struct, frozen=True):
    """What concerns the reader: a contract's event, or (``rejected``) why a transaction of its own failed; ``failed``
    is a deadline's failure. ``code`` is OK but for those two."""

    contract: str
    event: str
    time_ms: int
    tx_id: str | None
    code: str
    message: str
    data: dict[str, Any]


class PowerSample(msgspec.Struct, frozen=True):
    """What a meter measured at ``time_ms``, in W, + is import. Not of the chain, and not proven."""

    meter: str
    power_w: int
    time_ms: int


DATA_TYPES: dict[str, type[msgspec.Struct]] = {
    "blocks": HeaderRecord, "trades": TradeEvent, "book": Book, "notices": NoticeEvent, "power": PowerSample
}  # fmt: skip


def typed(event: StreamEvent) -> StreamEvent:
    """The event with its data as the type of its kind; ``msgspec.ValidationError`` for anything else."""
    kind = DATA_TYPES.get(event.kind)
    if kind is None:
        return event
    if kind is HeaderRecord and isinstance(event.data, dict) and "proof" in event.data:
        kind = ProvenHeader
    return msgspec.structs.replace(event, data=msgspec.convert(event.data, kind))
