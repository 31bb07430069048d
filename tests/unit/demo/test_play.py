"""After its verdict the demo plays the same day again and again, until it is told to stop."""

from __future__ import annotations

import asyncio
import io
import time
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from demo.agent import Forecast
from demo.play import Play
from demo.setting import INTERVALS_A_DAY, Day
from sdk.errors import TransportError

FIRST_INTERVAL = 2_000_000
PLAYED = 110
"""Quarter-hours since the day's beginning when the verdict is there."""
INTERVALS_PER_S = 200


class Recorder:
    """An agent that only notes what it would sell; ``enough`` is set with the third interval."""

    def __init__(self, enough: asyncio.Event) -> None:
        self.participant = SimpleNamespace(meter="M", role="seller")
        self.sold: list[tuple[int, Forecast]] = []
        self._enough = enough

    async def sell(self, interval: int, forecast: Forecast) -> None:
        self.sold.append((interval, forecast))
        if len(self.sold) == 3:
            self._enough.set()

    async def confirm(self) -> int:
        return 0


class Seller(Recorder):
    """Goes on selling for ever, once it has begun."""

    async def sell(self, interval: int, forecast: Forecast) -> None:
        self._enough.set()
        await asyncio.Event().wait()


async def test_a_day_that_is_interrupted_ends_what_its_households_are_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a tester: Ctrl-C in mid-day ended with a page of unclosed sessions, which agents had opened anew."""
    begun = asyncio.Event()
    day = Day(date(2027, 6, 21), FIRST_INTERVAL, FIRST_INTERVAL * 900_000, int(time.time() * 1000), 900.0)

    async def done(*_: Any) -> None:
        return None

    async def unanswered(*_: Any, **__: Any) -> None:
        raise TransportError("nobody listens")

    world: Any = SimpleNamespace(
        day=day,
        agents=[Seller(begun)],
        cluster=SimpleNamespace(names=["node1"], up=done, status=done),
        operator=SimpleNamespace(query=unanswered),
        options=SimpleNamespace(once=True, played=range(4, 96), kill_primary_at=None),
        start_meters=lambda profiles: None,
        admit_everybody=done,
        start_gateways=lambda: None,
        check_processes=lambda: None,
    )
    profile: Any = SimpleNamespace(forecast_import_wh=[0] * INTERVALS_A_DAY, forecast_export_wh=[0] * INTERVALS_A_DAY)
    monkeypatch.setattr(Play, "_tell", lambda play, interval: None)
    play = asyncio.create_task(Play(world, {"M": profile}, Console(file=io.StringIO())).whole_day())
    await asyncio.wait_for(begun.wait(), 30)
    play.cancel()
    await asyncio.gather(play, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1


async def test_the_day_goes_on_with_the_same_forecasts_until_stopped() -> None:
    stop = asyncio.Event()
    agent = Recorder(stop)
    start_ms = (FIRST_INTERVAL + PLAYED) * 900_000
    day = Day(date(2027, 6, 21), FIRST_INTERVAL, start_ms, int(time.time() * 1000), 900.0 * INTERVALS_PER_S)
    world: Any = SimpleNamespace(day=day, agents=[agent], cluster=SimpleNamespace(names=["node1"]))
    quarters = list(range(INTERVALS_A_DAY))
    profile: Any = SimpleNamespace(forecast_import_wh=quarters, forecast_export_wh=quarters)
    play = Play(world, {"M": profile}, Console(file=io.StringIO()))
    await asyncio.wait_for(play.go_on(stop), 30)
    places = [interval - FIRST_INTERVAL for interval, _ in agent.sold[:3]]
    assert places[0] > PLAYED
    assert places == list(range(places[0], places[0] + 3))
    assert [forecast.export_wh for _, forecast in agent.sold[:3]] == [place % INTERVALS_A_DAY for place in places]
    assert len(asyncio.all_tasks()) == 1
