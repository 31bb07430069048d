"""What stands beside a lab's nodes, CouchDB and an MQTT broker, where they are down, or hang: no node may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from faults.scenario import Services
from sdk.process import LEASH_VARIABLE

HOST = "127.0.0.1"
NAMES = ("couchdb", "mqtt")
HANGING_MAX = 256
"""Connections that are kept without an answer; more are closed at once."""


class Hanging:
    """Listens where a service hangs, takes everything, and never says a word."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        for port in self._ports:
            self._servers.append(await asyncio.start_server(self._take, HOST, port))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= HANGING_MAX:
            writer.close()
            return
        self._writers.add(writer)
        try:
            while await reader.read(1 << 16):
                pass
        except OSError:
            pass  # it has lost patience
        finally:
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in list(self._writers):
            writer.transport.abort()


def port_of(name: str, first: int) -> int:
    """Where a service would be; ``first``: of as many ports as there are ``NAMES``."""
    return first + NAMES.index(name)


def hanging(services: Services, first: int) -> Hanging:
    """Those that take what they are told and answer nothing."""
    return Hanging([port_of(name, first) for name in NAMES if getattr(services, name) == "hangs"])


def sections(services: Services, first: int) -> list[str]:
    """What ``cluster.toml`` says of those that there are to be. Nobody asks for user and password there; they have to
    be set, and what every node of a lab has set is no secret."""
    texts: Mapping[str, list[str]] = {
        "couchdb": [
            "",
            "[state]",
            'backend = "couchdb"',
            f'couchdb_url = "http://{HOST}:{port_of("couchdb", first)}"',
            "request_timeout_ms = 1000",
            f'user_variable = "{LEASH_VARIABLE}"',
            f'password_variable = "{LEASH_VARIABLE}"',
        ],
        "mqtt": ["", "[mqtt]", f'url = "mqtt://{HOST}:{port_of("mqtt", first)}"'],
    }
    return [line for name in NAMES if getattr(services, name) != "none" for line in texts[name]]
