"""Device profiles: which registers of a meter hold power and energy, and how to read them.

A profile is a TOML file; the shipped ones lie in ``meter/profiles/`` and are known by their file's name. Addresses
are the zero-based ones of the Modbus PDU, not the 3xxxx or 4xxxx numbers of a manual.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from meter.errors import ProfileError
from meter.strict import load_toml, parse_toml

RegisterType = Literal["int16", "uint16", "int32", "uint32", "acc32", "int64", "uint64", "float32"]
WordOrder = Literal["big", "little"]
WORDS: dict[str, int] = {
    "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "acc32": 2, "int64": 4, "uint64": 4, "float32": 2,
}  # fmt: skip

Address = Annotated[int, Meta(ge=0, le=65_535)]
Factor = Annotated[int, Meta(ge=1, le=10**9)]


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One quantity: its raw value times ``multiplier`` over ``divisor`` is W or Wh.

    In a SunSpec profile ``address`` and ``scale_factor`` (the register of a power of ten) count from the model's
    id register; elsewhere ``address`` is absolute and there is no scale factor. ``negated``: the device counts the
    other way round than we do, for whom + is import.
    """

    address: Address
    type: RegisterType
    multiplier: Factor = 1
    divisor: Factor = 1
    scale_factor: Address | None = None
    negated: bool = False

    @property
    def words(self) -> int:
        return WORDS[self.type]


class SunSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to look for the "SunS" mark, which model ids this profile's offsets fit, and the length that such a model
    has after its id and length registers."""

    bases: Annotated[tuple[Address, ...], Meta(min_length=1)]
    models: Annotated[tuple[Address, ...], Meta(min_length=1)]
    length: Annotated[int, Meta(ge=1, le=65_000)]


class DeviceProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A kind of meter.

    ``resolution_wh``: the coarsest step of its energy counters. ``counter_wrap``: the raw value at which a counter
    starts again from 0, left out where it is not known. ``poll_interval_ms_min``: polled faster, it may reboot.
    ``request_pause_ms``: what its line is left alone between any two requests. A device that measures one direction
    only has no other counter, which then counts as 0.
    """

    name: str
    description: str
    source: str
    function_code: Literal[3, 4]
    word_order: WordOrder
    registers_max: Annotated[int, Meta(ge=1, le=125)]
    poll_interval_ms_min: Annotated[int, Meta(ge=1, le=60_000)]
    resolution_wh: Annotated[int, Meta(ge=1, le=1_000_000)]
    counter_wrap: Annotated[int, Meta(ge=1, le=1 << 62)] | None = None
    request_pause_ms: Annotated[int, Meta(ge=0, le=5_000)] = 0
    power_w: Register
    import_wh: Register | None = None
    export_wh: Register | None = None
    sunspec: SunSpec | None = None

    @property
    def registers(self) -> tuple[Register, ...]:
        """Power and the counters that there are."""
        wanted = (self.power_w, self.import_wh, self.export_wh)
        return tuple(register for register in wanted if register is not None)

    def check(self, source: str) -> DeviceProfile:
        """Rules that span several keys; ``ProfileError`` names the one that is wrong."""
        if self.import_wh is None and self.export_wh is None:
            raise ProfileError(f"{source}: import_wh: a meter has an energy counter, this one or export_wh")
        for key in ("power_w", "import_wh", "export_wh"):
            register: Register | None = getattr(self, key)
            if register is None:
                continue
            if register.scale_factor is not None and self.sunspec is None:
                raise ProfileError(f"{source}: {key}.scale_factor: only a profile with [sunspec] has scale factors")
            if register.words > self.registers_max:
                raise ProfileError(f"{source}: registers_max: below the {register.words} registers of {key}")
            if key != "power_w" and register.words < 2:
                raise ProfileError(f"{source}: {key}.type: an energy counter has at least 32 bits")
            last = max(register.address + register.words - 1, register.scale_factor or 0)
            if self.sunspec is not None and last > self.sunspec.length + 1:
                raise ProfileError(f"{source}: {key}: beyond a model of {self.sunspec.length} registers")
        return self


def shipped_profiles() -> list[str]:
    """The names of the shipped profiles, sorted."""
    entries = files("meter").joinpath("profiles").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def load_profile(name: str) -> DeviceProfile:
    """A shipped profile by name, or any file whose name ends with ``.toml``; raises ``ProfileError``."""
    if name.endswith(".toml"):
        return load_toml(Path(name), DeviceProfile).check(name)
    known = shipped_profiles()
    if name not in known:
        raise ProfileError(f"profile {name!r}: unknown; there are {', '.join(known)}, or give a .toml file")
    text = files("meter").joinpath("profiles", f"{name}.toml").read_text(encoding="utf-8")
    return parse_toml(text, DeviceProfile, f"{name}.toml").check(f"{name}.toml")
