"""Plays the day: every interval the households trade ahead, meters tick, readings arrive, settlements are signed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live

from cluster import ContractSet
from demo.agent import Agent, Forecast
from demo.check import Check, Damaged, Recompute, Recomputed, agreed, recompute_all, verdicts
from demo.couchdb import servers
from demo.ground import claim
from demo.observer import watched
from demo.profiles import DayProfile, Household, day_profiles, load_profiles
from demo.progress import Progress, Scene, progress_line, time_of
from demo.setting import (
    NODES,
    PARTICIPANTS,
    PORTS_NEEDED,
    TAIL_INTERVALS,
    DemoError,
    Options,
    Ports,
    check_options,
    day_after,
    plan_day,
)
from demo.summary import print_summary, summary_json, web_addresses
from demo.world import World
from ledger.genesis import GENESIS_FILE_NAME
from sdk.clock import Clock
from sdk.errors import SdkError
from sdk.ports import BLOCK_FIRST, claim_ports
from sdk.process import ending_signals

TRADE_AHEAD = 2
"""Agents trade the interval after next: gate closure leaves them most of an interval to do so."""
BUY_AT = 0.35
CONFIRM_AT = 0.7
RESTART_AFTER = 6
"""Intervals after which a killed primary is started again."""
CATCH_UP_TIMEOUT_S = 60.0
POLL_S = 0.2
LINE_EVERY = 8
"""Intervals between lines of progress where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What the command line hands in: the contracts to deploy, and how to execute a chain anew."""

    contracts: ContractSet
    recompute: Recompute


async def run_demo(options: Options, engine: Engine, console: Console) -> int:
    """Play a day; 0 only if every check holds. Ends everything that it started."""
    check_options(options)
    if options.state == "embedded" or options.couchdb_urls:
        return await _run_day(options, engine, console)
    console.print("Starting CouchDB-compatible servers (express-pouchdb from npm), one a node; this is not CouchDB.")
    with ExitStack() as running:
        urls = await asyncio.to_thread(running.enter_context, servers(NODES))
        return await _run_day(replace(options, couchdb_urls=urls), engine, console)


async def _run_day(options: Options, engine: Engine, console: Console) -> int:
    today = datetime.now(UTC).date()
    profiles, process_start_s = await asyncio.gather(
        asyncio.to_thread(profiles_of, options, day_after(today).isoformat()), asyncio.to_thread(_process_start_s)
    )
    with claim(options.directory, options.beside_others) as ground:
        if ground.directory != options.directory:
            console.print(f"{options.directory} is another demo's: this one lives in {ground.directory}")
        options = replace(options, directory=ground.directory)
        day = plan_day(options, today, process_start_s)
        with claim_ports(PORTS_NEEDED) as block:
            world = World(options, day, Ports(block), engine.contracts)
            return await _run(world, profiles, engine, console)


async def _run(world: World, profiles: Mapping[str, DayProfile], engine: Engine, console: Console) -> int:
    """Play, and close the world, whatever happens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop.set)
    play = Play(world, profiles, console)
    task = asyncio.create_task(play.whole_day())
    stopping = asyncio.create_task(stop.wait())
    try:
        _announce(world, console)
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            with contextlib.suppress(OSError):  # the terminal may be what went away
                console.print("Stopping.")
            return 130
        return await _judge(play, task.result(), engine, console, stop)
    finally:
        for pending in (task, stopping):
            pending.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
        await world.close()


def _announce(world: World, console: Console) -> None:
    ports = world.ports
    if ports.first != BLOCK_FIRST:
        console.print(f"The ports from {BLOCK_FIRST} on are taken; this demo has {ports.first} to {ports.last}.")
    console.print("web: " + "  ".join(web_addresses(world)), soft_wrap=True)


def _process_start_s() -> float:
    """How long a process takes to start and to import a node, at this machine's present load."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-P", "-c", "import node"], stdin=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def profiles_of(options: Options, date: str) -> Mapping[str, DayProfile]:
    """What each meter will show and its household expects, by the meter's serial."""
    households = [Household(p.meter, p.profile, p.annual_kwh) for p in PARTICIPANTS]
    if options.profiles is not None:
        return load_profiles(options.profiles, [p.meter for p in PARTICIPANTS], options.seed)
    return day_profiles(households, date, options.seed)


async def _judge(play: Play, height: int, engine: Engine, console: Console, stop: asyncio.Event) -> int:
    """Recompute everything from the data directories, print the summary, and stay up unless ``--once``."""
    world = play.world
    homes = [world.cluster.home(name) for name in world.voters]
    outcomes = await recompute_all(engine.recompute, homes, world.directory / GENESIS_FILE_NAME, height)
    found = dict(zip(world.voters, outcomes, strict=True))
    checks = verdicts(found, world.journal, world.options.is_own_whole_day)
    checks.append(await watched(world, height, agreed(found)))
    checks += [await play.state_databases(height)] if world.options.couchdb_urls else []
    if world.options.json:
        sys.stdout.write(json.dumps(summary_json(world, agreed(found), checks, play.played_s), indent=2) + "\n")
        sys.stdout.flush()
    else:
        print_summary(console, world, agreed(found), checks, play.played_s)
    good = all(check.holds for check in checks)
    if not world.options.once:
        console.print("The network stays up. Ctrl-C ends it.")
        await stop.wait()
    return 0 if good else 1


class Play:
    """The day itself."""

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
            watcher = asyncio.create_task(self._watch())
            try:
                await self._play_intervals()
                self._scene.phase = "settling"
                await self._settle()
                height = await self._catch_up()
            finally:
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher
        self.played_s = time.monotonic() - began
        return height

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
        forecast = Forecast(profile.forecast_import_wh[interval], profile.forecast_export_wh[interval])
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


__all__ = ["Check", "Damaged", "Engine", "Recomputed", "run_demo"]
