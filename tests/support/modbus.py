"""A Modbus TCP device with given registers, and SunSpec models as such registers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

MARK = [0x5375, 0x6E53]
COMMON = [1, 66, *[0] * 66]
END = [0xFFFF, 0]


@contextlib.asynccontextmanager
async def device(*blocks: tuple[int, list[int]]) -> AsyncIterator[AsyncModbusTcpClient]:
    """A client of a device that holds these registers, and refuses every other address."""
    data = [SimData(address=address, values=words, datatype=DataType.REGISTERS) for address, words in blocks]
    server = ModbusTcpServer([SimDevice(id=1, simdata=data)], address=("127.0.0.1", 0))
    assert await server.listen()
    transport: Any = server.transport
    port = transport.sockets[0].getsockname()[1]
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0, reconnect_delay=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()
        await server.shutdown()  # type: ignore[no-untyped-call]


def model(number: int, length: int, **words: int) -> list[int]:
    """A SunSpec model with a few registers set, by ``at_OFFSET``."""
    content = [number, length, *[0] * length]
    for name, word in words.items():
        content[int(name.removeprefix("at_"))] = word
    return content
