"""Pure functions that turn one value into another: `str int bool list dict pad sha256`, and questions of type."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.meter import DIGITS_MAX, NUMBER_MAX, Charges, bounded, mismatch, out_of_gas

DIGITS_GAS = 40
"""Of numbers beyond a machine's word."""
PADDED_MAX = 1_024
"""Padded numbers that are kept: the parts of keys come again and again."""


def make_conversions(charges: Charges, listed: Callable[[Any], list[Any]]) -> dict[str, Callable[..., Any]]:
    charge, gas = charges.charge, charges.gas
    padded = dict[tuple[int, int], str]()

    def to_text(value: Any) -> str:
        if type(value) is int:
            charge(8 if -NUMBER_MAX < value < NUMBER_MAX else DIGITS_GAS)
            return str(value)
        if type(value) is str:
            return value
        raise mismatch()

    def to_int(value: Any) -> int:
        if type(value) is int:
            return value
        if type(value) is bool:
            return 1 if value else 0
        if type(value) is not str:
            raise mismatch()
        digits = value[1:] if value[:1] == "-" else value
        if not 1 <= len(digits) <= DIGITS_MAX or not (digits.isascii() and digits.isdigit()):
            raise Trap(TrapCode.VALUE_INVALID)
        charge(8 if len(digits) < 19 else DIGITS_GAS)
        return bounded(int(value))

    def to_bool(value: Any) -> bool:
        return bool(value)

    def to_list(*values: Any) -> list[Any]:
        return listed(values[0]) if values else []

    def to_dict(*values: Any) -> dict[Any, Any]:
        if not values:
            return {}
        if type(values[0]) is not dict:
            raise mismatch()
        charge(1 + 2 * len(values[0]))
        return dict(values[0])

    def pad(number: Any, width: Any) -> str:
        if type(number) is not int or type(width) is not int:
            raise mismatch()
        text = padded.get((number, width)) or fresh(number, width)
        left = gas[0] = gas[0] - (6 if number < NUMBER_MAX else DIGITS_GAS)
        if left < 0:
            raise out_of_gas()
        return text

    def fresh(number: int, width: int) -> str:
        if number < 0:
            raise mismatch()
        if not 0 < width <= DIGITS_MAX:
            raise Trap(TrapCode.VALUE_INVALID)
        text = str(number).zfill(width)
        if len(text) != width:
            raise Trap(TrapCode.VALUE_INVALID)
        if len(padded) >= PADDED_MAX:
            padded.clear()
        padded[number, width] = text
        return text

    def digest(text: Any) -> str:
        if type(text) is not str:
            raise mismatch()
        data = text.encode()
        charge(20 + len(data) // 16)
        return sha256(data).hexdigest()

    return {
        "str": to_text, "int": to_int, "bool": to_bool, "list": to_list, "dict": to_dict, "pad": pad, "sha256": digest,
        "is_int": lambda value: type(value) is int, "is_str": lambda value: type(value) is str,
        "is_list": lambda value: type(value) is list, "is_dict": lambda value: type(value) is dict,
    }  # fmt: skip
