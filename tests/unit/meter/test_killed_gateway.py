"""A gateway that is killed again and again, at any moment: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from killed_gateway import RATE, START_MS

from meter.intervals import INTERVAL_MS
from meter.profile import load_profile
from meter.simulation import MeterServer
from meter.simulator import SimulatedMeter
from sdk.clock import Clock

KILLS = 3
TOTAL_WH, POURED_INTERVALS = 5_000, 24
SUPPORT = Path(__file__).parents[2] / "support"
WITHIN_S = 240.0

pytestmark = pytest.mark.cluster


class Pouring(SimulatedMeter):
    """Counts nothing until it is told to, then ``TOTAL_WH`` evenly, then nothing again: sums are exact."""

    began_ms = 1 << 62

    def _played(self, at_ms: int) -> tuple[float, float]:
        part = min(1.0, max(0.0, (at_ms - self.began_ms) / (POURED_INTERVALS * INTERVAL_MS)))
        return TOTAL_WH * part, TOTAL_WH * part


def begin(port: int, home: Path, wall_start_ms: int) -> subprocess.Popen[bytes]:
    arguments = [str(port), str(home / "buffer"), str(home / "chain"), str(wall_start_ms)]
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    return subprocess.Popen([sys.executable, "-m", "killed_gateway", *arguments], env=environment)


def readings(home: Path) -> list[tuple[Any, ...]]:
    """What the chain holds, as it was submitted: meter, interval, epoch, sequence, import, export. A torn last line of
    a killed process was never told to be done."""
    path = home / "chain"
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(tuple(json.loads(line)[:6]))
        except ValueError:
            continue
    return found


async def test_a_gateway_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    wall_start_ms = int(time.time() * 1000)
    clock = Clock(START_MS, RATE, wall_start_ms)
    meters = [Pouring(f"M{unit}", unit, load_profile("iem3155"), 0, [0], [0]) for unit in (1, 2)]
    async with MeterServer(meters, clock) as server, asyncio.timeout(WITHIN_S):
        for kill in range(KILLS + 1):
            process = await asyncio.to_thread(begin, server.port, tmp_path, wall_start_ms)
            try:
                await until_there_are(process, partial(holds, tmp_path, len(readings(tmp_path)) + 4))
                if kill == 0:
                    for meter in meters:
                        meter.began_ms = clock.now_ms()
                if kill == KILLS:
                    await until_there_are(process, lambda: is_whole(tmp_path))
            finally:
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait)
    told = readings(tmp_path)
    assert len(told) > len(set(told)), "some were submitted twice"
    for serial in ("M1", "M2"):
        by_sequence = {reading[3]: reading for reading in told if reading[0] == serial}
        assert len({reading for reading in told if reading[0] == serial}) == len(by_sequence), "and were the very same"
        assert sorted(by_sequence) == list(range(len(by_sequence)))
        assert len({reading[1] for reading in by_sequence.values()}) == len(by_sequence)
        for counter in (4, 5):
            assert sum(reading[counter] for reading in by_sequence.values()) == TOTAL_WH


async def until_there_are(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None
        await asyncio.sleep(0.01)


def holds(home: Path, count: int) -> bool:
    return len(readings(home)) >= count


def is_whole(home: Path) -> bool:
    """Whether all energy that was counted has arrived, of both meters."""
    sums = {"M1": 0, "M2": 0}
    for reading in set(readings(home)):
        sums[reading[0]] += reading[4]
    return min(sums.values()) >= TOTAL_WH
