"""One client process: a loop of signed transactions, closed with a fixed number outstanding, or open at a rate.

A transaction counts when its receipt has verified here, against the genesis file: the client asks for every receipt,
checks each block's certificate once and every transaction's two Merkle paths under it. Nothing counts on a node's word.
Every ``PHASES_EVERY``-th one is sent in stages (the same bytes again are the same transaction), which times the phases.
In an open loop each moment takes the next step of a deal that waits for one, or begins another deal.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.market import Deal, Side, Source, Step
from bench.open_loop import DRAIN_S, Arrivals, OpenLoop, due_times
from bench.samples import Sample
from bench.sources import Goods, source_of
from ca.keys import SigningKey
from ledger.genesis import load_genesis
from sdk import methods
from sdk.client import AsyncClient, Signed
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
    goods: Goods
    outstanding: int
    """In flight: always in a closed loop, at most in an open one."""
    start_at_s: float
    """Wall clock of the common start."""
    warm_up_s: float
    measure_s: float
    rate_per_s: float | None = None
    """Of this client, in an open loop; None: a closed one."""
    arrivals: Arrivals = Arrivals.CONSTANT
    offset_s: float = 0.0
    """From the common start to this client's first due moment, so that clients do not send together."""


@dataclass(slots=True)
class LoadResult:
    """What one client process saw since the measured time began; ``refused`` and ``failed`` are of all its load.

    Latencies go to the verified receipt; in a closed loop they leave signing out, in an open one nothing.
    """

    samples: list[Sample] = field(default_factory=list)
    trades: int = 0
    by_function: Counter[str] = field(default_factory=Counter)
    """Verified in the measured time, each as ``contract.function``."""
    refused: int = 0
    failed: int = 0
    phases_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PHASES})
    send_lags_ms: list[float] = field(default_factory=list)
    """In an open loop: by how much later than it was due each was begun."""


def run_load(plan: LoadPlan) -> LoadResult:
    """The process's entry."""
    return asyncio.run(_Load(plan).run())


class _Load:
    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._clients: dict[Side, AsyncClient] = {}
        self._source: Source
        self._result = LoadResult()
        self._ready: deque[tuple[Deal, Step]] = deque()
        """In an open loop: steps that wait for their moment."""
        self._count = 0
        self._expires = 0
        self._clock_s = time.time() - time.perf_counter()
        self._from_s = plan.start_at_s + plan.warm_up_s
        self._until_s = self._from_s + plan.measure_s

    async def run(self) -> LoadResult:
        plan = self._plan
        genesis = await asyncio.to_thread(load_genesis, plan.genesis)
        async with AsyncExitStack() as stack:
            for side, path in plan.keys.items():
                client = AsyncClient([connect(plan.endpoint)], genesis, SigningKey.load(path))
                self._clients[side] = await stack.enter_async_context(client)
            self._source = source_of(plan.goods, {side: client.signer for side, client in self._clients.items()})
            self._expires = (await self._clients["buyer"].status()).executed_height + EXPIRES_AFTER
            await asyncio.sleep(max(0.0, plan.start_at_s - time.time()))
            if plan.rate_per_s is None:
                await self._closed()
            else:
                await self._open(plan.rate_per_s)
        return self._result

    # ------------------------------------------------------------------------------------------ the loops

    async def _closed(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._plan.outstanding):
                tasks.create_task(self._loop())

    async def _loop(self) -> None:
        while self._now_s() < self._until_s:
            deal = self._source.deal()
            try:
                step = next(deal)
                while self._now_s() < self._until_s:
                    step = deal.send(await self._one(step))
            except StopIteration:
                continue
            except Refused:
                self._result.refused += 1
            except SdkError:
                self._result.failed += 1

    async def _open(self, rate_per_s: float) -> None:
        plan = self._plan
        due = due_times(plan.arrivals, rate_per_s, plan.start_at_s + plan.offset_s, self._until_s, plan.goods.seed)
        undone = await OpenLoop(due, plan.outstanding, self._due, self._now_s).run(self._until_s + DRAIN_S)
        ended_s = self._now_s()
        self._result.samples += [Sample(due_s, ended_s, verified=False) for due_s in undone]

    async def _due(self, due_s: float) -> None:
        if due_s >= self._from_s:
            self._result.send_lags_ms.append((self._now_s() - due_s) * 1_000)
        try:
            deal, step = self._ready.popleft() if self._ready else self._begun()
            self._ready.append((deal, deal.send(await self._one(step, due_s))))
        except StopIteration:
            pass  # the deal is done
        except Refused:
            self._result.refused += 1
        except SdkError:
            self._result.failed += 1

    def _begun(self) -> tuple[Deal, Step]:
        deal = self._source.deal()
        return deal, next(deal)

    # ------------------------------------------------------------------------------------ one transaction

    async def _one(self, step: Step, due_s: float | None = None) -> Any:
        """Sign and submit; the value that the verified receipt proves. What is only asked: the node's answer."""
        self._count += 1
        client, staged = self._clients[step.side], self._count % PHASES_EVERY == 0
        began = self._now_s()
        if step.asked:
            value = await client.view(step.contract, step.function, step.args)
            self._note(step, value, [began, self._now_s()], began if due_s is None else due_s)
            return value
        signed = await client.sign(
            step.contract, step.function, step.args, gas_limit=step.gas_limit, expires_at_height=self._expires
        )
        at = [began, self._now_s()]
        if staged:
            for wait in ("accepted", "committed"):
                await self._stage(client, signed, wait)
                at.append(self._now_s())
        outcome = await client.submit(signed)
        at.append(self._now_s())
        self._note(step, outcome.value, at, at[1] if due_s is None else due_s)
        return outcome.value

    async def _stage(self, client: AsyncClient, signed: Signed, wait: Literal["accepted", "committed"]) -> None:
        params = SubmitParams(
            payload=signed.payload, signatures=signed.signatures, wait=wait, timeout_ms=STAGE_TIMEOUT_MS
        )
        await client.call_plain(methods.SUBMIT, params)

    def _note(self, step: Step, value: Any, at: list[float], from_s: float) -> None:
        result, ended_s = self._result, at[-1]
        if ended_s < self._from_s:
            return
        result.samples.append(Sample(from_s, ended_s))
        if ended_s >= self._until_s:
            return
        result.trades += step.trades(value)
        result.by_function[f"{step.contract}.{step.function}"] += 1
        if len(at) == len(PHASES) + 1:
            for name, began, ended in zip(PHASES, at, at[1:], strict=False):
                result.phases_ms[name].append((ended - began) * 1000)

    def _now_s(self) -> float:
        """The wall clock as it was at the beginning, and from there on one that nobody sets."""
        return self._clock_s + time.perf_counter()
