"""A gateway at work: its buffer, its tie to the chain, its meters, and its door, inside a node or alone."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from meter.block_clock import BlockClock
from meter.buffer import BYTES_MAX, ReadingBuffer
from meter.door import Door
from meter.errors import ProfileError
from meter.feed import FeedDesk
from meter.gateway import Gateway, Watcher
from meter.mqtt.service import Mqtt
from meter.poller import TIMEOUT_S
from meter.submission import ChainSubmitter
from meter.units import MeterUnit
from sdk.client import AsyncClient
from sdk.clock import Clock
from sdk.errors import SdkError

COMPARE_S = 5.0
"""How often a gateway asks for the newest block's time."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOKEN_VARIABLE = "WATTQ_GATEWAY_TOKEN"
"""The environment variable with the door's token."""


@dataclass(frozen=True, slots=True)
class DoorPlan:
    """Where the door is, its token, and the signers who may replace meters."""

    port: int
    token: str
    chain: str
    replacers: Collection[str]
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None

    def check(self) -> DoorPlan:
        """``ProfileError`` for a door that nobody should open."""
        if not self.token:
            raise ProfileError(f"the gateway's door takes a token: set {TOKEN_VARIABLE}")
        if self.host not in LOOPBACK and self.tls is None:
            raise ProfileError("beyond this machine the gateway's door takes a certificate and its key")
        return self


async def run_gateway(
    units: Sequence[MeterUnit],
    clock: Clock,
    client: AsyncClient,
    buffer: Path,
    *,
    buffer_bytes_max: int = BYTES_MAX,
    timeout_s: float = TIMEOUT_S,
    watchers: Sequence[Watcher] = (),
    door: DoorPlan | None = None,
    mqtt: Mqtt | None = None,
    registry: CollectorRegistry | None = None,
) -> None:
    """Poll ``units`` and submit their readings with the client's key, until cancelled; ``buffer`` outlives us."""
    kept = ReadingBuffer(buffer, buffer_bytes_max)
    try:
        block_clock = BlockClock(clock)
        gateway = Gateway(
            units,
            clock,
            ChainSubmitter(client, clock, block_clock),
            kept,
            block_clock=block_clock,
            timeout_s=timeout_s,
            watchers=[*watchers, *(mqtt.watchers if mqtt else ())],
            registry=registry,
        )
        feed = FeedDesk(gateway, clock, block_clock)
        if mqtt is not None:
            mqtt.feed = feed
        async with _opened(door, gateway, feed), asyncio.TaskGroup() as tasks:
            tasks.create_task(_compare(client, block_clock))
            tasks.create_task(gateway.run())
    finally:
        kept.close()


async def _compare(client: AsyncClient, block_clock: BlockClock) -> None:
    """Hold our clock against block time, for ever; while no node answers there is nothing to compare it with."""
    while True:
        with contextlib.suppress(SdkError):
            block_clock.seen((await client.status()).block_time_ms)
        await asyncio.sleep(COMPARE_S)


@asynccontextmanager
async def _opened(plan: DoorPlan | None, gateway: Gateway, feed: FeedDesk) -> AsyncIterator[None]:
    if plan is None:
        yield
        return
    door = Door(gateway, feed, plan.token, plan.chain, plan.replacers)
    try:
        await door.listen(plan.host, plan.port, plan.tls)
        yield
    finally:
        await door.close()
