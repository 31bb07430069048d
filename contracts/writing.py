"""What contracts store, tell, pass on and return: weighed, charged, and made canonical bytes."""

from __future__ import annotations

from collections.abc import Callable

from contracts.codes import Trap, TrapCode
from contracts.guards import Meter
from contracts.guards.meter import out_of_gas
from contracts.reading import SCALARS
from contracts.session import NODE_GAS, PASSED_RATE, VALUE_BYTES_MAX
from ledger.values import Value, ValueInvalid, encode_plain, encode_value

FLAT_MAX = 64
"""Items of a dictionary of scalars that is charged by their number. Texts in it may be long: what comes to more bytes
than a value may have ends the call, and whoever has such texts has paid for them."""


def make_encoded(meter: Meter) -> Callable[..., bytes]:
    """``encoded(value, gas, rate)``: canonical bytes, for ``gas``, so much for 16 bytes, and what the nodes cost."""
    gas, charge, weigh = meter.gas, meter.charge, meter.weigh

    def encoded(value: Value, price: int = 0, rate: int = PASSED_RATE) -> bytes:
        kind = type(value)
        if kind is dict and len(value) <= FLAT_MAX and SCALARS.issuperset(map(type, value.values())):
            price += NODE_GAS * len(value)
        elif kind is int:
            price += NODE_GAS
        elif kind is str:
            price += NODE_GAS * (1 + len(value) // 32)
        else:
            charge(NODE_GAS * weigh(value))
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


def _bytes_of(value: Value) -> bytes:
    """The long way, for what is no value or holds a wide integer."""
    try:
        return encode_value(value)
    except (ValueInvalid, UnicodeEncodeError):
        raise Trap(TrapCode.VALUE_INVALID) from None
