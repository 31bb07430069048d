"""What a configuration says that only other rooms can judge: market parameters and meters, each named by its key."""

from __future__ import annotations

from contracts.deployment import parameter_fault
from contracts.parameters import MARKET_PARAMETERS
from meter.errors import MeterError
from meter.profile import load_profile
from meter.units import parse_address, units_of
from sdk.configuration import Configuration, ConfigurationError, MeterSection


def check_configuration(configuration: Configuration, source: str) -> None:
    """Raises ``ConfigurationError`` naming ``source`` and the key of the first value that cannot be used."""
    for name, value in configuration.market.items():
        if name not in MARKET_PARAMETERS:
            known = ", ".join(sorted(MARKET_PARAMETERS))
            raise ConfigurationError(f"{source}: market.{name}: unknown key; there are {known}")
        if why := parameter_fault(name, value):
            raise ConfigurationError(f"{source}: market.{name}: {why}")
    for node, section in configuration.node.items():
        for number, meter in enumerate(section.meter):
            _check_meter(meter, f"{source}: node.{node}.meter[{number}]")
        try:
            units_of(meter for meter in section.meter if not _is_file(meter))
        except MeterError as error:
            raise ConfigurationError(f"{source}: node.{node}: {error}") from None


def _check_meter(meter: MeterSection, where: str) -> None:
    key = "address"
    try:
        if meter.source == "modbus":
            parse_address(meter.address)
        key = "profile"
        if not _is_file(meter):
            load_profile(meter.profile)
    except MeterError as error:
        raise ConfigurationError(f"{where}.{key}: {error}") from None


def _is_file(meter: MeterSection) -> bool:
    """A profile of one's own, which only the node can look for: its path is relative to the node's home."""
    return meter.profile.endswith(".toml")
