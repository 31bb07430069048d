"""Equality without Python's `True == 1`, and order among integers or among texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.guards.meter import DEPTH_MAX, TEXT_GAS, Charges, Meter, mismatch, out_of_gas

COMPARED, COMPARE_GAS = 16, 36
"""What comparing a node of a container costs beside counting it, and what comparing two costs beside their nodes."""
ORDER_GAS = 12
"""What the order of two texts costs beside their length."""


def make_comparisons(meter: Meter, charges: Charges) -> dict[str, Callable[..., Any]]:
    charge, weigh, gas = charges.charge, meter.weigh, charges.gas

    def weighed(value: Any) -> int:
        return weigh(value, DEPTH_MAX, COMPARED)

    def eq(a: Any, b: Any) -> bool:
        kind = type(a)
        if kind is type(b):
            if kind is str:
                here, there = len(a), len(b)
                left = gas[0] = gas[0] - TEXT_GAS - (here if here < there else there) // 32
                if left < 0:
                    raise out_of_gas()
            elif kind is list or kind is dict:
                charge(COMPARE_GAS + COMPARED * (weighed(a) + weighed(b)))
                return _same(a, b)
            return bool(a == b)
        if kind in (list, dict) and type(b) in (list, dict):
            charge(COMPARE_GAS + COMPARED * (weighed(a) + weighed(b)))
        return False

    def ne(a: Any, b: Any) -> bool:
        return not eq(a, b)

    def ordered(a: Any, b: Any) -> None:
        if type(a) is not type(b) or type(a) not in (int, str):
            raise mismatch()
        if type(a) is str:
            charge(ORDER_GAS + min(len(a), len(b)) // 24)

    def lt(a: Any, b: Any) -> bool:
        if not (type(a) is int and type(b) is int):
            ordered(a, b)
        return a < b  # type: ignore[no-any-return]

    def le(a: Any, b: Any) -> bool:
        if not (type(a) is int and type(b) is int):
            ordered(a, b)
        return a <= b  # type: ignore[no-any-return]

    def gt(a: Any, b: Any) -> bool:
        if not (type(a) is int and type(b) is int):
            ordered(a, b)
        return a > b  # type: ignore[no-any-return]

    def ge(a: Any, b: Any) -> bool:
        if not (type(a) is int and type(b) is int):
            ordered(a, b)
        return a >= b  # type: ignore[no-any-return]

    return {"_eq": eq, "_ne": ne, "_lt": lt, "_le": le, "_gt": gt, "_ge": ge}


def _same(a: Any, b: Any) -> bool:
    """Equality without Python's True == 1."""
    if type(a) is not type(b):
        return False
    if type(a) is list:
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if type(a) is dict:
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)
