"""Guarded operations: each checks types and sizes, and charges for what depends on the operands' sizes.

They are made once a thread and share that thread's meter, a one-element list of the gas that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
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
            total += sum(1 + len(key) // 32 for key in value if type(key) is str)
            value = value.values()
        for item in value:
            total += self.weigh(item, left - 1)
        return total


def _mismatch() -> Trap:
    return Trap(TrapCode.TYPE_MISMATCH)


def make_guards(meter: Meter) -> dict[str, Callable[..., Any]]:
    """Everything that rewritten code and contracts may call, but for the host's functions."""
    gas, depth, weigh = meter.gas, meter.depth, meter.weigh

    def charge(amount: int) -> None:
        gas[0] -= amount
        if gas[0] < 0:
            raise Trap(TrapCode.OUT_OF_GAS)

    def enter() -> None:
        depth[0] += 1
        if depth[0] > CALLS_MAX:
            raise Trap(TrapCode.TOO_DEEP)

    def leave() -> None:
        depth[0] -= 1

    def bounded(number: int) -> int:
        if -LIMIT < number < LIMIT:
            return number
        raise Trap(TrapCode.INTEGER_TOO_LARGE)

    def sized(value: Any) -> Any:
        """Charge for a fresh text or list, by its length."""
        if len(value) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        charge(1 + len(value) // 8)
        return value

    def sought(value: str, part: str) -> None:
        """Charge for a search: CPython's is quadratic on short texts."""
        charge(1 + len(value) // 8 + len(value) * len(part) // 1024)

    # ------------------------------------------------------------------------------------- arithmetic

    def add(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is int and type(b) is int:
            total = a + b
            return total if -LIMIT < total < LIMIT else bounded(total)
        if kind is type(b) and kind in (str, list):
            if len(a) + len(b) > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            return sized(a + b)
        raise _mismatch()

    def sub(a: Any, b: Any) -> int:
        if type(a) is int and type(b) is int:
            rest: int = a - b
            return rest if -LIMIT < rest < LIMIT else bounded(rest)
        raise _mismatch()

    def mul(a: Any, b: Any) -> Any:
        if type(a) is int and type(b) is int:
            product = a * b
            return product if -LIMIT < product < LIMIT else bounded(product)
        if type(a) in (str, list) and type(b) is int:
            times = min(max(b, 0), LENGTH_MAX + 1)
            if len(a) * times > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
            return sized(a * times)
        raise _mismatch()

    def floordiv(a: Any, b: Any) -> int:
        if type(a) is not int or type(b) is not int:
            raise _mismatch()
        if b == 0:
            raise Trap(TrapCode.DIVISION_BY_ZERO)
        return bounded(a // b)

    def mod(a: Any, b: Any) -> int:
        if type(a) is not int or type(b) is not int:
            raise _mismatch()
        if b == 0:
            raise Trap(TrapCode.DIVISION_BY_ZERO)
        rest: int = a % b
        return rest

    def neg(a: Any) -> int:
        if type(a) is not int:
            raise _mismatch()
        return -a

    def ceil_div(a: Any, b: Any) -> int:
        """a / b rounded up."""
        return bounded(-floordiv(neg(a), b))

    def half_up_div(a: Any, b: Any) -> int:
        """a / b rounded to the nearest, halves up."""
        return floordiv(add(mul(a, 2), b), mul(b, 2))

    # ------------------------------------------------------------------------------------- comparison

    def eq(a: Any, b: Any) -> bool:
        if type(a) in (list, dict) and type(b) in (list, dict):
            charge(weigh(a) + weigh(b))
        elif type(a) is str and type(b) is str:
            charge(1 + min(len(a), len(b)) // 32)
        return _same(a, b)

    def ne(a: Any, b: Any) -> bool:
        return not eq(a, b)

    def ordered(a: Any, b: Any) -> None:
        if type(a) is not type(b) or type(a) not in (int, str):
            raise _mismatch()
        if type(a) is str:
            charge(1 + min(len(a), len(b)) // 32)

    def lt(a: Any, b: Any) -> bool:
        if not (type(a) is int and type(b) is int):
            ordered(a, b)
        return bool(a < b)

    def le(a: Any, b: Any) -> bool:
        if not (type(a) is int and type(b) is int):
            ordered(a, b)
        return bool(a <= b)

    def gt(a: Any, b: Any) -> bool:
        return lt(b, a)

    def ge(a: Any, b: Any) -> bool:
        return le(b, a)

    def contains(item: Any, place: Any) -> bool:
        kind = type(place)
        if kind is dict:
            return dict_key(item) in place
        if kind is str and type(item) is str:
            sought(place, item)
            return item in place
        if kind is list:
            charge(1 + len(place))
            return any(eq(item, other) for other in place)
        raise _mismatch()

    def lacks(item: Any, place: Any) -> bool:
        return not contains(item, place)

    # ------------------------------------------------------------------------------------- containers

    def dict_key(key: Any) -> Any:
        """What a key is kept as. Anybody can choose integers that collide; the hash of bytes has a secret."""
        kind = type(key)
        if kind is str:
            if len(key) > KEY_CHARS_FREE:
                charge(len(key) // 32)
            return key
        if kind is int and -DICT_KEY_MAX < key < DICT_KEY_MAX:
            return key.to_bytes(INT_KEY_BYTES, "big", signed=True)
        raise _mismatch()

    def index_of(key: Any) -> int:
        if type(key) is not int:
            raise _mismatch()
        return int(key)

    def item(place: Any, key: Any) -> Any:
        kind = type(place)
        if kind is dict:
            found = place.get(dict_key(key), place)
            if found is place:
                raise Trap(TrapCode.KEY_MISSING)
            return found
        if kind in (list, str):
            position = index_of(key)
            if -len(place) <= position < len(place):
                return place[position]
            raise Trap(TrapCode.INDEX_OUT_OF_RANGE)
        raise _mismatch()

    def set_item(place: Any, key: Any, value: Any) -> None:
        kind = type(place)
        if kind is dict:
            place[dict_key(key)] = value
            if len(place) > LENGTH_MAX:
                raise Trap(TrapCode.TOO_LARGE)
        elif kind is list:
            position = index_of(key)
            if not -len(place) <= position < len(place):
                raise Trap(TrapCode.INDEX_OUT_OF_RANGE)
            place[position] = value
        else:
            raise _mismatch()

    def slice_of(place: Any, low: Any, high: Any) -> Any:
        if type(place) not in (list, str):
            raise _mismatch()
        for bound in (low, high):
            if bound is not None and type(bound) is not int:
                raise _mismatch()
        return sized(place[low:high])

    def make_dict(*items: Any) -> dict[Any, Any]:
        charge(len(items))
        return {dict_key(items[i]): items[i + 1] for i in range(0, len(items), 2)}

    def unpack(value: Any, count: int) -> list[Any]:
        if type(value) is not list or len(value) != count:
            raise _mismatch()
        return value

    def iterate(value: Any) -> Any:
        """A copy to loop over, so that changing the original never disturbs the loop."""
        return value if type(value) is range else listed(value)

    def listed(value: Any) -> list[Any]:
        """A fresh list, charged before it is made: a range or a text makes an object an item."""
        kind = type(value)
        if kind not in (list, str, dict, range):
            raise _mismatch()
        if len(value) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        charge(1 + (len(value) // 8 if kind is list else len(value)))
        return [_shown_key(key) for key in value] if kind is dict else list(value)

    def pairs(value: Any, count: int) -> Iterator[list[Any]]:
        return (unpack(entry, count) for entry in iterate(value))

    # ---------------------------------------------------------------------------------------- builtins

    def length(value: Any) -> int:
        if type(value) not in (str, list, dict, range):
            raise _mismatch()
        return len(value)

    def numbers(values: tuple[Any, ...]) -> list[Any]:
        found = listed(values[0]) if len(values) == 1 else list(values)
        if not found:
            raise Trap(TrapCode.VALUE_INVALID)
        charge(len(found))
        charge(sum(len(value) // 32 for value in found if type(value) is str))
        kinds = {type(value) for value in found}
        if kinds not in ({int}, {str}):
            raise _mismatch()
        return found

    def smallest(*values: Any) -> Any:
        return min(numbers(values))

    def largest(*values: Any) -> Any:
        return max(numbers(values))

    def absolute(value: Any) -> int:
        if type(value) is not int:
            raise _mismatch()
        return abs(value)

    def total(values: Any) -> int:
        result = 0
        for value in iterate(values):
            charge(1)
            result = add(result, value)
        return result

    def in_order(values: Any) -> list[Any]:
        found = listed(values)
        charge((len(found) + sum(weigh(value) for value in found)) * len(found).bit_length())
        _check_comparable(found)
        return sorted(found)

    def backwards(values: Any) -> list[Any]:
        found = listed(values)
        found.reverse()
        return found

    def make_range(*bounds: Any) -> range:
        if not 1 <= len(bounds) <= 3 or any(type(bound) is not int for bound in bounds):
            raise _mismatch()
        if len(bounds) == 3 and bounds[2] == 0:
            raise Trap(TrapCode.VALUE_INVALID)
        made = range(*bounds)
        if any(abs(bound) >= 1 << 53 for bound in bounds):
            raise Trap(TrapCode.TOO_LARGE)
        return made

    def numbered(values: Any) -> list[list[Any]]:
        found = listed(values)
        charge(2 * len(found))
        return [[position, value] for position, value in enumerate(found)]

    def to_text(value: Any) -> str:
        if type(value) is int:
            charge(8)
            return str(value)
        if type(value) is str:
            return value
        raise _mismatch()

    def to_int(value: Any) -> int:
        if type(value) is int:
            return value
        if type(value) is bool:
            return 1 if value else 0
        if type(value) is not str:
            raise _mismatch()
        digits = value[1:] if value[:1] == "-" else value
        if not 1 <= len(digits) <= DIGITS_MAX or not (digits.isascii() and digits.isdigit()):
            raise Trap(TrapCode.VALUE_INVALID)
        charge(8)
        return bounded(int(value))

    def to_bool(value: Any) -> bool:
        return bool(value)

    def to_list(*values: Any) -> list[Any]:
        return listed(values[0]) if values else []

    def to_dict(*values: Any) -> dict[Any, Any]:
        if not values:
            return {}
        if type(values[0]) is not dict:
            raise _mismatch()
        charge(1 + len(values[0]))
        return dict(values[0])

    def pad(number: Any, width: Any) -> str:
        if type(number) is not int or type(width) is not int or number < 0:
            raise _mismatch()
        text = str(number)
        if not 1 <= width <= DIGITS_MAX or len(text) > width:
            raise Trap(TrapCode.VALUE_INVALID)
        charge(4)
        return text.rjust(width, "0")

    def digest(text: Any) -> str:
        if type(text) is not str:
            raise _mismatch()
        charge(20 + len(text) // 16)
        return sha256(text.encode()).hexdigest()

    def method(name: str, target: Any, *args: Any) -> Any:
        implementation = methods.get((type(target), name))
        if implementation is None:
            raise _mismatch()
        try:
            return implementation(target, *args)
        except TypeError:
            raise _mismatch() from None

    methods = make_methods(charge, sized, sought, eq, dict_key, listed)

    return {
        "_gas": charge, "_enter": enter, "_leave": leave, "_add": add, "_sub": sub, "_mul": mul,
        "_floordiv": floordiv, "_mod": mod, "_neg": neg, "_eq": eq, "_ne": ne, "_lt": lt, "_le": le, "_gt": gt,
        "_ge": ge, "_in": contains, "_notin": lacks, "_item": item, "_set": set_item, "_slice": slice_of,
        "_dict": make_dict, "_unpack": unpack, "_iter": iterate, "_pairs": pairs, "_method": method,
        "len": length, "min": smallest, "max": largest, "abs": absolute, "sum": total, "sorted": in_order,
        "reversed": backwards, "range": make_range, "enumerate": numbered, "str": to_text, "int": to_int,
        "bool": to_bool, "list": to_list, "dict": to_dict, "pad": pad, "sha256": digest,
        "floor_div": floordiv, "ceil_div": ceil_div, "half_up_div": half_up_div,
        "is_int": lambda value: type(value) is int, "is_str": lambda value: type(value) is str,
        "is_list": lambda value: type(value) is list, "is_dict": lambda value: type(value) is dict,
    }  # fmt: skip


def _shown_key(key: Any) -> Any:
    """A dictionary's key as contracts see it."""
    return key if type(key) is str else int.from_bytes(key, "big", signed=True)


def _same(a: Any, b: Any) -> bool:
    """Equality without Python's True == 1."""
    if type(a) is not type(b):
        return False
    if type(a) is list:
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if type(a) is dict:
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _check_comparable(values: list[Any]) -> None:
    """All integers, all texts, or lists that agree in this place by place.

    Checked beforehand: which values a sort compares depends on the interpreter's algorithm, so neither a trap nor
    gas may.
    """
    kinds = {type(value) for value in values}
    if kinds <= {int} or kinds <= {str}:
        return
    if kinds != {list}:
        raise _mismatch()
    columns: list[list[Any]] = []
    for value in values:
        columns.extend([] for _ in range(len(value) - len(columns)))
        for column, item in zip(columns, value, strict=False):
            column.append(item)
    for column in columns:
        _check_comparable(column)


def make_methods(
    charge: Callable[[int], None],
    sized: Callable[[Any], Any],
    sought: Callable[[str, str], None],
    eq: Callable[[Any, Any], bool],
    dict_key: Callable[[Any], Any],
    listed: Callable[[Any], list[Any]],
) -> dict[tuple[type, str], Callable[..., Any]]:
    """The methods that values have, by type and name."""

    def room(place: list[Any] | dict[Any, Any], more: int = 1) -> None:
        charge(1 + more)
        if len(place) + more > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)

    def text(value: Any) -> str:
        if type(value) is not str:
            raise _mismatch()
        return value

    def number(value: Any) -> int:
        if type(value) is not int:
            raise _mismatch()
        return int(value)

    def append(place: list[Any], value: Any) -> None:
        room(place)
        place.append(value)

    def extend(place: list[Any], values: Any) -> None:
        fresh = listed(values)
        room(place, len(fresh))
        place.extend(fresh)

    def insert(place: list[Any], position: Any, value: Any) -> None:
        room(place)
        charge(len(place) // 8)
        place.insert(max(-len(place), min(number(position), len(place))), value)

    def pop(place: list[Any], *position: Any) -> Any:
        charge(1 + len(place) // 8)
        at = number(position[0]) if position else -1
        if not -len(place) <= at < len(place):
            raise Trap(TrapCode.INDEX_OUT_OF_RANGE)
        return place.pop(at)

    def find_index(place: list[Any], value: Any) -> int:
        charge(1 + len(place))
        for position, other in enumerate(place):
            if eq(value, other):
                return position
        raise Trap(TrapCode.VALUE_INVALID)

    def count(place: list[Any], value: Any) -> int:
        charge(1 + len(place))
        return sum(1 for other in place if eq(value, other))

    def remove(place: list[Any], value: Any) -> None:
        del place[find_index(place, value)]

    def get(place: dict[Any, Any], key: Any, otherwise: Any = None) -> Any:
        return place.get(dict_key(key), otherwise)

    def pop_key(place: dict[Any, Any], key: Any, *otherwise: Any) -> Any:
        kept = dict_key(key)
        if kept not in place:
            if otherwise:
                return otherwise[0]
            raise Trap(TrapCode.KEY_MISSING)
        return place.pop(kept)

    def setdefault(place: dict[Any, Any], key: Any, value: Any) -> Any:
        room(place)
        return place.setdefault(dict_key(key), value)

    def items(place: dict[Any, Any]) -> list[list[Any]]:
        charge(1 + 2 * len(place))
        return [[_shown_key(key), value] for key, value in place.items()]

    def update(place: dict[Any, Any], other: Any) -> None:
        if type(other) is not dict:
            raise _mismatch()
        room(place, len(other))
        place.update(other)

    def split(value: str, separator: Any) -> list[str]:
        if not text(separator):
            raise Trap(TrapCode.VALUE_INVALID)
        charge(1 + len(value))
        sought(value, separator)
        return value.split(separator)

    def join(separator: str, parts: Any) -> str:
        pieces = [text(part) for part in listed(parts)]
        charge(len(pieces))
        if sum(map(len, pieces)) + len(separator) * len(pieces) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        made: str = sized(separator.join(pieces))
        return made

    def replace(value: str, old: Any, new: Any) -> str:
        if not text(old):
            raise Trap(TrapCode.VALUE_INVALID)
        charge(1 + len(value))
        sought(value, old)
        if len(value) + value.count(old) * max(0, len(text(new)) - len(old)) > LENGTH_MAX:
            raise Trap(TrapCode.TOO_LARGE)
        made: str = sized(value.replace(old, new))
        return made

    def scanned(value: str, *others: Any) -> str:
        charge(1 + (len(value) + sum(len(text(other)) for other in others)) // 8)
        return value

    def find(value: str, part: Any) -> int:
        sought(value, text(part))
        return value.find(part)

    def occurrences(value: str, part: Any) -> int:
        sought(value, text(part))
        return value.count(part)

    return {
        (list, "append"): append,
        (list, "extend"): extend,
        (list, "insert"): insert,
        (list, "pop"): pop,
        (list, "index"): find_index,
        (list, "count"): count,
        (list, "remove"): remove,
        (dict, "get"): get,
        (dict, "pop"): pop_key,
        (dict, "setdefault"): setdefault,
        (dict, "update"): update,
        (dict, "keys"): listed,
        (dict, "values"): lambda place: sized(list(place.values())),
        (dict, "items"): items,
        (str, "startswith"): lambda value, other: scanned(value, other).startswith(other),
        (str, "endswith"): lambda value, other: scanned(value, other).endswith(other),
        (str, "find"): find,
        (str, "count"): occurrences,
        (str, "split"): split,
        (str, "join"): join,
        (str, "replace"): replace,
        (str, "strip"): lambda value: scanned(value).strip(" \t\n"),
        (str, "isdigit"): lambda value: scanned(value).isascii() and value.isdigit(),
        (str, "lower"): lambda value: scanned(value).translate(_LOWER),
        (str, "upper"): lambda value: scanned(value).translate(_UPPER),
    }


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
