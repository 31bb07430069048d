"""Connections that say nothing: they are counted before their handshake, and hung up on after a while."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.listening import Listener, Threshold, tls_listener
from ca.tls import public_server_context, trusting_context
from sdk.process import event_loop_factory

EACH_MAX = 4
LOOPS = [asyncio.new_event_loop, event_loop_factory()]


class House:
    """A TLS listener that echoes, and what is needed to trust it."""

    def __init__(self, home: Path, handshake_s: float) -> None:
        authority = Authority.init(home / "ca", "test")
        key = SigningKey.generate()
        key.save(home / "node.key")
        request = create_request(key, "node1", "o", Role.NODE)
        issued = authority.issue(request, "node1", "o", Role.NODE, hosts=("localhost",))
        (home / "node.crt").write_bytes(issued.certificate_pem)
        self.trust = trusting_context(ssl.DER_cert_to_PEM_cert(authority.root_der))
        self.made: list[Echo] = []
        context = public_server_context(home / "node.crt", home / "node.key")
        self.listener: Listener = tls_listener(self._make, context, handshake_s)
        self.listener._places = Threshold(8, EACH_MAX)
        self.port = 0

    def _make(self) -> Echo:
        self.made.append(Echo())
        return self.made[-1]

    async def says(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trust, server_hostname="localhost"
        )
        writer.write(data)
        answer = await reader.readexactly(len(data))
        writer.close()
        return answer


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by type

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def in_house(
    home: Path,
    factory: Callable[[], asyncio.AbstractEventLoop] | None,
    work: Callable[[House], Awaitable[None]],
    handshake_s: float = 30.0,
) -> None:
    async def run() -> None:
        house = House(home, handshake_s)
        house.port = await house.listener.listen("127.0.0.1", 0)
        try:
            async with asyncio.timeout(30):
                await work(house)
        finally:
            await house.listener.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


@pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "node's"])
def test_an_address_stands_on_the_threshold_with_so_many_only(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """Twenty thousand silent connections took every file that a node may open."""

    async def work(house: House) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(EACH_MAX)]
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        assert await reader.read() == b""  # hung up on at once
        writer.close()
        silent.pop()[1].close()
        while True:  # until its place is free again
            try:
                assert await house.says(b"hello") == b"hello"
                break
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0)
        for _, writer in silent:
            writer.close()

    in_house(tmp_path, factory, work)


@pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "node's"])
def test_silence_ends_and_those_within_are_not_counted(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    async def work(house: House) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(EACH_MAX)]
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
        context, name = house.trust, "localhost"
        within = [
            await asyncio.open_connection("127.0.0.1", house.port, ssl=context, server_hostname=name)
            for _ in range(3 * EACH_MAX)
        ]
        assert len(house.made) >= 3 * EACH_MAX
        for _, writer in within:
            writer.close()

    in_house(tmp_path, factory, work, handshake_s=0.5)


async def test_a_full_threshold_is_closed_to_nobody_who_has_fewer() -> None:
    """Four addresses, or eight at the peers' port, that kept silent had closed it to everybody else."""
    places = Threshold(most=4, each=2)
    knocks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(6)]
    for knock, whose in zip(knocks, ("one", "one", "two", "two"), strict=False):
        assert places.enter(whose, knock)
    assert not places.enter("one", knocks[4])
    assert places.enter("three", knocks[4])
    assert places.enter("four", knocks[5])
    await asyncio.gather(knocks[0], knocks[2], return_exceptions=True)
    assert [knock.cancelled() for knock in knocks] == [True, False, True, False, False, False]
    for knock, whose in zip(knocks, ("one", "one", "two", "two", "three", "four"), strict=True):
        places.leave(whose, knock)
        knock.cancel()
    assert places.count == 0
