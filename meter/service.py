"""The gateway inside a node: the same code as ``wattq gateway``, tied to the node's own socket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ca.keys import SigningKey
from ledger.genesis import Genesis
from meter.buffer import ReadingBuffer
from meter.gateway import Gateway
from meter.submission import ChainSubmitter
from meter.units import units_of
from sdk.client import AsyncClient
from sdk.clock import Clock
from sdk.configuration import MeterSection
from sdk.transports import connect


async def run_gateway(
    meters: Sequence[MeterSection], clock: Clock, endpoint: str, genesis: Genesis, key: SigningKey, buffer: Path
) -> None:
    """Poll ``meters`` and submit their readings, signed with ``key``, until cancelled."""
    kept = ReadingBuffer(buffer)
    try:
        async with AsyncClient([connect(endpoint)], genesis, key) as client:
            submitter = ChainSubmitter(client, clock)
            gateway = Gateway(units_of(meters), clock, submitter, kept, clock_offset=lambda: submitter.clock_offset_ms)
            await gateway.run()
    finally:
        kept.close()
