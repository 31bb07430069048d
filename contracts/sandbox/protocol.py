"""What a node and its contract worker say to each other: length-prefixed msgpack over a socket pair.

The node sends a ``Run`` with all of a block's calls. The worker answers with an outcome for each, in parts
(``Outcomes``), so that the node looks at the first ones while the worker runs the next; in between it may send any
number of ``Miss``, each answered by a ``Page`` of the state round the missed key, which it keeps.
Decoding checks shapes and types; what the values mean is checked by who receives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, TypeAlias

import msgspec

from ledger.state import Entry, Write

HEADER_BYTES = 4
PART_CALLS = 16
"""A part costs about a tenth of what a call does; what the last one holds is looked at when the worker is done."""
PART_GAS_MAX = 2_000_000
"""Declared, of a part's calls, unless it is one: so a part is bounded by what a call's gas can read and write."""
FRAME_BYTES_MAX = 1 << 28
"""Of what the node sends: far above a block's writes."""
PAGE_ROWS_MAX = 64
ROW_BYTES_MAX = 1_024
"""A page has no more rows beside the missed key's own; a longer value takes the places of several."""
ANSWER_BYTES_MAX = 1 << 25
"""Of what the worker sends, which the node decodes before it can look at it. A unit of gas pays for 7 bytes at most:
reads of what is not there, under the longest keys. A longer frame ends the conversation."""


class PlannedCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call, and what is written to the block's overlay before it. ``args``: marshalled, as they came."""

    before: tuple[Write, ...]
    contract: str
    function: str
    args: bytes
    signers: tuple[str, ...]
    tx_id: str
    gas_limit: int
    index: int
    kind: str


class Run(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Bring what you hold in line, then run these calls one after another.

    ``forget``: begin with an empty cache. Otherwise keep the first ``keep`` of the writes of the block that you ran
    last, and add ``add``; ``fold``: that block is committed now, else it is this one.
    """

    forget: bool
    keep: int
    add: list[Write]
    fold: bool
    height: int
    time_ms: int
    calls: list[PlannedCall]


class Page(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """All entries from ``low`` up to, not including, ``high`` (None: no end), ascending; the missed key is among these
    keys, present or not."""

    low: str
    high: str | None
    rows: list[tuple[str, Entry]]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A worker is ready. ``missing``: a sentence for each wall that it does not have."""

    uid: int
    seccomp: bool
    missing: list[str]


class Miss(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The state at this key is not known here, nor anything from ``low``, which may be the key, up to, not including,
    ``high`` (None: no end). ``rows``: so many are of use."""

    key: str
    low: str
    high: str | None
    rows: Annotated[int, msgspec.Meta(ge=0, le=PAGE_ROWS_MAX)]


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a call came to. ``ranges``: prefix, after, limit and digest of each ``RangeRead``."""

    code: str
    message: str
    value: bytes
    gas_used: int
    code_hash: str
    events: list[tuple[str, str, bytes]]
    writes: dict[str, bytes | None]
    reads: dict[str, tuple[int, int] | None]
    ranges: list[tuple[str, str, int, bytes]]


class Outcomes(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A part of an answer (``parts_of``): the next calls, in order; ``cpu_s``: the worker's processor time so far."""

    outcomes: list[Outcome]
    cpu_s: float


class Fault(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The worker ran out of stack or memory, and ends."""

    reason: str


Question: TypeAlias = Run | Page
Answer: TypeAlias = Hello | Miss | Outcomes | Fault

encode = msgspec.msgpack.Encoder().encode
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
decode_question, decode_answer = _questions.decode, _answers.decode


def places(rows: list[tuple[str, Entry]]) -> int:
    """Of how many rows of a page these take the places."""
    return sum([1 + len(entry.value) // ROW_BYTES_MAX for _, entry in rows])


def parts_of(gas_limits: Iterable[int]) -> Iterator[int]:
    """How many calls each part of an answer holds."""
    count = gas = 0
    for limit in gas_limits:
        if count == PART_CALLS or (count and gas + limit > PART_GAS_MAX):
            yield count
            count = gas = 0
        count, gas = count + 1, gas + limit
    if count:
        yield count


def frame(message: msgspec.Struct, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    data = encode(message)
    assert len(data) <= bytes_max, "gas bounds what a block can say"
    return len(data).to_bytes(HEADER_BYTES, "big") + data
