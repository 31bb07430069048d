"""How a lab tells a running node what is to befall it: one line of JSON each way over a Unix socket in its home.

A request is ``{"links": {"node2": {"cut": true}, "*": {"delay_ms": 50}}}``: the faults of its links from now on, all
others healed. The answer has what was done to frames so far, by kind, or the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from faults.real.links import LinkFault, Links
from sdk.process import socket_path

LINE_BYTES_MAX = 1 << 20
ANSWER_S_MAX = 10.0


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``links``: by the peer's name; ``*`` for all that are not named. None: as they are."""

    links: dict[str, LinkFault] | None = None


class Told(msgspec.Struct, frozen=True):
    """What a node says to an order."""

    befallen: dict[str, int] = {}
    links: dict[str, LinkFault] = {}
    error: str = ""


class LabError(Exception):
    """A node takes no orders, or not this one; the message says why."""


def lab_socket(home: Path) -> Path:
    """Where a lab node listens: beside its other socket."""
    return socket_path(home).with_suffix(".lab")


class ControlServer:
    """Listens for orders. Whoever may write to the socket may order: it is the user's own."""

    def __init__(self, links: Links, peers: frozenset[str]) -> None:
        self._links, self._peers = links, peers
        self._server: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # noqa: ASYNC240  # what an earlier process left; nothing runs yet
        self._server = await asyncio.start_unix_server(self._serve, path, limit=LINE_BYTES_MAX)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self._obey(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # it has gone, or its line has no end
        finally:
            writer.close()

    def _obey(self, line: bytes) -> Told:
        try:
            order = msgspec.json.decode(line, type=Order)
        except (msgspec.MsgspecError, ValueError) as error:
            return Told(error=f"no order: {error}")
        unknown = sorted(set(order.links or ()) - self._peers)
        if unknown:
            return Told(error=f"no peer {unknown[0]!r}; there are {', '.join(sorted(self._peers))}")
        if order.links is not None:
            self._links.put(order.links)
        return Told(dict(self._links.befallen), dict(self._links.faults))


async def order(home: Path, links: Mapping[str, LinkFault] | None = None) -> Told:
    """Tell the lab node with this home; ``LabError`` if it does not run, is no lab node, or refuses."""
    path = lab_socket(home)
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
            try:
                writer.write(msgspec.json.encode(Order(None if links is None else dict(links))) + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise LabError(f"{home.name} takes no orders: {error or 'no answer'}; does it run as a lab node?") from None
    told = msgspec.json.decode(line, type=Told)
    if told.error:
        raise LabError(f"{home.name}: {told.error}")
    return told
