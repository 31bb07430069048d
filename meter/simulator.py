"""Simulated meters behind real Modbus TCP servers.

A simulated meter's counters are a function of the clock: it plays a profile of quarter-hours in Wh, rising
continuously within each along a seeded curve, and computes its registers when they are read. So it costs nothing
between polls, and servers in several processes agree. Faults are windows of the clock's time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Literal, cast

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from meter.intervals import INTERVAL_MS
from meter.profile import DeviceProfile, Register, load_profile
from meter.reader import SUNSPEC_END, SUNSPEC_MARK
from meter.registers import encode
from meter.units import UNIT_MAX
from sdk.clock import Clock

BEND_MAX = 0.3
"""How far power within an interval strays from the interval's mean at either end."""
POWER_NOISE = 0.01
START_WH_MIN, START_WH_MAX = 1_000_000, 9_000_000
SUNSPEC_COMMON_MODEL, SUNSPEC_COMMON_LENGTH = 1, 66
SUNSPEC_METER_LENGTH = 105
ADDRESS_SPACE = 0x1_0000


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong from ``from_ms`` until before ``until_ms`` of the clock's time.

    silence: no answer. jump: ``energy_wh`` more on the import counter. reset: both counters start from 0 at
    ``from_ms``, for good.
    """

    kind: Literal["silence", "jump", "reset"]
    from_ms: int
    until_ms: int = 1 << 62
    energy_wh: int = 0

    def covers(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.until_ms


class SimulatedMeter:
    """A meter that plays ``import_wh`` and ``export_wh``, one value an interval, from ``first_interval`` on.

    Before the first and after the last it stands still, or with ``repeat`` it begins again. ``start_wh``: what
    both counters show at first (None: seeded). Its energy is exact; its power carries seeded noise.
    """

    def __init__(
        self,
        serial: str,
        unit: int,
        profile: DeviceProfile,
        first_interval: int,
        import_wh: Sequence[int],
        export_wh: Sequence[int],
        *,
        seed: int = 0,
        start_wh: tuple[int, int] | None = None,
        faults: Iterable[Fault] = (),
        repeat: bool = False,
    ) -> None:
        if len(import_wh) != len(export_wh) or not import_wh:
            raise ValueError(f"meter {serial}: as many import as export intervals, at least one")
        self.serial = serial
        self.unit = unit
        self.profile = profile
        self.faults = list(faults)
        self._first_ms = first_interval * INTERVAL_MS
        self._sums = (list(accumulate(import_wh, initial=0)), list(accumulate(export_wh, initial=0)))
        self._repeat = repeat
        # String seeds are hashed with SHA-512: the same in every process, whatever its hash seed.
        chance = random.Random(f"{seed}/{serial}")
        self._bends = [chance.uniform(-BEND_MAX, BEND_MAX) for _ in import_wh]
        seeded = (chance.randint(START_WH_MIN, START_WH_MAX), chance.randint(START_WH_MIN, START_WH_MAX))
        self._start_wh = seeded if start_wh is None else start_wh
        self._chance = chance

    def counters(self, at_ms: int) -> tuple[float, float]:
        """Import and export in Wh as the device shows them at ``at_ms``, faults included."""
        played = self._played(at_ms)
        shown = [start + energy for start, energy in zip(self._start_wh, played, strict=True)]
        for fault in self.faults:
            if fault.kind == "reset" and fault.covers(at_ms):
                before = self._played(fault.from_ms)
                shown = [now - then for now, then in zip(played, before, strict=True)]
        shown[0] += sum(fault.energy_wh for fault in self.faults if fault.kind == "jump" and fault.covers(at_ms))
        return shown[0], shown[1]

    def power_w(self, at_ms: int) -> float:
        """Mean power over the last second of the curve, + is import, with noise."""
        before, now = self._played(at_ms - 1000), self._played(at_ms)
        watts = ((now[0] - before[0]) - (now[1] - before[1])) * 3600
        return watts * (1 + self._chance.uniform(-POWER_NOISE, POWER_NOISE))

    def is_silent(self, at_ms: int) -> bool:
        return any(fault.kind == "silence" and fault.covers(at_ms) for fault in self.faults)

    def _played(self, at_ms: int) -> tuple[float, float]:
        """Energy played since the first interval's start, in Wh."""
        count = len(self._bends)
        index, part_ms = divmod(at_ms - self._first_ms, INTERVAL_MS)
        if index < 0:
            return 0.0, 0.0
        rounds, index = divmod(index, count) if self._repeat else (0, index)
        if index >= count:
            return float(self._sums[0][-1]), float(self._sums[1][-1])
        part = part_ms / INTERVAL_MS
        part += self._bends[index] * part * (1 - part)
        imported, exported = (
            rounds * sums[-1] + sums[index] + (sums[index + 1] - sums[index]) * part for sums in self._sums
        )
        return imported, exported

    # ------------------------------------------------------------------------------------------- registers

    def registers(self, at_ms: int) -> dict[int, list[int]]:
        """What the device holds at ``at_ms``: first address to registers, as its profile lays them out."""
        imported, exported = self.counters(at_ms)
        profile = self.profile
        base = _sunspec_model_address(profile)
        content = _sunspec_frame(profile)
        values = ((profile.power_w, self.power_w(at_ms)), (profile.import_wh, imported), (profile.export_wh, exported))
        for register, value in values:
            if register is not None:
                content[base + register.address] = encode(self._raw(register, value), register, profile.word_order)
                if register.scale_factor is not None:
                    content[base + register.scale_factor] = [0]
        return content

    def _raw(self, register: Register, value: float) -> int | float:
        """W or Wh as the device counts them; a counter starts again where its profile says."""
        raw = value * register.divisor / register.multiplier
        if register.type == "float32":
            return raw
        wrap = self.profile.counter_wrap
        return int(raw) % wrap if wrap and register is not self.profile.power_w else int(raw)


def _sunspec_model_address(profile: DeviceProfile) -> int:
    """Where the meter model begins: after the mark and the common model; 0 without SunSpec."""
    return profile.sunspec.bases[0] + 4 + SUNSPEC_COMMON_LENGTH if profile.sunspec else 0


def _sunspec_frame(profile: DeviceProfile) -> dict[int, list[int]]:
    """Mark, an empty common model, the meter model's head, and the end."""
    if profile.sunspec is None:
        return {}
    base, model = profile.sunspec.bases[0], _sunspec_model_address(profile)
    return {
        base: list(SUNSPEC_MARK),
        base + 2: [SUNSPEC_COMMON_MODEL, SUNSPEC_COMMON_LENGTH],
        model: [profile.sunspec.models[0], SUNSPEC_METER_LENGTH],
        model + 2 + SUNSPEC_METER_LENGTH: [SUNSPEC_END, 0],
    }


class MeterServer:
    """A Modbus TCP server with one or several meters, told apart by unit id; other ids are met with silence."""

    def __init__(self, meters: Sequence[SimulatedMeter], clock: Clock, host: str = "127.0.0.1", port: int = 0) -> None:
        self._meters = list(meters)
        self._clock = clock
        self.host = host
        self.port = port
        self._server: ModbusTcpServer | None = None

    async def start(self) -> None:
        """Listen; ``port`` 0 becomes the port that the system chose. Raises ``OSError`` if it is taken."""
        devices = [self._device(meter) for meter in self._meters]
        server = ModbusTcpServer([*devices, _nobody()], address=(self.host, self.port), ignore_missing_devices=True)
        if not await server.listen():
            raise OSError(f"cannot listen on {self.host}:{self.port}")
        # A listening ModbusTcpServer's transport is asyncio's server.
        self.port = cast(asyncio.Server, server.transport).sockets[0].getsockname()[1]
        self._server = server

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    async def __aenter__(self) -> MeterServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def describe(self) -> str:
        """Which meters it serves, for people."""
        return ", ".join(f"{meter.serial} (unit {meter.unit}, {meter.profile.name})" for meter in self._meters)

    def _device(self, meter: SimulatedMeter) -> SimDevice:
        async def refresh(
            _function: int,
            start: int,
            _address: int,
            _count: int,
            registers: list[int],
            _values: list[int] | list[bool] | None,
        ) -> ExcCodes | None:
            at_ms = self._clock.now_ms()
            if meter.is_silent(at_ms):
                raise NoSuchIdException("a silent meter")
            for address, words in meter.registers(at_ms).items():
                registers[address - start : address - start + len(words)] = words
            return None

        return SimDevice(id=meter.unit, simdata=_address_space(meter), action=refresh)


def _address_space(meter: SimulatedMeter) -> list[SimData]:
    """One span of readable registers round everything that the meter holds; outside it a read is refused."""
    content = meter.registers(0)
    first = min(content)
    last = max(address + len(words) for address, words in content.items())
    return [SimData(address=first, count=last - first, values=0, datatype=DataType.REGISTERS)]


def _nobody() -> SimDevice:
    """Unit 0 answers for every id that no meter has: with silence, as a serial line does."""

    async def ignore(*_: object) -> ExcCodes | None:
        raise NoSuchIdException("nobody there")

    everything = [SimData(address=0, count=ADDRESS_SPACE - 1, values=0, datatype=DataType.REGISTERS)]
    return SimDevice(id=0, simdata=everything, action=ignore)


class PlannedMeter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter of a plan: where it listens, what it plays, one value an interval."""

    serial: str
    port: int
    unit: int = 1
    profile: str = "sdm630"
    import_wh: tuple[int, ...]
    export_wh: tuple[int, ...]
    faults: tuple[Fault, ...] = ()


class PlannedClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A lab clock's three numbers, or none for real time."""

    start_ms: int | None = None
    rate: float = 1.0
    wall_start_ms: int | None = None


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``wattq meter simulate --plan`` reads: JSON. Meters on one port share a server, told apart by unit."""

    clock: PlannedClock = msgspec.field(default_factory=PlannedClock)
    first_interval: int
    seed: int = 0
    repeat: bool = False
    host: str = "127.0.0.1"
    meters: tuple[PlannedMeter, ...]


def servers_of(plan: Plan) -> list[MeterServer]:
    """The servers of a plan, not yet listening; ``ValueError`` or ``ProfileError`` for what cannot be played."""
    clock = Clock(plan.clock.start_ms, plan.clock.rate, plan.clock.wall_start_ms)
    ports: dict[int, list[SimulatedMeter]] = {}
    for planned in plan.meters:
        beside = ports.setdefault(planned.port, [])
        if not 0 < planned.unit <= UNIT_MAX or any(meter.unit == planned.unit for meter in beside):
            raise ValueError(f"meter {planned.serial}: unit {planned.unit} is taken or not between 1 and {UNIT_MAX}")
        beside.append(
            SimulatedMeter(
                planned.serial,
                planned.unit,
                load_profile(planned.profile),
                plan.first_interval,
                planned.import_wh,
                planned.export_wh,
                seed=plan.seed,
                faults=planned.faults,
                repeat=plan.repeat,
            )
        )
    return [MeterServer(meters, clock, plan.host, port) for port, meters in ports.items()]
