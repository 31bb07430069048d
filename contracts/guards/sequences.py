"""Pure functions over many values: `len min max abs sum sorted reversed range enumerate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.meter import DEPTH_MAX, Charges, Meter, bounded, mismatch

Guards = dict[str, Callable[..., Any]]
CHECK_GAS, ROW_GAS = 60, 16
"""What finding out costs that one place of what is sorted can be compared, and more for each list that is there."""
NUMBERED_GAS = 8
"""A list of two, and often a number."""
BOUND_MAX = (1 << 53) - 1
"""Of a range, on both sides of 0."""
_INTEGERS, _TEXTS = {int}, {str}


def make_sequences(meter: Meter, charges: Charges, loops: Guards) -> Guards:
    charge, weigh = charges.charge, meter.weigh
    listed: Callable[[Any], list[Any]] = loops["list"]

    def length(value: Any) -> int:
        if type(value) not in (str, list, dict, range):
            raise mismatch()
        return len(value)

    def numbers(values: tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
        found = listed(values[0]) if len(values) == 1 else values
        if not found:
            raise Trap(TrapCode.VALUE_INVALID)
        kinds = {*map(type, found)}
        if kinds == _INTEGERS:
            charge(3 * len(found))
        elif kinds == _TEXTS:
            charge(6 * len(found) + sum([len(value) // 32 for value in found]))
        else:
            raise mismatch()
        return found

    def smallest(*values: Any) -> Any:
        return min(numbers(values))

    def largest(*values: Any) -> Any:
        return max(numbers(values))

    def absolute(value: Any) -> int:
        if type(value) is not int:
            raise mismatch()
        return abs(value)

    def total(values: Any) -> int:
        found = listed(values)
        charge(4 * len(found))
        if not {int}.issuperset(map(type, found)):
            raise mismatch()
        return bounded(sum(found))

    def check_comparable(values: list[Any]) -> None:
        """All integers, all texts, or lists that agree in this place by place.

        Checked beforehand: which values a sort compares depends on the interpreter's algorithm, so neither a trap nor
        gas may.
        """
        charge(CHECK_GAS)
        kinds = {*map(type, values)}
        if kinds <= _INTEGERS or kinds <= _TEXTS:
            return
        if kinds != {list}:
            raise mismatch()
        charge(ROW_GAS * len(values))
        columns: list[list[Any]] = []
        for value in values:
            columns.extend([] for _ in range(len(value) - len(columns)))
            for column, item in zip(columns, value, strict=False):
                column.append(item)
        for column in columns:
            check_comparable(column)

    def in_order(values: Any) -> list[Any]:
        found = listed(values)
        turns = len(found).bit_length()
        charge(len(found) * turns)
        charge(3 * turns * sum(weigh(value, DEPTH_MAX, 3 * turns) for value in found))
        check_comparable(found)
        return sorted(found)

    def backwards(values: Any) -> list[Any]:
        found = listed(values)
        found.reverse()
        return found

    def make_range(*bounds: Any) -> range:
        for bound in bounds:
            if type(bound) is not int:
                raise mismatch()
        if len(bounds) == 3 and bounds[2] == 0:
            raise Trap(TrapCode.VALUE_INVALID)
        for bound in bounds:
            if not -BOUND_MAX <= bound <= BOUND_MAX:
                raise Trap(TrapCode.TOO_LARGE)
        return range(*bounds)

    def numbered(values: Any) -> list[list[Any]]:
        found = listed(values)
        charge(NUMBERED_GAS * len(found))
        return [[position, value] for position, value in enumerate(found)]

    return {
        "len": length, "min": smallest, "max": largest, "abs": absolute, "sum": total, "sorted": in_order,
        "reversed": backwards, "range": make_range, "enumerate": numbered,
    }  # fmt: skip
