"""Lists, dictionaries and texts: reaching into them, making them, and going through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.meter import (
    DICT_KEY_MAX,
    INT_KEY_BYTES,
    INT_KEY_GAS,
    ITEM_GAS,
    ITEMS_PER_GAS,
    KEY_CHARS_FREE,
    LENGTH_MAX,
    TEXT_GAS,
    Charges,
    mismatch,
)

DictKey = Callable[[Any], Any]
RANGE_GAS = 2
"""An integer of a range made an item."""
LOOK_GAS = 18
"""What looking through a list costs beside its items."""
KEYS_GAS = 8
"""What listing a dictionary's keys costs beside them."""
WIDE_CHAR_GAS = 6
"""What makes a character a text of its own; ASCII's, a unit each, are kept by the interpreter."""


def make_dict_key(charges: Charges) -> DictKey:
    charge = charges.charge

    def dict_key(key: Any) -> Any:
        """What a key is kept as. Anybody can choose integers that collide; the hash of bytes has a secret."""
        kind = type(key)
        if kind is str:
            if len(key) > KEY_CHARS_FREE:
                charge(len(key) // 32)
            return key
        if kind is int and -DICT_KEY_MAX < key < DICT_KEY_MAX:
            charge(INT_KEY_GAS)
            return key.to_bytes(INT_KEY_BYTES, "big", signed=True)
        raise mismatch()

    return dict_key


def shown_key(key: Any) -> Any:
    """A dictionary's key as contracts see it."""
    return key if type(key) is str else int.from_bytes(key, "big", signed=True)


def index_of(key: Any) -> int:
    if type(key) is not int:
        raise mismatch()
    return key


def make_access(charges: Charges, dict_key: DictKey, eq: Callable[[Any, Any], bool]) -> dict[str, Callable[..., Any]]:
    """Subscripts, slices and `in`."""
    charge, sized, sought, given = charges.charge, charges.sized, charges.sought, charges.given

    def contains(item: Any, place: Any) -> bool:
        kind = type(place)
        if kind is dict:
            return dict_key(item) in place
        if kind is str and type(item) is str:
            sought(place, item)
            return item in place
        if kind is list:
            if type(item) is str:  # equal to nothing but texts
                charge(6 + len(place) * (2 + len(item) // 32))
                return item in place
            charge(LOOK_GAS + ITEM_GAS * len(place))
            return any(eq(item, other) for other in place)
        raise mismatch()

    def lacks(item: Any, place: Any) -> bool:
        return not contains(item, place)

    def item(place: Any, key: Any) -> Any:
        kind = type(place)
        if kind is dict:
            if type(key) is not str or len(key) > KEY_CHARS_FREE:
                key = dict_key(key)
            try:
                return place[key]
            except KeyError:
                raise Trap(TrapCode.KEY_MISSING) from None
        if kind is list or kind is str:
            if type(key) is not int:
                raise mismatch()
            if -len(place) <= key < len(place):
                if kind is str:
                    charge(TEXT_GAS)
                return place[key]
            raise Trap(TrapCode.INDEX_OUT_OF_RANGE)
        raise mismatch()

    def set_item(place: Any, key: Any, value: Any) -> None:
        kind = type(place)
        if kind is dict:
            place[key if type(key) is str and len(key) <= KEY_CHARS_FREE else dict_key(key)] = given(place, value)
            if len(place) > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
        elif kind is list:
            position = index_of(key)
            if not -len(place) <= position < len(place):
                raise Trap(TrapCode.INDEX_OUT_OF_RANGE)
            place[position] = given(place, value)
        else:
            raise mismatch()

    def slice_of(place: Any, low: Any, high: Any) -> Any:
        if type(place) not in (list, str):
            raise mismatch()
        if (low is not None and type(low) is not int) or (high is not None and type(high) is not int):
            raise mismatch()
        return sized(place[low:high])

    return {"_in": contains, "_notin": lacks, "_item": item, "_set": set_item, "_slice": slice_of}


def make_loops(charges: Charges, dict_key: DictKey) -> dict[str, Callable[..., Any]]:
    """Displays, unpacking, and copies to loop over."""
    charge = charges.charge

    def make_dict(*items: Any) -> dict[Any, Any]:
        charge(ITEM_GAS * len(items))
        return {dict_key(items[i]): items[i + 1] for i in range(0, len(items), 2)}

    def unpack(value: Any, count: int) -> list[Any]:
        if type(value) is not list or len(value) != count:
            raise mismatch()
        return value

    def iterate(value: Any) -> Any:
        """A copy to loop over, so that changing the original never disturbs the loop."""
        return value if type(value) is range else listed(value)

    def listed(value: Any) -> list[Any]:
        """A fresh list, charged before it is made: a range or a text makes an object an item."""
        kind = type(value)
        if kind not in (list, str, dict, range):
            raise mismatch()
        if len(value) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        charge(1 + price_of(value))
        return [shown_key(key) for key in value] if kind is dict else list(value)

    def price_of(value: Any) -> int:
        """What a list of it costs by its items."""
        kind, length = type(value), len(value)
        if kind is list:
            return length // ITEMS_PER_GAS
        if kind is dict:
            return KEYS_GAS + ITEM_GAS * length
        if kind is range:
            return RANGE_GAS * length
        return length if value.isascii() else WIDE_CHAR_GAS * length

    def pairs(value: Any, count: int) -> Iterator[list[Any]]:
        charge(ITEM_GAS * len(value) if type(value) in (list, dict) else 0)
        return (unpack(entry, count) for entry in iterate(value))

    return {"_dict": make_dict, "_unpack": unpack, "_iter": iterate, "_pairs": pairs, "list": listed}
