"""One connection between nodes: length-prefixed frames, and a hello in each direction before anything else.

Who the peer is, its certificate says, which TLS has verified: the hello must name the very key that the
certificate holds. Garbage closes the link with a counted reason. Reading is held back for named reasons, and
goes on once the last of them is gone. A link on which nothing comes any more is dropped: the peer's end may be gone
without a word (its power, or whatever keeps count of connections on the way), and TCP would wait a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Protocol

import msgspec

from ca.certificates import CertificateFacts
from pbft.messages import DECODE_ERRORS, FRAME_BYTES_MAX

PROTOCOL_VERSION = 4
HELLO_BYTES_MAX = 1_024
HELLO_TIMEOUT_S = 5.0
SILENCE_LOOK_S = 4.0
SILENT_LOOKS_MAX = 4
"""So many looks in a row that find nothing new on a link end it. Every node tells its status far more often. They are
counted, since a machine that stood still has heard nothing either, and finds what has come before it looks again."""
_LENGTH = struct.Struct(">I")


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first frame in each direction: protocol, network, and the sender's 65-byte key."""

    version: int
    chain: bytes
    channel: str
    key: bytes


class Owner(Protocol):
    """What a link asks of the transport that it belongs to."""

    hello: Hello

    def opened(self, link: Link) -> str:
        """A connection stands, its certificate verified by TLS; the name of the fault that closes it, or ''."""

    def introduced(self, link: Link, hello: Hello) -> str:
        """The peer said hello; the fault's name, or ''."""

    def received(self, link: Link, data: bytes) -> None: ...

    def writable(self, link: Link) -> None:
        """The link takes more again."""

    def closed(self, link: Link, reason: str) -> None: ...


class Link(asyncio.Protocol):
    """``dialled``: the key that we dialled for, None if the peer dialled. ``peer`` is set by both hellos."""

    def __init__(self, owner: Owner, dialled: bytes | None) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self._holds: set[str] = set()
        self._reason = ""
        self._heard = False
        self._silent_looks = 0
        self.dialled = dialled
        self.facts: CertificateFacts | None = None
        """What the peer's certificate says; set by the owner."""
        self.peer: bytes | None = None
        self.ready_s = 0.0
        """When both hellos were through, by the event loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit asyncio's
        fault = self._owner.opened(self)
        if fault:
            self.drop(fault)
            return
        self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, self.drop, "hello_timeout")
        self.write(frame(msgspec.msgpack.encode(self._owner.hello)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._transport = None
        self._owner.closed(self, self._reason)

    def drop(self, reason: str) -> None:
        """Close the link, now; the first reason is counted."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._owner.writable(self)

    @property
    def writable(self) -> bool:
        return self._writable and self._transport is not None and not self._reason

    def hold(self, reason: str) -> bool:
        """Read no more until every reason to hold is released; False if this one holds already."""
        if reason in self._holds:
            return False
        self._holds.add(reason)
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()
        return True

    def release(self, reason: str) -> None:
        self._holds.discard(reason)
        idle = self._transport is None or self._transport.is_closing() or self._transport.is_reading()
        if not self._holds and not idle and self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size and not self._reason:
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
            self._owner.received(self, data)
            return
        fault = self._introduce(data)
        if fault:
            self.drop(fault)

    def _introduce(self, data: bytes) -> str:
        own = self._owner.hello
        try:
            hello = msgspec.msgpack.decode(data, type=Hello)
        except DECODE_ERRORS:
            return "bad_hello"
        if hello.version != own.version:
            return "other_version"
        if (hello.chain, hello.channel) != (own.chain, own.channel):
            return "other_chain"
        if hello.key == own.key:
            return "ourselves"
        if self.dialled is not None and hello.key != self.dialled:
            return "another_peer"
        fault = self._owner.introduced(self, hello)
        if not fault:
            self._look_again()
        return fault

    def _look_again(self) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(SILENCE_LOOK_S, self._look)

    def _look(self) -> None:
        """Whether anything has come since the last look, on a link that is read from."""
        self._silent_looks = 0 if self._heard or self._holds else self._silent_looks + 1
        self._heard = False
        if self._silent_looks >= SILENT_LOOKS_MAX:
            self.drop("silent")
        else:
            self._look_again()

    def certificate(self) -> bytes | None:
        """The peer's certificate (DER), which TLS has verified."""
        session = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return session.getpeercert(binary_form=True) if session is not None else None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def frame(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data
