"""Serving peers from the ledger: blocks and snapshots, in threads, outside the core.

Each peer is served one request after another, few may wait, and nothing is read for a peer whose queue is still
full of what it asked for before: a peer that asks faster than it takes costs nothing. Between two answers there is a
rest, so that one that takes as fast as it can has a fifth of our time at most.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from pbft.messages import (
    Chunk,
    FetchBlocks,
    FetchChunk,
    FetchManifest,
    Message,
)
from pbft.ports import LedgerPort
from pbft.session import Session

SERVED_BYTES_MAX = 8 << 20
"""Bytes of blocks sent for one FETCH-BLOCKS."""
UNSENT_BYTES_MAX = 8 << 20
"""A peer for whom more than this waits to be sent is not served."""
REST_PER_ANSWER = 4
"""How many times as long as an answer took its peer waits for the next one."""
REST_S_MAX = 0.5
REQUESTS_WAITING_MAX = 8
"""Requests of one peer; further ones are dropped, and asked again by the peer."""

Fetch = FetchBlocks | FetchManifest | FetchChunk
FETCHES = (FetchBlocks, FetchManifest, FetchChunk)


class Serving:
    """``send(session, peer's number, message)`` queues a bulk message; ``unsent`` is a peer's queued bytes."""

    def __init__(
        self,
        ledger: LedgerPort,
        send: Callable[[Session, int, Message], None],
        unsent: Callable[[Session, int], int],
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._unsent = unsent
        self._waiting: dict[int, deque[Fetch]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed = asyncio.Event()
        self._ending = asyncio.Event()
        self._failure: BaseException | None = None
        self.refused: Counter[str] = Counter()

    def serve(self, session: Session, peer: int, request: Fetch) -> None:
        """Answer, soon, unless there is a reason not to."""
        waiting = self._waiting.get(peer)
        if not session.replica.core.whole:
            self.refused["fetch_while_not_whole"] += 1
        elif self.refuses(session, peer):
            pass
        elif waiting and len(waiting) >= REQUESTS_WAITING_MAX:
            self.refused["fetch_while_served"] += 1
        elif waiting is not None:
            waiting.append(request)
        else:
            self._waiting[peer] = deque([request])
            task = asyncio.get_running_loop().create_task(self._serve_all(session, peer))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def refuses(self, session: Session, peer: int) -> bool:
        """Whether a peer gets nothing more now, since so much that it asked for still waits; it will ask again."""
        if self._unsent(session, peer) <= UNSENT_BYTES_MAX:
            return False
        self.refused["fetch_while_served"] += 1
        return True

    async def run(self) -> None:
        """Raises what a ledger's read raised: a store that cannot be read ends the node."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def idle(self) -> None:
        """Forget who waits, and wait until nobody reads: before the ledger is replaced, or closed."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._ending.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._ending.clear()

    # ------------------------------------------------------------------------------------------- inside

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failure = failure
            self._failed.set()

    async def _serve_all(self, session: Session, peer: int) -> None:
        waiting, loop = self._waiting[peer], asyncio.get_running_loop()
        try:
            while waiting:
                began_s = loop.time()
                for message in await asyncio.to_thread(self._answer, session, waiting.popleft()):
                    self._send(session, peer, message)
                await self._rest(REST_PER_ANSWER * (loop.time() - began_s))
        finally:
            del self._waiting[peer]

    async def _rest(self, seconds: float) -> None:
        """Let others have their turn, unless the end is waited for."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), min(seconds, REST_S_MAX))

    def _answer(self, session: Session, request: Fetch) -> Iterable[Message]:
        """In a thread."""
        match request:
            case FetchBlocks(first, last):
                first = max(1, first)
                last = min(last, first + session.config.fetch_blocks_max - 1)
                return self._ledger.certified_blocks(first, last, SERVED_BYTES_MAX)
            case FetchManifest(height_min):
                manifest = self._ledger.manifest(height_min)
                return () if manifest is None else (manifest,)
            case FetchChunk(height, index):
                return (Chunk(height, index, self._ledger.chunk(height, index) or b""),)
