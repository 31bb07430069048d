"""Contracts on a Python that has none of our packages: what execution needs of msgspec, and nothing of cryptography.

So results, roots and gas can be compared on every interpreter that is found. ``prepare()`` goes before the first
import of a room. Values and structs are packed as msgspec packs them, which a test shows; certificates do not work.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, get_args, get_origin

MISSING = object()


def prepare(*, always: bool = False) -> None:
    """Put stand-ins in the place of what is missing, or of both packages."""
    if always or importlib.util.find_spec("msgspec") is None:
        sys.modules["msgspec"] = _msgspec()
    if always or importlib.util.find_spec("cryptography") is None:
        sys.meta_path.insert(0, _Nothings())


# ------------------------------------------------------------------------------------------ cryptography


class _Anything(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing


class Nothing(metaclass=_Anything):
    """Takes any argument and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


class _Nothings:
    """Finds ``cryptography`` and all below it, and makes modules in which every name is ``Nothing``."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] != "cryptography":
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = _named  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None: ...


def _named(name: str) -> type[Nothing]:
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing


# ----------------------------------------------------------------------------------------------- msgspec


class Ext:
    def __init__(self, code: int, data: bytes) -> None:
        self.code, self.data = code, data


class Struct:
    """Fields by annotation, with defaults; compared by what they hold."""

    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls, **_: Any) -> None:
        cls._fields = tuple(getattr(cls, "__annotations__", {}))

    def __init__(self, *args: Any, **named: Any) -> None:
        given = dict(zip(self._fields, args, strict=False), **named)
        for name in self._fields:
            value = given.get(name, MISSING)
            object.__setattr__(self, name, getattr(type(self), name) if value is MISSING else value)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _fields_of(self) == _fields_of(other)

    def __hash__(self) -> int:
        return hash(tuple(_fields_of(self)))


def _fields_of(value: Struct) -> list[Any]:
    return [getattr(value, name) for name in value._fields]


def pack(value: Any) -> bytes:
    """msgpack, always the shortest form."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, str):
        data = value.encode()
        return _head(len(data), (0xA0, 32), (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return _head(len(value), None, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, dict):
        head = _head(len(value), (0x80, 16), (None, 0xDE, 0xDF))
        return head + b"".join(pack(key) + pack(item) for key, item in value.items())
    if isinstance(value, Ext):
        fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(len(value.data))
        head = bytes([fixed]) if fixed else _head(len(value.data), None, (0xC7, 0xC8, 0xC9))
        return head + struct.pack("b", value.code) + value.data
    if not isinstance(value, list | tuple | Struct):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    items = _fields_of(value) if isinstance(value, Struct) else value
    return _head(len(items), (0x90, 16), (None, 0xDC, 0xDD)) + b"".join(map(pack, items))


def _head(length: int, small: tuple[int, int] | None, codes: tuple[int | None, int, int]) -> bytes:
    if small and length < small[1]:
        return bytes([small[0] | length])
    for code, form, bound in zip(codes, ("B", "H", "I"), (1 << 8, 1 << 16, 1 << 32), strict=True):
        if code is not None and length < bound:
            return struct.pack(">B" + form, code, length)
    raise ValueError("too long")


def _pack_int(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b" if value < 0 else "B", value)
    signed = ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q"))
    unsigned = ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q"))
    forms = signed if value < 0 else unsigned
    for code, form in forms:
        try:
            return struct.pack(">B" + form, code, value)
        except struct.error:
            continue
    raise OverflowError("can't serialize ints that don't fit into 64 bits")


class _Reader:
    def __init__(self, data: bytes, ext_hook: Callable[[int, memoryview], Any] | None) -> None:
        self._data, self._at, self._hook = bytes(data), 0, ext_hook

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, form: str) -> int:
        return int(struct.unpack(">" + form, self.take(struct.calcsize(form)))[0])

    def read(self) -> Any:
        code = self.take(1)[0]
        if code < 0x80 or code >= 0xE0:
            return code if code < 0x80 else code - 256
        if code < 0xC0:
            kind, length = ("map", code & 15) if code < 0x90 else ("array", code & 15)
            return self.text(code & 31) if code >= 0xA0 else self.many(kind, length)
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in range(0xCC, 0xD4):
            return self.number("BHIQbhiq"[code - 0xCC])
        if code in range(0xC4, 0xC7):
            return self.take(self.number("BHI"[code - 0xC4]))
        if code in range(0xD9, 0xDC):
            return self.text(self.number("BHI"[code - 0xD9]))
        if code in range(0xDC, 0xE0):
            return self.many("array" if code < 0xDE else "map", self.number("HI"[code & 1]))
        length = self.number("BHI"[code - 0xC7]) if code < 0xCC else 1 << (code - 0xD4)
        kind_code = self.number("b")
        assert self._hook is not None
        return self._hook(kind_code, memoryview(self.take(length)))

    def text(self, length: int) -> str:
        return self.take(length).decode()

    def many(self, kind: str, length: int) -> Any:
        if kind == "array":
            return [self.read() for _ in range(length)]
        return {self.read(): self.read() for _ in range(length)}


class _Encoder:
    def __init__(self, *_: Any, order: str | None = None, **__: Any) -> None:
        self._sorts = order is not None

    def encode(self, value: Any) -> bytes:
        return pack(_in_order(value) if self._sorts else value)


def _in_order(value: Any) -> Any:
    """As msgspec's deterministic order: keys are text, sorted by their bytes."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys are text")
        return {key: _in_order(value[key]) for key in sorted(value, key=str.encode)}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


class _Decoder:
    """Of values, of structs, and of dictionaries of these: of the types, those that execution uses."""

    def __init__(self, type: Any = None, *, ext_hook: Callable[[int, memoryview], Any] | None = None, **_: Any) -> None:
        self._type, self._hook = type, ext_hook

    def decode(self, data: bytes) -> Any:
        return _into(self._type, _Reader(data, self._hook).read())


def _into(wanted: Any, value: Any) -> Any:
    if isinstance(wanted, type) and issubclass(wanted, Struct):
        return wanted(*value)
    if get_origin(wanted) is dict:
        return {key: _into(get_args(wanted)[1], item) for key, item in value.items()}
    return value


def _replace(value: Any, **changes: Any) -> Any:
    return type(value)(**{**dict(zip(value._fields, _fields_of(value), strict=True)), **changes})


def _msgspec() -> ModuleType:
    module = ModuleType("msgspec")
    errors = {name: type(name, (Exception,), {}) for name in ("MsgspecError", "DecodeError", "ValidationError")}
    packing = SimpleNamespace(Encoder=_Encoder, Decoder=_Decoder, Ext=Ext, encode=pack, decode=_Decoder().decode)
    for name, value in {
        **errors,
        "Struct": Struct,
        "Meta": Nothing,
        "UNSET": None,
        "field": lambda **options: options.get("default"),
        "structs": SimpleNamespace(replace=_replace),
        "msgpack": packing,
        "json": SimpleNamespace(Encoder=_Encoder, Decoder=_Decoder, encode=pack, decode=_Decoder().decode),
    }.items():
        setattr(module, name, value)
    return module
