"""What contracts store, tell, pass on and return: weighed, charged, and made canonical bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards import Meter
from contracts.guards.meter import DEPTH_MAX, out_of_gas
from contracts.session import KEPT_NODE_GAS, NODE_GAS, PASSED_RATE, VALUE_BYTES_MAX
from ledger.values import SCALARS, Value, ValueInvalid, encode_plain, encode_value

FLAT_MAX = 64
"""Items of a dictionary of scalars that is charged by their number. Texts in it that come to more characters than a
value may have bytes end the call before they are encoded: each may be the same one, paid for once."""


def make_encoded(meter: Meter) -> Callable[..., bytes]:
    """``encoded(value, gas, rate)``: canonical bytes, for ``gas``, so much for 16 bytes, and what the nodes cost."""
    gas, charge, weigh = meter.gas, meter.charge, meter.weigh

    def encoded(value: Value, price: int = 0, rate: int = PASSED_RATE) -> bytes:
        kind = type(value)
        if kind is dict and len(value) <= FLAT_MAX and (characters := characters_of(value)) is not None:
            price += NODE_GAS * len(value)
            if characters > VALUE_BYTES_MAX:
                charge(price + characters * rate // 16)
                raise Trap(TrapCode.TOO_LARGE)
        elif kind is int:
            price += NODE_GAS
        elif kind is str:
            price += NODE_GAS * (1 + len(value) // 32)
        else:
            charge(NODE_GAS * weigh(value, DEPTH_MAX, NODE_GAS if rate == PASSED_RATE else KEPT_NODE_GAS))
        try:
            data = encode_plain(value)
        except (TypeError, OverflowError, UnicodeEncodeError):
            data = _bytes_of(value)
        size = len(data)
        left = gas[0] = gas[0] - price - size * rate // 16
        if left < 0:
            raise out_of_gas()
        if size > VALUE_BYTES_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        return data

    return encoded


def characters_of(record: dict[Any, Any]) -> int | None:
    """The characters of a dictionary's texts, or None if it holds a container."""
    characters = 0
    for item in record.values():
        kind = type(item)
        if kind is str:
            characters += len(item)
        elif kind is not int and kind not in SCALARS:
            return None
    return characters


def _bytes_of(value: Value) -> bytes:
    """The long way, for what is no value or holds a wide integer."""
    try:
        return encode_value(value)
    except (ValueInvalid, UnicodeEncodeError):
        raise Trap(TrapCode.VALUE_INVALID) from None
