"""A line of simulated meters behind a real Modbus TCP server, and a way to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

WAIT_S = 20.0
LOOK_S = 0.005


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], object]:
    """``await until(condition)``: returns once it holds, fails after ``WAIT_S``."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  # a test looks from outside
                await asyncio.sleep(LOOK_S)

    return wait
