"""Many transactions at once: signed and submitted side by side, told in the order in which they were given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from sdk.calling import Call
from sdk.errors import SdkError

IN_FLIGHT_MAX = 64
"""Transactions of one client under way: its nonces reach only so far ahead, and a node's pool is shared."""

T = TypeVar("T")


async def in_order(
    calls: Iterable[Call], do: Callable[[Call], Awaitable[T]], in_flight_max: int
) -> AsyncIterator[tuple[Call, T | SdkError]]:
    """Each call with its outcome, or with why it failed: one that fails stops none of the others."""
    under_way: deque[tuple[Call, asyncio.Task[T | SdkError]]] = deque()
    try:
        for call in calls:
            if len(under_way) >= in_flight_max:
                done, task = under_way.popleft()
                yield done, await task
            under_way.append((call, asyncio.create_task(_told(do(call)))))
        while under_way:
            done, task = under_way.popleft()
            yield done, await task
    finally:
        for _, task in under_way:
            task.cancel()


async def _told(work: Awaitable[T]) -> T | SdkError:
    try:
        return await work
    except SdkError as error:
        return error
