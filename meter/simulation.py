"""Simulated meters behind real Modbus TCP servers, as a plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import msgspec
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from meter.profile import load_profile
from meter.simulator import Fault, SimulatedMeter
from meter.units import UNIT_MAX
from sdk.clock import Clock

ADDRESS_SPACE = 0x1_0000


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
