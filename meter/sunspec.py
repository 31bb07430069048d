"""SunSpec: a device's list of models, found by walking it; nowhere is the address of a model assumed.

"SunS" stands at one of three bases. Behind it models follow each other, each an id, a length, and so many registers;
the id 0xFFFF ends the list. A device that says nonsense ends the walk with ``WrongDevice``; no walk is endless.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from meter.errors import DeviceRefused, WrongDevice

MARK = [0x5375, 0x6E53]
"""The registers of "SunS"."""
BASES = (40_000, 0, 50_000)
END = 0xFFFF
MODELS_MAX = 64
COMMON_MODEL, COMMON_LENGTH = 1, 66
HEAD_REGISTERS = 2
ADDRESS_MAX = 0xFFFF
NAMEPLATE = {"manufacturer": (2, 16), "model": (18, 16), "version": (42, 8), "serial": (50, 16)}
"""Texts in the common model: offset from its id register, and length."""

Read = Callable[[int, int], Awaitable[list[int]]]
"""Reads so many registers from an address on; every failure is a ``DeviceError`` or ``LineDown``."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a device: its id, the address of its id register, how many registers follow id and length."""

    id: int
    address: int
    length: int


async def find_base(read: Read, bases: Sequence[int] = BASES) -> int:
    """Where the mark stands; ``WrongDevice`` if nowhere."""
    for base in bases:
        try:
            if await read(base, len(MARK)) == MARK:
                return base
        except DeviceRefused:
            continue
    raise WrongDevice(f"no SunSpec mark at {', '.join(map(str, bases))}")


async def walk(read: Read, base: int) -> list[Model]:
    """Every model behind the mark at ``base``, in the device's order."""
    models: list[Model] = []
    address = base + len(MARK)
    while len(models) < MODELS_MAX:
        if address + HEAD_REGISTERS > ADDRESS_MAX + 1:
            raise WrongDevice(f"the SunSpec list runs beyond the last register, at model {models[-1].id}")
        model, length = await read(address, HEAD_REGISTERS)
        if model == END:
            return models
        models.append(Model(model, address, length))
        address += HEAD_REGISTERS + length
    raise WrongDevice(f"the SunSpec list has no end within {MODELS_MAX} models")


async def nameplate(read: Read, models: Sequence[Model]) -> dict[str, str]:
    """What the common model says the device is; what it leaves empty is left out."""
    common = next((model for model in models if model.id == COMMON_MODEL and model.length >= COMMON_LENGTH - 1), None)
    if common is None:
        return {}
    words = await read(common.address, COMMON_LENGTH)
    texts = {name: text_of(words[first : first + length]) for name, (first, length) in NAMEPLATE.items()}
    return {name: text for name, text in texts.items() if text}


def text_of(words: Sequence[int]) -> str:
    """A SunSpec string: two characters a register, ended by zero; what cannot be printed becomes a question mark."""
    data = b"".join(word.to_bytes(2, "big") for word in words).split(b"\0")[0]
    text = data.decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() and letter != "\N{REPLACEMENT CHARACTER}" else "?" for letter in text)
