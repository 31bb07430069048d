"""Hypothesis against something that runs in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES, EXAMPLES_AT_LENGTH = 100, 2_000
lengths = pytest.mark.parametrize("examples", [EXAMPLES, pytest.param(EXAMPLES_AT_LENGTH, marks=pytest.mark.full)])


async def throw(examples: int, strategy: st.SearchStrategy[Any], probe: Callable[[Any], Awaitable[None]]) -> None:
    """Have Hypothesis draw examples, in a thread; each is played in this loop."""
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples == EXAMPLES,
        phases=[Phase.generate],  # each try to make it smaller would take as long as what went wrong
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def play(drawn: Any) -> None:
        asyncio.run_coroutine_threadsafe(_played(probe, drawn), loop).result()

    await asyncio.to_thread(play)


async def _played(probe: Callable[[Any], Awaitable[None]], drawn: Any) -> None:
    await probe(drawn)
