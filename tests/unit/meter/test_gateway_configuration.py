"""A gateway's TOML file, and the clock that only a lab may set."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.gateway import gateway
from meter.configuration import clock_of, load_gateway
from meter.errors import ProfileError
from sdk.configuration import ClockSection
from sdk.mqtt_section import MqttSection

GOOD = """
endpoints = ["http://127.0.0.1:1"]
genesis = "genesis.json"
key = "gateway.key"
buffer = "readings.buffer"
[clock]
start = "2027-06-21T00:00:00Z"
rate = 900.0
wall_start_ms = 5
[[meter]]
serial = "MTR-1"
address = "127.0.0.1:502"
unit = 1
profile = "sdm630"
rated_power_w = 12000
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD)
    return path


def test_a_good_file(path: Path) -> None:
    configuration = load_gateway(path)
    assert configuration.meter[0].rated_power_w == 12_000
    assert clock_of(configuration.clock, lab=True, source="x").rate == 900.0


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("endpoints", "endpoint", "endpoint"),
        ("unit = 1", "unit = 256", "meter[0].unit"),
        ("unit = 1", "unti = 1", "unti: unknown key"),
        ('start = "2027-06-21T00:00:00Z"', 'start = "tomorrow"', "clock.start"),
        ("rate = 900.0", "rate = -1.0", "clock.rate"),
    ],
)
def test_an_error_names_file_and_key(path: Path, old: str, new: str, key: str) -> None:
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        load_gateway(path)
    assert str(caught.value).startswith(str(path))
    assert key in str(caught.value)


def test_only_a_lab_may_set_the_clock() -> None:
    with pytest.raises(ProfileError, match="lab"):
        clock_of(ClockSection(start="2027-06-21T00:00:00Z", rate=2.0), lab=False, source="x")
    with pytest.raises(ProfileError, match=r"clock\.start"):
        clock_of(ClockSection(rate=2.0), lab=True, source="x")
    assert clock_of(ClockSection(), lab=False, source="x").rate == 1.0


def test_the_command_says_what_is_wrong(path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(gateway)
    missing = CliRunner().invoke(app, ["--config", str(path)])
    assert (missing.exit_code, "genesis.json" in missing.output) == (2, True)
    nowhere = CliRunner().invoke(app, ["--config", str(path.with_name("none.toml"))])
    assert (nowhere.exit_code, "cannot be read" in nowhere.output) == (2, True)


@pytest.mark.parametrize(
    ("added", "why"),
    [
        ('[mqtt]\nurl = "http://x"', "mqtt.url: mqtt://HOST:PORT"),
        ('[mqtt]\nurl = "mqtt://user:secret@localhost"', "mqtt.url: user and password belong into the environment"),
        ('[mqtt]\nurl = "mqtt://broker.example"', "mqtt.url: beyond this machine"),
        (f'[mqtt]\nparties = ["{"a" * 64}"]', "mqtt.parties: only a broker"),
        ('[mqtt]\nurl = "mqtt://localhost:x"', "mqtt.url: no URL"),
        ("[mqtt]\nkeepalive_s = 1", "mqtt.keepalive_s"),
        ("[door]\nport = 0", "door.port"),
        ('[door]\nport = 1\nreplacers = ["me"]', "door.replacers"),
        ("[broker]\nport = 0", "broker.port"),
        ('[broker]\nport = 1\nhost = "10.0.0.1"', "broker.certificate: beyond this machine"),
        ('[broker]\nport = 1\n[mqtt]\nurl = "mqtt://localhost"', "broker: mqtt.url names another"),
    ],
)
def test_what_is_wrong_with_mqtt_or_a_door_is_named(path: Path, added: str, why: str) -> None:
    path.write_text(GOOD + added + "\n")
    with pytest.raises(ProfileError) as caught:
        load_gateway(path)
    assert why in str(caught.value)


def test_addresses_of_brokers() -> None:
    assert MqttSection(url="mqtt://localhost").address == ("localhost", 1883, False)
    assert MqttSection(url="mqtts://[::1]:9").address == ("::1", 9, True)
    assert MqttSection(url="mqtt://broker.example", plain=True).fault() is None
    assert MqttSection().credentials({"WATTQ_MQTT_USER": "u", "WATTQ_MQTT_PASSWORD": "p"}) == ("u", "p")
