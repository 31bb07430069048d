"""The node's socket beyond this machine: an address has a share of the connections."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from api.socket import ADDRESS_SHARE, SocketServer


class FakeTransport(asyncio.Transport):
    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.closed = False

    def close(self) -> None:
        self.closed = True


async def no_answer(*_: Any) -> msgspec.Struct:
    raise AssertionError("nobody asks")


async def test_an_address_has_a_share_of_the_connections_and_gets_it_back() -> None:
    server = SocketServer(no_answer, 2 * ADDRESS_SHARE)

    def connect(address: str) -> tuple[Any, FakeTransport]:
        caller, transport = server._accept(), FakeTransport(address)
        caller.connection_made(transport)
        return caller, transport

    first = [connect("10.0.0.66") for _ in range(3)]
    assert [transport.closed for _, transport in first] == [False, False, True]
    assert not connect("10.0.0.1")[1].closed
    first[0][0].connection_lost(None)
    assert not connect("10.0.0.66")[1].closed


async def test_idle_connections_of_a_few_addresses_give_way() -> None:
    """Four addresses with a quarter each had closed the socket to everybody else, for as long as they liked."""
    server = SocketServer(no_answer, 2 * ADDRESS_SHARE)

    def connect(address: str) -> FakeTransport:
        transport = FakeTransport(address)
        server._accept().connection_made(transport)
        return transport

    crowd = [connect(f"10.0.0.{number // 2}") for number in range(2 * ADDRESS_SHARE)]
    assert not any(transport.closed for transport in crowd)
    assert not connect("10.0.9.1").closed
    assert sum(transport.closed for transport in crowd) == 1


async def test_a_household_is_one_address() -> None:
    server, transports = SocketServer(no_answer, 2 * ADDRESS_SHARE), []
    for number in range(3):
        transports.append(FakeTransport(f"2001:db8:0:7::{number:x}"))
        server._accept().connection_made(transports[-1])
    assert [transport.closed for transport in transports] == [False, False, True]
