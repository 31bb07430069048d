"""MQTT of one node or gateway: the broker, embedded or not, what is said there, and what is listened to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry

from meter.broker.broker import OWNER_NAME, Broker, BrokerLimits
from meter.broker.users import load_users
from meter.feed import FeedDesk
from meter.mqtt.discovery import AGAIN_S_MIN, discovery
from meter.mqtt.link import Link, Target
from meter.mqtt.messages import Status, encode
from meter.mqtt.outbox import Outbox, Outgoing
from meter.mqtt.signals import Signals
from meter.mqtt.telemetry import Telemetry
from meter.mqtt.topics import Topics
from meter.units import MeterUnit
from sdk.clock import Clock
from sdk.configuration import picked
from sdk.mqtt_section import MqttSection
from sdk.trading import Trading

STATUS_S = 5.0
LOOPBACK = "127.0.0.1"
ONLINE = b"online"
OFFLINE = encode(Status(state="offline"))
BROKER_FIELDS = {"queue_messages_max": "client_queue_messages_max", "queue_bytes_max": "client_queue_bytes_max"}
"""What the broker's limits are called in ``[mqtt]``, where that differs."""


class Mqtt:
    """``run`` until it is cancelled. ``telemetry`` watches the gateway, if there is one; ``feed`` takes in samples.

    ``place``: host and port of the embedded broker, which is had where ``section.url`` is empty. Paths are relative to
    ``home``. Private topics, of meters and parties, are said only to a broker that keeps them from others: the embedded
    one does, by its users' rights; of another one ``section.private`` says so.
    """

    def __init__(
        self,
        section: MqttSection,
        network: str,
        name: str,
        clock: Clock,
        units: Collection[MeterUnit],
        home: Path,
        environment: Mapping[str, str],
        *,
        place: tuple[str, int, ssl.SSLContext | None] | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._section, self._clock, self._place = section, clock, place
        self._registry = registry or CollectorRegistry()
        self._identity = f"{section.prefix}-{network}-{name}"
        self._credentials = section.credentials(environment)
        self._tls = _client_context(section, home) if section.url and section.address[2] else None
        self.topics = Topics(section.prefix, network, name, section.discovery_prefix)
        self.outbox = Outbox(section.queue_messages_max, section.retained_messages_max)
        self.telemetry = Telemetry(self.topics, self.outbox)
        self.feed: FeedDesk | None = None
        self.broker = self._embedded(units, home) if place is not None and not section.url else None
        private = self.broker is not None or section.private
        self._meters = [unit.serial for unit in units] if private else []
        self._fed = private and any(unit.is_fed for unit in units)
        users = load_users(home / section.users_file).values() if self.broker is not None else ()
        self._parties = {party for user in users for party in user.parties} | {*section.parties}
        self.watchers = (self.telemetry,) if private else ()
        self.link: Link | None = None
        self.port = 0
        self._again_s = float("-inf")

    def _embedded(self, units: Collection[MeterUnit], home: Path) -> Broker:
        section, file = self._section, home / self._section.users_file
        parties = {party for user in load_users(file).values() for party in user.parties}
        rights = self.topics.rights([unit.serial for unit in units], parties)
        names = {name: BROKER_FIELDS.get(name, name) for name in BrokerLimits.__dataclass_fields__}
        values = picked(names.values(), section)
        return Broker(BrokerLimits(**{name: values[key] for name, key in names.items()}), rights, file, self._registry)

    async def run(self, status: Callable[[], Status], trading: Trading | None = None) -> None:
        """``status`` tells how we are; ``trading`` is followed, if it is given."""
        try:
            self.link = Link(
                await self._target(),
                self._clock,
                self.outbox,
                Outgoing(self.topics.status, OFFLINE, retain=True),
                self._subscriptions(),
                self._take,
                self._registry,
            )
            for message in discovery(self.topics, self._meters, sorted(self._parties), self._section.currency):
                self.outbox.put(message)
            await self._run_parts(self.link, status, trading)
        finally:
            if self.broker is not None:
                await self.broker.close()

    async def _run_parts(self, link: Link, status: Callable[[], Status], trading: Trading | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run())
            tasks.create_task(self._tell_status(status))
            if trading is not None:
                signals = Signals(self.topics, self._clock, self.outbox, self._parties, trading)
                tasks.create_task(signals.run())

    async def _target(self) -> Target:
        """The broker of the configuration, or our own, which then listens; ``OSError`` if it cannot."""
        section = self._section
        names = ("protocol", "keepalive_s", "reconnect_ms_max", "incoming_messages_max", "payload_bytes_max")
        bounds = picked(names, section)
        if self.broker is None:
            host, port, _ = section.address
            return Target(host, port, self._identity, *self._credentials, tls=self._tls, **bounds)
        assert self._place is not None
        self.port = await self.broker.listen(*self._place)
        port = await self.broker.listen(LOOPBACK, 0)
        spoken = {**bounds, "protocol": "3.1.1"}  # by our own, whatever the configuration says of another
        return Target(LOOPBACK, port, self._identity, OWNER_NAME, self.broker.owner_password, **spoken)

    async def _tell_status(self, status: Callable[[], Status]) -> None:
        while True:
            self.outbox.put(Outgoing(self.topics.status, encode(status()), retain=True))
            await asyncio.sleep(STATUS_S)

    # ------------------------------------------------------------------------------------------- what comes in

    def _subscriptions(self) -> list[str]:
        wanted = [self.topics.home] if self.topics.discovery_prefix else []
        return [*wanted, self.topics.feeds] if self._fed else wanted

    async def _take(self, topic: str, payload: bytes) -> None:
        if topic == self.topics.home:
            self._describe_again(payload)
        elif self.feed is not None and self._fed:
            meter = topic.rpartition("/")[2]
            answer = await self.feed.take(meter, payload)
            if answer.code != "METER_UNKNOWN":
                self.outbox.put(Outgoing(self.topics.meter(meter, "answer"), encode(answer)))

    def _describe_again(self, payload: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if payload == ONLINE and now_s - self._again_s >= AGAIN_S_MIN:
            self._again_s = now_s
            self.outbox.again(f"{self.topics.discovery_prefix}/")


def _client_context(section: MqttSection, home: Path) -> ssl.SSLContext:
    """Who may have signed the broker's certificate; ``OSError`` if that cannot be read."""
    return ssl.create_default_context(cafile=str(home / section.ca_file) if section.ca_file else None)
