"""Reads one unit over an open Modbus connection: requests planned from its profile, SunSpec models found by walking."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from meter.counters import Sample
from meter.errors import DeviceRefused, Garbage, LineDown, NoAnswer, WrongDevice
from meter.framing import Undecodable
from meter.profile import DeviceProfile, Register, SunSpec
from meter.registers import decode, decode_scale_factor, plan_requests, scaled
from meter.sunspec import Read, find_base, walk

# pymodbus logs every failure with a dump of frames besides raising it; what matters here is what it raises.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

WHOLE_MAX = (1 << 53) - 1
"""The largest number of Wh or W that readings, buffers and messages can hold; no meter shows more."""

Client = ModbusClientMixin[Awaitable[ModbusPDU]]
"""The reading calls of ``pymodbus``'s asynchronous clients."""
Pause = Callable[[], Awaitable[None]]
"""Waited for before each request."""


async def no_pause() -> None:
    """For a line of one's own."""


async def request(client: Client, unit: int, function_code: int, address: int, count: int) -> list[int]:
    """So many registers from ``address`` on; every failure is a ``DeviceError`` or ``LineDown``."""
    read = client.read_input_registers if function_code == 4 else client.read_holding_registers
    try:
        answer = await read(address, count=count, device_id=unit)
    except ConnectionException as error:
        raise LineDown(str(error)) from None
    except Undecodable:
        raise Garbage(f"unit {unit}, register 0x{address:04X}: bytes that are no Modbus answer") from None
    except ModbusException as error:
        raise NoAnswer(f"unit {unit}, register 0x{address:04X}: {error}") from None
    if answer.isError():
        raise DeviceRefused(address, answer.exception_code)
    if len(answer.registers) != count:
        raise WrongDevice(f"{count} registers asked of 0x{address:04X}, {len(answer.registers)} came")
    return list(answer.registers)


class UnitReader:
    """One unit id behind a connection. Every failure is a ``DeviceError`` or ``LineDown``."""

    def __init__(self, profile: DeviceProfile, unit: int, pause: Pause = no_pause) -> None:
        self._profile = profile
        self._unit = unit
        self._pause = pause
        self._base: int | None = None

    def forget(self) -> None:
        """Walk the SunSpec models again at the next reading: another device may have taken its place."""
        self._base = None

    async def read(self, client: Client, at_ms: int) -> Sample:
        """Power and both counters, as a sample taken at ``at_ms``."""
        profile = self._profile
        words = await self._read_planned(client, profile.registers)
        imported, import_exponent = self._counter(words, profile.import_wh)
        exported, export_exponent = self._counter(words, profile.export_wh)
        exponent = max(import_exponent, export_exponent)
        return Sample(
            at_ms=at_ms,
            import_wh=imported,
            export_wh=exported,
            power_w=self._power(words),
            resolution_wh=max(profile.resolution_wh, int(10 ** max(exponent, 0))),
            wrap_wh=self._wrap_wh(exponent),
        )

    async def read_power(self, client: Client) -> int | None:
        """Power alone in W, + is import; None where the device has none."""
        return self._power(await self._read_planned(client, (self._profile.power_w,)))

    async def _read_planned(self, client: Client, wanted: Sequence[Register]) -> dict[int, int]:
        """Every register that is wanted, by its address in the profile."""
        if self._base is None:
            sunspec = self._profile.sunspec
            self._base = await self._find_model(sunspec, partial(self._request, client)) if sunspec else 0
        spans = [(register.address, register.words) for register in wanted]
        spans += [(register.scale_factor, 1) for register in wanted if register.scale_factor is not None]
        words: dict[int, int] = {}
        for address, count in plan_requests(spans, self._profile.registers_max):
            registers = await self._request(client, self._base + address, count)
            words.update(enumerate(registers, start=address))
        return words

    def _power(self, words: dict[int, int]) -> int | None:
        value, exponent = self._value(words, self._profile.power_w)
        if value is None:
            return None
        power_w = scaled(value, self._profile.power_w, exponent)
        return power_w if abs(power_w) <= WHOLE_MAX else None

    def _counter(self, words: dict[int, int], register: Register | None) -> tuple[int, int]:
        """Wh and power of ten; 0 of a counter that the device does not have."""
        if register is None:
            return 0, 0
        value, exponent = self._value(words, register)
        if value is None or value < 0:
            raise WrongDevice(f"the energy counter at register 0x{register.address:04X} reads {value}: no such thing")
        return _whole(scaled(value, register, exponent)), exponent

    def _wrap_wh(self, exponent: int) -> int:
        """Where the counters start again from 0, as the device scales them; 0 where that is not known."""
        profile = self._profile
        counter = profile.import_wh or profile.export_wh
        assert counter is not None, "a profile has a counter"
        return _whole(scaled(profile.counter_wrap, counter, exponent)) if profile.counter_wrap else 0

    def _value(self, words: dict[int, int], register: Register) -> tuple[int | float | None, int]:
        """Raw value and power of ten."""
        registers = [words[register.address + index] for index in range(register.words)]
        value = decode(registers, register, self._profile.word_order, self._profile.sunspec is not None)
        if register.scale_factor is None or value is None:
            return value, 0
        return value, decode_scale_factor(words[register.scale_factor], register.scale_factor)

    async def _find_model(self, sunspec: SunSpec, read: Read) -> int:
        """The id register of the first model that fits."""
        models = await walk(read, await find_base(read, sunspec.bases))
        for model in models:
            if model.id in sunspec.models:
                if model.length < sunspec.length:
                    raise WrongDevice(f"SunSpec model {model.id} has {model.length} registers, not {sunspec.length}")
                return model.address
        wanted = " or ".join(map(str, sunspec.models))
        raise WrongDevice(f"no SunSpec model {wanted}; it has {[model.id for model in models]}")

    async def _request(self, client: Client, address: int, count: int) -> list[int]:
        await self._pause()
        return await request(client, self._unit, self._profile.function_code, address, count)


def _whole(energy_wh: int) -> int:
    if energy_wh > WHOLE_MAX:
        raise WrongDevice(f"an energy counter of {energy_wh:.0e} Wh: no such thing")
    return energy_wh
