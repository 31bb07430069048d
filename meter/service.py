"""A gateway at work: its buffer, its tie to the chain, its meters, and its door, inside a node or alone."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

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
) -> None:
    """Poll ``units`` and submit their readings with the client's key, until cancelled; ``buffer`` outlives us."""
    kept = ReadingBuffer(buffer, buffer_bytes_max)
    try:
        submitter = ChainSubmitter(client, clock)
        gateway = Gateway(
            units,
            clock,
            submitter,
            kept,
            clock_offset=lambda: submitter.clock_offset_ms,
            timeout_s=timeout_s,
            watchers=[*watchers, *(mqtt.watchers if mqtt else ())],
        )
        feed = FeedDesk(gateway, clock)
        if mqtt is not None:
            mqtt.feed = feed
        async with _opened(door, gateway, feed):
            await gateway.run()
    finally:
        kept.close()


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
