"""What contracts read: keys checked once, stored values decoded once while they stay the same, each read charged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from contracts.codes import Trap, TrapCode
from contracts.guards import Meter
from contracts.guards.meter import out_of_gas
from contracts.session import GET_GAS, NODE_GAS, Session, check_key
from ledger.values import SCALARS, Value, decode_value

KEYS_MAX = 4_096
KNOWN_MAX, KNOWN_BYTES_MAX = 4_096, 1_024
UNWEIGHED_BYTES_MAX = 1_024
"""A longer value is decoded only if the gas at hand would pay for a node in each of its bytes: else a call without gas
could have much decoded for nothing."""

Known: TypeAlias = "tuple[bytes, int, int, dict[str, Value] | list[Value] | None]"
"""A stored value: its bytes, what its nodes cost, what reading it costs in all, and if it is flat, itself, to be copied
and left as it is."""


class Keys(dict[Any, str]):
    """The state's keys below a prefix, by what contracts call them. Each is checked once."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def __missing__(self, key: Any) -> str:
        full = self._prefix + check_key(key)
        if len(self) >= KEYS_MAX:
            self.clear()
        self[key] = full
        return full


@dataclass(frozen=True, slots=True)
class Reads:
    """A thread's ways to what is stored. While a key holds the same bytes, they are not weighed again, nor decoded
    again if they are flat."""

    read: Callable[..., Value]
    """``read(keys, key, copied=True)``: what a key holds, charged; a copy, or else not to be changed."""
    decoded: Callable[[str, bytes], Value]
    """A fresh copy of what these bytes, of this key, say; charged by its nodes, of which a byte may become many."""
    shared: Callable[[str], Value]
    """What a key holds, for nothing, and not to be changed."""


def make_reads(meter: Meter, now: list[Session]) -> Reads:
    """``now``: the session in progress."""
    gas, charge, known_by_key = meter.gas, meter.charge, dict[str, Known]()
    known_of = known_by_key.get

    def keep(key: str, data: bytes, nodes_gas: int, flat: dict[str, Value] | list[Value] | None) -> None:
        if len(data) <= KNOWN_BYTES_MAX:
            if len(known_by_key) >= KNOWN_MAX:
                known_by_key.clear()
            known_by_key[key] = (data, nodes_gas, GET_GAS + len(data) // 16 + nodes_gas, flat)

    def weighed(data: bytes) -> tuple[Value, bool]:
        """A value, charged by its nodes, and whether it is flat."""
        if len(data) > UNWEIGHED_BYTES_MAX and gas[0] < NODE_GAS * len(data):
            gas[0] = 0
            raise out_of_gas()
        value = decode_value(data)
        if type(value) in SCALARS:
            return value, False
        flat = is_flat(value)
        charge(NODE_GAS * (len(value) if flat and type(value) is dict else meter.weigh(value)))
        return value, flat

    def decoded(key: str, data: bytes) -> Value:
        known = known_of(key)
        if known is None or known[0] != data:
            return weighed(data)[0]
        charge(known[1])
        flat = known[3]
        return decode_value(data) if flat is None else flat.copy()

    def read(keys: Keys, key: Any, copied: bool = True) -> Value:
        try:
            full = keys[key]
        except TypeError:  # not even hashable
            raise Trap(TrapCode.KEY_INVALID) from None
        data = now[0].get(full)
        if data is None:
            left = gas[0] = gas[0] - GET_GAS
            if left < 0:
                raise out_of_gas()
            return None
        known = known_of(full)
        if known is not None and known[0] == data:
            left = gas[0] = gas[0] - known[2]
            if left < 0:
                raise out_of_gas()
            flat = known[3]
            if flat is None:
                return decode_value(data)
            return flat.copy() if copied else flat
        return fresh(full, data)

    def fresh(key: str, data: bytes) -> Value:
        """What a key holds that is not known."""
        charge(GET_GAS + len(data) // 16)  # before the work
        left = gas[0]
        value, flat = weighed(data)
        if type(value) not in SCALARS:
            keep(key, data, left - gas[0], value.copy() if flat else None)
        return value

    def shared(key: str) -> Value:
        data = now[0].get(key)
        if data is None:
            return None
        known = known_of(key)
        if known is not None and known[0] == data and known[3] is not None:
            return known[3]
        value = decode_value(data)
        if type(value) is dict and is_flat(value):
            keep(key, data, NODE_GAS * len(value), value)
        return value

    return Reads(read, decoded, shared)


def is_flat(value: dict[Any, Any] | list[Any]) -> bool:
    """Whether nothing below it is a container."""
    return SCALARS.issuperset(map(type, value.values() if type(value) is dict else value))
