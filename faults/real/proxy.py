"""A TCP proxy on the way between two nodes: what befalls bytes and connections there, below TLS.

One proxy stands on each directed link, from whoever dials to whoever is dialled; a connection carries bytes both ways,
and each way has its own fault. Unlike a fault of ``faults/real/links.py``, which takes whole frames from a replica's
own hands, one here is met by the nodes' sockets: TLS finds damage, a pipe that is full pushes back, and an end may be
gone without the other hearing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence

from faults.scenario import Wire
from sim.cuts import Link

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 14
CHUNKS_WAITING_MAX = 256
"""On their way in one direction of a connection; the sender's socket fills up beyond that."""
CONNECT_TIMEOUT_S = 5.0
GOOD = Wire()


class Direction:
    """Bytes one way. ``put`` changes what befalls them, those too that are on their way."""

    def __init__(self, chance: random.Random, pace: float, befallen: Counter[str]) -> None:
        self._chance, self._pace, self._befallen = chance, pace, befallen
        self._wire = GOOD
        self._to_damage_bytes = 0
        self._open = asyncio.Event()
        self._open.set()

    def put(self, wire: Wire) -> None:
        self._wire = wire
        self._to_damage_bytes = self._next_damage()
        if wire.stalled:
            self._open.clear()
        else:
            self._open.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes until one end is gone."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_WAITING_MAX)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(reader, chunks))
            tasks.create_task(self._give(chunks, writer))

    async def _take(self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._open.wait()
            data = await reader.read(CHUNK_BYTES)
            await chunks.put((loop.time(), data))
            if not data:
                return

    async def _give(self, chunks: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            came_s, data = await chunks.get()
            await self._open.wait()
            await asyncio.sleep(max(0.0, came_s + self._wire.delay_ms * self._pace / 1000 - loop.time()))
            if not data:
                raise ConnectionResetError("one end is gone")
            if self._wire.bytes_per_s:
                await asyncio.sleep(len(data) * self._pace / self._wire.bytes_per_s)
            writer.write(self._damaged(data))
            await writer.drain()

    def _damaged(self, data: bytes) -> bytes:
        """With a bit turned in each of the bytes whose turn it is."""
        if not self._wire.damaged_every_bytes:
            return data
        damaged = bytearray(data)
        while self._to_damage_bytes < len(data):
            damaged[self._to_damage_bytes] ^= 1 << self._chance.randrange(8)
            self._befallen["damaged"] += 1
            self._to_damage_bytes += self._next_damage()
        self._to_damage_bytes -= len(data)
        return bytes(damaged)

    def _next_damage(self) -> int:
        most = 2 * self._wire.damaged_every_bytes
        return 1 + self._chance.randrange(most) if most else 0


class Connection:
    """One that passes: ``near`` is the end of whoever dialled."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.halved = False

    def reset(self) -> None:
        """Both ends hear that the connection is gone."""
        for end in (self.near, self.far):
            end.transport.abort()

    def halve(self, near_is_gone: bool) -> None:
        """One end hears that it is gone, the other nothing, now or ever."""
        self.halved = True
        (self.near if near_is_gone else self.far).transport.abort()


class Proxy:
    """Where one node dials another. ``severed``: every connection is reset, and none is made."""

    def __init__(self, target_port: int, there: Direction, back: Direction, befallen: Counter[str]) -> None:
        self.there, self.back = there, back
        self.port = 0
        self.severed = False
        self._target_port, self._befallen = target_port, befallen
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def sever(self, severed: bool) -> None:
        self.severed = severed
        for connection in self._connections if severed else ():
            self._befallen["reset"] += 1
            connection.reset()

    def halve(self, near_is_gone: bool) -> None:
        for connection in self._connections:
            if not connection.halved:
                self._befallen["halved"] += 1
                connection.halve(near_is_gone)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server serves in tasks"
        self._serving.add(task)
        try:
            if not self.severed:
                await self._connect(reader, near)
        except (OSError, TimeoutError):
            pass  # nobody listens there just now, as the dialler sees by being reset
        finally:
            near.transport.abort()
            self._serving.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            far_reader, far = await asyncio.open_connection(HOST, self._target_port)
        connection = Connection(near, far)
        self._connections.add(connection)
        try:
            await self._pass(connection, reader, far_reader)
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pass(self, connection: Connection, reader: asyncio.StreamReader, far: asyncio.StreamReader) -> None:
        """Carry bytes both ways; once one end is gone without the other hearing of it, only swallow what that says."""
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self.there.pump(reader, connection.far))
                ways.create_task(self.back.pump(far, connection.near))
        except* OSError:
            pass  # one end is gone
        if connection.halved:
            kept = far if connection.near.transport.is_closing() else reader
            with contextlib.suppress(OSError):
                while await kept.read(CHUNK_BYTES):
                    pass


class Proxies:
    """All of a network. ``chance_of(name)``: the chance of one thing."""

    def __init__(self, ports: Sequence[int], pace: float, chance_of: Callable[[str], random.Random]) -> None:
        """``ports``: where each place listens for its peers."""
        self.befallen: Counter[str] = Counter()
        self._ways: dict[Link, Direction] = {}
        places = range(len(ports))
        pairs = [(a, b) for a in places for b in places if a != b]
        self._proxies = {
            (a, b): Proxy(
                ports[b],
                Direction(chance_of(f"{a}>{b} dialled"), pace, self.befallen),
                Direction(chance_of(f"{b}>{a} answered"), pace, self.befallen),
                self.befallen,
            )
            for a, b in pairs
        }

    async def listen(self) -> None:
        for proxy in self._proxies.values():
            await proxy.listen()

    def doors(self, dialler: int) -> dict[int, str]:
        """Where a place reaches each other one."""
        return {to: f"{HOST}:{proxy.port}" for (by, to), proxy in self._proxies.items() if by == dialler}

    def put(self, links: Sequence[Link], wire: Wire) -> None:
        """This befalls bytes from each sender to its receiver from now on, whichever of them dialled."""
        for sender, receiver in links:
            self._proxies[sender, receiver].there.put(wire)
            self._proxies[receiver, sender].back.put(wire)

    def sever(self, links: Sequence[Link], severed: bool) -> None:
        """Reset every connection of these pairs, and let none be made; or let them again."""
        for a, b in links:
            self._proxies[a, b].sever(severed)
            self._proxies[b, a].sever(severed)

    def halve(self, links: Sequence[Link]) -> None:
        """Of each connection the sender's end is gone, and the receiver's hears nothing of it. New ones can be made."""
        for sender, receiver in links:
            self._proxies[sender, receiver].halve(near_is_gone=True)
            self._proxies[receiver, sender].halve(near_is_gone=False)

    def heal(self) -> None:
        """Bytes pass, and connections can be made. What hangs half open hangs on."""
        links = list(self._proxies)
        self.put(links, GOOD)
        self.sever(links, severed=False)

    async def close(self) -> None:
        await asyncio.gather(*(proxy.close() for proxy in self._proxies.values()))
