"""A gateway in a process of its own, for a test that kills it: `python -m killed_gateway PORT BUFFER CHAIN UNTIL`.

What it submits goes as JSON lines into the file CHAIN, synced before it is told to be done, as a chain would keep it;
a third of the submissions are kept and yet told to have failed, as when the answer gets lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec

from meter.buffer import ReadingBuffer
from meter.errors import SubmitUnavailable
from meter.gateway import Gateway
from meter.intervals import Reading
from meter.profile import load_profile
from meter.units import MeterUnit
from sdk.clock import Clock

START_MS, RATE = 2_000_000 * 900_000, 3_600.0
"""Four intervals a second."""


async def main(port: int, buffer: Path, chain: Path, wall_start_ms: int) -> None:
    clock = Clock(START_MS, RATE, wall_start_ms)
    profile = msgspec.structs.replace(load_profile("iem3155"), poll_interval_ms_min=1)
    units = [MeterUnit(f"M{unit}", "127.0.0.1", port, unit, profile, 100_000) for unit in (1, 2)]
    count = 0

    async def submit(readings: list[Reading]) -> None:
        nonlocal count
        count += 1
        with chain.open("a", encoding="utf-8") as file:
            for reading in readings:
                file.write(json.dumps(msgspec.structs.astuple(reading)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if count % 3 == 0:
            raise SubmitUnavailable("the answer was lost")

    await Gateway(units, clock, submit, ReadingBuffer(buffer)).run()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
