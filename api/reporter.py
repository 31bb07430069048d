"""Reports primaries caught lying or slow: ``governance.report``, signed with the node's own key.

Every honest node reports; one report is enough, and the others are refused as settled already. So nodes wait for
their turn, by their place among the validators, and most have nothing left to do.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sdk.client import AsyncClient
from sdk.errors import Refused, SdkError

REPORTS_WAITING_MAX = 16
"""Further evidence is kept on disk, and not reported."""
EVIDENCE_CHARS_MAX = 24_000
"""What fits into a transaction; a longer proof stays on disk."""
TURN_S = 1.0
"""How long a node waits for each one before it."""
RETRY_S = 5.0
ATTEMPTS_MAX = 60
RETRIED = frozenset({"CHANGE_PENDING", "NONCE_USED", "POOL_FULL"})
"""Refused for now; every other refusal settles the matter."""

log = logging.getLogger("wattq.reporter")


@dataclass(frozen=True, slots=True)
class Report:
    """Encoded evidence of an epoch; ``place``: ours among the validators."""

    epoch: int
    evidence: bytes
    place: int


class Reporter:
    """``epoch`` tells the epoch in force: evidence of another one skips nobody. ``run`` closes the client."""

    def __init__(self, client: AsyncClient, epoch: Callable[[], int]) -> None:
        self._client = client
        self._epoch = epoch
        self._waiting: asyncio.Queue[Report] = asyncio.Queue(REPORTS_WAITING_MAX)

    def offer(self, report: Report) -> None:
        """Have it reported, soon; in the event loop."""
        if len(base64.b64encode(report.evidence)) > EVIDENCE_CHARS_MAX:
            log.warning("evidence of %d bytes is too long to be reported; it is on disk", len(report.evidence))
        elif self._waiting.full():
            log.warning("%d reports wait already; evidence of epoch %d is on disk", REPORTS_WAITING_MAX, report.epoch)
        else:
            self._waiting.put_nowait(report)

    async def run(self) -> None:
        async with self._client:
            while True:
                await self._report(await self._waiting.get())

    async def _report(self, report: Report) -> None:
        await asyncio.sleep(TURN_S * report.place)
        for _ in range(ATTEMPTS_MAX):
            if report.epoch != self._epoch() or await self._settled(report):
                return
            await asyncio.sleep(RETRY_S)

    async def _settled(self, report: Report) -> bool:
        """Report once; whether there is nothing left to do."""
        args = {"evidence": base64.b64encode(report.evidence).decode()}
        try:
            outcome = await self._client.invoke("governance", "report", args)
        except Refused as refusal:
            log.info("a report was refused: %s", refusal)
            return refusal.code not in RETRIED
        except SdkError as error:
            log.warning("a report found no quorum: %s", error)
            return False
        log.warning("reported in block %d: %s", outcome.height, outcome.value)
        return True
