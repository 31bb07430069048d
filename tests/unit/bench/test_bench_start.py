"""Clients of a run begin together, as soon as the slowest of them is ready."""

from __future__ import annotations

import asyncio
import threading
import time
from multiprocessing import get_context

import pytest

from bench import start as module
from bench.options import BenchError
from bench.start import Start


def waiting(start: Start, told: list[float]) -> threading.Thread:
    thread = threading.Thread(target=lambda: told.append(start.wait()))
    thread.start()
    return thread


async def test_nobody_begins_before_the_last_one_is_ready() -> None:
    start, told = Start.of(get_context("spawn")), list[float]()
    unfinished = asyncio.get_running_loop().create_future()
    beginning = asyncio.create_task(start.begin(2, unfinished))
    threads = [waiting(start, told)]
    await asyncio.sleep(0)
    assert not beginning.done()
    ready_s = time.time()
    threads.append(waiting(start, told))
    at_s = await beginning
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert told == [at_s, at_s]
    assert at_s > ready_s
    unfinished.cancel()


async def test_a_client_that_fails_instead_is_told_of() -> None:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    failed.set_exception(BenchError("no such key"))
    with pytest.raises(BenchError, match="no such key"):
        await Start.of(get_context("spawn")).begin(2, failed)


async def test_clients_that_never_get_ready_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READY_S_MAX", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    unfinished = asyncio.get_running_loop().create_future()
    with pytest.raises(BenchError, match="2 of 2 clients were not ready"):
        await Start.of(get_context("spawn")).begin(2, unfinished)
    unfinished.cancel()


def test_who_waits_for_a_beginning_that_never_comes_is_released() -> None:
    start = Start.of(get_context("spawn"))
    start.release()
    with pytest.raises(BenchError, match="not ready"):
        start.wait()
