"""The methods that values have, by type and name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.codes import Trap, TrapCode
from contracts.guards.containers import DictKey, shown_key
from contracts.guards.meter import ITEM_GAS, KEY_CHARS_FREE, LENGTH_MAX, METHOD_GAS, Charges, mismatch, out_of_gas

NOTHING = object()
"""Stands for an argument that is not given."""

Methods = dict[tuple[type, str], Callable[..., Any]]
Listed = Callable[[Any], list[Any]]
Room = Callable[..., None]
JOIN_GAS, REPLACE_GAS, SCAN_GAS = 20, 12, 10
PACKED_KEYS_MIN, PACK_GAS = 64, 4
"""A dictionary that a `pop` leaves so many keys, or a power of two above it, is packed, which costs so much a key."""
METHOD = "_m_"
"""How rewritten code names a method."""


def make_methods(
    charges: Charges, eq: Callable[[Any, Any], bool], dict_key: DictKey, listed: Listed
) -> dict[str, Callable[..., Any]]:
    """By the name that rewritten code gives it, what calls a method of a value, if the value's type has it."""
    room = _make_room(charges)
    methods = {
        **_of_lists(charges, room, eq, listed),
        **_of_dicts(charges, room, dict_key, listed),
        **_of_texts(charges, listed),
    }
    by_name: dict[str, dict[type, Callable[..., Any]]] = {}
    for (kind, name), implementation in methods.items():
        by_name.setdefault(METHOD + name, {})[kind] = implementation
    return {name: _make_method(charges.gas, by_type) for name, by_type in by_name.items()}


def _make_method(gas: list[int], by_type: dict[type, Callable[..., Any]]) -> Callable[..., Any]:
    def method(target: Any, *args: Any) -> Any:
        implementation = by_type.get(type(target))
        if implementation is None:
            raise mismatch()
        left = gas[0] = gas[0] - METHOD_GAS
        if left < 0:
            raise out_of_gas()
        try:
            return implementation(target, *args)
        except TypeError:
            raise mismatch() from None

    return method


def _make_room(charges: Charges) -> Room:
    charge = charges.charge

    def room(place: list[Any] | dict[Any, Any], more: int = 1) -> None:
        charge(1 + more)
        if len(place) + more > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)

    return room


def text(value: Any) -> str:
    if type(value) is not str:
        raise mismatch()
    return value


def number(value: Any) -> int:
    if type(value) is not int:
        raise mismatch()
    return value


def pack(place: dict[Any, Any]) -> None:
    """Free the places of keys that were taken out. CPython keeps them, and walks over them, until the dictionary grows:
    one that was emptied key by key would take as long to list as before, for the gas of an empty one."""
    kept = dict(place)
    place.clear()
    place.update(kept)


def _of_lists(charges: Charges, room: Room, eq: Callable[[Any, Any], bool], listed: Listed) -> Methods:
    charge, hold, given = charges.charge, charges.hold, charges.given

    def append(place: list[Any], value: Any) -> None:
        room(place)
        place.append(given(place, value))

    def extend(place: list[Any], values: Any) -> None:
        fresh = listed(values)
        room(place, len(fresh))
        hold(place)
        place.extend(fresh)

    def insert(place: list[Any], position: Any, value: Any) -> None:
        room(place)
        charge(len(place) // 8)
        place.insert(max(-len(place), min(number(position), len(place))), given(place, value))

    def pop(place: list[Any], position: Any = -1) -> Any:
        charge(1 + len(place) // 8)
        at = number(position)
        if not -len(place) <= at < len(place):
            raise Trap(TrapCode.INDEX_OUT_OF_RANGE)
        return place.pop(at)

    def find_index(place: list[Any], value: Any) -> int:
        charge(1 + ITEM_GAS * len(place))
        for position, other in enumerate(place):
            if eq(value, other):
                return position
        raise Trap(TrapCode.VALUE_INVALID)

    def count(place: list[Any], value: Any) -> int:
        charge(1 + ITEM_GAS * len(place))
        return sum(1 for other in place if eq(value, other))

    def remove(place: list[Any], value: Any) -> None:
        del place[find_index(place, value)]

    return {
        (list, "append"): append,
        (list, "extend"): extend,
        (list, "insert"): insert,
        (list, "pop"): pop,
        (list, "index"): find_index,
        (list, "count"): count,
        (list, "remove"): remove,
    }


def _of_dicts(charges: Charges, room: Room, dict_key: DictKey, listed: Listed) -> Methods:
    charge, hold, given = charges.charge, charges.hold, charges.given

    def get(place: dict[Any, Any], key: Any, otherwise: Any = None) -> Any:
        if type(key) is not str or len(key) > KEY_CHARS_FREE:
            key = dict_key(key)
        return place.get(key, otherwise)

    def pop_key(place: dict[Any, Any], key: Any, otherwise: Any = NOTHING) -> Any:
        kept = dict_key(key)
        if kept not in place:
            if otherwise is not NOTHING:
                return otherwise
            raise Trap(TrapCode.KEY_MISSING)
        value = place.pop(kept)
        left = len(place)
        if left >= PACKED_KEYS_MIN and left & (left - 1) == 0:
            charge(PACK_GAS * left)
            pack(place)
        return value

    def setdefault(place: dict[Any, Any], key: Any, value: Any) -> Any:
        room(place)
        return place.setdefault(dict_key(key), given(place, value))

    def items(place: dict[Any, Any]) -> list[list[Any]]:
        charge(1 + 2 * ITEM_GAS * len(place))
        return [[shown_key(key), value] for key, value in place.items()]

    def values(place: dict[Any, Any]) -> list[Any]:
        charge(1 + len(place))
        return list(place.values())

    def update(place: dict[Any, Any], other: Any) -> None:
        if type(other) is not dict:
            raise mismatch()
        room(place, len(other))
        charge(len(other))
        hold(place)
        place.update(other)

    return {
        (dict, "get"): get,
        (dict, "pop"): pop_key,
        (dict, "setdefault"): setdefault,
        (dict, "update"): update,
        (dict, "keys"): listed,
        (dict, "values"): values,
        (dict, "items"): items,
    }


def _of_texts(charges: Charges, listed: Listed) -> Methods:
    charge, sized, sought = charges.charge, charges.sized, charges.sought

    def split(value: str, separator: Any) -> list[str]:
        if not text(separator):
            raise Trap(TrapCode.VALUE_INVALID)
        charge(1 + len(value))
        sought(value, separator)
        return value.split(separator)

    def join(separator: str, parts: Any) -> str:
        pieces = listed(parts)
        charge(JOIN_GAS + ITEM_GAS // 2 * len(pieces))
        for piece in pieces:
            text(piece)
        if sum(map(len, pieces)) + len(separator) * len(pieces) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        made: str = sized(separator.join(pieces))
        return made

    def replace(value: str, old: Any, new: Any) -> str:
        if not text(old):
            raise Trap(TrapCode.VALUE_INVALID)
        charge(REPLACE_GAS + len(value))
        sought(value, old)  # to count, and to replace
        sought(value, old)
        if len(value) + value.count(old) * max(0, len(text(new)) - len(old)) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        made: str = sized(value.replace(old, new))
        return made

    def scanned(value: str, *others: Any) -> str:
        charge(SCAN_GAS + (len(value) + sum(len(text(other)) for other in others)) // 8)
        return value

    def mapped(value: str, table: dict[int, int]) -> str:
        """ASCII's letters, and no others: versions of Unicode differ in those."""
        charge(1 + 3 * len(value))
        return value.translate(table)

    def walked(value: str) -> str:
        charge(1 + len(value) // 2)
        return value

    def find(value: str, part: Any) -> int:
        sought(value, text(part))
        return value.find(part)

    def occurrences(value: str, part: Any) -> int:
        sought(value, text(part))
        return value.count(part)

    return {
        (str, "startswith"): lambda value, other: scanned(value, other).startswith(other),
        (str, "endswith"): lambda value, other: scanned(value, other).endswith(other),
        (str, "find"): find,
        (str, "count"): occurrences,
        (str, "split"): split,
        (str, "join"): join,
        (str, "replace"): replace,
        (str, "strip"): lambda value: walked(value).strip(" \t\n"),
        (str, "isdigit"): lambda value: walked(value).isascii() and value.isdigit(),
        (str, "lower"): lambda value: scanned(value).lower() if value.isascii() else mapped(value, _LOWER),
        (str, "upper"): lambda value: scanned(value).upper() if value.isascii() else mapped(value, _UPPER),
    }


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
