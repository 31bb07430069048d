"""`+ - * // %` and division with a named rounding: integers below 2^256, texts and lists joined and repeated."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.meter import (
    CHARS_PER_GAS,
    LENGTH_MAX,
    LIMIT,
    NUMBER_MAX,
    TEXT_GAS,
    WIDE_GAS,
    WIDE_SUM_GAS,
    Charges,
    bounded,
    mismatch,
    out_of_gas,
)

ROUNDING_GAS = 30
SUMMAND_GAS = 4
"""Of three or more that are added up."""
JOINED_FREE = 4
"""Texts that are put together before their length is looked at. More, each of which may be the same long one, would be
megabytes that nobody has paid for."""
REPEAT_GAS = 12
"""What repeating a text or a list costs beside making it."""


def make_arithmetic(charges: Charges) -> dict[str, Callable[..., Any]]:
    charge, sized, gas = charges.charge, charges.sized, charges.gas

    def wide(number: int) -> int:
        """A sum beyond a machine's word."""
        left = gas[0] = gas[0] - WIDE_SUM_GAS
        if left < 0:
            raise out_of_gas()
        return bounded(number)

    def add(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is not type(b):
            raise mismatch()
        if kind is str:
            made = a + b
            length = len(made)
            if length > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            left = gas[0] = gas[0] - TEXT_GAS - length // CHARS_PER_GAS
            if left < 0:
                raise out_of_gas()
            return made
        if kind is int:
            total = a + b
            return total if -NUMBER_MAX < total < NUMBER_MAX else wide(total)
        if kind is list:
            if len(a) + len(b) > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            return sized(a + b)
        raise mismatch()

    def text(a: Any, b: Any) -> Any:
        """``a + b`` where one of the two is known to be a text."""
        try:
            made = a + b
        except TypeError:
            raise mismatch() from None
        length = len(made)
        if length > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        left = gas[0] = gas[0] - 3 - length // CHARS_PER_GAS
        if left < 0:
            raise out_of_gas()
        return made

    def joined(*parts: Any) -> Any:
        """``a + b + c``: texts are put together at once."""
        try:
            if len(parts) > JOINED_FREE and sum(map(len, parts)) > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            made = "".join(parts)
        except TypeError:
            if type(parts[0]) is str:
                raise mismatch() from None
            return reduce(add, parts)
        length = len(made)
        if length > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        left = gas[0] = gas[0] - len(parts) - length // CHARS_PER_GAS
        if left < 0:
            raise out_of_gas()
        return made

    def summed(*parts: Any) -> Any:
        """``a + b + c``, none of them known to be a text."""
        total = parts[0]
        left = gas[0] = gas[0] - SUMMAND_GAS * len(parts)
        if left < 0:
            raise out_of_gas()
        if type(total) is str:
            return joined(*parts)
        if type(total) is not int:
            return reduce(add, parts)
        for part in parts[1:]:
            if type(part) is not int:
                raise mismatch()
            total += part
            if not -NUMBER_MAX < total < NUMBER_MAX:
                total = wide(total)
        return total

    def sub(a: Any, b: Any) -> int:
        if type(a) is int and type(b) is int:
            rest: int = a - b
            return rest if -NUMBER_MAX < rest < NUMBER_MAX else wide(rest)
        raise mismatch()

    def mul(a: Any, b: Any) -> Any:
        if type(a) is int and type(b) is int:
            product = a * b
            if not -NUMBER_MAX < product < NUMBER_MAX:
                charge(WIDE_GAS)
                return bounded(product)
            return product
        if type(a) in (str, list) and type(b) is int:
            times = min(max(b, 0), LENGTH_MAX + 1)
            if len(a) * times > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            charge(REPEAT_GAS)
            return sized(a * times)
        raise mismatch()

    def floordiv(a: Any, b: Any) -> int:
        if type(a) is not int or type(b) is not int:
            raise mismatch()
        if b == 0:
            raise Trap(TrapCode.DIVISION_BY_ZERO)
        if not -NUMBER_MAX < a < NUMBER_MAX:
            charge(WIDE_GAS)
        quotient: int = a // b
        return quotient if -LIMIT < quotient < LIMIT else bounded(quotient)

    def mod(a: Any, b: Any) -> int:
        if type(a) is not int or type(b) is not int:
            raise mismatch()
        if b == 0:
            raise Trap(TrapCode.DIVISION_BY_ZERO)
        if not -NUMBER_MAX < a < NUMBER_MAX:
            charge(WIDE_GAS)
        rest: int = a % b
        return rest

    def neg(a: Any) -> int:
        if type(a) is not int:
            raise mismatch()
        return -a

    def ceil_div(a: Any, b: Any) -> int:
        """a / b rounded up."""
        charge(ROUNDING_GAS)
        return bounded(-floordiv(neg(a), b))

    def half_up_div(a: Any, b: Any) -> int:
        """a / b rounded to the nearest, halves up."""
        charge(ROUNDING_GAS)
        return floordiv(add(mul(a, 2), b), mul(b, 2))

    return {
        "_add": add, "_text": text, "_joined": joined, "_summed": summed, "_sub": sub, "_mul": mul,
        "_floordiv": floordiv, "_mod": mod, "_neg": neg,
        "floor_div": floordiv, "ceil_div": ceil_div, "half_up_div": half_up_div,
    }  # fmt: skip
