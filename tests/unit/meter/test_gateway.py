"""The gateway end to end, from Modbus registers to submissions: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from meter import gateway as gateway_module
from meter.block_clock import BlockClock
from meter.buffer import ReadingBuffer, key_of
from meter.counters import Sample, Verdict
from meter.errors import ReadingsRefused, SubmitUnavailable
from meter.gateway import Gateway
from meter.intervals import INTERVAL_MS, Quality, Reading
from meter.profile import DeviceProfile, load_profile
from meter.simulation import MeterServer
from meter.simulator import Fault, SimulatedMeter
from meter.units import MeterUnit
from sdk.clock import Clock

Until = Callable[[Callable[[], bool]], Awaitable[None]]
FIRST = 2_000_000
RATE = 3_600.0
IMPORT_WH = [0, 80, 200, 40, 160, 0]
EXPORT_WH = [0, 50, 300, 10, 90, 0]
"""Nothing in the first interval and the last: sums are exact however late a busy machine polls."""

TOTAL_WH = sum(IMPORT_WH) + sum(EXPORT_WH)


class Chain:
    """What the gateway submits to: fails ``failures`` times, then keeps readings and counts repeats."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.attempts = 0
        self.batches: list[list[Reading]] = []

    async def submit(self, readings: list[Reading]) -> None:
        self.attempts += 1
        if self.failures > 0:
            self.failures -= 1
            raise SubmitUnavailable("no quorum")
        self.batches.append(readings)

    @property
    def readings(self) -> list[Reading]:
        return [reading for batch in self.batches for reading in batch]

    def of(self, serial: str) -> list[Reading]:
        return [reading for reading in self.readings if reading.meter == serial]


class SteppedClock(Clock):
    """Time stands still until a line sleeps, and then jumps to where it wants to wake: exact polls, real sockets."""

    def __init__(self, start_ms: int) -> None:
        super().__init__(start_ms, 20_000.0)
        self._at_ms = start_ms

    def now_ms(self) -> int:
        return self._at_ms

    def steady_s(self) -> float:
        return self._at_ms / 1000 / self.rate

    async def sleep_until(self, at_ms: int) -> None:
        await asyncio.sleep(0)
        self._at_ms = max(self._at_ms, at_ms)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "RETRY_S", 0.01)
    monkeypatch.setattr(gateway_module, "PARKED_S", 0.05)


@contextlib.asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    task = asyncio.create_task(gateway.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def quick(name: str) -> DeviceProfile:
    """A profile of a device that bears any pace."""
    return msgspec.structs.replace(load_profile(name), poll_interval_ms_min=1)


def meters(faults: Sequence[Fault] = ()) -> list[SimulatedMeter]:
    """Two meters of different kinds; sunspec203 and iem3000 count single Wh."""
    return [
        SimulatedMeter("A", 1, quick("sunspec203"), FIRST, IMPORT_WH, EXPORT_WH, faults=faults),
        SimulatedMeter("B", 2, quick("iem3000"), FIRST, EXPORT_WH, IMPORT_WH),
    ]


def units(played: Sequence[SimulatedMeter], port: int) -> list[MeterUnit]:
    return [MeterUnit(m.serial, "127.0.0.1", port, m.unit, m.profile, 10_000) for m in played]


START_MS = FIRST * INTERVAL_MS - INTERVAL_MS // 4


async def test_every_reading_is_what_the_meter_played(tmp_path: Path, until: Until) -> None:
    clock, chain, played = SteppedClock(START_MS), Chain(), meters()
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with (
        MeterServer(played, clock) as server,
        running(Gateway(units(played, server.port), clock, chain.submit, buffer)),
    ):
        await until(lambda: len(chain.of("A")) >= 6 and len(chain.of("B")) >= 6)
    for serial, imported, exported in (("A", IMPORT_WH, EXPORT_WH), ("B", EXPORT_WH, IMPORT_WH)):
        assert chain.of(serial)[:6] == [
            Reading(serial, FIRST + index, START_MS // 1000, index, imported[index], exported[index], Quality.GOOD)
            for index in range(6)
        ]
    assert all(len({reading.interval for reading in batch}) == 1 for batch in chain.batches)
    buffer.close()


async def test_an_accelerated_day_reaches_the_chain_whole(tmp_path: Path, until: Until) -> None:
    """A real lab clock, one interval in a quarter of a second: polls come late, energy all the same."""
    clock, chain, played = Clock(START_MS, RATE), Chain(), meters()
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with (
        MeterServer(played, clock) as server,
        running(Gateway(units(played, server.port), clock, chain.submit, buffer)),
    ):
        # A late poll leaves a Wh that falls on a boundary to the reading after it.
        await until(lambda: all(any(r.interval > FIRST + 6 for r in chain.of(serial)) for serial in "AB"))
        await until(
            lambda: all(sum(r.import_wh + r.export_wh for r in chain.of(serial)) >= TOTAL_WH for serial in "AB")
        )
    for serial, imported, exported in (("A", IMPORT_WH, EXPORT_WH), ("B", EXPORT_WH, IMPORT_WH)):
        readings = chain.of(serial)
        first = readings[0].interval
        assert [reading.interval for reading in readings] == list(range(first, first + len(readings)))
        assert sum(reading.import_wh for reading in readings) == sum(imported)
        assert sum(reading.export_wh for reading in readings) == sum(exported)
    both = [batch for batch in chain.batches if len(batch) == 2]
    assert len(both) >= 4
    buffer.close()


async def test_failing_submissions_lose_and_double_nothing(tmp_path: Path, until: Until) -> None:
    clock, chain, played = SteppedClock(START_MS), Chain(failures=7), meters()
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with (
        MeterServer(played, clock) as server,
        running(Gateway(units(played, server.port), clock, chain.submit, buffer)),
    ):
        await until(lambda: len(chain.of("A")) >= 3 and len(chain.of("B")) >= 3)
    assert chain.attempts == 7 + len(chain.batches)
    assert Counter(key_of(reading) for reading in chain.readings).most_common(1)[0][1] == 1
    for serial in "AB":
        assert [reading.sequence for reading in chain.of(serial)] == list(range(len(chain.of(serial))))
    buffer.close()


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path, until: Until) -> None:
    """The first gateway never reaches the chain and is cancelled; the second one delivers for both."""
    clock, down, up, played = SteppedClock(START_MS), Chain(failures=1 << 30), Chain(), meters()
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with MeterServer(played, clock) as server:
        async with running(Gateway(units(played, server.port), clock, down.submit, buffer)):
            await until(lambda: len(buffer.pending()) >= 2)
        buffer.close()
        buffer = ReadingBuffer(tmp_path / "buffer")
        async with running(Gateway(units(played, server.port), clock, up.submit, buffer)):
            await until(lambda: all(any(r.interval > FIRST + 6 for r in up.of(serial)) for serial in "AB"))
    assert down.batches == []
    for serial, imported in (("A", IMPORT_WH), ("B", EXPORT_WH)):
        readings = up.of(serial)
        assert [reading.sequence for reading in readings] == list(range(len(readings)))
        assert [reading.interval for reading in readings] == list(range(FIRST, FIRST + len(readings)))
        assert sum(reading.import_wh for reading in readings) == sum(imported)
    buffer.close()


async def test_a_repeat_after_a_crash_carries_the_same_names(tmp_path: Path, until: Until) -> None:
    """The chain took a batch, the gateway was killed before it could note so: the same keys come again."""
    unit = units(meters(), 1)[0]
    first, second = Chain(), Chain()
    path = tmp_path / "buffer"
    crashed = asyncio.Event()

    async def take_and_die(readings: list[Reading]) -> None:
        await first.submit(readings)
        crashed.set()
        await asyncio.Event().wait()

    for submit, chain in ((take_and_die, first), (second.submit, second)):
        buffer = ReadingBuffer(path)
        clock = Clock(FIRST * INTERVAL_MS, 0.001)
        gateway = Gateway([unit], clock, submit, buffer)
        if chain is first:
            await gateway.sample(unit, Sample(FIRST * INTERVAL_MS, 1_000, 0))
            await gateway.sample(unit, Sample((FIRST + 1) * INTERVAL_MS, 1_100, 0))
        async with running(gateway):
            await until(lambda chain=chain: bool(chain.readings))  # type: ignore[misc]
        buffer.close()
    assert crashed.is_set()
    begun_s = FIRST * INTERVAL_MS // 1000
    assert first.readings == second.readings == [Reading("A", FIRST, begun_s, 0, 100, 0, Quality.GOOD)]


async def test_one_refused_reading_does_not_hold_up_the_others(tmp_path: Path, until: Until) -> None:
    chain = Chain()

    async def submit(readings: list[Reading]) -> None:
        if any(reading.meter == "A" for reading in readings):
            raise ReadingsRefused("METER_UNKNOWN", "No such meter.")
        await chain.submit(readings)

    both = units(meters(), 1)
    buffer = ReadingBuffer(tmp_path / "buffer")
    gateway = Gateway(both, Clock(FIRST * INTERVAL_MS, 0.001), submit, buffer)
    for unit in both:
        await gateway.sample(unit, Sample(FIRST * INTERVAL_MS, 1_000, 0))
        await gateway.sample(unit, Sample((FIRST + 1) * INTERVAL_MS, 1_100, 0))
    async with running(gateway):
        await until(lambda: not buffer.pending())
    assert [reading.meter for reading in chain.readings] == ["B"]
    assert buffer.refused == 1
    buffer.close()


async def test_a_full_buffer_leaves_energy_in_the_counters(tmp_path: Path, until: Until) -> None:
    chain, unit = Chain(failures=1 << 30), units(meters(), 1)[0]
    buffer = ReadingBuffer(tmp_path / "buffer", bytes_max=2_048)
    gateway = Gateway([unit], Clock(FIRST * INTERVAL_MS, 0.001), chain.submit, buffer)
    for step in range(150):
        await gateway.sample(unit, Sample((FIRST + step) * INTERVAL_MS, 1_000 + 100 * step, 0))
    kept = buffer.pending()
    assert 5 < len(kept) < 149
    chain.failures = 0
    async with running(gateway):
        await until(lambda: not buffer.pending())
        for step in range(150, 153):
            await gateway.sample(unit, Sample((FIRST + step) * INTERVAL_MS, 1_000 + 100 * step, 0))
        await until(lambda: chain.readings[-1].interval == FIRST + 151)
    assert [reading.interval for reading in chain.readings] == list(range(FIRST, FIRST + 152))
    assert sum(reading.import_wh for reading in chain.readings) == 15_200
    buffer.close()


async def test_a_gateway_that_lost_its_buffer_numbers_on_above_what_it_numbered_before(tmp_path: Path) -> None:
    """It began at epoch 0 and sequence 0 anew: the chain refused its readings, for as many as there had been."""
    chain, unit = Chain(), units(meters(), 1)[0]
    numbered: list[tuple[int, int]] = []
    for buffer_number, first in enumerate((FIRST, FIRST + 5)):
        buffer = ReadingBuffer(tmp_path / f"buffer {buffer_number}")
        gateway = Gateway([unit], Clock(first * INTERVAL_MS, 0.001), chain.submit, buffer)
        for step, import_wh in enumerate((1_000, 1_100, 0, 0, 0, 10)):
            await gateway.sample(unit, Sample((first + step) * INTERVAL_MS, import_wh, 0))
        numbered += [(reading.epoch, reading.sequence) for reading in buffer.pending()]
        buffer.close()
    assert numbered == sorted(set(numbered))
    assert numbered[-1][0] > numbered[0][0]


async def test_a_meter_that_falls_silent_and_returns(tmp_path: Path, until: Until) -> None:
    silence = Fault("silence", (FIRST + 1) * INTERVAL_MS + INTERVAL_MS // 2, (FIRST + 5) * INTERVAL_MS)
    clock, chain, played = SteppedClock(START_MS), Chain(), meters([silence])
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with (
        MeterServer(played, clock) as server,
        running(Gateway(units(played, server.port), clock, chain.submit, buffer, timeout_s=0.1)),
    ):
        await until(lambda: len(chain.of("A")) >= 8)
    readings = chain.of("A")
    assert [reading.interval for reading in readings] == list(range(FIRST, FIRST + len(readings)))
    assert readings[0].quality is Quality.GOOD
    assert Quality.STALE in {reading.quality for reading in readings}
    assert sum(reading.import_wh for reading in readings) == sum(IMPORT_WH)
    assert {reading.quality for reading in chain.of("B")} == {Quality.GOOD}
    buffer.close()


async def test_a_reset_meter_is_suspect_and_its_old_total_is_never_energy(tmp_path: Path, until: Until) -> None:
    reset = Fault("reset", (FIRST + 2) * INTERVAL_MS + 1)
    clock, chain, played = SteppedClock(START_MS), Chain(), meters([reset])
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with (
        MeterServer(played, clock) as server,
        running(Gateway(units(played, server.port), clock, chain.submit, buffer)),
    ):
        await until(lambda: len(chain.of("A")) >= 6)
    readings = chain.of("A")
    assert [reading.epoch for reading in readings] == sorted(reading.epoch for reading in readings)
    assert readings[-1].epoch == readings[0].epoch + 1
    assert readings[2].quality is Quality.SUSPECT
    assert sum(reading.import_wh for reading in readings) <= sum(IMPORT_WH)
    buffer.close()


async def test_a_meter_that_shows_what_no_number_holds_stops_no_other(tmp_path: Path, until: Until) -> None:
    """Counters and power of 10^38 were taken in, and ended the gateway as soon as an interval was to be kept."""
    clock, chain = SteppedClock(START_MS), Chain()
    absurd = SimulatedMeter("A", 1, quick("sdm630"), FIRST, [0], [0], start_wh=(10**38, 0))
    played = [absurd, meters()[1]]
    buffer = ReadingBuffer(tmp_path / "buffer")
    async with MeterServer(played, clock) as server:
        gateway = Gateway(units(played, server.port), clock, chain.submit, buffer)
        async with running(gateway):
            await until(lambda: len(chain.of("B")) >= len(IMPORT_WH))
    assert not chain.of("A")
    assert "A" not in gateway.latest
    buffer.close()


class SetClock(Clock):
    """A clock of real pace that somebody sets: ``at_ms`` is the truth, ``wrong_ms`` what it is set wrong by."""

    def __init__(self, at_ms: int) -> None:
        super().__init__(at_ms)
        self.at_ms, self.wrong_ms = at_ms, 0

    def now_ms(self) -> int:
        return self.at_ms + self.wrong_ms

    def steady_s(self) -> float:
        return self.at_ms / 1000


async def test_a_clock_that_is_set_wrong_for_a_poll_loses_no_energy(tmp_path: Path) -> None:
    """One poll with the clock five hours ahead closed twenty intervals with 0 Wh, and billed them as estimated."""
    unit, clock = units(meters(), 1)[0], SetClock(FIRST * INTERVAL_MS)
    buffer = ReadingBuffer(tmp_path / "buffer")
    gateway = Gateway([unit], clock, Chain().submit, buffer)
    verdicts = []
    for step in range(5):
        clock.at_ms = (FIRST + step) * INTERVAL_MS
        clock.wrong_ms = 5 * 3_600_000 if step == 2 else 0
        verdicts.append(await gateway.sample(unit, Sample(clock.now_ms(), 1_000 + 100 * step, 0)))
        await gateway.absence(unit)
    assert [verdict is Verdict.UNTIMED for verdict in verdicts] == [False, False, True, False, False]
    readings = buffer.pending()
    assert [(r.interval - FIRST, r.import_wh) for r in readings] == [(step, 100) for step in range(4)]
    buffer.close()


async def test_whoever_begins_with_a_wrong_clock_closes_nothing_before_block_time_is_known(tmp_path: Path) -> None:
    unit, buffer = units(meters(), 1)[0], ReadingBuffer(tmp_path / "buffer")
    clock = SetClock(FIRST * INTERVAL_MS)
    await Gateway([unit], clock, Chain().submit, buffer).sample(unit, Sample(clock.now_ms(), 1_000, 0))
    clock.at_ms += INTERVAL_MS
    first = Gateway([unit], clock, Chain().submit, buffer)
    await first.sample(unit, Sample(clock.now_ms() - INTERVAL_MS, 1_000, 0))
    await first.sample(unit, Sample(clock.now_ms(), 1_100, 0))
    clock.wrong_ms = 5 * 3_600_000
    block_clock = BlockClock(clock)
    again = Gateway([unit], clock, Chain().submit, buffer, block_clock=block_clock)
    assert await again.sample(unit, Sample(clock.now_ms(), 1_101, 0)) is Verdict.UNTIMED
    await again.absence(unit)
    for late_ms in (0, 1_000):
        clock.at_ms += late_ms
        block_clock.seen(clock.at_ms)
    assert block_clock.is_off
    assert await again.sample(unit, Sample(clock.now_ms(), 1_101, 0)) is Verdict.UNTIMED
    await again.absence(unit)
    clock.wrong_ms = 0
    assert await again.sample(unit, Sample(clock.now_ms(), 1_102, 0)) is Verdict.IN_LINE
    assert [(r.interval - FIRST, r.import_wh) for r in buffer.pending()] == [(0, 100)]
    buffer.close()


async def test_a_meter_that_is_not_ours_yet_waits_and_the_others_go_on(tmp_path: Path, until: Until) -> None:
    """Readings were dropped for good that were refused because an operator had not bound their meter yet."""
    chain, bound = Chain(), asyncio.Event()

    async def submit(readings: list[Reading]) -> None:
        if not bound.is_set() and any(reading.meter == "A" for reading in readings):
            raise ReadingsRefused("NOT_YOUR_METER", "It is bound to another gateway.", mendable=True)
        await chain.submit(readings)

    both = units(meters(), 1)
    buffer = ReadingBuffer(tmp_path / "buffer")
    gateway = Gateway(both, Clock(FIRST * INTERVAL_MS, 0.001), submit, buffer)
    for unit in both:
        await gateway.sample(unit, Sample(FIRST * INTERVAL_MS, 1_000, 0))
        await gateway.sample(unit, Sample((FIRST + 1) * INTERVAL_MS, 1_100, 0))
    async with running(gateway):
        await until(lambda: bool(chain.of("B")))
        assert (chain.of("A"), [reading.meter for reading in buffer.pending()]) == ([], ["A"])
        bound.set()
        await until(lambda: bool(chain.of("A")))
    assert buffer.refused == 0
    buffer.close()


async def test_many_meters_go_in_several_submissions(tmp_path: Path, until: Until) -> None:
    chain, profile = Chain(), quick("sdm630")
    some = [MeterUnit(f"M{n}", "", 0, 1, profile, 10_000) for n in range(gateway_module.BATCH_READINGS_MAX + 3)]
    buffer = ReadingBuffer(tmp_path / "buffer")
    gateway = Gateway(some, Clock(FIRST * INTERVAL_MS, 0.001), chain.submit, buffer)
    for unit in some:
        await gateway.sample(unit, Sample(FIRST * INTERVAL_MS, 1_000, 0))
        await gateway.sample(unit, Sample((FIRST + 1) * INTERVAL_MS, 1_100, 0))
    async with running(gateway):
        await until(lambda: not buffer.pending())
    assert [len(batch) for batch in chain.batches] == [50, 3]
    buffer.close()


def test_of_a_meter_that_was_read_again_the_first_reading_goes_first() -> None:
    """The contract takes one of a meter and interval in a call."""

    def read(meter: str, sequence: int) -> Reading:
        return Reading(meter, FIRST, 0, sequence, 100, 0, Quality.GOOD)

    waiting = [read("A", 0), read("A", 1), read("B", 0), read("A", 2)]
    assert gateway_module.first_of_each(waiting) == [read("A", 0), read("B", 0)]
