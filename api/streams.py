"""Streams: what happens on a ledger, told to each reader in order, as far as it may know of it.

A stream is a place on the tape of certified blocks, asked for its next events by whoever carries them away, as fast as
the reader takes them. So nothing queues here; only meters' power, which no chain holds, waits in one place a meter, the
newest value for the one before. Who a reader is, is asked again with every answer: with a session end its streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from api.headers import not_held
from api.pace import Pace
from api.pace import Places as AddressPlaces
from api.places import Places
from api.privacy import Viewer, may_read_event
from api.queries import HEIGHT_AHEAD_MAX
from api.standing import identity_needed
from api.stream_events import BlockTale
from api.stream_tape import Tape
from ledger.ledger import Ledger
from sdk.errors import Problem, Refused
from sdk.streams import HEARTBEAT, HEARTBEAT_S, PRIVATE_TOPICS, SUBSCRIBED, PowerSample, StreamEvent, StreamParams

STREAMS_MAX, STRANGERS_MAX, EACH_MAX = 512, 256, 16
"""Streams of one ledger: in all, of readers without identity, and of one signer or one stranger's address."""
ADDRESS_STREAMS_MAX = 64
"""Streams of one address, whoever they are for."""
BEGUN_PER_S_MAX = 20
"""Streams that one address may begin a second."""
METERS_MAX = 10_000
POWER_AT_ONCE = 500
"""Meters whose power is looked at, and told, in one go: who reads all has a sample of each to begin with."""

Events = tuple[StreamEvent, ...]
WhoAsks = Callable[[], Viewer]
"""Who the reader is now; raises ``Refused`` once its session is over."""


@dataclass(slots=True, eq=False)
class _Stream:
    """One reader's place: the next event's height and index. ``power``: samples to tell, one a meter."""

    params: StreamParams
    viewer: Viewer
    height: int
    index: int
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    power: dict[str, PowerSample] = field(default_factory=dict)
    meters: list[str] = field(default_factory=list)
    """Those not yet looked at whose power was known when it began."""
    told_s: float = 0.0
    epoch: int = -1
    """The last one whose boundaries were told."""

    @property
    def depth(self) -> bool:
        return not {"trades", "notices", "book"}.isdisjoint(self.params.topics)

    def wants(self, topic: str) -> bool:
        return topic in self.params.topics

    def wants_book(self, interval: int) -> bool:
        return self.wants("book") and (not self.params.intervals or interval in self.params.intervals)

    def is_told(self, index: int) -> bool:
        """Whether the event at ``index`` of the block at hand was told before."""
        return index < self.index


class Hub:
    """All streams of one ledger. For the event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tape = Tape(ledger)
        self._places = Places(STREAMS_MAX, STRANGERS_MAX, EACH_MAX, "TOO_MANY_STREAMS")
        self._addresses = AddressPlaces(ADDRESS_STREAMS_MAX)
        self._pace = Pace(BEGUN_PER_S_MAX)
        self._streams: set[_Stream] = set()
        self._power: dict[str, tuple[str, PowerSample]] = {}

    @property
    def count(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def on_certified(self) -> None:
        """Another block is certified."""
        for stream in self._streams:
            stream.wake.set()

    def publish_power(self, meter: str, owner: str, power_w: int, time_ms: int) -> None:
        """A meter's power now, for ``owner`` (a signer; empty for a meter that nobody owns here)."""
        if meter not in self._power and len(self._power) >= METERS_MAX:
            return
        self._power[meter] = owner, PowerSample(meter, power_w, time_ms)
        for stream in self._streams:
            self._offer(stream, meter)

    def _offer(self, stream: _Stream, meter: str) -> None:
        owner, sample = self._power[meter]
        viewer = stream.viewer
        if stream.wants("power") and (viewer.reads_all or owner in viewer.selves):
            stream.power[meter] = sample
            stream.wake.set()

    async def events(self, params: StreamParams, who: WhoAsks) -> AsyncGenerator[Events]:
        """The stream: first ``subscribed``, then events, some at a time. ``Refused`` ends it, at once or later."""
        viewer = who()
        if viewer.origin:
            await self._pace.turn(viewer.origin)
        message = "Too many streams are open, in all or by you. Close some, or put topics together."
        with self._places.taken(viewer, message), self._addresses.one(viewer.origin):
            stream = self._begin(params, viewer)
            try:
                yield (StreamEvent(SUBSCRIBED, stream.height),)
                while True:
                    stream.viewer = _admitted(params, who())
                    events = await self._next(stream)
                    if events:
                        stream.told_s = _now_s()
                        yield events
            finally:
                self._streams.discard(stream)

    def _begin(self, params: StreamParams, viewer: Viewer) -> _Stream:
        end = self._tape.end
        _admitted(params, viewer)
        if params.from_height > end + HEIGHT_AHEAD_MAX:
            message = f"from_height is more than {HEIGHT_AHEAD_MAX} blocks ahead of this node, at {end}."
            raise Refused(Problem("HEIGHT_TOO_FAR", message, 422))
        if 0 < params.from_height < self._ledger.first_height:
            raise not_held(self._ledger.first_height)
        index = params.from_index if params.from_height else 0
        stream = _Stream(params, viewer, params.from_height or end + 1, index, told_s=_now_s())
        self._streams.add(stream)
        if stream.wants("power"):
            stream.meters = list(self._power)
        return stream

    async def _next(self, stream: _Stream) -> Events:
        """What there is to tell next; nothing if there was nothing for this reader in some blocks."""
        for meter in stream.meters[-POWER_AT_ONCE:]:
            self._offer(stream, meter)
        del stream.meters[-POWER_AT_ONCE:]
        meters = list(islice(stream.power, POWER_AT_ONCE))
        events = [StreamEvent("power", 0, 0, stream.power.pop(meter)) for meter in meters]
        if stream.height <= self._tape.end:
            page = await self._tape.read(stream.height, stream.depth)
            books = _last_changes(page.tales, stream)
            for tale in page.tales:
                events += self._block(stream, tale)
                events += await self._books(stream, tale, books)
                events += _affairs(stream, tale)
                stream.height, stream.index = tale.height + 1, 0
        if events:
            return tuple(events)
        left_s = stream.told_s + HEARTBEAT_S - _now_s()
        if left_s <= 0:
            return (StreamEvent(HEARTBEAT, stream.height - 1),)
        if stream.height > self._tape.end:
            await _wait(stream.wake, 0 if stream.meters or stream.power else left_s)
        return ()

    def _block(self, stream: _Stream, tale: BlockTale) -> list[StreamEvent]:
        if not stream.wants("blocks") or stream.is_told(0):
            return []
        if not stream.params.proofs:
            return [StreamEvent("blocks", tale.height, 0, tale.record)]
        proof = tale.proof
        if tale.epoch is not None and tale.epoch != stream.epoch:
            stream.epoch = tale.epoch
            proof = msgspec.structs.replace(proof, boundaries=self._ledger.boundaries(tale.epoch))
        data = msgspec.to_builtins(tale.record) | {"proof": msgspec.to_builtins(proof)}
        return [StreamEvent("blocks", tale.height, 0, data)]

    async def _books(self, stream: _Stream, tale: BlockTale, last: dict[int, int]) -> list[StreamEvent]:
        """The book of each interval that this block was the last of its page to change."""
        events: list[StreamEvent] = []
        for index, interval in enumerate(tale.intervals, 1):
            if last.get(interval) != tale.height or stream.is_told(index):
                continue
            book = await self._tape.book(interval)
            if book is not None:
                events.append(StreamEvent("book", tale.height, index, book))
        return events


def _last_changes(tales: tuple[BlockTale, ...], stream: _Stream) -> dict[int, int]:
    """The last block of a page that changed each interval's book: a book says all, and the last one is enough."""
    return {interval: tale.height for tale in tales for interval in tale.intervals if stream.wants_book(interval)}


def _affairs(stream: _Stream, tale: BlockTale) -> list[StreamEvent]:
    """What of a block concerns the reader. Others' affairs leave no trace: only the reader's own are counted."""
    found: list[StreamEvent] = []
    index = len(tale.intervals)
    for affair in tale.affairs:
        if not may_read_event(stream.viewer, affair.named):
            continue
        for topic, data in (("trades", affair.trade), ("notices", affair.notice)):
            if data is not None:
                index += 1
                if stream.wants(topic) and not stream.is_told(index):
                    found.append(StreamEvent(topic, tale.height, index, data))
    return found


def _admitted(params: StreamParams, viewer: Viewer) -> Viewer:
    """The reader, if it may have these topics at all."""
    if not viewer.signer and not PRIVATE_TOPICS.isdisjoint(params.topics):
        message = "trades, notices and power take a session. Open one with your key first (POST /v1/challenges)."
        raise identity_needed(viewer, message)
    return viewer


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
    event.clear()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
