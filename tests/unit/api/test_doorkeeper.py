"""Beyond this machine: https is served; what comes in the clear is told so, and serves nobody to listen to."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fake_node import FakeNode
from network import until

from api import doorkeeper
from api.connections import ADDRESS_SHARE
from api.options import RestOptions
from api.rest import RestServer
from ca.authority import Authority
from ca.certificates import Role, create_request
from ca.keys import SigningKey
from ca.tls import public_server_context, trusting_context
from sdk.process import event_loop_factory

CONNECTIONS_MAX = 4 * ADDRESS_SHARE
LOOPS = [asyncio.new_event_loop, event_loop_factory()]
"""Nodes run on the second one, uvloop where it exists."""


class House:
    """A REST server beyond this machine, as far as it knows."""

    def __init__(self, home: Path) -> None:
        authority = Authority.init(home / "ca", "test")
        key = SigningKey.generate()
        key.save(home / "node.key")
        issued = authority.issue(
            create_request(key, "node1", "o", Role.NODE), "node1", "o", Role.NODE, hosts=("localhost",)
        )
        (home / "node.crt").write_bytes(issued.certificate_pem)
        self.context = public_server_context(home / "node.crt", home / "node.key")
        self.trust = trusting_context(ssl.DER_cert_to_PEM_cert(authority.root_der))
        self.node, self.port = FakeNode(), 0
        self.rest = RestServer(self.node, RestOptions(connections_max=CONNECTIONS_MAX))

    async def send(self, data: bytes, tls: bool) -> bytes:
        """All that is answered, until the other side closes."""
        context = self.trust if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname="localhost" if tls else None
        )
        try:
            writer.write(data)
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()

    async def ask(self, path: str, tls: bool, extra: str = "") -> bytes:
        head = f"GET {path} HTTP/1.1\r\nHost: node.example:26601\r\nConnection: close\r\n{extra}\r\n"
        return await self.send(head.encode(), tls)


def in_house(
    home: Path, factory: Callable[[], asyncio.AbstractEventLoop] | None, work: Callable[[House], Awaitable[None]]
) -> None:
    async def run() -> None:
        house = House(home)
        house.port = await house.rest.listen("127.0.0.1", 0, house.context)
        try:
            await work(house)
        finally:
            await house.rest.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


@pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "node's"])
def test_https_is_served_and_plain_http_is_not(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def work(house: House) -> None:
        answer = await house.ask("/v1/headers", tls=True)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert len(house.node.calls) == 1
        for path in ("/v1/headers", "/v1/health", "/openapi.json", "/static/app.js"):
            head, _, body = (await house.ask(path, tls=False, extra="Authorization: Bearer abc\r\n")).partition(
                b"\r\n\r\n"
            )
            assert head.startswith(b"HTTP/1.1 403 "), path
            assert json.loads(body)["code"] == "HTTPS_REQUIRED"
        assert len(house.node.calls) == 1, "nothing was asked in the clear"

    in_house(tmp_path, factory, work)


@pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "node's"])
def test_a_browser_is_sent_on(tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def work(house: House) -> None:
        for path in ("/", "/docs"):
            answer = await house.ask(path, tls=False)
            assert answer.startswith(b"HTTP/1.1 308 ")
            assert f"Location: https://node.example:26601{path}\r\n".encode() in answer
        odd = b"GET / HTTP/1.1\r\nHost: a/@b?c\r\nConnection: close\r\n\r\n"
        assert b"Location" not in await house.send(odd, tls=False)

    in_house(tmp_path, factory, work)


@pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "node's"])
def test_who_says_nothing_or_nonsense_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    monkeypatch.setattr(doorkeeper, "FIRST_BYTE_S", 0.2)

    async def work(house: House) -> None:
        assert await house.send(b"", tls=False) == b"", "silent"
        assert await house.send(b"\x16\x03\x01 and then no handshake", tls=False) in (b"", b"\x15\x03\x03\x00\x02\x022")
        assert b"REQUEST_MALFORMED" in await house.send(b"nonsense\r\n\r\n", tls=False)

        async def has_left() -> bool:
            assert house.rest._doorkeeper is not None
            return house.rest._doorkeeper.count == 0 and house.rest.hall.count == 0

        await until(has_left, 20)
        assert (await house.ask("/v1/headers", tls=True)).startswith(b"HTTP/1.1 200 OK")

    in_house(tmp_path, factory, work)


def test_the_silent_ones_of_an_address_have_a_share(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        share = CONNECTIONS_MAX // ADDRESS_SHARE
        silent = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(share)]
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            assert await reader.read() == b"", "closed, unheard"
        for _, each in [*silent, (reader, writer)]:
            each.close()

    in_house(tmp_path, None, work)
