"""Home Assistant's discovery: retained descriptions of our topics, so that an existing dashboard shows them by itself.

Said again when ``homeassistant/status`` says ``online``, at most every ``AGAIN_S_MIN`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from meter.mqtt.messages import encode
from meter.mqtt.outbox import Outgoing
from meter.mqtt.topics import Topics, slug

AGAIN_S_MIN = 10.0
POWER_EXPIRES_S, ENERGY_EXPIRES_S = 60, 3_600
SIGNER_CHARS_SHOWN = 8
MANUFACTURER = "Wattquorum"
KWH = "{{ (value_json.%s / 1000) | round(3) }}"
TOTAL = {"device_class": "energy", "state_class": "total_increasing", "unit_of_measurement": "kWh"}


def discovery(topics: Topics, meters: Iterable[str], parties: Iterable[str], currency: str) -> list[Outgoing]:
    """Every description; none without a ``discovery_prefix``."""
    if not topics.discovery_prefix:
        return []
    found = [_market(topics, currency)]
    for meter in meters:
        found += _meter(topics, meter)
    for party in parties:
        found += _party(topics, party)
    return found


def _market(topics: Topics, currency: str) -> Outgoing:
    group = topics.group("market")
    about = {
        "name": "Market price",
        "state_topic": topics.price,
        "value_template": "{{ (value_json.price / 1000000) | round(6) }}",
        "unit_of_measurement": f"{currency}/kWh",
        "state_class": "measurement",
        "icon": "mdi:cash",
    }
    return _sensor(topics, group, "price", f"Wattquorum market {topics.network}", about)


def _meter(topics: Topics, meter: str) -> list[Outgoing]:
    group, device = topics.group("meter", meter), f"Meter {meter}"
    power = {
        "name": "Power",
        "state_topic": topics.meter(meter, "power"),
        "value_template": "{{ value_json.power_w }}",
        "device_class": "power",
        "state_class": "measurement",
        "unit_of_measurement": "W",
        "expire_after": POWER_EXPIRES_S,
    }
    sensors = [_sensor(topics, group, "power", device, power)]
    for name, title in (("import_wh", "Imported energy"), ("export_wh", "Exported energy")):
        about = {
            "name": title,
            "state_topic": topics.meter(meter, "energy"),
            "value_template": KWH % name,
            "expire_after": ENERGY_EXPIRES_S,
            **TOTAL,
        }
        sensors.append(_sensor(topics, group, name, device, about))
    return sensors


def _party(topics: Topics, party: str) -> list[Outgoing]:
    group, device = topics.group("party", party), f"Trading {party[:SIGNER_CHARS_SHOWN]}"
    titles = {
        "contracted_sell_wh": "Contracted energy sold",
        "contracted_buy_wh": "Contracted energy bought",
        "delivered_sell_wh": "Delivered energy sold",
        "delivered_buy_wh": "Delivered energy bought",
    }
    return [
        _sensor(
            topics,
            group,
            name,
            device,
            {"name": title, "state_topic": topics.party(party, "energy"), "value_template": KWH % name, **TOTAL},
        )
        for name, title in titles.items()
    ]


def _sensor(topics: Topics, group: str, name: str, device: str, about: dict[str, Any]) -> Outgoing:
    payload = {
        **about,
        "unique_id": f"{group}_{slug(name)}",
        "availability_topic": topics.status,
        "availability_template": "{{ value_json.state }}",
        "device": {"identifiers": [group], "name": device, "manufacturer": MANUFACTURER, "model": topics.network},
        "origin": {"name": MANUFACTURER},
    }
    return Outgoing(topics.config(group, name), encode(payload), qos=1, retain=True)
