"""What befalls a lab node's frames, on a loop whose clock is real and whose waits are short."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from faults.real.links import WAITING_BYTES_MAX, LinkFault, Links

PEER, OTHER = b"peer", b"other"
NAMES = {PEER: "node2", OTHER: "node3"}


class Wire:
    """Collects what arrives, until there is as much as is waited for."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.grown = asyncio.Event()

    def take(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.grown.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                self.grown.clear()
                await self.grown.wait()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def links() -> Links:
    return Links(lambda key: NAMES.get(key, ""), seed=1)


async def test_a_healthy_link_carries_at_once_what_it_gets(links: Links, wire: Wire) -> None:
    links.put({"node3": LinkFault(cut=True)})
    links.carry(PEER, b"a", wire.take)
    assert wire.frames == [b"a"]
    assert links.befallen.total() == 0


async def test_a_cut_link_carries_nothing_until_it_heals(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(cut=True)})
    links.carry(PEER, b"a", wire.take)
    links.put({})
    links.carry(PEER, b"b", wire.take)
    assert wire.frames == [b"b"]
    assert links.befallen["cut"] == 1


async def test_everybody_stands_for_those_who_are_not_named(links: Links, wire: Wire) -> None:
    links.put({"*": LinkFault(cut=True), "node2": LinkFault()})
    links.carry(PEER, b"a", wire.take)
    links.carry(OTHER, b"b", wire.take)
    assert wire.frames == [b"a"]


async def test_what_is_delayed_comes_later_in_its_order(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(delay_ms=20)})
    for number in range(50):
        links.carry(PEER, b"%d" % number, wire.take)
    assert wire.frames == []
    await wire.until(50)
    assert wire.frames == [b"%d" % number for number in range(50)]


async def test_jitter_lets_frames_overtake_each_other(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(jitter_ms=50)})
    sent = [b"%d" % number for number in range(50)]
    for frame in sent:
        links.carry(PEER, frame, wire.take)
    await wire.until(50)
    assert sorted(wire.frames) == sorted(sent)
    assert wire.frames != sent


async def test_some_are_lost_some_doubled_some_damaged(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(loss=0.3, duplication=0.3, corruption=0.3)})
    for _ in range(1_000):
        links.carry(PEER, bytes(8), wire.take)
    told = links.befallen
    assert len(wire.frames) == 1_000 - told["lost"] + told["doubled"]
    assert sum(frame != bytes(8) for frame in wire.frames) == told["damaged"]
    assert all(sum(byte.bit_count() for byte in frame) <= 1 for frame in wire.frames)
    assert min(told["lost"], told["doubled"], told["damaged"]) > 100


async def test_a_narrow_pipe_takes_its_time(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(bytes_per_s=100_000)})
    began_s = asyncio.get_running_loop().time()
    for _ in range(10):
        links.carry(PEER, bytes(1_000), wire.take)
    await wire.until(10)
    assert asyncio.get_running_loop().time() - began_s >= 0.099, "10,000 bytes at 100,000 a second"


async def test_what_waits_is_bounded(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(delay_ms=60_000)})
    frame = bytes(WAITING_BYTES_MAX // 4)
    for _ in range(5):
        links.carry(PEER, frame, wire.take)
    assert (links.befallen["delayed"], links.befallen["overflowed"]) == (4, 1)


@pytest.mark.parametrize("field", ['"loss":1.1', '"delay_ms":-1', '"bytes_per_s":-1', '"delay_ms":600001', '"lost":1'])
def test_no_fault_is_read_that_there_cannot_be(field: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode("{" + field + "}", type=LinkFault)


async def test_what_a_held_link_holds_comes_at_once_and_in_order_when_it_is_let_go(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(held=True)})
    for number in range(5):
        links.carry(PEER, b"%d" % number, wire.take)
    links.carry(OTHER, b"other", wire.take)
    assert wire.frames == [b"other"]
    links.put({"node3": LinkFault(cut=True)})
    assert wire.frames == [b"other", b"0", b"1", b"2", b"3", b"4"]
    assert (links.befallen["held"], links.carried) == (5, 6)


async def test_a_share_of_frames_is_slow_and_is_overtaken(links: Links, wire: Wire) -> None:
    links.put({"node2": LinkFault(slow=0.5, slow_ms_max=50)})
    for number in range(50):
        links.carry(PEER, b"%d" % number, wire.take)
    await wire.until(50)
    assert 0 < links.befallen["slow"] < 50
    assert wire.frames != sorted(wire.frames, key=int)
