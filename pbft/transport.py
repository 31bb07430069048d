"""Links between replicas: TCP under mutual TLS 1.3, length-prefixed frames, one link a pair.

The replica with the lower index dials. Each side says hello (protocol version, genesis hash, channel, index),
and the certificate that TLS verified must hold the very key that the validator set gives that index. What is
to be sent waits in a byte-bounded queue with votes ahead of bulk; when it is full the oldest bulk is dropped,
and the status exchange sends again what matters. Garbage closes the link with a counted reason.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pbft.messages import encode_message

PROTOCOL_VERSION = 1
FRAME_BYTES_MAX = 32 << 20
HELLO_BYTES_MAX = 1_024
HELLO_TIMEOUT_S = 5.0
DIAL_BACKOFF_S = 0.1
DIAL_BACKOFF_S_MAX = 2.0
DIAL_TIMEOUT_S = 5.0
CHUNK_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first frame in each direction."""

    version: int
    chain: bytes
    channel: str
    index: int


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


Deliver = Callable[[int, bytes], bool]
"""``deliver(sender, message bytes)``: False when the receiver is full and reading should pause."""


class Link(asyncio.Protocol):
    """One connection. It speaks for a peer only after both hellos."""

    def __init__(self, owner: Transport, dialled: int | None) -> None:
        self._owner = owner
        self._dialled = dialled
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self.peer: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit asyncio's
        self._owner.links.add(self)
        if self._dialled is None and len(self._owner.links) > self._owner.links_max:
            self.drop("too_many_links")
            return
        self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, self.drop, "hello_timeout")
        self.write(_frame(msgspec.msgpack.encode(self._owner.hello)))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._owner.links.discard(self)
        self._owner.link_lost(self)
        self._transport = None

    def drop(self, reason: str) -> None:
        """Close the link, now; the reason is counted."""
        self._owner.drops[reason] += 1
        if self._transport is not None:
            self._transport.abort()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._owner.flush(self)

    @property
    def writable(self) -> bool:
        return self._writable and self._transport is not None

    def pause_reading(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > (FRAME_BYTES_MAX if self.peer is not None else HELLO_BYTES_MAX):
                self.drop("frame_too_long")
                return
            end = start + _LENGTH.size + length
            if end > len(self._buffer):
                break
            self._take(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        if start:
            del self._buffer[:start]

    def _take(self, data: bytes) -> None:
        if self.peer is not None:
            if not self._owner.deliver(self.peer, data):
                self.pause_reading()
            return
        fault = self._introduce(data)
        if fault:
            self.drop(fault)

    def _introduce(self, data: bytes) -> str:
        """Check the peer's hello against its certificate; the fault's name, or ''."""
        own = self._owner.hello
        try:
            hello = msgspec.msgpack.decode(data, type=Hello)
        except msgspec.DecodeError:
            return "bad_hello"
        if hello.version != own.version:
            return "other_version"
        if (hello.chain, hello.channel) != (own.chain, own.channel):
            return "other_chain"
        if hello.index == own.index or not 0 <= hello.index < len(self._owner.keys):
            return "bad_index"
        if self._dialled is not None and hello.index != self._dialled:
            return "another_peer"
        if self._certified_key() != self._owner.keys[hello.index]:
            return "other_key"
        if self._timer is not None:
            self._timer.cancel()
        self.peer = hello.index
        self._owner.link_ready(self)
        return ""

    def _certified_key(self) -> bytes | None:
        session = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        der = session.getpeercert(binary_form=True) if session is not None else None
        if der is None:
            return None
        return (
            x509.load_der_x509_certificate(der).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        )


class _Queue:
    """What waits for one peer: votes before bulk, bounded in bytes."""

    def __init__(self, bytes_max: int) -> None:
        self._max = bytes_max
        self._votes: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self.bytes = 0
        self.dropped = 0

    def put(self, frame: bytes, *, bulk: bool) -> None:
        self.bytes += len(frame)
        (self._bulk if bulk else self._votes).append(frame)
        while self.bytes > self._max and (self._bulk or self._votes):
            gone = self._bulk.popleft() if self._bulk else self._votes.popleft()
            self.bytes -= len(gone)
            self.dropped += 1

    def take(self, bytes_max: int) -> bytes:
        """Up to ``bytes_max`` of whole frames (at least one, if there is any)."""
        frames: list[bytes] = []
        size = 0
        while self._votes or self._bulk:
            source = self._votes or self._bulk
            if frames and size + len(source[0]) > bytes_max:
                break
            frames.append(source.popleft())
            size += len(frames[-1])
        self.bytes -= size
        return b"".join(frames)


class Transport:
    """All links of one replica. ``deliver`` is called in the event loop for every message received."""

    def __init__(
        self,
        hello: Hello,
        keys: Sequence[bytes],
        addresses: Sequence[Address],
        server_tls: ssl.SSLContext,
        client_tls: ssl.SSLContext,
        queue_bytes_max: int,
    ) -> None:
        self.hello = hello
        self.keys = keys
        self.links_max = 4 * len(keys)
        self.links: set[Link] = set()
        self.drops: Counter[str] = Counter()
        self.deliver: Deliver = lambda sender, data: True
        self.on_ready: Callable[[int], None] = lambda peer: None
        self._addresses = addresses
        self._server_tls = server_tls
        self._client_tls = client_tls
        self._peers: dict[int, Link] = {}
        self._queues = {i: _Queue(queue_bytes_max) for i in range(len(keys)) if i != hello.index}
        self._scheduled: set[int] = set()
        self._server: asyncio.AbstractServer | None = None
        self._dialling: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self, None), host, port, ssl=self._server_tls)
        higher = range(self.hello.index + 1, len(self.keys))
        self._dialling = [loop.create_task(self._keep_dialling(peer)) for peer in higher]

    async def stop(self) -> None:
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.drop("stopping")
        if self._server is not None:
            await self._server.wait_closed()

    def connected(self, peer: int) -> bool:
        return peer in self._peers

    def queued_bytes(self, peer: int) -> int:
        return self._queues[peer].bytes

    def send(self, to: int | None, message: object, *, bulk: bool) -> None:
        """Queue a message for one peer, or, encoded once, for all."""
        frame = _frame(encode_message(message))
        for peer in self._queues if to is None else (to,):
            self._queues[peer].put(frame, bulk=bulk)
            if peer not in self._scheduled and peer in self._peers:
                self._scheduled.add(peer)
                asyncio.get_running_loop().call_soon(self._flush_peer, peer)

    def resume_reading(self, peer: int) -> None:
        link = self._peers.get(peer)
        if link is not None:
            link.resume_reading()

    # ------------------------------------------------------------------------------------------- inside

    def _flush_peer(self, peer: int) -> None:
        self._scheduled.discard(peer)
        link = self._peers.get(peer)
        if link is not None:
            self.flush(link)

    def flush(self, link: Link) -> None:
        if link.peer is None:
            return
        queue = self._queues[link.peer]
        while link.writable and queue.bytes:
            link.write(queue.take(CHUNK_BYTES))

    def link_ready(self, link: Link) -> None:
        assert link.peer is not None, "a ready link has a peer"
        older = self._peers.get(link.peer)
        self._peers[link.peer] = link
        if older is not None:
            older.drop("replaced")
        self.on_ready(link.peer)
        self.flush(link)

    def link_lost(self, link: Link) -> None:
        if link.peer is not None and self._peers.get(link.peer) is link:
            del self._peers[link.peer]

    async def _keep_dialling(self, peer: int) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = DIAL_BACKOFF_S
        address = self._addresses[peer]
        while True:
            if peer not in self._peers:
                try:
                    async with asyncio.timeout(DIAL_TIMEOUT_S):
                        await loop.create_connection(
                            lambda: Link(self, peer), address.host, address.port, ssl=self._client_tls
                        )
                    backoff_s = DIAL_BACKOFF_S
                except (OSError, TimeoutError, ssl.SSLError):
                    self.drops["dial_failed"] += 1
                    backoff_s = min(2 * backoff_s, DIAL_BACKOFF_S_MAX)
            await asyncio.sleep(backoff_s)


def _frame(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data
