"""What contracts read: keys checked once, stored values decoded once while they stay the same, each read charged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from contracts.codes import Trap, TrapCode
from contracts.guards import Meter
from contracts.guards.meter import out_of_gas
from contracts.session import GET_GAS, NODE_GAS, Session, check_key
from ledger.values import Value, decode_value

SCALARS = frozenset({str, int, bool, type(None)})
"""What needs no copy, since nothing can change it."""
KEYS_MAX = 4_096
KNOWN_MAX, KNOWN_BYTES_MAX = 4_096, 1_024

Known: TypeAlias = "tuple[bytes, int, dict[str, Value] | list[Value] | None]"
"""A stored value: its bytes, what its nodes cost, and if it is flat, itself, to be copied and left as it is."""


class Keys(dict[Any, str]):
    """The state's keys below a prefix, by what contracts call them. Each is checked once."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def checked(self, key: Any) -> str:
        """The state's key, not kept: what is written is new most of the time, and the memory is better used again."""
        return self._prefix + check_key(key)

    def __missing__(self, key: Any) -> str:
        full = self.checked(key)
        if len(self) >= KEYS_MAX:
            self.clear()
        self[key] = full
        return full


@dataclass(frozen=True, slots=True)
class Reads:
    """A thread's ways to what is stored. While a key holds the same bytes, they are not weighed again, nor decoded
    again if they are flat."""

    read: Callable[[Keys, Any], Value]
    """A fresh copy of what a key holds, charged."""
    decoded: Callable[[str, bytes], Value]
    """A fresh copy of what these bytes, of this key, say; charged by its nodes, of which a byte may become many."""
    shared: Callable[[str], Value]
    """What a key holds, for nothing, and not to be changed."""


def make_reads(meter: Meter, now: list[Session]) -> Reads:
    """``now``: the session in progress."""
    gas, charge, known_by_key = meter.gas, meter.charge, dict[str, Known]()

    def keep(key: str, known: Known) -> None:
        if len(known[0]) <= KNOWN_BYTES_MAX:
            if len(known_by_key) >= KNOWN_MAX:
                known_by_key.clear()
            known_by_key[key] = known

    def made(known: Known, price: int) -> Value:
        left = gas[0] = gas[0] - price - known[1]
        if left < 0:
            raise out_of_gas()
        flat = known[2]
        return decode_value(known[0]) if flat is None else flat.copy()

    def weighed(data: bytes) -> tuple[Value, bool]:
        """A value, charged by its nodes, and whether it is flat."""
        value = decode_value(data)
        if type(value) in SCALARS:
            return value, False
        flat = is_flat(value)
        charge(NODE_GAS * (len(value) if flat and type(value) is dict else meter.weigh(value)))
        return value, flat

    def decoded(key: str, data: bytes) -> Value:
        known = known_by_key.get(key)
        return made(known, 0) if known is not None and known[0] == data else weighed(data)[0]

    def read(keys: Keys, key: Any) -> Value:
        try:
            full = keys[key]
        except TypeError:  # not even hashable
            raise Trap(TrapCode.KEY_INVALID) from None
        data = now[0].view.get(full)
        price = GET_GAS if data is None else GET_GAS + len(data) // 16
        known = known_by_key.get(full)
        if known is not None and known[0] == data:
            return made(known, price)
        left = gas[0] = gas[0] - price  # before the work
        if left < 0:
            raise out_of_gas()
        if data is None:
            return None
        value, flat = weighed(data)
        if type(value) not in SCALARS:
            keep(full, (data, left - gas[0], value.copy() if flat else None))
        return value

    def shared(key: str) -> Value:
        data = now[0].view.get(key)
        if data is None:
            return None
        known = known_by_key.get(key)
        if known is not None and known[0] == data and known[2] is not None:
            return known[2]
        value = decode_value(data)
        if type(value) is dict and is_flat(value):
            keep(key, (data, NODE_GAS * len(value), value))
        return value

    return Reads(read, decoded, shared)


def is_flat(value: dict[Any, Any] | list[Any]) -> bool:
    """Whether nothing below it is a container."""
    return SCALARS.issuperset(map(type, value.values() if type(value) is dict else value))
