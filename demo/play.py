"""The day itself: every interval the households trade ahead, meters tick, settlements are signed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live

from demo.agent import Agent, Forecast
from demo.check import Check
from demo.guests import DIRECTORY, invite, write_backups
from demo.profiles import DayProfile
from demo.progress import Progress, Scene, progress_line, time_of
from demo.setting import INTERVAL_S, INTERVALS_A_DAY, TAIL_INTERVALS, DemoError
from demo.summary import web_addresses
from demo.world import World
from sdk.clock import Clock
from sdk.errors import SdkError

TRADE_AHEAD = 2
"""Agents trade the interval after next: gate closure leaves them most of an interval to do so."""
BUY_AT = 0.35
CONFIRM_AT = 0.7
RESTART_AFTER = 6
"""Intervals after which a killed primary is started again."""
CATCH_UP_TIMEOUT_S = 60.0
POLL_S = 0.2
DAYS_AFTER = 5
"""Days that the households trade on for somebody to watch, once the verdict is there: 15 MB of disk a node and day."""
LINE_EVERY = 8
"""Intervals between lines of progress where there is no terminal."""


class Play:
    """One world's day; ``go_on`` plays it again."""

    def __init__(self, world: World, profiles: Mapping[str, DayProfile], console: Console) -> None:
        self.world = world
        self._profiles = profiles
        self._console = console
        day = world.day
        self._clock = Clock(day.clock_start_ms, day.rate, day.wall_start_ms)
        self._scene = Scene(world.cluster.names)
        self._turns: set[asyncio.Task[None]] = set()
        self.played_s = 0.0

    async def whole_day(self) -> int:
        """Set the stage, play every interval, settle; the height up to which every node has blocks."""
        world = self.world
        began = time.monotonic()
        with self._display():
            self._scene.phase = "starting four nodes and an observer"
            world.start_meters(self._profiles)
            await world.cluster.up()
            self._scene.phase = "enrolling households"
            await world.admit_everybody()
            world.start_gateways()
            inviting = asyncio.create_task(self._invite())
            watcher = asyncio.create_task(self._watch())
            try:
                await self._play_intervals()
                self._scene.phase = "settling"
                await self._settle()
                height = await self._catch_up()
                await inviting
            finally:
                await _end([watcher, inviting, *self._turns])
        self.played_s = time.monotonic() - began
        return height

    async def _invite(self) -> None:
        """Let people in at the page, while the day begins; one that ends by itself has nobody look on."""
        if self.world.options.once:
            return
        place = self.world.options.directory / DIRECTORY
        await asyncio.to_thread(write_backups, self.world.directory / "users", place)
        invite(self._console, place, web_addresses(self.world)[0])

    async def go_on(self, stop: asyncio.Event) -> None:
        """The same day again and again until ``stop``, for who looks on; it is judged no more."""
        again = asyncio.create_task(self._again())
        await stop.wait()
        await _end([again, *self._turns])

    async def _again(self) -> None:
        begins = (self._clock.now_ms() - self.world.day.time_ms(0)) // (1000 * INTERVAL_S) + 1 + TRADE_AHEAD
        for interval in range(begins, begins + DAYS_AFTER * INTERVALS_A_DAY):
            await self._clock.sleep_until(self.world.day.time_ms(interval - TRADE_AHEAD))
            for agent in self.world.agents:
                self._spawn(self._turn(agent, interval))

    def _display(self) -> contextlib.AbstractContextManager[object]:
        """The live display on a terminal; elsewhere a line now and then."""
        if not self._console.is_terminal:
            return contextlib.nullcontext()
        view = Progress(self._scene, self.world.journal)
        return Live(view, console=self._console, refresh_per_second=4, transient=True)

    def _tell(self, interval: int) -> None:
        played = self.world.options.played
        if not self._console.is_terminal and (interval - played[0]) % LINE_EVERY == 0:
            self._console.print(progress_line(self._scene, self.world.journal), soft_wrap=True)

    async def _play_intervals(self) -> None:
        played = self.world.options.played
        self._scene.phase = f"waiting for {time_of(played[0])}"
        late_ms = self._clock.now_ms() - self.world.day.time_ms(played[0] - TRADE_AHEAD)
        if late_ms > 0:
            self._console.print(
                f"Starting took {late_ms / self._clock.rate / 1000:.0f} s longer than planned, so that gates may have "
                "closed before anybody traded. This machine is busy: try a larger --seconds-per-interval.",
                soft_wrap=True,
            )
        for interval in played:
            await self._clock.sleep_until(self.world.day.time_ms(interval - TRADE_AHEAD))
            self._scene.phase, self._scene.interval = "trading", interval
            self._tell(interval)
            self.world.check_processes()
            await self._faults(interval)
            for agent in self.world.agents:
                self._spawn(self._turn(agent, interval))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)

    async def _turn(self, agent: Agent, interval: int) -> None:
        """One household's part in trading ``interval`` and in confirming earlier ones."""
        profile = self._profiles[agent.participant.meter]
        quarter = interval % INTERVALS_A_DAY
        forecast = Forecast(profile.forecast_import_wh[quarter], profile.forecast_export_wh[quarter])
        number = self.world.day.first_interval + interval
        begins = interval - TRADE_AHEAD
        await agent.sell(number, forecast)
        await self._clock.sleep_until(self.world.day.time_ms(begins, BUY_AT))
        if agent.participant.role != "seller":
            await agent.buy(number, forecast)
        await self._clock.sleep_until(self.world.day.time_ms(begins, CONFIRM_AT))
        await agent.confirm()

    async def _faults(self, interval: int) -> None:
        """Kill the primary when asked to, and start it again some intervals later."""
        at = self.world.options.kill_primary_at
        if at is None:
            return
        if interval == at:
            status = await self.world.operator.status()
            self._scene.killed = status.primary
            self.world.cluster.kill(status.primary)
        elif interval == at + RESTART_AFTER and self._scene.killed:
            self.world.cluster.start(self._scene.killed)

    async def _settle(self) -> None:
        """Confirm until nothing waits any more and the last interval's deadlines have passed."""
        await asyncio.gather(*self._turns)
        end = self.world.options.played.stop
        for step in range(TAIL_INTERVALS):
            await self._clock.sleep_until(self.world.day.time_ms(end + step))
            await asyncio.gather(*(agent.confirm() for agent in self.world.agents))

    async def _catch_up(self) -> int:
        """Wait until every node has executed what the highest one had; that height."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CATCH_UP_TIMEOUT_S
        names = self.world.cluster.names
        goal = max([status.executed_height for status in await self._statuses() if status is not None], default=0)
        while loop.time() < deadline:
            statuses = await self._statuses()
            if all(status is not None and status.certified_height >= goal for status in statuses):
                return goal
            await asyncio.sleep(POLL_S)
        behind = [name for name, s in zip(names, statuses, strict=True) if s is None or s.certified_height < goal]
        raise DemoError(f"{', '.join(behind)} did not reach height {goal} within {CATCH_UP_TIMEOUT_S:g} s")

    async def state_databases(self, goal: int) -> Check:
        """Whether every node's CouchDB comes to hold what was executed."""
        deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
        while True:
            statuses = await self._statuses()
            held = [0 if status is None else status.state_database_height for status in statuses]
            if min(held) >= goal or time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_S)
        written = sum(s.state_database.documents for s in statuses if s is not None and s.state_database is not None)
        count = sum(height >= goal for height in held)
        detail = f"{count} of {len(held)} hold block {goal}, {written} documents written"
        return Check("state databases", count == len(held), detail)

    async def _statuses(self) -> list[Any]:
        cluster = self.world.cluster
        return list(await asyncio.gather(*(cluster.status(name) for name in cluster.names)))

    async def _watch(self) -> None:
        """Refresh the scene from the nodes' own words; the verdict comes from elsewhere."""
        while True:
            self._scene.statuses = await self._statuses()
            with contextlib.suppress(SdkError):
                rows = await self.world.operator.query({"v.type": "trade"}, limit=200, sort=({"_id": "desc"},))
                self._scene.see_trades([row.value for row in rows.rows])
            await asyncio.sleep(2 * POLL_S)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
