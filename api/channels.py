"""The channels beside the main one: which there are, and those that this node takes part in.

A node is a member of a channel when its home holds the channel's genesis file and the main ledger that file's hash. It
looks for both again and again, so that neither founding nor closing a channel takes a restart. What fails in a channel
ends that channel here, not the node; the log says why, and not the node's status, which anybody may read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from api.channel_records import channel_of, channels_of
from api.members import NOWHERE, Door, Doorstep, Handle
from api.sessions import Sessions
from api.unit import Unit
from ledger.genesis import GENESIS_FILE_NAME, Genesis, GenesisInvalid, load_genesis
from ledger.ledger import Ledger
from sdk.methods import ChannelRecord

LOOK_S = 0.5
"""How often a node looks whether channels were founded or closed, and whether it was given a genesis file."""

log = logging.getLogger("wattq.channels")


class Seat(Protocol):
    """Our place in a channel."""

    async def run(self) -> None:
        """Take part until ``stop``; raises when any part fails."""

    def stop(self) -> None: ...

    def rest(self) -> None:
        """The channel is closed: order what is on its way, and no empty blocks any more."""


OpenUnit = Callable[[Genesis], Unit]
"""Opens the ledger that a genesis file begins, in a thread; raises for one that no ledger can begin with."""
TakeSeat = Callable[[Unit, bool], Seat]
"""``take_seat(unit, closed)``, in the event loop."""


@dataclass(slots=True)
class Place:
    """A channel that we take part in."""

    seat: Seat
    door: Door
    resting: bool


class Channels:
    """``directory``: where members' genesis files lie, one directory a channel. ``run`` until ``stop``; ``close`` once
    no calls are answered any more."""

    def __init__(
        self,
        directory: Path,
        main: Ledger,
        channels_max: int,
        open_unit: OpenUnit,
        take_seat: TakeSeat,
        addresses: frozenset[str],
    ) -> None:
        self._directory = directory
        self._main = main
        self._max = channels_max
        self._open_unit = open_unit
        self._take_seat = take_seat
        self._doorstep = Doorstep()
        self._nowhere = Door(Sessions(NOWHERE, 1, addresses), self._doorstep)
        self._places: dict[str, Place] = {}
        self._units: list[Unit] = []
        self._refused: dict[str, tuple[int, int]] = {}
        self._stopping = asyncio.Event()

    def handler(self, name: str) -> Handle:
        """Who answers in a channel; be there one of that name or not, strangers cannot tell."""
        return self.door(name).handle

    def door(self, name: str) -> Door:
        """The door of a channel, be there one of that name or not."""
        place = self._places.get(name)
        return self._nowhere if place is None else place.door

    def whose(self, name: str, token: str) -> str:
        """The signer whose session in a channel a token is; empty for none."""
        place = self._places.get(name)
        return (self._nowhere if place is None else place.door).whose(token)

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        for unit in self._units:
            unit.close()

    async def run(self) -> None:
        """Take part in every channel whose member we are; ends when ``stop`` was called and all have ended."""
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                for record in channels_of(self._main.reader()):
                    await self._look(record, tasks)
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._stopping.wait()
                except TimeoutError:
                    continue
            for place in self._places.values():
                place.seat.stop()

    async def _look(self, record: ChannelRecord, tasks: asyncio.TaskGroup) -> None:
        place = self._places.get(record.name)
        if place is None:
            if (unit := await self._opened(record)) is not None:
                self._enter(record, unit, tasks)
        elif record.closed and not place.resting:
            place.resting = True
            place.seat.rest()
            log.info("channel %s is closed", record.name)

    async def _opened(self, record: ChannelRecord) -> Unit | None:
        """The channel's ledger, if we were given its genesis file; not again from one that was no good."""
        path = self._directory / record.name / GENESIS_FILE_NAME
        try:
            stat = path.stat()
        except OSError:
            return None
        if self._refused.get(record.name) == (stat.st_mtime_ns, stat.st_size):
            return None
        self._refused[record.name] = (stat.st_mtime_ns, stat.st_size)
        try:
            return await asyncio.to_thread(self._open, path, record)
        except Exception as error:
            # One channel must not end the node, whatever is wrong with its file or its data.
            log.error("channel %s cannot be opened: %s", record.name, error)
            return None

    def _open(self, path: Path, record: ChannelRecord) -> Unit:
        genesis = load_genesis(path)
        if genesis.chain_id.hex() != record.genesis:
            raise GenesisInvalid(f"{path}: another one than the network founded: its SHA-256 is not {record.genesis}")
        if genesis.channel != record.name:
            raise GenesisInvalid(f"{path}: this is channel {genesis.channel}'s")
        if len(self._units) >= self._max:
            raise GenesisInvalid(f"limits.channels_max: this node takes part in {self._max} channels already")
        return self._open_unit(genesis)

    def _enter(self, record: ChannelRecord, unit: Unit, tasks: asyncio.TaskGroup) -> None:
        name = record.name
        unit.start()
        self._units.append(unit)
        try:
            seat = self._take_seat(unit, record.closed)
        except Exception as error:
            log.exception("channel %s cannot be opened: %s", name, error)
            return
        service = unit.service
        closed = partial(self._is_closed, name)
        door = Door(unit.sessions, self._doorstep, unit.ledger, service.handle, closed, service.stream)
        self._places[name] = Place(seat, door, record.closed)
        tasks.create_task(self._take_part(name, seat))
        log.info("channel %s is up at height %d", name, unit.ledger.height)

    async def _take_part(self, name: str, seat: Seat) -> None:
        """Whoever is voted out goes on answering its members from what it has; a ledger that failed answers nobody."""
        try:
            await seat.run()
            log.info("consensus of channel %s has ended here", name)
        except Exception as error:
            log.exception("channel %s has failed here: %s", name, error)
            del self._places[name]

    def _is_closed(self, name: str) -> bool:
        record = channel_of(self._main.reader(), name)
        return record is not None and record.closed
