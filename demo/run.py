"""Has the day played and judged, and ends everything afterwards."""

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

from rich.console import Console

from cluster import ContractSet
from demo.check import Check, Damaged, Recompute, Recomputed, agreed, recompute_all, verdicts
from demo.couchdb import servers
from demo.ground import claim
from demo.observer import watched
from demo.play import DAYS_AFTER, Play
from demo.profiles import DayProfile, Household, day_profiles, load_profiles
from demo.setting import (
    NODES,
    PARTICIPANTS,
    PORTS_NEEDED,
    Options,
    Ports,
    check_options,
    day_after,
    plan_day,
)
from demo.summary import print_summary, summary_json, web_addresses
from demo.world import World
from ledger.genesis import GENESIS_FILE_NAME
from sdk.ports import BLOCK_FIRST, claim_ports
from sdk.process import ending_signals, follow_leash


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
    follow_leash()
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
    console.print(f"mqtt: 127.0.0.1 {ports.mqtt}: mosquitto_sub -p {ports.mqtt} -t '#' -v", soft_wrap=True)


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
        console.print(f"The network stays up, and trades on for {DAYS_AFTER} days. Ctrl-C ends it.")
        await play.go_on(stop)
    return 0 if good else 1


__all__ = ["Check", "Damaged", "Engine", "Recomputed", "run_demo"]
