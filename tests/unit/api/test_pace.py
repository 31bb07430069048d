"""A client's pace: a second's worth at once, the rest in turn, and nobody waits for anybody else's."""

from __future__ import annotations

import asyncio

import pytest

from api import pace
from api.pace import CLIENTS_MAX, REFUSED_COST, Pace
from sdk.errors import Refused


async def waited_s(made: Pace, client: str, count: int) -> float:
    """How long so many requests at once wait, until the last one's turn."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(made.turn(client))
    return loop.time() - began_s


async def test_a_burst_passes_at_once_and_what_is_above_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BURST_S", 0.1)
    made = Pace(100)
    assert await waited_s(made, "ann", 30) >= 0.19
    assert made._due_s.keys() == {"ann"}


async def test_nobody_waits_for_anothers_turn() -> None:
    made = Pace(1)
    await made.turn("ann")
    flood = asyncio.ensure_future(made.turn("ann"))
    for number in range(1_000):
        await made.turn(f"client {number}")
    assert not flood.done()
    flood.cancel()


async def test_what_would_wait_too_long_is_refused_and_takes_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "WAIT_S_MAX", 0.0)
    made = Pace(1)
    await made.turn("ann")
    before = dict(made._due_s)
    for _ in range(3):
        with pytest.raises(Refused, match="TOO_MANY_REQUESTS") as refusal:
            await made.turn("ann")
        assert refusal.value.status == 429
    assert made._due_s == before


async def test_a_refused_request_costs_its_client_as_much_as_several() -> None:
    made = Pace(1)
    await made.turn("ann")
    made.refused("bob")
    assert made._due_s["bob"] == pytest.approx(made._due_s["ann"] + REFUSED_COST - 1, abs=0.5)


async def test_the_memory_of_clients_is_bounded() -> None:
    made = Pace(1_000)
    for number in range(2 * CLIENTS_MAX + 5):
        await made.turn(f"client {number}")
    assert len(made._due_s) <= CLIENTS_MAX
