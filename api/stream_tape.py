"""The certified chain as streams read it: pages of blocks, the newest ones shared by all readers.

Nobody is sent anything from here: each reader asks for the block that it wants next. Whoever keeps up finds it in
memory, where the first who asked has put it; whoever does not, reads the chain. So a slow reader costs no memory and
loses nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import Any

import msgspec

from api.book import read_book
from api.headers import not_held
from api.pools import BoundedPool
from api.stream_events import BlockTale, Teller
from ledger.answers import BlockNotHeld
from ledger.ledger import Ledger
from sdk.errors import Problem, Refused
from sdk.wire import encode_body

READ_THREADS, READS_MAX, READ_TIMEOUT_S = 2, 512, 30.0
READS_AT_ONCE = 4
"""Further readers wait for their turn, in order."""
PAGE_BLOCKS_MAX, PAGE_AFFAIRS_MAX, PAGE_S_MAX = 64, 1_000, 0.2
"""A page ends with the first block that reaches one of these."""
KEPT_BYTES_MAX = 8 << 20
"""The newest blocks in memory."""


@dataclass(frozen=True, slots=True)
class Page:
    """Successive certified blocks, at least one."""

    tales: tuple[BlockTale, ...]

    @property
    def last(self) -> int:
        return self.tales[-1].height


class Tape:
    """One a ledger. ``read`` and ``book`` belong to the event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._teller = Teller(ledger)
        self._pool = BoundedPool("streams", READ_THREADS, READS_MAX, READ_TIMEOUT_S)
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._kept: OrderedDict[tuple[int, bool], BlockTale] = OrderedDict()
        self._kept_bytes = 0
        self._newest = {False: 0, True: 0}
        self._reading: dict[tuple[int, bool], asyncio.Task[Page]] = {}
        self._books: dict[int, tuple[int, asyncio.Task[msgspec.Raw | None]]] = {}
        self._agreed = 0

    @property
    def end(self) -> int:
        """The newest certified height."""
        return self._ledger.certified_height

    async def read(self, first: int, depth: bool) -> Page:
        """The page that begins with the block ``first``, which is certified; ``Refused`` BLOCK_NOT_HELD."""
        kept = self._find(first, depth)
        if kept:
            await asyncio.sleep(0)
            return Page(kept)
        task = self._reading.get((first, depth))
        if task is None:
            task = self._reading[first, depth] = asyncio.create_task(self._read(first, depth))
            task.add_done_callback(lambda _: self._reading.pop((first, depth)))
            task.add_done_callback(_seen)
        return await asyncio.shield(task)

    def _find(self, first: int, depth: bool) -> tuple[BlockTale, ...]:
        found: list[BlockTale] = []
        for height in range(first, min(first + PAGE_BLOCKS_MAX, self.end + 1)):
            tale = self._kept.get((height, True)) or (None if depth else self._kept.get((height, False)))
            if tale is None:
                break
            found.append(tale)
        return tuple(found)

    async def _read(self, first: int, depth: bool) -> Page:
        async with self._turns:
            page = await self._pool.run(self._page, first, depth)
        for tale in page.tales:
            # Who reads of long ago keeps nothing from those who read of now.
            if tale.height > self._newest[depth]:
                self._keep(tale)
        return page

    def _keep(self, tale: BlockTale) -> None:
        self._newest[tale.depth] = tale.height
        self._kept[tale.height, tale.depth] = tale
        self._kept_bytes += tale.size_bytes
        while self._kept_bytes > KEPT_BYTES_MAX:
            self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes

    def _page(self, first: int, depth: bool) -> Page:
        """In a thread."""
        end = self.end
        self._check_agreed(end)
        tales: list[BlockTale] = []
        affairs, until_s = 0, monotonic() + PAGE_S_MAX
        try:
            for height in range(first, min(first + PAGE_BLOCKS_MAX, end + 1)):
                tales.append(tale := self._teller.tell(height, depth))
                affairs += len(tale.affairs)
                if affairs >= PAGE_AFFAIRS_MAX or monotonic() > until_s:
                    break
        except BlockNotHeld as error:
            if not tales:
                raise not_held(error.first_height) from None
        return Page(tuple(tales))

    def _check_agreed(self, end: int) -> None:
        """What the newest certificate says of its block, and so of all before it, is what executing them here gave."""
        if end <= self._agreed or end < self._ledger.first_height:
            return
        certificate = self._ledger.certificate(end)
        if certificate is not None and certificate.statement != self._ledger.block(end).statement:
            message = "This node disagrees with what the others have certified. Ask another one."
            raise Refused(Problem("NODE_DIVERGED", message, 503))
        self._agreed = end

    # --------------------------------------------------------------------------------------------- books

    async def book(self, interval: int) -> msgspec.Raw | None:
        """The encoded book of an interval after the newest certified block; None while there is none."""
        end = self.end
        known = self._books.get(interval)
        if known is None or known[0] != end:
            self._books = {at: each for at, each in self._books.items() if each[0] == end}
            task = asyncio.create_task(self._read_book(interval))
            task.add_done_callback(_seen)
            known = self._books[interval] = end, task
        return await asyncio.shield(known[1])

    async def _read_book(self, interval: int) -> msgspec.Raw | None:
        async with self._turns:
            return await self._pool.run(self._certified_book, interval)

    def _certified_book(self, interval: int) -> msgspec.Raw | None:
        prover = self._ledger.prover()
        if prover is None:
            return None
        return msgspec.Raw(encode_body(read_book(prover.reader(), interval, prover.height)))


def _seen(task: asyncio.Task[Any]) -> None:
    """Whoever waits for it is told what went wrong; perhaps nobody does any more."""
    if not task.cancelled():
        task.exception()
