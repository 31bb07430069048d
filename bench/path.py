"""The least that one transaction can take from its submission to a verified certificate, measured beside a run.

One signature and four verifications one after another, three syncs, and five messages: request, pre-prepare, prepare,
commit, and what certifies the result.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.limit import SignatureCost

SIGNATURES, VERIFICATIONS, SYNCS, MESSAGES = 1, 4, 3, 5
MESSAGE_BYTES = 300
WRITE_BYTES = 1_000
ROUNDS = 100


@dataclass(frozen=True, slots=True)
class PathCost:
    """Milliseconds of a sync of a small write, and of a message between two sockets of this machine; medians."""

    sync_ms: float
    message_ms: float

    def floor_ms(self, signatures: SignatureCost) -> float:
        signing_ms = (SIGNATURES * signatures.sign_us + VERIFICATIONS * signatures.verify_us) / 1000
        return signing_ms + SYNCS * self.sync_ms + MESSAGES * self.message_ms


async def measure_path(directory: Path) -> PathCost:
    """Time both now; ``directory`` lies where nodes keep their data."""
    return PathCost(await asyncio.to_thread(_sync_ms, directory), await _message_ms())


def _sync_ms(directory: Path) -> float:
    took = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(ROUNDS):
            file.write(b"x" * WRITE_BYTES)
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took) * 1000


async def _message_ms() -> float:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(MESSAGE_BYTES):
            writer.write(data)
        writer.close()

    took = []
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        for _ in range(ROUNDS):
            began = time.perf_counter()
            writer.write(b"x" * MESSAGE_BYTES)
            await reader.readexactly(MESSAGE_BYTES)
            took.append((time.perf_counter() - began) / 2)
        writer.close()
        await writer.wait_closed()
    return median(took) * 1000
