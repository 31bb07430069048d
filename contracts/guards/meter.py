"""Gas and call depth of the running transaction, the language's sizes, and what operations on them are charged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contracts.codes import Trap, TrapCode

LIMIT = 1 << 256
LENGTH_MAX = 100_000
"""Characters of a text, items of a list or dictionary."""
DICT_KEY_MAX = 1 << 60
KEY_CHARS_FREE = 256
"""A dictionary's text key of more characters is charged for, since finding it compares them."""
INT_KEY_BYTES = 8
CALLS_MAX = 32
DIGITS_MAX = 80
DEPTH_MAX = 16
"""Containers within each other, when compared, sorted, stored or passed on; the same as the world state's."""


class Meter:
    """Gas left and call depth of the running transaction, in lists so that guards reach them quickly."""

    def __init__(self) -> None:
        self.gas = [0]
        self.depth = [0]

    def charge(self, amount: int) -> None:
        self.gas[0] -= amount
        if self.gas[0] < 0:
            raise Trap(TrapCode.OUT_OF_GAS)

    def weigh(self, value: Any, left: int = DEPTH_MAX) -> int:
        """Nodes and characters below a value. Containers are charged on the way: shared parts count each time, so
        that a small graph which unfolds to a huge tree runs out of gas before anybody unfolds it."""
        kind = type(value)
        if kind is str:
            return 1 + len(value) // 32
        if kind is not list and kind is not dict:
            return 1
        if left == 0:
            raise Trap(TrapCode.TOO_DEEP)
        self.charge(1 + len(value))
        total = 1
        if kind is dict:
            for key in value:
                if type(key) is str:
                    total += 1 + len(key) // 32
            value = value.values()
        for item in value:
            kind = type(item)
            if kind is str:
                total += 1 + len(item) // 32
            elif kind is list or kind is dict:
                total += self.weigh(item, left - 1)
            else:
                total += 1
        return total


@dataclass(frozen=True, slots=True)
class Charges:
    """The meter's closures, which guards share: a closure is called faster than a method.

    The guards that are called most charge ``gas`` themselves, as ``charge`` would.
    """

    gas: list[int]
    charge: Callable[[int], None]
    enter: Callable[[], None]
    leave: Callable[[], None]
    sized: Callable[[Any], Any]
    sought: Callable[[str, str], None]


def make_charges(meter: Meter) -> Charges:
    gas, depth = meter.gas, meter.depth

    def charge(amount: int) -> None:
        left = gas[0] = gas[0] - amount
        if left < 0:
            raise Trap(TrapCode.OUT_OF_GAS)

    def enter() -> None:
        depth[0] += 1
        if depth[0] > CALLS_MAX:
            raise Trap(TrapCode.TOO_DEEP)

    def leave() -> None:
        depth[0] -= 1

    def sized(value: Any) -> Any:
        """Charge for a fresh text or list, by its length."""
        if len(value) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        charge(1 + len(value) // 8)
        return value

    def sought(value: str, part: str) -> None:
        """Charge for a search: CPython's is quadratic on short texts."""
        charge(1 + len(value) // 8 + len(value) * len(part) // 1024)

    return Charges(gas, charge, enter, leave, sized, sought)


def out_of_gas() -> Trap:
    return Trap(TrapCode.OUT_OF_GAS)


def mismatch() -> Trap:
    return Trap(TrapCode.TYPE_MISMATCH)


def bounded(number: int) -> int:
    """An integer of the language."""
    if -LIMIT < number < LIMIT:
        return number
    raise Trap(TrapCode.INTEGER_TOO_LARGE)
