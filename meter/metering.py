"""A node's meters and its MQTT, as ``cluster.toml`` has them: what ``node.py`` runs beside consensus."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from meter.gateway import Watcher
from meter.mqtt.messages import Status
from meter.mqtt.service import Mqtt
from meter.service import TOKEN_VARIABLE, DoorPlan, run_gateway
from meter.units import units_of
from sdk.client import AsyncClient
from sdk.clock import clock_of
from sdk.configuration import LOOPBACK, Configuration
from sdk.methods import NodeStatus
from sdk.trading import Trading

BUFFER = "readings.buffer"


class Metering:
    """``run`` until it is cancelled; it ends by itself where there is nothing to do."""

    def __init__(self, configuration: Configuration, name: str, network: str, home: Path) -> None:
        """``ProfileError`` for meters, users or a door that cannot be."""
        self._section = section = configuration.section(name)
        self._name, self._network, self._home = name, network, home
        self._mqtt_section = configuration.mqtt
        self._clock = clock_of(configuration.clock)
        self.units = units_of(section.meter)
        self._token = os.environ.get(TOKEN_VARIABLE, "")
        if section.gateway_port:
            DoorPlan(section.gateway_port, self._token, "", ()).check()

    async def run(
        self,
        client: AsyncClient,
        chain: str,
        tls: ssl.SSLContext,
        status: Callable[[], NodeStatus],
        trading: Trading,
        watchers: Sequence[Watcher],
        registry: CollectorRegistry,
    ) -> None:
        """``client`` has the gateway's key if there are meters; ``tls`` is for what is reached from other machines."""
        mqtt = self._mqtt(tls, registry)
        async with asyncio.TaskGroup() as tasks:
            if mqtt is not None:
                tasks.create_task(mqtt.run(lambda: self._told(status()), trading))
            if self.units:
                port = self._section.gateway_port
                door = DoorPlan(port, self._token, chain, (client.signer,)) if port else None
                work = run_gateway(
                    self.units,
                    self._clock,
                    client,
                    self._home / BUFFER,
                    watchers=watchers,
                    door=door,
                    mqtt=mqtt,
                    registry=registry,
                )
                tasks.create_task(work)

    def _mqtt(self, tls: ssl.SSLContext, registry: CollectorRegistry) -> Mqtt | None:
        host, port = self._section.host, self._section.mqtt_port
        if not port and not self._mqtt_section.url:
            return None
        return Mqtt(
            self._mqtt_section,
            self._network,
            self._name,
            self._clock,
            self.units,
            self._home,
            os.environ,
            place=(host, port, None if host in LOOPBACK else tls) if port else None,
            registry=registry,
        )

    def _told(self, status: NodeStatus) -> Status:
        return Status(
            state="online",
            height=status.certified_height,
            view=status.view,
            primary=status.primary,
            time_ms=self._clock.now_ms(),
        )
