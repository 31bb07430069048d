"""Which meters a gateway polls: read from ``cluster.toml``'s or a gateway's ``[[meter]]`` sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meter.errors import ProfileError
from meter.profile import DeviceProfile, load_profile
from sdk.configuration import MeterSection

UNIT_MAX = 255


@dataclass(frozen=True, slots=True)
class MeterUnit:
    """A meter: its serial on the chain, where it answers, what kind it is, and its connection's rated power. One
    without a host is fed by somebody else: a SCADA."""

    serial: str
    host: str
    port: int
    unit: int
    profile: DeviceProfile
    rated_power_w: int

    @property
    def is_fed(self) -> bool:
        return not self.host


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT (an IPv6 host in brackets); ``ProfileError`` for anything else."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) <= 0xFFFF):
        raise ProfileError(f"address {text!r}: not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def parse_unit(text: str, serial: str = "", rated_power_w: int = 1_000_000) -> MeterUnit:
    """HOST:PORT:UNIT:PROFILE as the command line takes it; ``ProfileError`` says what is wrong."""
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdigit() or int(parts[1]) > UNIT_MAX:
        raise ProfileError(f"{text!r}: not HOST:PORT:UNIT:PROFILE")
    host, port = parse_address(parts[0])
    return MeterUnit(serial or text, host, port, int(parts[1]), load_profile(parts[2]), rated_power_w)


def units_of(sections: Iterable[MeterSection]) -> list[MeterUnit]:
    """The units of a configuration; ``ProfileError`` names the serial that is wrong or given twice."""
    units: list[MeterUnit] = []
    serials: set[str] = set()
    places: set[tuple[str, int, int]] = set()
    for section in sections:
        if section.serial in serials:
            raise ProfileError(f"meter {section.serial}: given twice")
        try:
            host, port = ("", 0) if section.source == "scada" else parse_address(section.address)
            profile = load_profile(section.profile)
        except ProfileError as error:
            raise ProfileError(f"meter {section.serial}: {error}") from None
        if host and (host, port, section.unit) in places:
            raise ProfileError(f"meter {section.serial}: {section.address} unit {section.unit} is another meter's")
        serials.add(section.serial)
        places.add((host, port, section.unit))
        units.append(MeterUnit(section.serial, host, port, section.unit, profile, section.rated_power_w))
    return units


def by_line(units: Sequence[MeterUnit]) -> dict[tuple[str, int], list[MeterUnit]]:
    """Units that are polled, by the connection that they share."""
    lines: dict[tuple[str, int], list[MeterUnit]] = {}
    for unit in units:
        if unit.is_fed:
            continue
        lines.setdefault((unit.host, unit.port), []).append(unit)
    return lines
