"""The connection to a broker, whichever it is: MQTT 5, or 3.1.1 where that is not spoken; made again for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiomqtt import Client, Message, MqttError, ProtocolVersion, Will
from aiomqtt.exceptions import MqttCodeError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import CollectorRegistry, Counter, Gauge

from meter.mqtt.outbox import Outbox, Outgoing
from sdk.clock import Clock

log = logging.getLogger(__name__)
# paho's and aiomqtt's own messages repeat what we log, or say that a message was dropped, which is counted.
logging.getLogger("mqtt").setLevel(logging.CRITICAL)

TIMEOUT_S = 10.0
FAREWELL_S = 1.0
RECONNECT_S = 0.5
EXPIRY_S_MAX = 2**32 - 1
PROTOCOLS = {
    "auto": (ProtocolVersion.V5, ProtocolVersion.V311),
    "5": (ProtocolVersion.V5,),
    "3.1.1": (ProtocolVersion.V311,),
}
REFUSED_FOR_GOOD = frozenset({4, 5, 134, 135})
"""Bad user name or password, not authorised: another protocol changes nothing about it."""

Take = Callable[[str, bytes], Awaitable[None]]
"""Somebody's message: topic and payload. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the broker is, and who we are there."""

    host: str
    port: int
    identifier: str
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    protocol: str = "auto"
    keepalive_s: int = 30
    reconnect_ms_max: int = 60_000
    incoming_messages_max: int = 1_000
    payload_bytes_max: int = 4_096


class _Handshake(ssl.SSLSocket):
    """Closed where its handshake fails: paho leaves that to the garbage collector, and a broker that we do not trust is
    tried again and again."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Link:
    """``run`` until it is cancelled; ``outbox`` takes what is to be said, ``offline`` is the last will."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        outbox: Outbox,
        offline: Outgoing,
        subscriptions: Iterable[str] = (),
        take: Take | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.outbox = outbox
        self._target, self._clock, self._offline = target, clock, offline
        self._subscriptions, self._take = tuple(subscriptions), take
        self.connected = asyncio.Event()
        self.protocol = ""
        """What is spoken, while connected."""
        self.problem = ""
        """Why there is no connection; empty while there is."""
        registry = registry or CollectorRegistry()
        self._up = Gauge("wattq_mqtt_connected", "Whether the broker is connected.", registry=registry)
        self._sent = Counter("wattq_mqtt_published_total", "Messages that the broker took.", registry=registry)
        self._received = Counter("wattq_mqtt_received_total", "Messages received.", registry=registry)
        self._dropped = Counter("wattq_mqtt_dropped_total", "Messages dropped.", ["why"], registry=registry)
        Gauge("wattq_mqtt_waiting", "Messages that wait for the broker.", registry=registry).set_function(
            lambda: len(self.outbox)
        )

    async def run(self) -> None:
        """Connect, and again whenever that ends, with a back-off that doubles up to its bound."""
        pause_s = RECONNECT_S
        while True:
            if await self._round():
                pause_s = RECONNECT_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._target.reconnect_ms_max / 1000)

    async def _round(self) -> bool:
        """Try each protocol, the newest first, until one connects and then ends; whether one did."""
        for protocol in PROTOCOLS[self._target.protocol]:
            try:
                await self._session(protocol)
            except MqttError as error:
                if _is_cancelled():  # what fails while we take our leave must not keep us here
                    raise asyncio.CancelledError from error
                if self._ended(error):
                    return True
                if _code(error) in REFUSED_FOR_GOOD:
                    return False
        return False

    def _ended(self, error: MqttError) -> bool:
        """Whether we were connected until this."""
        was = self.connected.is_set()
        self.connected.clear()
        self._up.set(0)
        if str(error) != self.problem:
            log.warning("MQTT broker %s:%d: %s", self._target.host, self._target.port, error)
        self.problem, self.protocol = str(error), ""
        return was

    async def _session(self, protocol: ProtocolVersion) -> None:
        """One connection, until it fails, which is how it ends; or is cancelled, and says the last will in person."""
        target, will = self._target, self._offline
        if target.tls is not None:
            target.tls.sslsocket_class = _Handshake
        async with Client(
            target.host,
            target.port,
            identifier=target.identifier,
            username=target.user,
            password=target.password,
            tls_context=target.tls,
            protocol=protocol,
            keepalive=target.keepalive_s,
            timeout=TIMEOUT_S,
            clean_session=None if protocol is ProtocolVersion.V5 else True,
            max_queued_incoming_messages=target.incoming_messages_max,
            will=Will(will.topic, will.payload, will.qos, will.retain),
        ) as client:
            for wanted in self._subscriptions:
                await client.subscribe(wanted, qos=1)
            self.protocol, self.problem = "5" if protocol is ProtocolVersion.V5 else "3.1.1", ""
            log.info("MQTT broker %s:%d is connected, by MQTT %s", target.host, target.port, self.protocol)
            self.outbox.again()
            self.connected.set()
            self._up.set(1)
            try:
                await _first_end(self._send_all(client, protocol), self._receive(client))
            except asyncio.CancelledError:
                with contextlib.suppress(MqttError):
                    await client.publish(will.topic, will.payload, will.qos, will.retain, timeout=FAREWELL_S)
                raise

    async def _send_all(self, client: Client, protocol: ProtocolVersion) -> None:
        dropped = self.outbox.dropped
        while True:
            message = await self.outbox.next()
            if self.outbox.dropped > dropped:
                self._dropped.labels("outbox").inc(self.outbox.dropped - dropped)
                dropped = self.outbox.dropped
            left_ms = message.expires_ms - self._clock.now_ms()
            if message.expires_ms and left_ms <= 0:
                self._dropped.labels("expired").inc()
                self.outbox.sent(message)
                continue
            properties = None
            if message.expires_ms and protocol is ProtocolVersion.V5:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.MessageExpiryInterval = max(1, min(EXPIRY_S_MAX, int(left_ms / 1000 / self._clock.rate)))
            await client.publish(
                message.topic, message.payload, message.qos, message.retain, properties, timeout=TIMEOUT_S
            )
            self._sent.inc()
            self.outbox.sent(message)

    async def _receive(self, client: Client) -> None:
        async for message in client.messages:
            self._received.inc()
            payload = message.payload
            if self._take is None or not isinstance(payload, bytes):
                continue
            if len(payload) > self._target.payload_bytes_max:
                self._dropped.labels("payload_bytes_max").inc()
                continue
            await self._take(_topic(message), payload)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _topic(message: Message) -> str:
    return message.topic.value


def _code(error: MqttError) -> int:
    if not isinstance(error, MqttCodeError) or error.rc is None:
        return 0
    return error.rc.value if isinstance(error.rc, ReasonCode) else error.rc


async def _first_end(*works: Awaitable[None]) -> None:
    """Run them side by side until one ends; raises what it raised. None outlives this."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        left = set(tasks)
        while left:  # a library may swallow a cancellation
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=FAREWELL_S)
        await asyncio.gather(*tasks, return_exceptions=True)
