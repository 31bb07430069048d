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
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from bench.market import Deal, Side, Source, Step
from bench.open_loop import DRAIN_S, Arrivals, OpenLoop, due_times
from bench.pace import FixedLoad, Pace
from bench.pace import due_times as paced
from bench.samples import Sample
from bench.sources import Goods, source_of
from bench.start import Start, joined
from ca.keys import SigningKey
from ledger.genesis import load_genesis
from sdk import methods
from sdk.client import AsyncClient, Signed
from sdk.errors import Refused, SdkError
from sdk.methods import SubmitParams
from sdk.process import event_loop_factory
from sdk.transports import connect

PHASES_EVERY = 25
PHASES = ("signed", "taken in", "executed", "certified and verified")
PLACES_MAX = 500
"""In flight of one client at a round's rate, however slow the answers are."""
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
    warm_up_s: float
    measure_s: float
    rate_per_s: float | None = None
    """Of this client, in an open loop; None: a closed one."""
    arrivals: Arrivals = Arrivals.CONSTANT
    offset_s: float = 0.0
    """From the common start to this client's first due moment, so that clients do not send together."""
    pace: Pace | None = None
    """Of a round in Caliper's terms, instead of ``rate_per_s`` and ``outstanding``: latencies count from the moment
    when a transaction was begun."""
    number: int | None = None
    """Transactions of the round, if not ``measure_s`` says how long it is."""


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
    begun: int = 0
    first_begun_s: float = 0.0
    last_begun_s: float = 0.0
    """Wall clock; of all its load."""


def run_load(plan: LoadPlan) -> LoadResult:
    """The process's entry."""
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(_Load(plan, joined()).run())


@asynccontextmanager
async def loading(plans: list[LoadPlan]) -> AsyncIterator[tuple[float, asyncio.Future[list[LoadResult]]]]:
    """Run one process for each plan. Once all are ready: when they begin, by the wall clock, and what they will have
    seen. Ends when they do."""
    loop, context = asyncio.get_running_loop(), get_context("spawn")
    start = Start.of(context)
    with ProcessPoolExecutor(len(plans), context, start.join) as pool:
        results = asyncio.gather(*(loop.run_in_executor(pool, run_load, plan) for plan in plans))
        try:
            yield await start.begin(len(plans), results), results
        finally:
            start.release()
            await asyncio.wait([results])


class _Load:
    def __init__(self, plan: LoadPlan, start: Start) -> None:
        self._plan, self._start = plan, start
        self._clients: dict[Side, AsyncClient] = {}
        self._source: Source
        self._result = LoadResult()
        self._ready: deque[tuple[Deal, Step]] = deque()
        """In an open loop: steps that wait for their moment."""
        self._ended = 0
        self._expires = 0
        self._clock_s = time.time() - time.perf_counter()
        self._from_s = self._until_s = 0.0

    async def run(self) -> LoadResult:
        plan = self._plan
        genesis = await asyncio.to_thread(load_genesis, plan.genesis)
        async with AsyncExitStack() as stack:
            for side, path in plan.keys.items():
                client = AsyncClient([connect(plan.endpoint)], genesis, SigningKey.load(path))
                self._clients[side] = await stack.enter_async_context(client)
            self._source = source_of(plan.goods, {side: client.signer for side, client in self._clients.items()})
            self._expires = (await self._clients["buyer"].status()).executed_height + EXPIRES_AFTER
            start_at_s = await asyncio.to_thread(self._start.wait)
            self._from_s = start_at_s + plan.warm_up_s
            self._until_s = self._from_s + plan.measure_s
            await asyncio.sleep(max(0.0, start_at_s - time.time()))
            await self._go(start_at_s + plan.offset_s)
        return self._result

    # ------------------------------------------------------------------------------------------ the loops

    async def _go(self, from_s: float) -> None:
        plan = self._plan
        if isinstance(plan.pace, FixedLoad):
            await self._closed(plan.pace.outstanding)
        elif plan.pace is not None:
            due = paced(plan.pace, from_s, self._until_s, plan.number, lambda: self._ended)
            await self._open(due, PLACES_MAX)
        elif plan.rate_per_s is not None:
            due = due_times(plan.arrivals, plan.rate_per_s, from_s, self._until_s, plan.goods.seed)
            await self._open(due, plan.outstanding)
        else:
            await self._closed(plan.outstanding)

    async def _closed(self, outstanding: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(outstanding):
                tasks.create_task(self._loop())

    def _goes_on(self) -> bool:
        number = self._plan.number
        return self._now_s() < self._until_s and (number is None or self._result.begun < number)

    async def _loop(self) -> None:
        while self._goes_on():
            deal = self._source.deal()
            try:
                step = next(deal)
                while self._goes_on():
                    step = deal.send(await self._one(step))
            except StopIteration:
                continue
            except Refused:
                self._result.refused += 1
            except SdkError:
                self._result.failed += 1

    async def _open(self, due: Iterator[float], places: int) -> None:
        undone = await OpenLoop(due, places, self._due, self._now_s).run(self._until_s + DRAIN_S)
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
        began = self._begin()
        try:
            return await self._sent(step, began, began if self._plan.pace else due_s)
        finally:
            self._ended += 1

    def _begin(self) -> float:
        result, now_s = self._result, self._now_s()
        result.first_begun_s, result.last_begun_s = result.first_begun_s or now_s, now_s
        result.begun += 1
        return now_s

    async def _sent(self, step: Step, began: float, from_s: float | None) -> Any:
        """``from_s``: when its latency begins, if not once it has been signed."""
        client, staged = self._clients[step.side], self._result.begun % PHASES_EVERY == 0 and not self._plan.pace
        if step.asked:
            value = await client.view(step.contract, step.function, step.args)
            self._note(step, value, [began, self._now_s()], began if from_s is None else from_s)
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
        self._note(step, outcome.value, at, at[1] if from_s is None else from_s)
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
