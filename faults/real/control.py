"""How a lab tells a running node what is to befall it: one line of JSON each way over a Unix socket in its home.

A request is ``{"links": {"node2": {"cut": true}, "*": {"delay_ms": 50}}}``: the faults of its links from now on, all
others healed. The answer has what was done to frames so far, by kind, or the error. ``{"watch": true}`` has the node
tell what happens in it, a line an event (``faults/real/watch.py``), for as long as the connection lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from faults.real.clock import WallClock
from faults.real.disk import DiskFault, LabDisk
from faults.real.links import LinkFault, Links
from faults.real.watch import Event, Trap, Watch
from sdk.process import socket_path

LINE_BYTES_MAX = 1 << 20
ANSWER_S_MAX = 10.0


UNREAD_BYTES_MAX = 8 << 20
"""Events that a listener leaves unread: beyond that it hears no more."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``links``: by the peer's name; ``*`` for all that are not named. None: as they are. ``traps`` take the place of
    earlier ones, and let go what those hold."""

    links: dict[str, LinkFault] | None = None
    disk: DiskFault | None = None
    clock_ms: int | None = None
    """How far the wall clock is off."""
    drift_ms_per_s: int | None = None
    """How much it gains each second, from this order on if it is another than before."""
    traps: tuple[Trap, ...] | None = None
    watch: bool = False


class Told(msgspec.Struct, frozen=True):
    """What a node says to an order."""

    befallen: dict[str, int] = {}
    links: dict[str, LinkFault] = {}
    carried: int = 0
    """Frames so far, whatever befell them."""
    error: str = ""


class LabError(Exception):
    """A node takes no orders, or not this one; the message says why."""


def lab_socket(home: Path) -> Path:
    """Where a lab node listens: beside its other socket."""
    return socket_path(home).with_suffix(".lab")


@dataclass(frozen=True, slots=True)
class Ordered:
    """What of a node takes orders. ``watch``: None where nothing of it is watched."""

    links: Links
    disk: LabDisk
    clock: WallClock
    watch: Watch | None = None

    def obey(self, order: Order) -> None:
        if order.links is not None:
            self.links.put(order.links)
        if order.disk is not None:
            self.disk.put(order.disk)
        if order.clock_ms is not None:
            self.clock.skew_ms = order.clock_ms
        if order.drift_ms_per_s is not None:
            self.clock.drift(order.drift_ms_per_s)
        if order.traps is not None and self.watch is not None:
            self.watch.set_traps(order.traps)


class ControlServer:
    """Listens for orders. Whoever may write to the socket may order: it is the user's own."""

    def __init__(self, ordered: Ordered, peers: frozenset[str]) -> None:
        self._ordered, self._peers = ordered, peers
        self._server: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # noqa: ASYNC240  # what an earlier process left; nothing runs yet
        self._server = await asyncio.start_unix_server(self._serve, path, limit=LINE_BYTES_MAX)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening = ExitStack()
        try:
            while line := await reader.readline():
                told, watches = self._obey(line)
                writer.write(msgspec.json.encode(told) + b"\n")
                await writer.drain()
                if watches and self._ordered.watch is not None:
                    listening.close()
                    listening.callback(self._ordered.watch.join(partial(_tell, writer)))
        except (ConnectionError, ValueError):
            pass  # it has gone, or its line has no end
        finally:
            listening.close()
            writer.close()

    def _obey(self, line: bytes) -> tuple[Told, bool]:
        """What to answer, and whether the other end wants to hear of events."""
        try:
            order = msgspec.json.decode(line, type=Order)
        except (msgspec.MsgspecError, ValueError) as error:
            return Told(error=f"no order: {error}"), False
        unknown = sorted(set(order.links or ()) - self._peers)
        if unknown:
            return Told(error=f"no peer {unknown[0]!r}; there are {', '.join(sorted(self._peers))}"), False
        self._ordered.obey(order)
        links = self._ordered.links
        return Told(dict(links.befallen), dict(links.faults), links.carried), order.watch


def _tell(writer: asyncio.StreamWriter, event: Event) -> None:
    if writer.transport.get_write_buffer_size() < UNREAD_BYTES_MAX:
        writer.write(msgspec.json.encode(event) + b"\n")


async def order(home: Path, links: Mapping[str, LinkFault] | None = None) -> Told:
    """Put the links' faults of the lab node with this home; see ``give``."""
    return await give(home, Order(None if links is None else dict(links)))


async def give(home: Path, wanted: Order) -> Told:
    """Tell the lab node with this home; ``LabError`` if it does not run, is no lab node, or refuses."""
    path = lab_socket(home)
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
            try:
                writer.write(msgspec.json.encode(wanted) + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise LabError(f"{home.name} takes no orders: {error or 'no answer'}; does it run as a lab node?") from None
    told = msgspec.json.decode(line, type=Told)
    if told.error:
        raise LabError(f"{home.name}: {told.error}")
    return told
