"""Polls the meters of one Modbus TCP connection, unit after unit.

Gateway practice: one connection a HOST:PORT however many unit ids are behind it; a unit that fails is left alone
for a doubling while, and asked after the ones that work, so that it never holds them up; an answer with another
request's transaction id closes the connection, since whatever follows on it is in doubt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pymodbus.client import AsyncModbusTcpClient

from meter.counters import Sample
from meter.errors import DeviceError, LineDown
from meter.failures import MeterFailures
from meter.framing import tolerate
from meter.intervals import INTERVAL_MS
from meter.reader import UnitReader
from meter.units import MeterUnit
from sdk.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S = 1.0
BACKOFF_S = 1.0
BACKOFF_S_MAX = 30.0
POLL_MS_MIN = 5_000
"""Energy is read no more often than this, in the clock's time."""
POLL_SLACK = 1.25
"""Steps are longer than the device needs, so that a late poll does not make all later ones late."""
POWER_S = 1.0
"""Power alone is read so often, in real time, between samples: for those who watch."""
POLL_STEPS_S = (5, 6, 10, 12, 15, 20, 30, 45, 60, 75, 90, 100, 150, 180, 225, 300, 450, 900)
"""Divisors of an interval, so that a poll falls on every boundary."""


class SampleSink(Protocol):
    """What becomes of each turn of a unit: a sample, or none."""

    async def sample(self, unit: MeterUnit, sample: Sample) -> object: ...

    def power(self, unit: MeterUnit, at_ms: int, power_w: int) -> None:
        """Power alone, between samples."""

    async def absence(self, unit: MeterUnit) -> None:
        """The unit's turn came and it gave nothing."""


@dataclass(slots=True)
class _Turn:
    """A unit on the line, and when it may be asked again (event loop time)."""

    unit: MeterUnit
    reader: UnitReader
    failures: int = 0
    not_before_s: float = 0.0
    asked_at_s: float = field(default=float("-inf"))


def poll_step_ms(profile_ms_min: int, rate: float) -> int:
    """The time between polls, in the clock's ms: a divisor of the interval that the slowest device bears."""
    wanted_ms = max(POLL_MS_MIN, profile_ms_min * POLL_SLACK * rate)
    return next((step_s * 1000 for step_s in POLL_STEPS_S if step_s * 1000 >= wanted_ms), INTERVAL_MS)


class Line:
    """One connection and the units behind it. ``run`` polls until it is cancelled."""

    def __init__(
        self,
        units: Sequence[MeterUnit],
        clock: Clock,
        sink: SampleSink,
        timeout_s: float = TIMEOUT_S,
        failures: MeterFailures | None = None,
    ) -> None:
        assert len({(unit.host, unit.port) for unit in units}) == 1, "a line is one host and port"
        self._host, self._port = units[0].host, units[0].port
        self._turns = [_Turn(unit, UnitReader(unit.profile, unit.unit, self._pause)) for unit in units]
        self._pause_s = max(unit.profile.request_pause_ms for unit in units) / 1000
        self._asked_at_s = float("-inf")
        self._round_s = 0.0
        self._clock = clock
        self._sink = sink
        self._counted = failures or MeterFailures()
        self._timeout_s = timeout_s
        self._step_ms = poll_step_ms(max(unit.profile.poll_interval_ms_min for unit in units), clock.rate)
        # On an accelerated clock the longest pause is an interval, so that a recovered meter misses one at most.
        self._backoff_s_max = min(BACKOFF_S_MAX, INTERVAL_MS / 1000 / clock.rate)
        self._client: AsyncModbusTcpClient | None = None
        self._failures = 0
        self._connect_not_before_s = 0.0
        self._sent_id = b""
        self._out_of_step = self._garbled = False

    async def run(self) -> None:
        """Poll at every step of the clock, the first time at once."""
        try:
            await self._round()
            while not _is_cancelled():
                await self._watch_until((self._clock.now_ms() // self._step_ms + 1) * self._step_ms)
                await self._round()
        finally:
            self._disconnect()

    # ------------------------------------------------------------------------------------------------ a round

    async def _round(self) -> None:
        """Every unit's turn: those that work first."""
        began_s = _now_s()
        await self._turns_of_all()
        self._round_s = _now_s() - began_s

    async def _turns_of_all(self) -> None:
        for turn in sorted(self._turns, key=lambda turn: turn.failures):
            sample = await self._take(turn)
            if _is_cancelled():
                return
            if sample is None:
                await self._sink.absence(turn.unit)
            else:
                await self._sink.sample(turn.unit, sample)

    async def _watch_until(self, at_ms: int) -> None:
        """Wait for the next step; meanwhile read power of units that work, on lines that are quick enough for it."""
        while (now_ms := self._clock.now_ms()) < at_ms:
            next_ms = min(at_ms, now_ms + int(POWER_S * 1000 * self._clock.rate))
            await self._clock.sleep_until(next_ms)
            if next_ms == at_ms or self._round_s > POWER_S / 2:
                continue
            for turn in self._turns:
                if not turn.failures and turn.unit.profile.poll_interval_ms_min <= POWER_S * 1000:
                    power_w = await self._asked(turn, turn.reader.read_power)
                    if power_w is not None:
                        self._sink.power(turn.unit, self._clock.now_ms(), power_w)

    async def _take(self, turn: _Turn) -> Sample | None:
        """One sample, or None."""
        return await self._asked(turn, lambda client: turn.reader.read(client, self._clock.now_ms()))

    async def _asked(self, turn: _Turn, ask: Callable[[AsyncModbusTcpClient], Awaitable[T | None]]) -> T | None:
        """What ``ask`` gives, or None when the unit is in back-off, the line is down, or the unit fails."""
        if turn.not_before_s > _now_s():
            return None
        client = await self._connected()
        if client is None:
            return None
        await self._pace(turn)
        try:
            answer = await ask(client)
        except DeviceError as error:
            self._failed(turn, error)
            return None
        except LineDown as error:
            self._counted.count(turn.unit.serial, error)
            self._lost(error)
            return None
        finally:
            self._leave_in_doubt(turn)
        if turn.failures:
            log.info("meter %s answers again", turn.unit.serial)
        turn.failures = 0
        return answer

    async def _pace(self, turn: _Turn) -> None:
        pause_s = turn.asked_at_s + turn.unit.profile.poll_interval_ms_min / 1000 - _now_s()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        turn.asked_at_s = _now_s()

    async def _pause(self) -> None:
        """Leave the line alone between any two requests, as its slowest device wants it."""
        pause_s = self._asked_at_s + self._pause_s - _now_s()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        self._asked_at_s = _now_s()

    def _failed(self, turn: _Turn, error: DeviceError) -> None:
        turn.reader.forget()
        if not turn.failures:
            log.warning("meter %s does not answer properly: %s", turn.unit.serial, error)
        self._counted.count(turn.unit.serial, error)
        turn.failures += 1
        turn.not_before_s = _now_s() + self._backoff_s(turn.failures)

    # ------------------------------------------------------------------------------------------- the connection

    async def _connected(self) -> AsyncModbusTcpClient | None:
        """The open connection; None while it cannot be made."""
        if self._client is not None and self._client.connected:
            return self._client
        if self._connect_not_before_s > _now_s():
            return None
        self._disconnect()
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._see_packet,
        )
        tolerate(client, self._see_garbage)
        if not await client.connect():
            client.close()
            self._lost(LineDown("cannot be connected"))
            return None
        self._failures = 0
        self._client = client
        return client

    def _lost(self, error: LineDown) -> None:
        self._disconnect()
        if not self._failures:
            log.warning("meters at %s:%d are out of reach: %s", self._host, self._port, error)
        self._failures += 1
        self._connect_not_before_s = _now_s() + self._backoff_s(self._failures)

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._out_of_step = self._garbled = False
        for turn in self._turns:
            turn.reader.forget()

    def _leave_in_doubt(self, turn: _Turn) -> None:
        """Close a connection on which something came that was no answer to our request."""
        if self._out_of_step and turn.failures <= 1:
            log.warning("%s:%d: an answer to another request; connecting anew", self._host, self._port)
        if self._out_of_step or self._garbled:
            self._disconnect()

    def _see_garbage(self) -> None:
        self._garbled = True

    def _see_packet(self, sending: bool, data: bytes) -> bytes:
        """Compare the transaction ids (first two bytes of a Modbus TCP frame) of request and answer."""
        if sending:
            self._sent_id = data[:2]
        elif len(data) >= 2 and data[:2] != self._sent_id:
            self._out_of_step = True
        return data

    def _backoff_s(self, failures: int) -> float:
        return min(BACKOFF_S * 2.0 ** min(failures - 1, 16), self._backoff_s_max)


def _is_cancelled() -> bool:
    """Whether this task was asked to end. Before Python 3.12 ``asyncio.wait_for``, on which pymodbus waits for
    answers, loses a cancellation that arrives together with the answer; the task still remembers it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _now_s() -> float:
    return asyncio.get_running_loop().time()
