"""Pure functions over many values: `len min max abs sum sorted reversed range enumerate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.meter import ITEM_GAS, Charges, Meter, bounded, mismatch

Guards = dict[str, Callable[..., Any]]


def make_sequences(meter: Meter, charges: Charges, loops: Guards) -> Guards:
    charge, weigh = charges.charge, meter.weigh
    listed: Callable[[Any], list[Any]] = loops["list"]

    def length(value: Any) -> int:
        if type(value) not in (str, list, dict, range):
            raise mismatch()
        return len(value)

    def numbers(values: tuple[Any, ...]) -> list[Any]:
        found = listed(values[0]) if len(values) == 1 else list(values)
        if not found:
            raise Trap(TrapCode.VALUE_INVALID)
        charge(3 * len(found))
        charge(sum(len(value) // 32 for value in found if type(value) is str))
        kinds = {type(value) for value in found}
        if kinds not in ({int}, {str}):
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

    def in_order(values: Any) -> list[Any]:
        found = listed(values)
        charge((len(found) + 3 * sum(weigh(value) for value in found)) * len(found).bit_length())
        _check_comparable(found)
        return sorted(found)

    def backwards(values: Any) -> list[Any]:
        found = listed(values)
        found.reverse()
        return found

    def make_range(*bounds: Any) -> range:
        if not 1 <= len(bounds) <= 3 or any(type(bound) is not int for bound in bounds):
            raise mismatch()
        if len(bounds) == 3 and bounds[2] == 0:
            raise Trap(TrapCode.VALUE_INVALID)
        made = range(*bounds)
        if any(abs(bound) >= 1 << 53 for bound in bounds):
            raise Trap(TrapCode.TOO_LARGE)
        return made

    def numbered(values: Any) -> list[list[Any]]:
        found = listed(values)
        charge(ITEM_GAS // 2 * len(found))
        return [[position, value] for position, value in enumerate(found)]

    return {
        "len": length, "min": smallest, "max": largest, "abs": absolute, "sum": total, "sorted": in_order,
        "reversed": backwards, "range": make_range, "enumerate": numbered,
    }  # fmt: skip


def _check_comparable(values: list[Any]) -> None:
    """All integers, all texts, or lists that agree in this place by place.

    Checked beforehand: which values a sort compares depends on the interpreter's algorithm, so neither a trap nor
    gas may.
    """
    kinds = {type(value) for value in values}
    if kinds <= {int} or kinds <= {str}:
        return
    if kinds != {list}:
        raise mismatch()
    columns: list[list[Any]] = []
    for value in values:
        columns.extend([] for _ in range(len(value) - len(columns)))
        for column, item in zip(columns, value, strict=False):
            column.append(item)
    for column in columns:
        _check_comparable(column)
