"""What one small frame costs on a link: the event loop and the kernel on either side, and sealing it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

uvloop: Any
try:
    import uvloop
except ImportError:
    uvloop = None

FRAME_BYTES = 200
ROUNDS = 2_000
REPEATS = 3
"""Of which the quickest counts."""


def measure_frame() -> float:
    """Microseconds of sending or of receiving one frame that travels alone."""
    with asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as runner:
        loop = min(runner.run(_ping_pong()) for _ in range(REPEATS))
    tls = min(_record() for _ in range(REPEATS))
    return round(loop + tls, 3)


class _Echo(asyncio.Protocol):
    """Sends back what it gets, for so many rounds."""

    def __init__(self, rounds: int, done: asyncio.Future[None]) -> None:
        self._rounds = rounds
        self._done = done
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit asyncio's

    def begin(self) -> None:
        assert self._transport is not None, "connected"
        self._transport.write(bytes(FRAME_BYTES))

    def data_received(self, data: bytes) -> None:
        self._rounds -= 1
        if self._rounds > 0 and self._transport is not None:
            self._transport.write(data)
        elif not self._done.done():
            self._done.set_result(None)


async def _ping_pong() -> float:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    server = await loop.create_server(lambda: _Echo(ROUNDS, done), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, protocol = await loop.create_connection(lambda: _Echo(ROUNDS, done), "127.0.0.1", port)
    began = time.process_time_ns()
    protocol.begin()
    await done
    took = time.process_time_ns() - began
    transport.close()
    server.close()
    # Each of the ROUNDS echoes of either side is one send and one receipt.
    return took / 1_000 / (2 * ROUNDS) / 2


def _record() -> float:
    """Sealing one frame, as a TLS record is: 5 bytes of header are authenticated with it."""
    cipher, nonce, frame, header = AESGCM(bytes(32)), bytes(12), bytes(FRAME_BYTES), bytes(5)
    began = time.process_time_ns()
    for _ in range(ROUNDS):
        cipher.encrypt(nonce, frame, header)
    return (time.process_time_ns() - began) / 1_000 / ROUNDS
