"""`+ - * // %` and division with a named rounding: integers below 2^256, texts and lists joined and repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.meter import LENGTH_MAX, LIMIT, Charges, bounded, mismatch, out_of_gas


def make_arithmetic(charges: Charges) -> dict[str, Callable[..., Any]]:
    sized, gas = charges.sized, charges.gas

    def add(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is int and type(b) is int:
            total = a + b
            return total if -LIMIT < total < LIMIT else bounded(total)
        if kind is not type(b):
            raise mismatch()
        if kind is str:
            made = a + b
            length = len(made)
            if length > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            left = gas[0] = gas[0] - 1 - length // 8
            if left < 0:
                raise out_of_gas()
            return made
        if kind is list:
            if len(a) + len(b) > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            return sized(a + b)
        raise mismatch()

    def sub(a: Any, b: Any) -> int:
        if type(a) is int and type(b) is int:
            rest: int = a - b
            return rest if -LIMIT < rest < LIMIT else bounded(rest)
        raise mismatch()

    def mul(a: Any, b: Any) -> Any:
        if type(a) is int and type(b) is int:
            product = a * b
            return product if -LIMIT < product < LIMIT else bounded(product)
        if type(a) in (str, list) and type(b) is int:
            times = min(max(b, 0), LENGTH_MAX + 1)
            if len(a) * times > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            return sized(a * times)
        raise mismatch()

    def floordiv(a: Any, b: Any) -> int:
        if type(a) is not int or type(b) is not int:
            raise mismatch()
        if b == 0:
            raise Trap(TrapCode.DIVISION_BY_ZERO)
        return bounded(a // b)

    def mod(a: Any, b: Any) -> int:
        if type(a) is not int or type(b) is not int:
            raise mismatch()
        if b == 0:
            raise Trap(TrapCode.DIVISION_BY_ZERO)
        rest: int = a % b
        return rest

    def neg(a: Any) -> int:
        if type(a) is not int:
            raise mismatch()
        return -a

    def ceil_div(a: Any, b: Any) -> int:
        """a / b rounded up."""
        return bounded(-floordiv(neg(a), b))

    def half_up_div(a: Any, b: Any) -> int:
        """a / b rounded to the nearest, halves up."""
        return floordiv(add(mul(a, 2), b), mul(b, 2))

    return {
        "_add": add, "_sub": sub, "_mul": mul, "_floordiv": floordiv, "_mod": mod, "_neg": neg,
        "floor_div": floordiv, "ceil_div": ceil_div, "half_up_div": half_up_div,
    }  # fmt: skip
