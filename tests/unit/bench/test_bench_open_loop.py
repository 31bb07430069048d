"""The open loop: what is due is due, however slowly it is answered."""

from __future__ import annotations

import asyncio
import statistics
import time
from itertools import pairwise

import pytest

from bench.open_loop import Arrivals, OpenLoop, due_times

RATE = 200.0
STALL_S = 0.3


def test_constant_arrivals_lie_at_equal_distances() -> None:
    times = list(due_times(Arrivals.CONSTANT, 4.0, 100.0, 102.0, seed=1))
    assert times == [100.0, 100.25, 100.5, 100.75, 101.0, 101.25, 101.5, 101.75]


def test_poisson_arrivals_have_the_rate_and_are_the_same_for_the_same_seed() -> None:
    times = list(due_times(Arrivals.POISSON, 50.0, 0.0, 200.0, seed=7))
    assert times == list(due_times(Arrivals.POISSON, 50.0, 0.0, 200.0, seed=7))
    assert times != list(due_times(Arrivals.POISSON, 50.0, 0.0, 200.0, seed=8))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.05), "exponential"


async def test_a_stall_is_counted_to_all_that_were_due_meanwhile() -> None:
    """With one place and one answer that takes 0.3 s a closed loop would count one slow answer; sixty were due."""
    began_s = time.monotonic()
    taken_s: list[float] = []

    async def answer(due_s: float) -> None:
        if not taken_s:
            await asyncio.sleep(STALL_S)
        taken_s.append(time.monotonic() - due_s)

    due = due_times(Arrivals.CONSTANT, RATE, began_s, began_s + STALL_S, seed=1)
    undone = await OpenLoop(due, 1, answer, time.monotonic).run(began_s + 60.0)
    assert (undone, len(taken_s)) == ([], RATE * STALL_S)
    assert statistics.fmean(taken_s) >= STALL_S / 2
    assert all(earlier > later for earlier, later in pairwise(taken_s[:40])), "who was due later waited less"


async def test_more_are_not_under_way_than_there_are_places() -> None:
    under_way, most = 0, 0

    async def answer(_: float) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1

    await OpenLoop(iter([0.0 + number / 1e6 for number in range(50)]), 3, answer, time.monotonic).run(
        time.monotonic() + 60.0
    )
    assert most == 3


async def test_what_is_not_done_in_time_is_told_sent_or_not() -> None:
    async def answer(due_s: float) -> None:
        if due_s > 1.0:
            await asyncio.Event().wait()

    now_s = time.monotonic()
    undone = await OpenLoop(iter([1.0, 2.0, 3.0, 4.0]), 1, answer, time.monotonic).run(now_s + 0.1)
    assert undone == [2.0, 3.0, 4.0]
