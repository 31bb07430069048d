"""Home Assistant's discovery over real brokers: what a dashboard finds, and that it is said again when it begins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import Client, MqttError
from brokers import Mosquitto, client, collect, write_users

from meter.mqtt import link as link_module
from meter.mqtt import service as service_module
from meter.mqtt.discovery import discovery
from meter.mqtt.messages import Status
from meter.mqtt.outbox import Outgoing
from meter.mqtt.service import Mqtt
from meter.mqtt.topics import Topics
from meter.profile import load_profile
from meter.units import MeterUnit
from sdk.clock import Clock
from sdk.mqtt_section import MqttSection

ANN, BEN = "a" * 64, "b" * 64
MQTT_MD = Path(__file__).parents[3] / "docs/MQTT.md"
UNITS = [MeterUnit("MTR-1", "h", 1, 1, load_profile("sdm630"), 1_000)]
GROUP = f"wattq_net_node1_party_{ANN}"
ONLINE = Status(state="online", height=7)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "RECONNECT_S", 0.05)
    monkeypatch.setattr(service_module, "AGAIN_S_MIN", 0.0)


@contextlib.asynccontextmanager
async def running(section: MqttSection, home: Path, user: str = "us", **options: Any) -> AsyncIterator[Mqtt]:
    """With the name as password."""
    environ = {"WATTQ_MQTT_USER": user, "WATTQ_MQTT_PASSWORD": user}
    mqtt = Mqtt(section, "net", "node1", Clock(), UNITS, home, environ, **options)
    task = asyncio.create_task(mqtt.run(lambda: ONLINE))
    try:
        async with asyncio.timeout(20):
            while mqtt.link is None or not mqtt.link.connected.is_set() or len(mqtt.outbox):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield mqtt
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_every_sensor_has_what_home_assistant_asks_for() -> None:
    topics = Topics("wattq", "net", "node1")
    found = {m.topic: json.loads(m.payload) for m in discovery(topics, ["MTR-1"], [ANN], "EUR")}
    assert len(found) == 1 + 3 + 4
    assert len({about["unique_id"] for about in found.values()}) == len(found)
    for topic, about in found.items():
        assert topic.startswith("homeassistant/sensor/")
        assert topic.endswith("/config")
        assert about["availability_topic"] == "wattq/net/node1/status"
        assert about["device"]["identifiers"]
    energy = found["homeassistant/sensor/wattq_net_node1_meter_MTR-1/import_wh/config"]
    assert energy == {
        "name": "Imported energy",
        "state_topic": "wattq/net/node1/meters/MTR-1/energy",
        "value_template": "{{ (value_json.import_wh / 1000) | round(3) }}",
        "expire_after": 3_600,
        "device_class": "energy",
        "state_class": "total_increasing",
        "unit_of_measurement": "kWh",
        "unique_id": "wattq_net_node1_meter_MTR-1_import_5fwh",
        "availability_topic": "wattq/net/node1/status",
        "availability_template": "{{ value_json.state }}",
        "device": {
            "identifiers": ["wattq_net_node1_meter_MTR-1"],
            "name": "Meter MTR-1",
            "manufacturer": "Wattquorum",
            "model": "net",
        },
        "origin": {"name": "Wattquorum"},
    }  # fmt: skip
    contracted = found[f"homeassistant/sensor/{GROUP}/contracted_buy_wh/config"]
    assert contracted["value_template"] == "{{ (value_json.contracted_buy_wh / 1000) | round(3) }}"
    assert found["homeassistant/sensor/wattq_net_node1_market/price/config"]["unit_of_measurement"] == "EUR/kWh"
    assert discovery(Topics("wattq", "net", "node1", ""), ["MTR-1"], [ANN], "EUR") == []


@pytest.mark.needs("mosquitto")
async def test_mosquitto_keeps_the_descriptions_and_they_are_said_again(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker:
        section = MqttSection(url=f"mqtt://127.0.0.1:{broker.port}", private=True, parties=(ANN,))
        async with running(section, tmp_path) as mqtt, client(broker.port) as home:
            assert mqtt.link is not None
            await home.subscribe("homeassistant/sensor/#", qos=1)
            first = await collect(home, 8)
            await home.publish("homeassistant/status", "online", qos=1)
            again = await collect(home, 8)
            await home.subscribe("wattq/net/node1/status", qos=1)
            (status,) = await collect(home, 1)
    assert {message.topic.value for message in first} == {message.topic.value for message in again}
    assert all(message.retain for message in first)
    assert json.loads(status.payload) == {"state": "online", "height": 7, "view": 0, "primary": "", "time_ms": 0}


@pytest.mark.needs("mosquitto")
async def test_a_broker_that_promises_nothing_is_told_nothing_private(tmp_path: Path) -> None:
    async with (
        Mosquitto(tmp_path) as broker,
        running(MqttSection(url=f"mqtt://127.0.0.1:{broker.port}"), tmp_path) as mqtt,
        client(broker.port) as home,
    ):
        assert mqtt.watchers == ()
        await home.subscribe("#", qos=1)
        told = await collect(home, 2)
    assert {message.topic.value for message in told} == {
        "wattq/net/node1/status", "homeassistant/sensor/wattq_net_node1_market/price/config",
    }  # fmt: skip


def rights_as_documented() -> str:
    """Mosquitto's file, from the document, for Ann at home, and for Ben in the same words."""
    text = MQTT_MD.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    for said, meant in (("/local/", "/net/"), ("_local_", "_net_"), ("3f…9a", ANN), ("MTR-1003", "MTR-1")):
        text = text.replace(said, meant)
    home = text.partition("user home\n")[2]
    return f"{text}user ben\n{home.replace(ANN, BEN).replace('MTR-1', 'MTR-2')}"


@pytest.mark.needs("mosquitto")
async def test_mosquitto_with_the_documented_rights_shows_each_user_their_own(tmp_path: Path) -> None:
    """The document's example let everybody read how others' meters and parties are called, and nobody the price."""
    rights, passwords, topics = tmp_path / "acl", tmp_path / "passwords", Topics("wattq", "net", "node1")
    rights.write_text(rights_as_documented())
    passwords.write_text("".join(f"{name}:{name}\n" for name in ("node1", "home", "ben")))
    for file in (rights, passwords):
        file.chmod(0o600)
    await asyncio.to_thread(subprocess.run, ["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    lines = ["allow_anonymous false", f"acl_file {rights}", f"password_file {passwords}"]
    async with Mosquitto(tmp_path, lines) as broker:
        section = MqttSection(url=f"mqtt://127.0.0.1:{broker.port}", private=True, parties=(ANN, BEN))
        async with (
            running(section, tmp_path, "node1") as mqtt,
            client(broker.port, "home", "home") as home,
            client(broker.port, "ben", "ben") as ben,
        ):
            await home.publish(topics.party(ANN, "signals/match"), "forged", qos=1)
            found = {}
            for user in (home, ben):
                await user.subscribe("#", qos=1)
                for topic in (topics.party(ANN, "energy"), topics.party(BEN, "energy"), topics.meter("MTR-1", "power")):
                    mqtt.outbox.put(Outgoing(topic, b"private"))
                mqtt.outbox.put(Outgoing(topics.price, b"the end"))
                told = await until_the_end(user)
                assert b"forged" not in told.values()
                found[user] = {topic.partition("/net/node1/")[2] or topic.split("/")[2] for topic in told}
    group = "wattq_net_node1"
    public = {"status", "market/price", f"{group}_market"}
    assert found[home] == public | {
        f"parties/{ANN}/energy", "meters/MTR-1/power", f"{group}_party_{ANN}", f"{group}_meter_MTR-1",
    }  # fmt: skip
    assert found[ben] == public | {f"parties/{BEN}/energy", f"{group}_party_{BEN}"}


async def until_the_end(connected: Client) -> dict[str, object]:
    told: dict[str, object] = {}
    async with asyncio.timeout(20):
        async for message in connected.messages:
            told[message.topic.value] = message.payload
            if message.payload == b"the end":
                break
    return told


async def test_the_embedded_broker_shows_each_user_their_own(tmp_path: Path) -> None:
    users: dict[str, tuple[str, dict[str, Any]]] = {
        "ann": ("password of ann", {"parties": (ANN,)}),
        "met": ("password of met", {"meters": ("MTR-1",)}),
    }
    write_users(tmp_path / "mqtt-users.toml", **users)
    async with running(MqttSection(), tmp_path, place=("127.0.0.1", 0, None)) as mqtt:
        found = {}
        for user, count in (("ann", 6), ("met", 5), ("", 2)):
            async with client(mqtt.port, user, users[user][0] if user else "") as home:
                await home.subscribe("#", qos=1)
                found[user] = {message.topic.value for message in await collect(home, count)}
        with pytest.raises(MqttError):
            await client(mqtt.port, "ann", "wrong").__aenter__()
    public = {"wattq/net/node1/status", "homeassistant/sensor/wattq_net_node1_market/price/config"}
    assert found[""] == public
    assert all(f"party_{ANN}" in topic for topic in found["ann"] - public)
    assert all("meter_MTR-1" in topic for topic in found["met"] - public)
