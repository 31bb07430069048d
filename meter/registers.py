"""Registers to integers and back: pure functions over a device profile.

A missing value is None: NaN or infinity in a float, and SunSpec's marks for "not implemented" (int16 0x8000, uint16
0xFFFF, and so on for wider ones). An acc32 of 0 means that too, and reads as 0 Wh either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pymodbus.client.mixin import ModbusClientMixin

from meter.errors import WrongDevice
from meter.profile import Register, WordOrder

DATATYPE = ModbusClientMixin.DATATYPE
_TYPES = {
    "int16": DATATYPE.INT16,
    "uint16": DATATYPE.UINT16,
    "int32": DATATYPE.INT32,
    "uint32": DATATYPE.UINT32,
    "acc32": DATATYPE.UINT32,
    "int64": DATATYPE.INT64,
    "uint64": DATATYPE.UINT64,
    "float32": DATATYPE.FLOAT32,
}
_NOT_IMPLEMENTED = {
    "int16": -(1 << 15), "uint16": (1 << 16) - 1, "int32": -(1 << 31), "uint32": (1 << 32) - 1,
    "int64": -(1 << 63), "uint64": (1 << 64) - 1,
}  # fmt: skip
SCALE_FACTOR_MAX = 10
"""SunSpec scale factors lie between -10 and 10."""


def decode(registers: Sequence[int], register: Register, word_order: WordOrder, sunspec: bool) -> int | float | None:
    """The raw value of ``register``, or None if the device has none."""
    value = ModbusClientMixin.convert_from_registers(list(registers), _TYPES[register.type], word_order=word_order)
    assert isinstance(value, int | float)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if sunspec and value == _NOT_IMPLEMENTED.get(register.type) else value


def encode(value: float, register: Register, word_order: WordOrder) -> list[int]:
    """The registers that hold the raw ``value``."""
    return ModbusClientMixin.convert_to_registers(value, _TYPES[register.type], word_order=word_order)


def decode_scale_factor(word: int, offset: int) -> int:
    """A SunSpec power of ten; ``WrongDevice`` when it is not implemented or out of range."""
    value = word - 0x1_0000 if word & 0x8000 else word
    if not -SCALE_FACTOR_MAX <= value <= SCALE_FACTOR_MAX:
        raise WrongDevice(f"scale factor at offset {offset}: {value} is not implemented or out of range")
    return value


def scaled(raw: int | float, register: Register, exponent: int = 0) -> int:
    """``raw`` in whole W or Wh: integers rounded down, floats to the nearest."""
    numerator = register.multiplier * int(10 ** max(exponent, 0)) * (-1 if register.negated else 1)
    denominator = register.divisor * int(10 ** max(-exponent, 0))
    if isinstance(raw, float):
        return round(raw * numerator / denominator)
    return raw * numerator // denominator


def plan_requests(spans: Iterable[tuple[int, int]], registers_max: int) -> list[tuple[int, int]]:
    """Merge (address, count) spans into as few requests of at most ``registers_max`` registers as possible."""
    requests: list[tuple[int, int]] = []
    for address, count in sorted(set(spans)):
        if requests:
            first, length = requests[-1]
            merged = max(length, address + count - first)
            if merged <= registers_max:
                requests[-1] = (first, merged)
                continue
        requests.append((address, count))
    return requests
