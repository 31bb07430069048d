"""The configuration of a gateway that runs alone: where the chain is, whose key signs, which meters it polls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from meter.buffer import BYTES_MAX
from meter.errors import ProfileError
from meter.poller import TIMEOUT_S
from meter.strict import load_toml
from sdk.clock import Clock
from sdk.configuration import LOOPBACK, Bytes, ClockSection, MeterSection, Name
from sdk.mqtt_section import MqttSection, Signer


class DoorSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HTTP door. ``certificate`` and ``key``: PEM files, needed beyond this machine. ``replacers``: signers
    who may order a meter's replacement, beside the gateway's own key."""

    port: Annotated[int, Meta(ge=1, le=65_535)]
    host: str = "127.0.0.1"
    certificate: str = ""
    key: str = ""
    replacers: tuple[Signer, ...] = ()


class BrokerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The embedded MQTT broker. ``certificate`` and ``key``: PEM files, needed beyond this machine."""

    port: Annotated[int, Meta(ge=1, le=65_535)]
    host: str = "127.0.0.1"
    certificate: str = ""
    key: str = ""


class GatewayConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gateway's TOML file. Paths are relative to it.

    ``endpoints``: nodes, tried in this order. ``genesis``: the network's genesis file. ``key``: the gateway's
    signing key. ``buffer``: the reading buffer, bounded by ``buffer_bytes_max``. ``name``: in MQTT topics, where nodes
    have theirs. ``broker``: one of its own, where ``mqtt.url`` names none. ``clock`` is for lab networks only.
    """

    endpoints: Annotated[tuple[str, ...], Meta(min_length=1)]
    genesis: str
    key: str
    buffer: str
    buffer_bytes_max: Bytes = BYTES_MAX
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = TIMEOUT_S
    name: Name = "gateway"
    door: DoorSection | None = None
    broker: BrokerSection | None = None
    mqtt: MqttSection = msgspec.field(default_factory=MqttSection)
    clock: ClockSection = msgspec.field(default_factory=ClockSection)
    meter: Annotated[tuple[MeterSection, ...], Meta(min_length=1)]


def load_gateway(path: Path) -> GatewayConfiguration:
    """Read and check a gateway's file; ``ProfileError`` names file and key."""
    configuration = load_toml(path, GatewayConfiguration)
    try:
        _ = configuration.clock.start_ms
    except ValueError:
        raise ProfileError(f"{path}: clock.start: {configuration.clock.start!r} is no RFC 3339 time") from None
    if (wrong := configuration.mqtt.fault()) is not None:
        raise ProfileError(f"{path}: {wrong[0]}: {wrong[1]}")
    if (broker := configuration.broker) is not None:
        if configuration.mqtt.url:
            raise ProfileError(f"{path}: broker: mqtt.url names another broker already; leave one of them out")
        if broker.host not in LOOPBACK and not broker.certificate:
            raise ProfileError(f"{path}: broker.certificate: beyond this machine a broker takes one, and its key")
    return configuration


def clock_of(section: ClockSection, lab: bool, source: str) -> Clock:
    """The clock of a configuration; ``ProfileError`` where a network that is no lab is to be accelerated."""
    if section.start_ms is None:
        if section.rate != 1.0:
            raise ProfileError(f"{source}: clock.rate: an accelerated clock needs clock.start too")
        return Clock()
    if not lab:
        raise ProfileError(f"{source}: clock: only a network whose genesis says lab may set the clock")
    return Clock(section.start_ms, section.rate, section.wall_start_ms or None)
