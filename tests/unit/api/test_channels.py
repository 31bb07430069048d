"""Which channels a node takes part in: those whose genesis file it was given and whose hash the main ledger holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from governed import make_genesis
from network import until

from api.channels import Channels
from api.sessions import Sessions
from api.unit import Unit
from ledger.genesis import Genesis, write_genesis
from sdk.errors import Refused
from sdk.methods import Nothing

Desk = Any
FAMILY = make_genesis(channel="family")


class FakeSeat:
    """Takes part until it is told to stop, or to fail."""

    def __init__(self, name: str, closed: bool) -> None:
        self.name = name
        self.resting = closed
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        await self._end

    def stop(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    def fail(self) -> None:
        self._end.set_exception(OSError("the disk is gone"))

    def rest(self) -> None:
        self.resting = True


class World:
    def __init__(self, desk: Desk, home: Path, channels_max: int = 8) -> None:
        self.desk = desk
        self.home = home
        self.seats: list[FakeSeat] = []
        self.unusable = self.full = ""
        self.ended: list[str] = []
        """The units that were closed."""
        self.channels = Channels(home, desk.ledger, channels_max, self._open, self._take_seat, frozenset())

    def _open(self, genesis: Genesis) -> Unit:
        if self.unusable:
            raise ValueError(self.unusable)
        unit = SimpleNamespace(
            channel=genesis.channel,
            ledger=self.desk.ledger,
            sessions=Sessions(self.desk.ledger.genesis.chain_id, 10),
            service=self.desk.service,
            start=lambda: None,
            close=lambda: self.ended.append(genesis.channel),
        )
        return cast(Unit, unit)

    def _take_seat(self, unit: Unit, closed: bool) -> FakeSeat:
        if self.full:
            raise RuntimeError(self.full)
        self.seats.append(FakeSeat(unit.channel, closed))
        return self.seats[-1]

    def found(self, genesis: Genesis = FAMILY, closed: bool = False) -> None:
        record = {"type": "channel", "genesis": genesis.chain_id.hex(), "closed": closed}
        self.desk.plant({f"channels/{genesis.channel}": record})

    def give(self, genesis: Genesis = FAMILY, name: str = "family") -> None:
        (self.home / name).mkdir(exist_ok=True)
        write_genesis(self.home / name / "genesis.json", genesis)

    async def answers(self, name: str) -> str:
        """The code with which a stranger is refused."""
        with pytest.raises(Refused) as caught:
            await self.channels.handler(name)("status", Nothing(), "", "")
        return caught.value.code


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    task = asyncio.get_running_loop().create_task(world.channels.run())
    try:
        yield world
    finally:
        world.channels.stop()
        async with asyncio.timeout(10):
            await task
        world.channels.close()


@pytest.fixture
def world(desk: Desk, tmp_path: Path) -> World:
    home = tmp_path / "channels"
    home.mkdir()
    return World(desk, home)


async def eventually(condition: Callable[[], Any]) -> None:
    async def holds() -> bool:
        return bool(condition())

    await until(holds, 15)


@pytest.mark.parametrize("first", ["file", "record"])
async def test_it_takes_both_a_file_and_the_networks_word(world: World, first: str) -> None:
    second = make_genesis(channel="second")
    (world.give if first == "file" else world.found)()
    world.found(second)
    world.give(second, "second")
    async with running(world):
        # It looks in the order of names, so that by now it has looked for the first one too.
        await eventually(lambda: [seat.name for seat in world.seats] == ["second"])
        (world.found if first == "file" else world.give)()
        await eventually(lambda: [seat.name for seat in world.seats] == ["second", "family"])
    assert world.ended == ["second", "family"]


async def test_a_file_that_is_not_the_founded_one_is_named_and_the_right_one_taken_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.found()
    world.give(make_genesis(channel="family", time_ms=1))
    async with running(world):
        await eventually(lambda: FAMILY.chain_id.hex() in caplog.text)
        assert world.seats == []
        world.give()
        await eventually(lambda: world.seats)


async def test_what_cannot_be_begun_with_ends_no_node(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.unusable = "contract market: line 3: no"
    world.found()
    world.give()
    async with running(world):
        await eventually(lambda: "channel family cannot be opened: contract market: line 3: no" in caplog.text)
        assert world.seats == []


async def test_a_channel_without_a_place_on_the_links_ends_no_node(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.full = "a channel with this id is open already"
    world.found()
    world.give()
    async with running(world):
        await eventually(lambda: "family cannot be opened: a channel with this id is open already" in caplog.text)
    assert world.ended == ["family"], "its ledger is not left open"


async def test_no_more_channels_than_may_be(desk: Desk, world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.channels = Channels(world.home, desk.ledger, 1, world._open, world._take_seat, frozenset())
    second = make_genesis(channel="second")
    world.found()
    world.give()
    world.found(second)
    world.give(second, "second")
    async with running(world):
        await eventually(lambda: "limits.channels_max" in caplog.text)
        assert [seat.name for seat in world.seats] == ["family"]


async def test_closing_lets_it_rest_and_a_restart_finds_it_closed(world: World) -> None:
    world.found()
    world.give()
    async with running(world):
        await eventually(lambda: world.seats)
        assert not world.seats[0].resting
        world.found(closed=True)
        await eventually(lambda: world.seats[0].resting)
    again = World(world.desk, world.home)
    async with running(again):
        await eventually(lambda: again.seats)
        assert again.seats[0].resting


async def test_a_channel_that_fails_ends_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.found()
    world.give()
    async with running(world):
        await eventually(lambda: world.seats)
        world.seats[0].fail()
        await eventually(lambda: "channel family has failed here: the disk is gone" in caplog.text)
        assert await world.answers("family") == "CHANNEL_UNKNOWN"


async def test_members_and_strangers_come_to_the_same_door(world: World) -> None:
    world.found()
    world.give()
    async with running(world):
        await eventually(lambda: world.seats)
        assert await world.answers("family") == await world.answers("nowhere") == "CHANNEL_UNKNOWN"


async def test_anybody_may_read_the_list(world: World) -> None:
    world.found()
    listed = await world.desk.call("channels")
    assert [(record.name, record.genesis, record.closed) for record in listed.channels] == [
        ("family", FAMILY.chain_id.hex(), False)
    ]
