"""A stream that outlives nodes: it goes on at the next one where it ended at the last, without gap or double."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from ledger.genesis import Genesis
from ledger.proofs import ProofInvalid
from sdk.errors import Refused, SdkError, TransportError
from sdk.statuses import RETRIED_STATUS
from sdk.streaming import Events
from sdk.streams import HEARTBEAT, SUBSCRIBED, StreamEvent, StreamParams, typed
from sdk.transports import Transport
from sdk.verified_blocks import BlockVerifier

BACKOFF_S, BACKOFF_S_MAX = 0.1, 2.0
STALE_S = 30.0
"""A node that certifies nothing for so long is left for the next one, if another is known."""
ELSEWHERE = frozenset({"BLOCK_NOT_HELD", "HEIGHT_TOO_FAR", "CHANNEL_UNKNOWN", "METHOD_UNKNOWN"})
"""Refusals of a stream that another node may not repeat."""


@dataclass(frozen=True, slots=True)
class Door:
    """How a client opens streams. ``token(endpoint)``: of a session, or empty; ``forget(endpoint)``: it is over."""

    endpoints: Sequence[Transport]
    token: Callable[[Transport], Awaitable[str]]
    forget: Callable[[Transport], object]
    channel: str


class Follower:
    """One stream. ``patience_s``: how long no node at all may serve it before it gives up with the last error."""

    def __init__(self, door: Door, params: StreamParams, patience_s: float, genesis: Genesis | None = None) -> None:
        """``genesis``: check blocks against it, and tell only those that are proven."""
        self._door = door
        self._params = params
        self._patience_s = patience_s
        self._genesis = genesis
        self._place = (params.from_height, params.from_index)
        """Height and index of the next event."""
        self._last_hash: bytes | None = None
        self._heard_s = 0.0
        """When a node last served it."""

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Events of the topics, and nothing else; raises the last ``SdkError`` or ``ProofInvalid`` when it gives up."""
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        backoff_s = BACKOFF_S
        turn, refused = 0, 0
        while True:
            endpoint = self._door.endpoints[turn % len(self._door.endpoints)]
            begun_s = loop.time()
            try:
                async with aclosing(self._from(endpoint)) as events:
                    async for event in events:
                        yield event
                last: SdkError | ProofInvalid = TransportError(f"{endpoint.endpoint}: the stream has ended")
            except (TransportError, ProofInvalid) as error:
                last = error
            except Refused as refusal:
                last = refusal
                if refusal.code == "SESSION_UNKNOWN":
                    self._door.forget(endpoint)
                elif refusal.code not in ELSEWHERE and refusal.status not in RETRIED_STATUS:
                    raise
            if self._heard_s > begun_s:
                backoff_s, refused = BACKOFF_S, 0
            elif isinstance(last, Refused) and last.code in ELSEWHERE:
                refused += 1
            if refused >= len(self._door.endpoints) or loop.time() > self._heard_s + self._patience_s:
                raise last
            turn += 1
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    async def _from(self, endpoint: Transport) -> AsyncGenerator[StreamEvent]:
        """What one node tells, from the place on, until it fails or stands still."""
        verifier = None if self._genesis is None else BlockVerifier(self._genesis, self._last_hash)
        token = await self._door.token(endpoint)
        height, index = self._place
        params = msgspec.structs.replace(self._params, from_height=height, from_index=index)
        loop = asyncio.get_running_loop()
        top, risen_s = 0, loop.time()
        async with aclosing(endpoint.stream(params, token, self._door.channel)) as frames:
            async for frame in frames:
                now_s = loop.time()
                for event in self._wanted(frame, verifier, endpoint):
                    yield event
                if (reached := max((event.height for event in frame), default=0)) > top:
                    top, risen_s = reached, now_s
                if now_s > risen_s + STALE_S and len(self._door.endpoints) > 1:
                    raise TransportError(f"{endpoint.endpoint}: nothing was certified for {STALE_S:g} s")

    def _wanted(self, frame: Events, verifier: BlockVerifier | None, endpoint: Transport) -> Iterator[StreamEvent]:
        """The frame's events that are new, checked; the place moves on with each."""
        for event in frame:
            if event.kind == SUBSCRIBED:
                if self._place[0] not in (0, event.height):
                    raise TransportError(f"{endpoint.endpoint}: begins at {event.height}, not at {self._place[0]}")
                self._place = max(self._place, (event.height, 0))
            elif event.kind == HEARTBEAT:
                self._moved(self._place if verifier is not None else max(self._place, (event.height + 1, 0)))
            elif event.kind not in self._params.topics:
                raise TransportError(f"{endpoint.endpoint}: tells of {event.kind[:32]!r}, which nobody asked for")
            elif event.kind == "power":
                self._moved(self._place)
                yield _typed(event, endpoint)
            elif (event.height, event.index) >= self._place:
                if verifier is None:
                    found = _typed(event, endpoint)
                    self._moved((event.height, event.index + 1))
                    yield found
                else:
                    yield from self._proven(event, verifier)

    def _proven(self, event: StreamEvent, verifier: BlockVerifier) -> list[StreamEvent]:
        proven = verifier.verified(event)
        if proven:
            self._last_hash = verifier.last_hash
            self._moved((event.height + 1, 0))
        return proven

    def _moved(self, place: tuple[int, int]) -> None:
        """A node serves this stream: it told something that is new, or that there is nothing."""
        self._place, self._heard_s = place, asyncio.get_running_loop().time()


def _typed(event: StreamEvent, endpoint: Transport) -> StreamEvent:
    try:
        return typed(event)
    except msgspec.ValidationError as error:
        raise TransportError(f"{endpoint.endpoint}: {error}") from None
