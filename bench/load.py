"""One client process: a closed loop of signed market orders with a fixed number outstanding.

A transaction counts when its node says that it is certified: committed, executed, durable, with q signed
outcomes. Every ``RECEIPT_EVERY``-th one is waited for with its receipt, which is verified; those give the latency.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from ca.keys import SigningKey
from ledger.genesis import load_genesis
from sdk import methods
from sdk.client import AsyncClient
from sdk.errors import Refused, SdkError
from sdk.methods import SubmitParams
from sdk.transports import connect

RECEIPT_EVERY = 50
PRICE_FLOOR = 1_000
EXPIRES_AFTER = 100_000
SUBMIT_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What one client process does."""

    endpoint: str
    genesis: Path
    key: Path
    meter: str
    interval: int
    outstanding: int
    start_at_s: float
    """Wall clock of the common start."""
    warm_up_s: float
    measure_s: float


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Counts within the measured window, and latencies from submission to the verified certificate."""

    certified: int
    refused: int
    failed: int
    latencies_ms: tuple[float, ...]


def run_load(plan: LoadPlan) -> LoadResult:
    """The process's entry."""
    return asyncio.run(_Client(plan).run())


class _Client:
    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._certified = self._refused = self._failed = 0
        self._latencies: list[float] = []
        self._count = 0

    async def run(self) -> LoadResult:
        plan = self._plan
        transport = connect(plan.endpoint)
        genesis = await asyncio.to_thread(load_genesis, plan.genesis)
        async with AsyncClient([transport], genesis, SigningKey.load(plan.key)) as client:
            expires = (await client.status()).executed_height + EXPIRES_AFTER
            await asyncio.sleep(max(0.0, plan.start_at_s - time.time()))
            self._from = time.perf_counter() + plan.warm_up_s
            self._until = self._from + plan.measure_s
            async with asyncio.TaskGroup() as tasks:
                for _ in range(plan.outstanding):
                    tasks.create_task(self._loop(client, expires))
        return LoadResult(self._certified, self._refused, self._failed, tuple(self._latencies))

    async def _loop(self, client: AsyncClient, expires: int) -> None:
        while time.perf_counter() < self._until:
            self._count += 1
            number = self._count
            began = time.perf_counter()
            try:
                await self._one(client, number, expires)
            except Refused:
                self._refused += 1
                continue
            except SdkError:
                self._failed += 1
                continue
            ended = time.perf_counter()
            if self._from <= ended <= self._until:
                self._certified += 1
                if number % RECEIPT_EVERY == 0:
                    self._latencies.append((ended - began) * 1000)

    async def _one(self, client: AsyncClient, number: int, expires: int) -> None:
        plan = self._plan
        order = {
            "side": "bid",
            "meter": plan.meter,
            "interval": plan.interval,
            "energy_wh": 1,
            "price": PRICE_FLOOR + number % 100_000,
        }
        signed = await client.sign("market", "place_order", order, expires_at_height=expires)
        if number % RECEIPT_EVERY == 0:
            await client.submit(signed)
            return
        params = SubmitParams(
            payload=signed.payload, signatures=signed.signatures, wait="certified", timeout_ms=SUBMIT_TIMEOUT_MS
        )
        answer = await client.call_plain(methods.SUBMIT, params)
        if answer.state != "certified":
            raise SdkError("not certified in time")
