"""What a proxy on the way between two nodes does to bytes and connections, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random

import pytest
import pytest_asyncio

from faults.real.proxy import CHUNK_BYTES, CHUNKS_WAITING_MAX, HOST, Proxies
from faults.scenario import Wire

LIMIT_S = 20.0
A, B = 0, 1
End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Between:
    """Two places with proxies between them; ``dial`` gives both ends of a connection."""

    proxies: Proxies
    accepted: asyncio.Queue[End]
    writers: list[asyncio.StreamWriter]

    async def dial(self) -> tuple[End, End]:
        host, _, port = self.proxies.doors(A)[B].rpartition(":")
        near = await asyncio.open_connection(host, int(port))
        far = await self.accepted.get()
        self.writers += [near[1], far[1]]
        return near, far


@pytest_asyncio.fixture
async def between() -> AsyncIterator[Between]:
    accepted: asyncio.Queue[End] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put((reader, writer))

    server = await asyncio.start_server(accept, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    proxies = Proxies([port, port], 1.0, Random)
    await proxies.listen()
    made = Between(proxies, accepted, [])
    try:
        async with asyncio.timeout(LIMIT_S):
            yield made
    finally:
        await proxies.close()
        for writer in made.writers:
            writer.close()
        server.close()


async def test_bytes_pass_both_ways_and_an_end_that_is_gone_is_gone_for_both(between: Between) -> None:
    (near_in, near_out), (far_in, far_out) = await between.dial()
    near_out.write(b"there")
    far_out.write(b"back")
    assert (await far_in.readexactly(5), await near_in.readexactly(4)) == (b"there", b"back")
    near_out.close()
    assert await gone(far_in)


async def gone(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


async def test_a_severed_pair_has_no_connection_and_makes_none_until_it_is_whole(between: Between) -> None:
    near, far = await between.dial()
    between.proxies.sever([(B, A)], severed=True)
    assert await gone(near[0])
    assert await gone(far[0])
    host, _, port = between.proxies.doors(A)[B].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    between.writers.append(writer)
    assert await gone(reader)
    assert between.accepted.empty()
    between.proxies.sever([(B, A)], severed=False)
    (_, near_out), (far_in, _) = await between.dial()
    near_out.write(b"again")
    assert await far_in.readexactly(5) == b"again"


@pytest.mark.parametrize("sender", [A, B])
async def test_of_a_half_open_connection_one_end_hears_nothing(between: Between, sender: int) -> None:
    near, far = await between.dial()
    lost, kept = (near, far) if sender == A else (far, near)
    between.proxies.halve([(sender, B if sender == A else A)])
    assert await gone(lost[0])
    kept[1].write(b"x" * 4 * CHUNK_BYTES)
    await kept[1].drain()  # it is taken, as by a network that still knows of the connection
    (_, near_out), (far_in, _) = await between.dial()
    near_out.write(b"new")
    assert await far_in.readexactly(3) == b"new"
    assert not kept[0].at_eof()
    assert between.proxies.befallen["halved"] == 1


async def test_what_is_stalled_fills_its_pipe_pushes_back_and_comes_in_order(between: Between) -> None:
    (near_in, near_out), (far_in, far_out) = await between.dial()
    between.proxies.put([(A, B)], Wire(stalled=True))
    near_out.write(b"first")
    far_out.write(b"back")
    assert await near_in.readexactly(4) == b"back"
    much = b"x" * (2 * CHUNKS_WAITING_MAX * CHUNK_BYTES)
    near_out.write(much)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await near_out.drain()
    between.proxies.heal()
    assert await far_in.readexactly(5) == b"first"
    assert await far_in.readexactly(len(much)) == much


async def test_every_so_many_bytes_a_bit_turns_one_way_only(between: Between) -> None:
    (near_in, near_out), (far_in, far_out) = await between.dial()
    between.proxies.put([(A, B)], Wire(damaged_every_bytes=100))
    sent = bytes(20_000)
    near_out.write(sent)
    far_out.write(sent)
    came = await far_in.readexactly(len(sent))
    assert await near_in.readexactly(len(sent)) == sent
    turned = [byte for byte in came if byte]
    assert 100 < len(turned) == between.proxies.befallen["damaged"] < 400
    assert all(byte.bit_count() == 1 for byte in turned)


async def test_bytes_take_their_time_and_few_pass_in_a_second(between: Between) -> None:
    (_, near_out), (far_in, _) = await between.dial()
    loop = asyncio.get_running_loop()
    between.proxies.put([(A, B)], Wire(delay_ms=150))
    began_s = loop.time()
    near_out.write(b"late")
    await far_in.readexactly(4)
    assert loop.time() - began_s >= 0.15
    between.proxies.put([(A, B)], Wire(bytes_per_s=1_000))
    began_s = loop.time()
    near_out.write(bytes(200))
    await far_in.readexactly(200)
    assert loop.time() - began_s >= 0.2


async def test_places_have_doors_of_their_own_to_each_other(between: Between) -> None:
    assert between.proxies.doors(A).keys() == {B}
    assert between.proxies.doors(A)[B] != between.proxies.doors(B)[A]
