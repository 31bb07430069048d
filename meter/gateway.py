"""The gateway: polls meters, closes intervals into the buffer, and submits them until the chain vouches for them.

It runs inside a node whose section of ``cluster.toml`` has meters, or alone as ``wattq gateway``; ``submit`` is its
only tie to the chain. Order of events for a reading: synced to the buffer, submitted as often as it takes, marked
done. A repeat after a crash carries the same meter, epoch and sequence, and the chain counts it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
from prometheus_client import CollectorRegistry

from meter.block_clock import BlockClock
from meter.buffer import ReadingBuffer
from meter.counters import BELIEVED, Sample, Verdict
from meter.errors import BufferFull, ReadingsRefused, SubmitUnavailable
from meter.failures import MeterFailures
from meter.intervals import INTERVAL_MS, MeterState, Reading, advance, begin, expire
from meter.poller import TIMEOUT_S, Line, poll_step_ms
from meter.replacement import replaced
from meter.units import MeterUnit, by_line
from sdk.clock import Clock
from sdk.errors import Problem, Refused
from sdk.replacement import Replacement

log = logging.getLogger(__name__)

BATCH_DELAY_S_MAX = 0.25
"""How long an interval's first reading waits for the other meters' readings of the same interval."""
BATCH_READINGS_MAX = 50
"""Of one submission; the contract takes 100."""
PARKED_S = 30.0
"""How long readings wait of a meter that the registry does not give us, before they are tried again."""
RETRY_S = 0.2
RETRY_S_MAX = 10.0

Submit = Callable[[list[Reading]], Awaitable[None]]
"""Returns once the chain vouches for the readings; raises ``SubmitUnavailable`` or ``ReadingsRefused``."""


class Watcher(Protocol):
    """Whoever wants to see what is measured, as it is measured. Nothing here waits, or fails."""

    def measured(self, unit: MeterUnit, sample: Sample) -> None:
        """A sample that was believed."""

    def power(self, unit: MeterUnit, at_ms: int, power_w: int) -> None: ...

    def closed(self, reading: Reading) -> None:
        """A reading is in the buffer."""


class Gateway:
    """``run`` works until it is cancelled; the buffer stays the caller's to close.

    ``block_clock`` tells how far block time is ahead of ``clock``.
    """

    def __init__(
        self,
        units: Sequence[MeterUnit],
        clock: Clock,
        submit: Submit,
        buffer: ReadingBuffer,
        *,
        block_clock: BlockClock | None = None,
        timeout_s: float = TIMEOUT_S,
        watchers: Sequence[Watcher] = (),
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._units = list(units)
        self._clock = clock
        self._submit = submit
        self._buffer = buffer
        self._block_clock = block_clock or BlockClock(clock)
        self._timeout_s = timeout_s
        self._watchers = tuple(watchers)
        self._failures = MeterFailures(registry)
        self._turns = {unit.serial: asyncio.Lock() for unit in self._units}
        self._states: dict[str, MeterState] = {}
        for unit in self._units:
            state = buffer.state(unit.serial)
            if state is not None:
                self._states[unit.serial] = state
        self._closed = asyncio.Event()
        self._parked_until_s: dict[str, float] = {}
        self.latest: dict[str, Sample] = {}
        """The last sample of each meter, believed or not, for display."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for units in by_line(self._units).values():
                tasks.create_task(Line(units, self._clock, self, self._timeout_s, self._failures).run())
            tasks.create_task(self._submit_all())
            if fed := [unit for unit in self._units if unit.is_fed]:
                tasks.create_task(self._miss(fed))

    async def _miss(self, fed: Sequence[MeterUnit]) -> None:
        """Meters that others feed have no line that would notice their absence."""
        step_ms = poll_step_ms(1, self._clock.rate)
        while True:
            await self._clock.sleep_until((self._clock.now_ms() // step_ms + 1) * step_ms)
            for unit in fed:
                await self.absence(unit)

    def unit(self, serial: str) -> MeterUnit | None:
        return next((unit for unit in self._units if unit.serial == serial), None)

    def state(self, serial: str) -> MeterState | None:
        """A meter's state, None before its first sample."""
        return self._states.get(serial)

    def told(self) -> dict[str, Any]:
        """What is known of each meter, for people and for programs that look after it."""
        waiting = self._buffer.pending()
        return {
            "clock_offset_ms": self._block_clock.offset_ms,
            "refused": self._buffer.refused,
            "meters": [
                self._told(unit, sum(reading.meter == unit.serial for reading in waiting)) for unit in self._units
            ],
        }

    def _told(self, unit: MeterUnit, waiting: int) -> dict[str, Any]:
        state, latest = self._states.get(unit.serial), self.latest.get(unit.serial)
        return {
            "meter": unit.serial,
            "fed": unit.is_fed,
            "epoch": state.epoch if state else 0,
            "sequence": state.sequence if state else 0,
            "waiting": waiting,
            "failures": self._failures.told(unit.serial),
            "latest": None if latest is None else msgspec.structs.asdict(latest),
        }

    # ------------------------------------------------------------------------------- from samples to readings

    async def sample(self, unit: MeterUnit, sample: Sample) -> Verdict:
        """Take in a meter's sample."""
        async with self._turns[unit.serial]:
            verdict = await self._follow(unit, sample)
        if sample.power_w is not None and verdict is not Verdict.OLD:
            self.power(unit, sample.at_ms, sample.power_w)
        if verdict in BELIEVED:
            for watcher in self._watchers:
                watcher.measured(unit, sample)
        return verdict

    async def _follow(self, unit: MeterUnit, sample: Sample) -> Verdict:
        self.latest[unit.serial] = sample
        state = self._states.get(unit.serial)
        if state is None:
            if self._is_untimed(unit, sample.at_ms // INTERVAL_MS, sample):
                return Verdict.UNTIMED
            # Above whatever a buffer that was lost has numbered: the chain takes nothing that does not rise.
            self._states[unit.serial] = begin(unit.serial, sample, self._clock.now_ms() // 1000)
            return Verdict.IN_LINE
        if self._is_untimed(unit, state.open, sample):
            return Verdict.UNTIMED
        before = state.track
        state, readings, verdict = advance(state, sample, unit.rated_power_w, self._block_clock.offset_ms)
        if verdict not in BELIEVED and verdict is not Verdict.OLD:
            log.warning("meter %s: %s: from %s to %s", unit.serial, verdict, before.last, sample)
        await self._keep(state, readings)
        return verdict

    async def absence(self, unit: MeterUnit) -> None:
        """A meter's turn passed without a sample; intervals may have run out of grace."""
        async with self._turns[unit.serial]:
            state = self._states.get(unit.serial)
            if state is not None and self._block_clock.is_settled and not self._block_clock.is_off:
                await self._keep(*expire(state, self._clock.now_ms(), self._block_clock.offset_ms))

    def _is_untimed(self, unit: MeterUnit, open_interval: int, sample: Sample) -> bool:
        """Whether a sample's time is our own clock's, and that is off; or it would end a long silence, and that clock
        was not compared yet. It is let pass then: the energy stays in the meter's counters."""
        if unit.is_fed:
            return False
        if self._block_clock.is_off:
            log.error("the clock is %d ms away from block time: samples wait for it", -self._block_clock.offset_ms)
            return True
        return sample.at_ms // INTERVAL_MS > open_interval + 1 and not self._block_clock.is_settled

    def power(self, unit: MeterUnit, at_ms: int, power_w: int) -> None:
        """Power alone: for those who watch, and for nothing else."""
        for watcher in self._watchers:
            watcher.power(unit, at_ms, power_w)

    async def replace(self, order: Replacement) -> int:
        """Carry out a replacement whose signature was checked; the epoch from then on. Raises ``Refused``."""
        unit = self.unit(order.meter)
        if unit is None or (state := self._states.get(order.meter)) is None:
            raise Refused(Problem("METER_UNKNOWN", "This gateway has read no such meter.", 404))
        if self._block_clock.is_off:
            raise Refused(Problem("CLOCK_OFF", "The gateway's clock is far from block time. Set it right first.", 503))
        async with self._turns[order.meter]:
            state = self._states[order.meter]
            clock = self._clock
            after, readings = replaced(
                state, order, unit.rated_power_w, clock.now_ms(), clock.rate, self._block_clock.offset_ms
            )
            if after is not state:
                await asyncio.to_thread(self._buffer.append, after, readings)
                self._kept(after, readings)
                log.warning("meter %s was replaced: epoch %d from now on", order.meter, after.epoch)
            return after.epoch

    async def _keep(self, state: MeterState, readings: Sequence[Reading]) -> None:
        """Make closed intervals durable; a full buffer leaves them open, with their energy in the counters."""
        if readings:
            try:
                await asyncio.to_thread(self._buffer.append, state, readings)
            except BufferFull as error:
                log.error("meter %s: interval %d stays open: %s", state.meter, readings[0].interval, error)
                return
        self._kept(state, readings)

    def _kept(self, state: MeterState, readings: Sequence[Reading]) -> None:
        self._states[state.meter] = state
        if readings:
            self._closed.set()
        for watcher in self._watchers:
            for reading in readings:
                watcher.closed(reading)

    # --------------------------------------------------------------------------- from the buffer to the chain

    async def _submit_all(self) -> None:
        """One submission an interval, the oldest first, forever."""
        while True:
            batch = await self._next_batch()
            for refused in await self._deliver(batch):
                # One bad reading must not hold up the others: each goes alone, and only the bad one is given up.
                await self._deliver([refused], alone=True)

    async def _next_batch(self) -> list[Reading]:
        """The waiting readings of the oldest interval, once all meters' are there or have been waited for; of a meter
        that was read again, the first."""
        waited = False
        while True:
            self._closed.clear()
            waiting = self._ready()
            batch = [reading for reading in waiting if reading.interval == waiting[0].interval]
            complete = len(batch) >= len(self._units) or len(waiting) > len(batch)
            if batch and (complete or waited):
                return first_of_each(batch)[:BATCH_READINGS_MAX]
            if batch:
                await asyncio.sleep(BATCH_DELAY_S_MAX)
                waited = True
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PARKED_S):
                        await self._closed.wait()

    def _ready(self) -> list[Reading]:
        """What waits, but for meters that are put aside."""
        now_s = asyncio.get_running_loop().time()
        return [reading for reading in self._buffer.pending() if self._parked_until_s.get(reading.meter, 0.0) <= now_s]

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
                if refusal.mendable:
                    log.warning("meter %s waits: %s", readings[0].meter, refusal)
                    self._parked_until_s[readings[0].meter] = asyncio.get_running_loop().time() + PARKED_S
                    return []
                log.error("meter %s, interval %d: refused: %s", readings[0].meter, readings[0].interval, refusal)
                code = refusal.code
                break
        await asyncio.to_thread(self._buffer.done, readings, code)
        return []


def first_of_each(readings: list[Reading]) -> list[Reading]:
    """The contract takes one reading of a meter's interval in a call, since the next one corrects it."""
    firsts: dict[str, Reading] = {}
    for reading in readings:
        firsts.setdefault(reading.meter, reading)
    return [*firsts.values()]
