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
TEXT_CHARS_FREE = 32
"""A text of fewer characters is compared for nothing beside its nodes."""
INT_KEY_BYTES = 8
INT_KEY_GAS = 28
"""An integer key's, which is kept as bytes."""
ITEM_GAS = 10
"""What looking at an item by code of Python's costs, not of C's."""
METHOD_GAS = 30
TEXT_GAS = 7
"""What a text costs that a guard makes, compares or reaches into, beside its length."""
MADE_GAS = 12
"""What a fresh list or a part of a text costs, beside its length."""
CHARS_PER_GAS, ITEMS_PER_GAS = 8, 3
"""A character takes four bytes at most. An item takes eight, and a list that grew up to nine for each. Memory that was
never touched takes a machine 1 to 3 us a page of 4 KiB, so that 32 bytes are what a unit's time is good for."""
SEARCH_GAS, PAIRS_PER_GAS = 10, 20
"""What a search costs beside its texts' lengths, and how many comparisons of two characters a unit pays for."""
NUMBER_MAX = 1 << 63
WIDE_GAS, WIDE_SUM_GAS = 17, 13
"""What numbers beyond a machine's word cost more to multiply, divide, write down and read; and to add."""
CALLS_MAX = 32
DIGITS_MAX = 80
CONTAINER_NODES, DICTIONARY_NODES = 2, 2
"""What a container counts for beside what is in it, since it is gone into; and a dictionary besides, since its keys are
put in order."""
DEPTH_MAX = 16
"""Containers within each other, when compared, sorted, stored or passed on; the same as the world state's."""


class Meter:
    """Gas left and call depth of the running transaction, in lists so that guards and contracts reach them quickly, and
    the containers that were given others."""

    def __init__(self) -> None:
        self.gas = [0]
        self.depth = [0]
        self.holders: list[list[Any] | dict[Any, Any]] = []

    def let_go(self) -> None:
        """At a call's end: empty the containers that were given another, so that none is left that holds itself.

        A cycle needs a container that was given one which is younger. Nothing that outlives a call is among them: what
        is stored, told, passed on or returned is a copy.
        """
        for place in self.holders:
            place.clear()
        self.holders.clear()

    def charge(self, amount: int) -> None:
        gas = self.gas
        left = gas[0] = gas[0] - amount
        if left < 0:
            raise Trap(TrapCode.OUT_OF_GAS)

    def weigh(self, value: Any, left: int = DEPTH_MAX, price: int = 0) -> int:
        """Nodes and characters below a value. Containers are charged on the way: shared parts count each time, so
        that a small graph which unfolds to a huge tree runs out of gas before anybody unfolds it.

        Whoever asks for ``price`` a node has containers charged for that too, as they are reached, and is told what
        remains: else the graph would be gone through for a fraction of what it costs.
        """
        kind = type(value)
        if kind is str:
            return 1 + len(value) // 32
        if kind is not list and kind is not dict:
            return 1
        if left == 0:
            raise Trap(TrapCode.TOO_DEEP)
        gas = self.gas
        size = CONTAINER_NODES + len(value)
        rest = gas[0] = gas[0] - size * (1 + price)
        if rest < 0:
            raise Trap(TrapCode.OUT_OF_GAS)
        total = 0 if price else size
        characters = 0
        if kind is dict:
            total += DICTIONARY_NODES + len(value)
            characters = sum(map(len, value))
            value = value.values()
        for item in value:
            kind = type(item)
            if kind is str:
                characters += len(item)
            elif kind is list or kind is dict:
                total += self.weigh(item, left - 1, price)
            elif kind is int and not -NUMBER_MAX < item < NUMBER_MAX:
                total += WIDE_GAS
        return total + characters // 32


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
    hold: Callable[[list[Any] | dict[Any, Any]], None]
    """For a container that is given another: see ``Meter.let_go``."""
    given: Callable[[list[Any] | dict[Any, Any], Any], Any]
    """The same if the second is a container; the second."""


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
        length = len(value)
        if length > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        left = gas[0] = gas[0] - MADE_GAS - length // (CHARS_PER_GAS if type(value) is str else ITEMS_PER_GAS)
        if left < 0:
            raise Trap(TrapCode.OUT_OF_GAS)
        return value

    def sought(value: str, part: str) -> None:
        """Charge for a search as if each place were compared with the whole part: which texts CPython searches in that
        way depends on its version, and is more of them than one would think."""
        length = len(value)
        charge(SEARCH_GAS + length // 6 + max(0, length - len(part) + 1) * len(part) // PAIRS_PER_GAS)

    hold = meter.holders.append

    def given(place: list[Any] | dict[Any, Any], value: Any) -> Any:
        kind = type(value)
        if kind is list or kind is dict:
            hold(place)
        return value

    return Charges(gas, charge, enter, leave, sized, sought, hold, given)


def out_of_gas() -> Trap:
    return Trap(TrapCode.OUT_OF_GAS)


def spent() -> None:
    """What a contract's code ends with that finds no gas left."""
    raise out_of_gas()


def full() -> None:
    """What a contract's code ends with that has put too much into a dictionary."""
    raise Trap(TrapCode.TOO_LARGE)


def mismatch() -> Trap:
    return Trap(TrapCode.TYPE_MISMATCH)


def bounded(number: int) -> int:
    """An integer of the language."""
    if -LIMIT < number < LIMIT:
        return number
    raise Trap(TrapCode.INTEGER_TOO_LARGE)
