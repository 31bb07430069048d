"""A gateway at work: its buffer, its tie to the chain and its meters, inside a node or alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meter.buffer import BYTES_MAX, ReadingBuffer
from meter.gateway import Gateway
from meter.poller import TIMEOUT_S
from meter.submission import ChainSubmitter
from meter.units import MeterUnit
from sdk.client import AsyncClient
from sdk.clock import Clock


async def run_gateway(
    units: Sequence[MeterUnit],
    clock: Clock,
    client: AsyncClient,
    buffer: Path,
    *,
    buffer_bytes_max: int = BYTES_MAX,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Poll ``units`` and submit their readings with the client's key, until cancelled; ``buffer`` outlives us."""
    kept = ReadingBuffer(buffer, buffer_bytes_max)
    try:
        submitter = ChainSubmitter(client, clock)
        gateway = Gateway(
            units, clock, submitter, kept, clock_offset=lambda: submitter.clock_offset_ms, timeout_s=timeout_s
        )
        await gateway.run()
    finally:
        kept.close()
