"""What answers behind an address: SunSpec devices by their list of models, and which shipped profile reads them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec
from pymodbus.client import AsyncModbusTcpClient

from meter.errors import DeviceError, LineDown, NoAnswer, WrongDevice
from meter.profile import DeviceProfile, load_profile, shipped_profiles
from meter.reader import Client, UnitReader, request
from meter.sunspec import Model, find_base, nameplate, walk

HOLDING_REGISTERS = 3


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that answers. ``base`` is None where there is no SunSpec mark.

    ``profile``: the shipped one that reads it, empty if none does. ``unimplemented``: what it has no value of now; a
    counter of 0 is told among these, since SunSpec's acc32 cannot say otherwise.
    """

    unit: int
    base: int | None = None
    models: tuple[int, ...] = ()
    nameplate: dict[str, str] = msgspec.field(default_factory=dict)
    profile: str = ""
    power_w: int | None = None
    import_wh: int | None = None
    export_wh: int | None = None
    unimplemented: tuple[str, ...] = ()
    problem: str = ""


async def scan(host: str, port: int, units: Iterable[int], timeout_s: float, at_ms: int) -> list[Found]:
    """Ask each unit id in turn; silent ones are left out. ``LineDown`` if nothing listens there."""
    client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
    try:
        if not await client.connect():
            raise LineDown(f"{host}:{port} cannot be connected")
        looked = [await look(client, unit, at_ms) for unit in units]
    finally:
        client.close()
    return [found for found in looked if found is not None]


async def look(client: Client, unit: int, at_ms: int) -> Found | None:
    """One unit: its models, and one reading by the profile that fits; None if it is silent."""
    read = partial(request, client, unit, HOLDING_REGISTERS)
    try:
        base = await find_base(read)
    except NoAnswer:
        return None
    except WrongDevice as error:
        return Found(unit=unit, problem=str(error))
    try:
        models = await walk(read, base)
        plate = await nameplate(read, models)
    except DeviceError as error:
        return Found(unit=unit, base=base, problem=str(error))
    found = Found(unit=unit, base=base, models=tuple(model.id for model in models), nameplate=plate)
    profile = fitting(models)
    return found if profile is None else await _measured(client, found, profile, at_ms)


def fitting(models: Iterable[Model]) -> DeviceProfile | None:
    """The shipped profile of the first model that has one; a meter's comes before an inverter's or a resource's."""
    profiles = [profile for profile in map(load_profile, shipped_profiles()) if profile.sunspec is not None]
    best = [
        (profile.import_wh is None, place, profile.name, profile)
        for place, model in enumerate(models)
        for profile in profiles
        if profile.sunspec is not None and model.id in profile.sunspec.models
    ]
    return min(best, key=lambda entry: entry[:3])[3] if best else None


async def _measured(client: Client, found: Found, profile: DeviceProfile, at_ms: int) -> Found:
    try:
        sample = await UnitReader(profile, found.unit).read(client, at_ms)
    except DeviceError as error:
        return msgspec.structs.replace(found, profile=profile.name, problem=str(error))
    counters = {"import_wh": sample.import_wh, "export_wh": sample.export_wh}
    lacking = [name for name, value in counters.items() if value == 0]
    if sample.power_w is None:
        lacking.insert(0, "power_w")
    return msgspec.structs.replace(
        found,
        profile=profile.name,
        power_w=sample.power_w,
        unimplemented=tuple(lacking),
        **{name: value or None for name, value in counters.items()},
    )
