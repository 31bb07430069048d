"""Brokers for tests: the embedded one, and a real Mosquitto in a directory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from aiomqtt import Client, Message, ProtocolVersion
from network import free_ports

from cli.tools import TOOLS
from meter.broker.broker import Broker, BrokerLimits
from meter.broker.users import Rights, UserEntry, sealed, users_text

STARTED_WITHIN_S = 20.0
WAIT_S = 20.0
RIGHTS = Rights(
    public=("open/#",),
    of_party={"alice": ("party/alice/#",), "bob": ("party/bob/#",)},
    of_meter={"M": ("meter/M/#",)},
    feed_of={"M": "feed/M"},
    home=("homeassistant/status",),
)


def write_users(path: Path, **users: tuple[str, dict[str, Any]]) -> Path:
    """A users file: name to password and the entry's other fields."""
    entries = {name: UserEntry(password=sealed(password), **rest) for name, (password, rest) in users.items()}
    path.write_text(users_text(entries))
    return path


@contextlib.asynccontextmanager
async def embedded(
    path: Path, limits: BrokerLimits | None = None, rights: Rights = RIGHTS
) -> AsyncIterator[tuple[Broker, int]]:
    """A broker that listens, and where."""
    broker = Broker(limits or BrokerLimits(), rights, path)
    port = await broker.listen("127.0.0.1", 0)
    try:
        yield broker, port
    finally:
        await broker.close()


def client(port: int, user: str = "", password: str = "", **options: Any) -> Client:
    """Somebody else's client, of MQTT 3.1.1 unless told otherwise."""
    options = {"protocol": ProtocolVersion.V311, "timeout": WAIT_S, "identifier": f"test-{user}", **options}
    return Client("127.0.0.1", port, username=user or None, password=password or None, **options)


def owner(broker: Broker, port: int, **options: Any) -> Client:
    return client(port, "wattquorum", broker.owner_password, **options)


async def collect(connected: Client, count: int) -> list[Message]:
    """The next so many messages."""
    found: list[Message] = []
    async with asyncio.timeout(WAIT_S):
        async for message in connected.messages:
            found.append(message)
            if len(found) == count:
                break
    return found


class Mosquitto:
    """A Mosquitto of its own; ``restart`` on the same port, having forgotten everything."""

    def __init__(self, directory: Path, lines: Iterable[str] = ("allow_anonymous true",)) -> None:
        self.port = free_ports(1)[0]
        program = TOOLS["mosquitto"].path()
        assert program is not None, "the test says that it needs mosquitto"
        self._program = program
        self._file = directory / "mosquitto.conf"
        text = [f"listener {self.port} 127.0.0.1", "user root", "persistence false", *lines]
        self._file.write_text("\n".join(text) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = self._spawned()
        async with asyncio.timeout(STARTED_WITHIN_S):
            while not await self._listens():
                assert self._process.poll() is None, f"mosquitto ended: {self._file.read_text()}"
                await asyncio.sleep(0.02)

    def _spawned(self) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen([self._program, "-c", str(self._file)], stdout=quiet, stderr=quiet)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    async def restart(self) -> None:
        self.stop()
        await self.start()

    async def __aenter__(self) -> Mosquitto:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
