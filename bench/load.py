"""One client process: a closed loop of signed market transactions with a fixed number outstanding.

A transaction counts when its receipt has verified here, against the genesis file: the client asks for every receipt,
checks each block's certificate once and every transaction's two Merkle paths under it. Nothing counts on a node's word.
Every ``PHASES_EVERY``-th one is sent in stages (the same bytes again are the same transaction), which times the phases.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.market import Market, Side, Step
from ca.keys import SigningKey
from ledger.genesis import load_genesis
from sdk import methods
from sdk.client import AsyncClient, Outcome, Signed
from sdk.errors import Refused, SdkError
from sdk.methods import SubmitParams
from sdk.transports import connect

PHASES_EVERY = 25
PHASES = ("signed", "taken in", "executed", "certified and verified")
EXPIRES_AFTER = 100_000
STAGE_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What one client process does."""

    endpoint: str
    genesis: Path
    keys: dict[Side, Path]
    meters: tuple[str, ...]
    buyers_meter: str
    first_interval: int
    seed: int
    outstanding: int
    start_at_s: float
    """Wall clock of the common start."""
    warm_up_s: float
    measure_s: float


@dataclass(slots=True)
class LoadResult:
    """Counts within the measured window; latencies from the submission to the verified receipt, without signing."""

    verified: int = 0
    trades: int = 0
    refused: int = 0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    ended_at_s: list[float] = field(default_factory=list)
    """Wall clock of each receipt's verification, in the order of ``latencies_ms``."""
    phases_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PHASES})


def run_load(plan: LoadPlan) -> LoadResult:
    """The process's entry."""
    return asyncio.run(_Load(plan).run())


class _Load:
    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._market = Market(plan.seed, plan.meters, plan.buyers_meter, plan.first_interval)
        self._clients: dict[Side, AsyncClient] = {}
        self._result = LoadResult()
        self._count = 0
        self._expires = 0

    async def run(self) -> LoadResult:
        plan = self._plan
        genesis = await asyncio.to_thread(load_genesis, plan.genesis)
        async with AsyncExitStack() as stack:
            for side, path in plan.keys.items():
                client = AsyncClient([connect(plan.endpoint)], genesis, SigningKey.load(path))
                self._clients[side] = await stack.enter_async_context(client)
            self._expires = (await self._clients["buyer"].status()).executed_height + EXPIRES_AFTER
            await asyncio.sleep(max(0.0, plan.start_at_s - time.time()))
            self._from = time.perf_counter() + plan.warm_up_s
            self._until = self._from + plan.measure_s
            async with asyncio.TaskGroup() as tasks:
                for _ in range(plan.outstanding):
                    tasks.create_task(self._loop())
        return self._result

    async def _loop(self) -> None:
        while time.perf_counter() < self._until:
            deal = self._market.deal()
            try:
                step = next(deal)
                while time.perf_counter() < self._until:
                    step = deal.send(await self._one(step))
            except StopIteration:
                continue
            except Refused:
                self._result.refused += 1
            except SdkError:
                self._result.failed += 1

    async def _one(self, step: Step) -> Any:
        """Sign and submit; the value that the verified receipt proves."""
        self._count += 1
        client, staged = self._clients[step.side], self._count % PHASES_EVERY == 0
        began = time.perf_counter()
        signed = await client.sign("market", step.function, step.args, expires_at_height=self._expires)
        at = [began, time.perf_counter()]
        if staged:
            for wait in ("accepted", "committed"):
                await self._stage(client, signed, wait)
                at.append(time.perf_counter())
        outcome = await client.submit(signed)
        at.append(time.perf_counter())
        if self._from <= at[-1] <= self._until:
            self._note(step, outcome, at)
        return outcome.value

    async def _stage(self, client: AsyncClient, signed: Signed, wait: Literal["accepted", "committed"]) -> None:
        params = SubmitParams(
            payload=signed.payload, signatures=signed.signatures, wait=wait, timeout_ms=STAGE_TIMEOUT_MS
        )
        await client.call_plain(methods.SUBMIT, params)

    def _note(self, step: Step, outcome: Outcome, at: list[float]) -> None:
        result = self._result
        result.verified += 1
        result.trades += step.trades(outcome.value)
        result.latencies_ms.append((at[-1] - at[1]) * 1000)
        result.ended_at_s.append(time.time())
        if len(at) == len(PHASES) + 1:
            for name, began, ended in zip(PHASES, at, at[1:], strict=False):
                result.phases_ms[name].append((ended - began) * 1000)
