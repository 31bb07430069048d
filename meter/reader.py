"""Reads one unit over an open Modbus connection: requests planned from its profile, SunSpec models found by walking."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence

from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from meter.counters import Sample
from meter.errors import DeviceRefused, LineDown, NoAnswer, WrongDevice
from meter.profile import DeviceProfile, Register, SunSpec
from meter.registers import decode, decode_scale_factor, plan_requests, scaled

# pymodbus logs every failure with a dump of frames besides raising it; what matters here is what it raises.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

Client = ModbusClientMixin[Awaitable[ModbusPDU]]
"""The reading calls of ``pymodbus``'s asynchronous clients."""
SUNSPEC_MARK = [0x5375, 0x6E53]
"""The registers of "SunS"."""
SUNSPEC_END = 0xFFFF
SUNSPEC_MODELS_MAX = 64


class UnitReader:
    """One unit id behind a connection. Every failure is a ``DeviceError`` or ``LineDown``."""

    def __init__(self, profile: DeviceProfile, unit: int) -> None:
        self._profile = profile
        self._unit = unit
        self._base: int | None = None

    def forget(self) -> None:
        """Walk the SunSpec models again at the next reading: another device may have taken its place."""
        self._base = None

    async def read(self, client: Client, at_ms: int) -> Sample:
        """Power and both counters, as a sample taken at ``at_ms``."""
        profile = self._profile
        if self._base is None:
            self._base = await self._find_model(client, profile.sunspec) if profile.sunspec else 0
        words = await self._read_planned(client, self._base)
        power, power_exponent = self._value(words, profile.power_w)
        imported, exponent = self._value(words, profile.import_wh)
        exported, export_exponent = self._value(words, profile.export_wh) if profile.export_wh else (0, exponent)
        if imported is None or exported is None or imported < 0 or exported < 0:
            raise WrongDevice(f"energy counters read {imported} and {exported}: no such thing")
        return Sample(
            at_ms=at_ms,
            import_wh=scaled(imported, profile.import_wh, exponent),
            export_wh=scaled(exported, profile.export_wh, export_exponent) if profile.export_wh else 0,
            power_w=None if power is None else scaled(power, profile.power_w, power_exponent),
            resolution_wh=max(profile.resolution_wh, int(10 ** max(exponent, 0))),
            wrap_wh=scaled(profile.counter_wrap, profile.import_wh, exponent) if profile.counter_wrap else 0,
        )

    async def _read_planned(self, client: Client, base: int) -> dict[int, int]:
        """Every register that the profile names, by its address in the profile."""
        spans = [(register.address, register.words) for register in self._profile.registers]
        spans += [(r.scale_factor, 1) for r in self._profile.registers if r.scale_factor is not None]
        words: dict[int, int] = {}
        for address, count in plan_requests(spans, self._profile.registers_max):
            registers = await self._request(client, base + address, count)
            words.update(enumerate(registers, start=address))
        return words

    def _value(self, words: dict[int, int], register: Register) -> tuple[int | float | None, int]:
        """Raw value and power of ten."""
        registers = [words[register.address + index] for index in range(register.words)]
        value = decode(registers, register, self._profile.word_order, self._profile.sunspec is not None)
        if register.scale_factor is None or value is None:
            return value, 0
        return value, decode_scale_factor(words[register.scale_factor], register.scale_factor)

    async def _find_model(self, client: Client, sunspec: SunSpec) -> int:
        """The id register of the first model that fits: probe for the mark, then walk id and length."""
        for base in sunspec.bases:
            try:
                mark = await self._request(client, base, 2)
            except DeviceRefused:
                continue
            if mark == SUNSPEC_MARK:
                return await self._walk(client, base + 2, sunspec.models)
        raise WrongDevice(f"no SunSpec mark at {', '.join(map(str, sunspec.bases))}")

    async def _walk(self, client: Client, address: int, models: Sequence[int]) -> int:
        seen: list[int] = []
        for _ in range(SUNSPEC_MODELS_MAX):
            model, length = await self._request(client, address, 2)
            if model in models:
                return address
            if model == SUNSPEC_END or address + 2 + length > 0xFFFF:
                break
            seen.append(model)
            address += 2 + length
        raise WrongDevice(f"no SunSpec model {' or '.join(map(str, models))}; it has {seen}")

    async def _request(self, client: Client, address: int, count: int) -> list[int]:
        read = client.read_input_registers if self._profile.function_code == 4 else client.read_holding_registers
        try:
            answer = await read(address, count=count, device_id=self._unit)
        except ConnectionException as error:
            raise LineDown(str(error)) from None
        except ModbusException as error:
            raise NoAnswer(f"unit {self._unit}, register 0x{address:04X}: {error}") from None
        if answer.isError():
            raise DeviceRefused(address, answer.exception_code)
        if len(answer.registers) != count:
            raise WrongDevice(f"{count} registers asked of 0x{address:04X}, {len(answer.registers)} came")
        return list(answer.registers)
