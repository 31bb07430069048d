"""``[mqtt]`` of ``cluster.toml`` and of a gateway's file: which broker, what it is told, the embedded one's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORTS = {"mqtt": 1883, "mqtts": 8883}

Variable = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
Level = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Signer = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 24)]


class MqttSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``url``: ``mqtt://HOST:PORT`` or ``mqtts://``; without one a node with an ``mqtt_port`` runs the embedded broker.

    User and password come from the environment variables named here. ``private``: the broker keeps the topics of
    parties and meters from others, so that they may be told it; of parties only the listed ones. ``currency`` is what
    prices are called in home automations. The bounds from ``connections_max`` on are the embedded broker's.
    """

    url: str = ""
    user_variable: Variable = "WATTQ_MQTT_USER"
    password_variable: Variable = "WATTQ_MQTT_PASSWORD"
    ca_file: str = ""
    plain: bool = False
    protocol: Annotated[str, Meta(pattern=r"^(auto|5|3\.1\.1)$")] = "auto"
    prefix: Level = "wattq"
    discovery_prefix: Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$")] = "homeassistant"
    currency: Annotated[str, Meta(min_length=1, max_length=8)] = "EUR"
    private: bool = False
    parties: tuple[Signer, ...] = ()
    keepalive_s: Annotated[int, Meta(ge=5, le=3_600)] = 30
    reconnect_ms_max: Annotated[int, Meta(ge=100, le=3_600_000)] = 60_000
    queue_messages_max: Count = 1_000
    retained_messages_max: Count = 10_000
    incoming_messages_max: Count = 1_000
    payload_bytes_max: Bytes = 4_096

    users_file: str = "mqtt-users.toml"
    anonymous: bool = True
    connections_max: Annotated[int, Meta(ge=2, le=10_000)] = 64
    packet_bytes_max: Bytes = 65_536
    subscriptions_max: Count = 64
    client_queue_messages_max: Count = 1_000
    client_queue_bytes_max: Bytes = 1_000_000
    sessions_max: Count = 128
    messages_per_s_max: Count = 200

    @property
    def address(self) -> tuple[str, int, bool]:
        """Host, port, and whether by TLS, of a ``url`` that is right."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or PORTS[parts.scheme], parts.scheme == "mqtts"

    def credentials(self, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
        return environment.get(self.user_variable), environment.get(self.password_variable)

    def fault(self) -> tuple[str, str] | None:
        """The key that is wrong, and why; None if all is right."""
        if self.url and (why := _url_fault(self.url, self.plain)):
            return "mqtt.url", why
        if self.parties and not self.private:
            return "mqtt.parties", "only a broker that keeps private topics private may be told them: mqtt.private"
        return None


def _url_fault(url: str, plain: bool) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"no URL: {error}"
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        return "mqtt://HOST:PORT or mqtts://HOST:PORT is expected"
    if parts.username is not None or parts.password is not None:
        return "user and password belong into the environment, see mqtt.user_variable and mqtt.password_variable"
    if parts.scheme == "mqtt" and parts.hostname not in LOOPBACK and not plain:
        return "beyond this machine the broker is reached by mqtts, unless mqtt.plain = true"
    return ""
