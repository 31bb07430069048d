"""The gateway: polls meters, closes intervals into the buffer, and submits them until the chain vouches for them.

It runs inside a node whose section of ``cluster.toml`` has meters, or alone as ``wattq gateway``; ``submit`` is its
only tie to the chain. Order of events for a reading: synced to the buffer, submitted as often as it takes, marked
done. A repeat after a crash carries the same meter, epoch and sequence, and the chain counts it once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from meter.buffer import ReadingBuffer
from meter.counters import BELIEVED, Sample, Verdict
from meter.errors import BufferFull, ReadingsRefused, SubmitUnavailable
from meter.intervals import MeterState, Reading, advance, begin, expire
from meter.poller import TIMEOUT_S, Line
from meter.units import MeterUnit, by_line
from sdk.clock import Clock

log = logging.getLogger(__name__)

BATCH_DELAY_S_MAX = 0.25
"""How long an interval's first reading waits for the other meters' readings of the same interval."""
RETRY_S = 0.2
RETRY_S_MAX = 10.0

Submit = Callable[[list[Reading]], Awaitable[None]]
"""Returns once the chain vouches for the readings; raises ``SubmitUnavailable`` or ``ReadingsRefused``."""


class Gateway:
    """``run`` works until it is cancelled; the buffer stays the caller's to close.

    ``clock_offset`` tells how far block time is ahead of ``clock``, in ms, as last measured.
    """

    def __init__(
        self,
        units: Sequence[MeterUnit],
        clock: Clock,
        submit: Submit,
        buffer: ReadingBuffer,
        *,
        clock_offset: Callable[[], int] = lambda: 0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._units = list(units)
        self._clock = clock
        self._submit = submit
        self._buffer = buffer
        self._clock_offset = clock_offset
        self._timeout_s = timeout_s
        self._states: dict[str, MeterState] = {}
        for unit in self._units:
            state = buffer.state(unit.serial)
            if state is not None:
                self._states[unit.serial] = state
        self._closed = asyncio.Event()
        self.latest: dict[str, Sample] = {}
        """The last sample of each meter, believed or not, for display."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for units in by_line(self._units).values():
                tasks.create_task(Line(units, self._clock, self, self._timeout_s).run())
            tasks.create_task(self._submit_all())

    # ------------------------------------------------------------------------------- from samples to readings

    async def sample(self, unit: MeterUnit, sample: Sample) -> None:
        """Take in a meter's sample; a line calls this, one unit at a time."""
        self.latest[unit.serial] = sample
        state = self._states.get(unit.serial)
        if state is None:
            self._states[unit.serial] = begin(unit.serial, sample)
            return
        before = state.track
        state, readings, verdict = advance(state, sample, unit.rated_power_w, self._clock_offset())
        if verdict not in BELIEVED and verdict is not Verdict.OLD:
            log.warning("meter %s: %s: from %s to %s", unit.serial, verdict, before.last, sample)
        await self._keep(state, readings)

    async def absence(self, unit: MeterUnit) -> None:
        """A meter's turn passed without a sample; intervals may have run out of grace."""
        state = self._states.get(unit.serial)
        if state is not None:
            await self._keep(*expire(state, self._clock.now_ms(), self._clock_offset()))

    async def _keep(self, state: MeterState, readings: Sequence[Reading]) -> None:
        """Make closed intervals durable; a full buffer leaves them open, with their energy in the counters."""
        if readings:
            try:
                await asyncio.to_thread(self._buffer.append, state, readings)
            except BufferFull as error:
                log.error("meter %s: interval %d stays open: %s", state.meter, readings[0].interval, error)
                return
            self._closed.set()
        self._states[state.meter] = state

    # --------------------------------------------------------------------------- from the buffer to the chain

    async def _submit_all(self) -> None:
        """One submission an interval, the oldest first, forever."""
        while True:
            batch = await self._next_batch()
            for refused in await self._deliver(batch):
                # One bad reading must not hold up the others: each goes alone, and only the bad one is given up.
                await self._deliver([refused], alone=True)

    async def _next_batch(self) -> list[Reading]:
        """The waiting readings of the oldest interval, once all meters' are there or have been waited for."""
        waited = False
        while True:
            self._closed.clear()
            waiting = self._buffer.pending()
            batch = [reading for reading in waiting if reading.interval == waiting[0].interval]
            complete = len(batch) >= len(self._units) or len(waiting) > len(batch)
            if batch and (complete or waited):
                return batch
            if batch:
                await asyncio.sleep(BATCH_DELAY_S_MAX)
                waited = True
            else:
                await self._closed.wait()

    async def _deliver(self, readings: list[Reading], alone: bool = False) -> list[Reading]:
        """Submit until the chain answers. Returns those to submit singly, because the batch was refused."""
        retry_s = RETRY_S
        code = ""
        while True:
            try:
                await self._submit(readings)
                break
            except SubmitUnavailable as error:
                log.warning("interval %d: %s; trying again in %g s", readings[0].interval, error, retry_s)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)
            except ReadingsRefused as refusal:
                if not alone and len(readings) > 1:
                    return readings
                log.error("meter %s, interval %d: refused: %s", readings[0].meter, readings[0].interval, refusal)
                code = refusal.code
                break
        await asyncio.to_thread(self._buffer.done, readings, code)
        return []
