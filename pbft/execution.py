"""The execution thread: blocks, certificates and state transfer, in the order in which consensus settled them.

The write-ahead log is cut in the same order: behind block, state and the certificate that makes it superfluous, since
a power cut between a cut and its certificate would leave a replica without votes that still bind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from pbft.events import Event, Execute, Executed, Output, PoolRequest
from pbft.messages import Chunk, ExecutionCertificate, Manifest
from pbft.ports import LedgerPort


@dataclass(frozen=True, slots=True)
class Cut:
    """The log's records for sequences up to ``below`` are needed no longer."""

    below: int


Install: TypeAlias = None
Work: TypeAlias = Execute | tuple[ExecutionCertificate, ...] | Cut | Manifest | Chunk | Install


class Execution:
    """``put`` takes what has been executed; ``stale`` gives the requests that deserve a second look; ``cut`` cuts the
    log, on the log's own thread."""

    def __init__(
        self,
        ledger: LedgerPort,
        put: Callable[[Event], None],
        stale: Callable[[], list[PoolRequest]],
        cut: Callable[[int], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._put = put
        self._stale = stale
        self._cut = cut
        self._work: asyncio.Queue[Work] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="execution")
        self.on_certified: Callable[[Sequence[ExecutionCertificate]], None] = lambda certificates: None
        self.on_ending: Callable[[], None] = lambda: None
        """Has whatever holds the ledger's work up let go; called before anybody waits for the thread to end."""

    def give(self, output: Output) -> None:
        """Queue a step's blocks, its certificates, the cut that those allow, then its part of a state transfer."""
        for execute in output.execute:
            self._work.put_nowait(execute)
        if output.certified:
            self._work.put_nowait(output.certified)
        if output.truncate_below is not None:
            self._work.put_nowait(Cut(output.truncate_below))
        if output.transfer is not None:
            self._work.put_nowait(output.transfer)
        for chunk in output.stage:
            self._work.put_nowait(chunk)
        if output.install:
            self._work.put_nowait(None)

    async def drained(self) -> None:
        """Wait until everything given so far is done."""
        await self._work.join()

    async def run(self) -> None:
        while True:
            await self._do(await self._work.get())
            self._work.task_done()

    def close(self) -> None:
        self.on_ending()
        self._thread.shutdown()

    async def _do(self, work: Work) -> None:
        match work:
            case Execute():
                await self._execute(work)
            case Cut(below):
                await self._cut(below)
            case Manifest():
                await self._in_thread(self._ledger.begin_transfer, work)
            case Chunk():
                await self._in_thread(self._ledger.stage, work)
            case None:
                await self._in_thread(self._ledger.install)
            case certificates:
                await self._in_thread(self._ledger.certify, certificates)
                self.on_certified(certificates)

    async def _execute(self, item: Execute) -> None:
        report = await self._in_thread(
            self._ledger.execute, item.height, item.digest, item.body, item.view, item.proposer
        )
        waiting = self._stale()
        gone = await self._in_thread(self._ledger.inadmissible, waiting) if waiting else []
        self._put(Executed(report.statement, report.tx_ids, tuple(gone), report.boundary, report.admitted))

    async def _in_thread(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
