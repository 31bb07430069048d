"""Polling over real Modbus TCP: word orders, SunSpec, dead units, restarts, answers out of step."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from meter import poller as poller_module
from meter.counters import Sample
from meter.errors import DeviceRefused, WrongDevice
from meter.failures import MeterFailures
from meter.poller import Line, poll_step_ms
from meter.profile import load_profile, shipped_profiles
from meter.reader import UnitReader
from meter.simulation import MeterServer
from meter.simulator import Fault, SimulatedMeter
from meter.units import MeterUnit
from sdk.clock import Clock

Until = Callable[[Callable[[], bool]], Awaitable[None]]
FAST = 900_000.0
"""A lab clock that makes every back-off and poll step short: an interval a millisecond."""


class Sink:
    """Remembers what a line delivers."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = {}
        self.absences: dict[str, int] = {}
        self.powers: list[tuple[str, int]] = []

    async def sample(self, unit: MeterUnit, sample: Sample) -> None:
        self.samples.setdefault(unit.serial, []).append(sample)

    async def absence(self, unit: MeterUnit) -> None:
        self.absences[unit.serial] = self.absences.get(unit.serial, 0) + 1

    def power(self, unit: MeterUnit, at_ms: int, power_w: int) -> None:
        self.powers.append((unit.serial, power_w))

    def count(self, serial: str) -> int:
        return len(self.samples.get(serial, []))


def still(serial: str, unit: int, profile: str = "sdm630", faults: tuple[Fault, ...] = ()) -> SimulatedMeter:
    """A meter that shows 5,000 Wh import and 7,000 Wh export and stands still."""
    return SimulatedMeter(serial, unit, load_profile(profile), 0, [0], [0], start_wh=(5_000, 7_000), faults=faults)


def unit_of(meter: SimulatedMeter, port: int) -> MeterUnit:
    return MeterUnit(meter.serial, "127.0.0.1", port, meter.unit, meter.profile, 10_000)


@contextlib.asynccontextmanager
async def running(line: Line) -> AsyncIterator[None]:
    task = asyncio.create_task(line.run())
    try:
        yield
    finally:
        assert not task.done() or task.exception() is None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("name", shipped_profiles())
async def test_every_profile_reads_what_its_device_shows(name: str) -> None:
    clock = Clock(1_000 * 900_000 + 450_000, 0.001)
    profile = load_profile(name)
    meter = SimulatedMeter("M", 3, profile, 1_000, [3_600], [0], start_wh=(5_000_000, 70_000))
    async with MeterServer([meter], clock) as server, connected(server.port) as client:
        sample = await UnitReader(profile, 3).read(client, clock.now_ms())
        shown = meter.counters(clock.now_ms())
    for measured, register, value in zip(
        (sample.import_wh, sample.export_wh), (profile.import_wh, profile.export_wh), shown, strict=True
    ):
        assert measured == 0 if register is None else abs(measured - value) <= profile.resolution_wh
    assert sample.power_w is not None
    assert 9_000 < sample.power_w < 20_000  # 3,600 Wh in a quarter-hour is 14.4 kW


async def serve(*blocks: tuple[int, list[int]]) -> ModbusTcpServer:
    data = [SimData(address=address, values=words, datatype=DataType.REGISTERS) for address, words in blocks]
    server = ModbusTcpServer([SimDevice(id=1, simdata=data)], address=("127.0.0.1", 0))
    assert await server.listen()
    return server


def port_of(server: ModbusTcpServer) -> int:
    transport: Any = server.transport
    port: int = transport.sockets[0].getsockname()[1]
    return port


def model_203(power: int, power_sf: int, exported: int, imported: int, energy_sf: int) -> list[int]:
    words = [203, 105] + [0] * 105
    words[18], words[22], words[54] = power & 0xFFFF, power_sf & 0xFFFF, energy_sf & 0xFFFF
    words[38:40] = [exported >> 16, exported & 0xFFFF]
    words[46:48] = [imported >> 16, imported & 0xFFFF]
    return words


@pytest.mark.parametrize("base", [40_000, 0, 50_000])
async def test_the_sunspec_walk_finds_the_model_wherever_it_lies(base: int) -> None:
    """Mark, common model, an inverter model in between, then the meter; with scale factors of both signs."""
    inverter = [103, 50] + [0] * 50
    content = [0x5375, 0x6E53, 1, 66, *[0] * 66, *inverter, *model_203(-123, 1, 70_001, 500_009, -1), 0xFFFF, 0]
    server = await serve((base, content))
    async with connected(port_of(server)) as client:
        reader = UnitReader(load_profile("sunspec203"), 1)
        first = await reader.read(client, 1)
        second = await reader.read(client, 2)
    await server.shutdown()  # type: ignore[no-untyped-call]
    assert (first.power_w, first.import_wh, first.export_wh) == (-1230, 50_000, 7_000)
    assert first.wrap_wh == (1 << 32) // 10
    assert second == Sample(2, 50_000, 7_000, -1230, 1, (1 << 32) // 10)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([0x1234, 0x5678], "no SunSpec mark"),
        ([0x5375, 0x6E53, 1, 2, 0, 0, 0xFFFF, 0], "no SunSpec model 203"),
        ([0x5375, 0x6E53, *model_203(0, 0, 1, 1, -0x8000), 0xFFFF, 0], "scale factor"),
    ],
)
async def test_a_device_that_is_no_sunspec_meter(content: list[int], why: str) -> None:
    server = await serve((40_000, content))
    async with connected(port_of(server)) as client:
        with pytest.raises(WrongDevice, match=why):
            await UnitReader(load_profile("sunspec203"), 1).read(client, 0)
    await server.shutdown()  # type: ignore[no-untyped-call]


async def test_unimplemented_power_is_none_and_a_counter_that_is_no_number_is_refused() -> None:
    sunspec = await serve((40_000, [0x5375, 0x6E53, *model_203(0x8000, 0, 1, 2, 0), 0xFFFF, 0]))
    async with connected(port_of(sunspec)) as client:
        assert (await UnitReader(load_profile("sunspec203"), 1).read(client, 0)).power_w is None
    await sunspec.shutdown()  # type: ignore[no-untyped-call]
    eastron = await serve((0x34, [0] * 20 + [0x7FC0, 0, 0, 0]))
    async with connected(port_of(eastron)) as client:
        with pytest.raises(WrongDevice, match="no such thing"):
            await UnitReader(load_profile("sdm630"), 1).read(client, 0)
        with pytest.raises(DeviceRefused, match="code 2"):
            await UnitReader(load_profile("iem3000"), 1).read(client, 0)
    await eastron.shutdown()  # type: ignore[no-untyped-call]


async def test_a_dead_unit_does_not_hold_up_a_live_one(until: Until) -> None:
    clock = Clock(0, 900.0)
    live, silent = still("live", 1), still("silent", 2, faults=(Fault("silence", 0),))
    async with MeterServer([silent, live], clock) as server:
        units = [unit_of(silent, server.port), unit_of(live, server.port)]
        sink = Sink()
        async with running(Line(units, clock, sink, timeout_s=0.05)):
            await until(lambda: sink.count("live") >= 6)
    assert sink.count("silent") == 0
    # In every round both had their turn, and the live one gave a sample each time.
    assert abs(sink.absences["silent"] - sink.count("live")) <= 1
    assert "live" not in sink.absences


async def test_a_unit_that_recovers_is_read_again(until: Until) -> None:
    clock = Clock(0, FAST)
    meter = still("M", 1, faults=(Fault("silence", 0),))
    async with MeterServer([meter], clock) as server:
        sink = Sink()
        async with running(Line([unit_of(meter, server.port)], clock, sink, timeout_s=0.05)):
            await until(lambda: sink.absences.get("M", 0) >= 2)
            assert sink.count("M") == 0
            meter.faults.clear()
            await until(lambda: sink.count("M") >= 2)


async def test_a_server_that_restarts_is_connected_anew(until: Until) -> None:
    clock = Clock(0, FAST)
    meter = still("M", 1)
    server = MeterServer([meter], clock)
    await server.start()
    sink = Sink()
    async with running(Line([unit_of(meter, server.port)], clock, sink, timeout_s=0.2)):
        await until(lambda: sink.count("M") >= 1)
        await server.stop()
        gone = sink.count("M")
        await until(lambda: sink.absences.get("M", 0) >= 2)
        await server.start()
        await until(lambda: sink.count("M") >= gone + 2)
    await server.stop()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[int]:
    """A TCP server of our own, for what no proper device does; yields its port and ends every conversation."""
    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks[asyncio.create_task(conversation(reader, writer))] = writer

    listener = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        for writer in talks.values():  # also of a conversation that was ended before it began
            writer.close()
        await asyncio.sleep(0)


def sdm630_at(port: int) -> MeterUnit:
    return MeterUnit("M", "127.0.0.1", port, 1, load_profile("sdm630"), 1_000)


async def test_an_answer_to_another_request_closes_the_connection(until: Until) -> None:
    """A device that answers everything on a connection with the first request's transaction id, as if late."""
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        first_id = b""
        while True:
            request = await reader.readexactly(12)
            first_id = first_id or request[:2]
            count = int.from_bytes(request[10:12], "big")
            body = request[6:8] + bytes([2 * count]) + bytes(2 * count)
            writer.write(first_id + b"\0\0" + len(body).to_bytes(2, "big") + body)
            await writer.drain()

    sink = Sink()
    async with raw_server(answer) as port, running(Line([sdm630_at(port)], Clock(0, FAST), sink, timeout_s=0.05)):
        await until(lambda: connections >= 3 and sink.count("M") >= 3)


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\0\0\3\1\4\0", b"\0\1\0\0\xff\xff\1\4"]
)
async def test_a_peer_that_talks_nonsense_is_only_an_absence(until: Until, garbage: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(256):
            writer.write(garbage)
            await writer.drain()

    sink = Sink()
    async with raw_server(babble) as port, running(Line([sdm630_at(port)], Clock(0, FAST), sink, timeout_s=0.05)):
        await until(lambda: sink.absences.get("M", 0) >= 3)
    assert sink.count("M") == 0


UNDECODABLE = (b"\x63\0", b"\x04", b"\x04\xff\1", b"\x84")
"""Functions and contents that no answer has, each behind the id of the request and the unit."""


@pytest.mark.parametrize("body", UNDECODABLE)
async def test_what_cannot_be_decoded_is_told_in_one_line_and_counted(
    until: Until, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It was raised in the event loop's callback: a stack trace of asyncio's, and a line given up, at every poll."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(256):
            writer.write(request[:4] + (len(body) + 1).to_bytes(2, "big") + request[6:7] + body)
            await writer.drain()

    sink, registry = Sink(), CollectorRegistry()
    async with raw_server(babble) as port:
        line = Line([sdm630_at(port)], Clock(0, FAST), sink, failures=MeterFailures(registry))
        async with running(line):
            await until(lambda: sink.absences.get("M", 0) >= 3)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["meter M does not answer properly: unit 1, register 0x0034: bytes that are no Modbus answer"], told
    counted = registry.get_sample_value("wattq_meter_failures_total", {"meter": "M", "why": "garbage"})
    assert counted is not None
    assert counted >= 1


async def test_bytes_that_nobody_asked_for_leave_no_trace(until: Until, caplog: pytest.LogCaptureFixture) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\0\0\3\0\x63\0")
        await writer.drain()
        await reader.read()

    sink = Sink()
    async with raw_server(babble) as port, running(Line([sdm630_at(port)], Clock(0, FAST), sink, timeout_s=0.05)):
        await until(lambda: sink.absences.get("M", 0) >= 3)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_polls_fall_on_interval_boundaries() -> None:
    assert poll_step_ms(200, 1.0) == 5_000
    assert poll_step_ms(200, 900.0) == 225_000
    assert poll_step_ms(300, 900.0) == 450_000
    assert poll_step_ms(500, 100_000.0) == 900_000
    assert all(900_000 % poll_step_ms(200, rate) == 0 for rate in (1.0, 7.0, 60.0, 333.0, 900.0))


async def test_a_fast_device_is_not_polled_faster_than_it_bears(until: Until) -> None:
    clock = Clock(0, FAST)
    meter = still("M", 1)
    async with MeterServer([meter], clock) as server:
        sink = Sink()
        async with running(Line([unit_of(meter, server.port)], clock, sink)):
            await until(lambda: sink.count("M") >= 3)
    times = [sample.at_ms for sample in sink.samples["M"]]
    gaps_ms = [(after - before) / FAST for before, after in pairwise(times)]
    assert min(gaps_ms) >= meter.profile.poll_interval_ms_min - 2


async def test_power_is_read_every_second_between_samples(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller_module, "POWER_S", 0.1)
    clock = Clock(1_000 * 900_000 + 450_001, 1.0)
    quick, slow = (
        SimulatedMeter(serial, unit, profile, 1_000, [3_600], [0])
        for serial, unit, profile in (
            ("quick", 1, msgspec.structs.replace(load_profile("sdm630"), poll_interval_ms_min=10)),
            ("slow", 2, msgspec.structs.replace(load_profile("sdm630"), poll_interval_ms_min=101)),
        )
    )
    async with MeterServer([quick, slow], clock) as server:
        sink = Sink()
        async with running(Line([unit_of(meter, server.port) for meter in (quick, slow)], clock, sink)):
            await until(lambda: len(sink.powers) >= 4)
    assert {serial for serial, _ in sink.powers} == {"quick"}
    assert all(9_000 < power < 20_000 for _, power in sink.powers)
    assert sink.count("quick") <= 2, "the counters are read in steps of seconds"


async def test_a_line_is_left_alone_between_any_two_requests(until: Until) -> None:
    """Two units and three requests each: none comes sooner after another than the line's slowest device bears."""
    asked: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readexactly(12)
            asked.append(asyncio.get_running_loop().time())
            count = int.from_bytes(request[10:12], "big")
            body = request[6:8] + bytes([2 * count]) + bytes(2 * count)
            writer.write(request[:2] + b"\0\0" + len(body).to_bytes(2, "big") + body)
            await writer.drain()

    profile = msgspec.structs.replace(load_profile("em340"), request_pause_ms=60, poll_interval_ms_min=1)
    sink = Sink()
    async with raw_server(answer) as port:
        units = [MeterUnit(f"M{unit}", "127.0.0.1", port, unit, profile, 1_000) for unit in (1, 2)]
        async with running(Line(units, Clock(0, FAST), sink)):
            await until(lambda: sink.count("M1") >= 2 and sink.count("M2") >= 2)
    assert len(asked) >= 12
    # A busy machine may take one in late, and then the next seems to come early; over all of them it shows.
    assert asked[-1] - asked[0] >= 0.9 * 0.06 * (len(asked) - 1)
