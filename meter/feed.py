"""Samples of meters that an existing SCADA reads: over MQTT or HTTP, by the same rules as our own polling.

A sample is a meter's counters at a moment. The gateway makes intervals of them, holds back what is out of line, and
signs the readings with its key; so whoever feeds needs no key of the chain. A sample that comes twice counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from meter.block_clock import BlockClock
from meter.counters import BELIEVED, Sample, Verdict
from meter.gateway import Gateway
from meter.intervals import GAP_INTERVALS_MAX, INTERVAL_MS
from meter.mqtt.messages import Feed, FeedAnswer
from meter.units import MeterUnit
from sdk.clock import Clock
from sdk.errors import UNREADABLE

AHEAD_S_MAX = 10.0
"""How far a sample's time may be ahead of our clock, in real time: beyond it, all that follow would be too old."""
PAST_MS_MAX = GAP_INTERVALS_MAX * INTERVAL_MS
"""How old a sample may be; of what is older no reading would be made."""
SAMPLES_PER_S_MAX = 20
"""Of one meter."""
OK, HELD = "OK", "HELD"
STATUS: Mapping[str, int] = {
    OK: 200, HELD: 202, "METER_UNKNOWN": 404, "METER_POLLED": 409, "PARAMETERS_INVALID": 400, "TIME_INVALID": 422,
    "TIME_NOT_RISING": 409, "TOO_MANY_REQUESTS": 429,
}  # fmt: skip
"""What HTTP says to each code."""


class FeedDesk:
    """Takes samples in for a gateway."""

    def __init__(self, gateway: Gateway, clock: Clock, block_clock: BlockClock) -> None:
        self._gateway, self._clock, self._block_clock = gateway, clock, block_clock
        self._second: dict[str, tuple[int, int]] = {}

    async def take(self, serial: str, payload: bytes) -> FeedAnswer:
        """A sample of ``serial``, as JSON; never fails."""
        unit = self._gateway.unit(serial)
        if unit is None:
            return _answer(serial, "METER_UNKNOWN", "This gateway has no such meter.")
        if not unit.is_fed:
            return _answer(serial, "METER_POLLED", 'This meter is polled; only one with source = "scada" is fed.')
        try:
            feed = msgspec.json.decode(payload, type=Feed)
        except UNREADABLE as error:
            return _answer(serial, "PARAMETERS_INVALID", f"This is no sample: {error}.")
        if not self._has_pace(serial):
            return _answer(serial, "TOO_MANY_REQUESTS", f"At most {SAMPLES_PER_S_MAX} samples a second.", feed.id)
        if wrong := self._time_fault(feed.time_ms):
            return _answer(serial, "TIME_INVALID", wrong, feed.id)
        return await self._follow(unit, feed)

    def _time_fault(self, time_ms: int) -> str:
        """What is wrong with a sample's time, by the chain's clock as far as it is known."""
        now_ms = self._clock.now_ms() + self._block_clock.offset_ms
        if time_ms > now_ms + AHEAD_S_MAX * 1000 * self._clock.rate:
            return "The sample is from the future. Check your clock: time_ms is milliseconds since 1970, UTC."
        if time_ms < now_ms - PAST_MS_MAX:
            return "The sample is more than a day old. Check your clock: time_ms is milliseconds since 1970, UTC."
        return ""

    async def _follow(self, unit: MeterUnit, feed: Feed) -> FeedAnswer:
        sample = Sample(feed.time_ms, feed.import_wh, feed.export_wh, feed.power_w)
        verdict = await self._gateway.sample(unit, sample)
        if verdict in BELIEVED:
            return _answer(unit.serial, OK, "", feed.id)
        if verdict is Verdict.REBASED:
            message = "The meter counts from a new level now; the interval of the change is suspect."
            return _answer(unit.serial, OK, message, feed.id)
        if verdict is not Verdict.OLD:
            message = f"The sample is out of line with the one before ({verdict}); it counts once others agree with it."
            return _answer(unit.serial, HELD, message, feed.id)
        if self._is_known(unit.serial, sample):
            return _answer(unit.serial, OK, "This sample was known.", feed.id)
        return _answer(unit.serial, "TIME_NOT_RISING", "A later sample of this meter is known already.", feed.id)

    def _is_known(self, serial: str, sample: Sample) -> bool:
        state = self._gateway.state(serial)
        return state is not None and _content(state.track.last) == _content(sample)

    def _has_pace(self, serial: str) -> bool:
        second = int(asyncio.get_running_loop().time())
        before, count = self._second.get(serial, (second, 0))
        count = count + 1 if before == second else 1
        self._second[serial] = second, count
        return count <= SAMPLES_PER_S_MAX


def _content(sample: Sample) -> tuple[int, int, int]:
    return sample.at_ms, sample.import_wh, sample.export_wh


def _answer(meter: str, code: str, message: str, name: str = "") -> FeedAnswer:
    return FeedAnswer(id=name, meter=meter, code=code, message=message)
