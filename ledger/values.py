"""Values of the world state: None, bool, int, str, list and dict with text keys; one canonical encoding.

msgpack with keys sorted by code point. Integers beyond 64 bits are extension 1: big-endian two's complement,
as short as can be. Decoding makes fresh objects, so an encode and a decode are a deep copy.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

Value: TypeAlias = Any
"""None | bool | int | str | list[Value] | dict[str, Value]; mypy has no useful recursive form for it."""

DEPTH_MAX = 16
INTEGER_BITS_MAX = 256
WIDE = 1
_INT64_MIN = -(2**63)
_UINT64_MAX = 2**64 - 1
_TEXT = frozenset({str})
SCALARS = frozenset({str, int, bool, type(None)})
"""What needs no copy, since nothing can change it."""

_encode = msgspec.msgpack.Encoder().encode

encode_plain = msgspec.msgpack.Encoder(order="deterministic").encode
"""The canonical bytes, much faster, of what is known to hold nothing but values, no deeper than they may be.

``TypeError`` or ``OverflowError`` for keys that are no text and for integers beyond 64 bits."""


class ValueInvalid(Exception):
    """Something that is no value: a float, a set, a non-text key, nested too deeply, or an integer too large."""


def encode_value(value: Value) -> bytes:
    """The canonical bytes of ``value``; ``ValueInvalid`` for what is none."""
    return _encode(_canonical(value, DEPTH_MAX))


def _canonical(value: Value, depth: int) -> Value:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if _INT64_MIN <= value <= _UINT64_MAX else _wide(value)
    if depth == 0:
        raise ValueInvalid(f"nested deeper than {DEPTH_MAX}")
    if kind is dict:
        return {key: _canonical(value[key], depth - 1) for key in _sorted_keys(value)}
    if kind is list:
        return [_canonical(item, depth - 1) for item in value]
    raise ValueInvalid(f"{kind.__name__} is no value")


def _sorted_keys(value: dict[str, Value]) -> list[str]:
    for key in value:
        if type(key) is not str:
            raise ValueInvalid("keys are text")
    return sorted(value)


def _wide(value: int) -> msgspec.msgpack.Ext:
    if value.bit_length() > INTEGER_BITS_MAX:
        raise ValueInvalid(f"an integer of more than {INTEGER_BITS_MAX} bits")
    return msgspec.msgpack.Ext(WIDE, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _extension(code: int, data: memoryview) -> Value:
    if code != WIDE:
        raise ValueInvalid(f"unknown extension {code}")
    return int.from_bytes(data, "big", signed=True)


decode_value = msgspec.msgpack.Decoder(ext_hook=_extension).decode
"""Fresh objects from canonical bytes."""


def canonical_value(data: bytes) -> Value:
    """Fresh objects from bytes that somebody else made; ``ValueInvalid`` unless they are canonical bytes of a value."""
    try:
        value = decode_value(data)
        if _is_flat(value) and encode_plain(value) == data:
            return value
    except OverflowError:
        pass  # an integer beyond 64 bits
    except (ValueError, RecursionError) as error:
        raise ValueInvalid(str(error)) from None
    if encode_value(value) != data:
        raise ValueInvalid("not canonical bytes")
    return value


def _is_flat(value: Value) -> bool:
    """Whether it is a value, and so is quickly seen to be one."""
    kind = type(value)
    if kind is dict:
        return SCALARS.issuperset(map(type, value.values())) and _TEXT.issuperset(map(type, value))
    return SCALARS.issuperset(map(type, value)) if kind is list else kind in SCALARS
