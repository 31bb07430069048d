"""Bounded pools: too many calls are refused at once, a slow one at its time limit, and places are given back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.pools import BoundedPool
from sdk.errors import Refused

PATIENCE_S = 10.0


async def test_results_and_faults_come_through() -> None:
    pool = BoundedPool("sums", 1, 1, PATIENCE_S)
    assert await pool.run(pow, 2, 5) == 32
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 1, 0)
    assert await pool.run(pow, 2, 6) == 64


async def test_what_does_not_fit_is_refused_at_once_and_slow_calls_in_time() -> None:
    pool, go_on = BoundedPool("sums", 1, 2, 0.01), threading.Event()
    codes = []
    for result in await asyncio.gather(*(pool.run(go_on.wait, PATIENCE_S) for _ in range(3)), return_exceptions=True):
        assert isinstance(result, Refused)
        assert result.status == 503
        codes.append(result.code)
    assert sorted(codes) == ["TOO_BUSY", "TOO_SLOW", "TOO_SLOW"]
    with pytest.raises(Refused, match="TOO_SLOW"):
        await pool.run(pow, 1, 1)  # one place is free again: the second call never began
    with pytest.raises(Refused, match="TOO_SLOW"):
        await pool.run(pow, 1, 1)
    go_on.set()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                assert await pool.run(pow, 2, 5) == 32
                return
            except Refused:
                await asyncio.to_thread(go_on.wait)
