"""What a stranger may send to a node's doors for streams, by chance, and what a node may say to it.

Each probe is a connection of its own, written byte by byte where that is the point, and ended by us.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import strategies as st

from sdk import wire

WITHIN_S = 20.0
PROBED = 0xFFFF_FFFE
"""The number of the call with which each probe of the socket ends: whoever is still listened to is answered."""
HEAD_END = b"\r\n\r\n"

texts = st.text(max_size=40) | st.sampled_from(["", "blocks", "family", "nowhere", "x" * 5_000, "\0", "../..", "%00"])
numbers = st.sampled_from([-(2**63), -1, 0, 1, 2, 2**31, 2**31 + 1, 2**40, 2**53, 2**63 - 1]) | st.integers(
    -(2**63), 2**64 - 1
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts | st.binary(max_size=40),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(texts, each, max_size=4),
    max_leaves=8,
)
jsons = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(texts, each, max_size=4),
    max_leaves=8,
)
topics = st.sampled_from(["blocks", "trades", "book", "notices", "power"])


def subscriptions(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """What a stream is asked for with: near enough to be understood, and often enough wrong."""
    return st.fixed_dictionaries(
        {"topics": st.lists(topics, max_size=6) | values},
        optional={
            "from_height": numbers | values,
            "from_index": numbers | values,
            "intervals": st.lists(numbers, max_size=120) | values,
            "proofs": st.booleans() | values,
            "more": values,
        },
    )


def requests(tokens: list[str]) -> st.SearchStrategy[list[Any]]:
    """A call on the socket, any of whose parts may be nonsense."""
    params = subscriptions(anything) | anything | st.fixed_dictionaries({"signer": texts})
    methods = st.sampled_from(["stream", "stream", "credit", "cancel", "status", "query", "submit", "headers"])
    return st.tuples(
        st.integers(0, 3) | numbers,
        methods | texts,
        st.sampled_from(tokens) | texts,
        params,
        st.sampled_from(["", "family", "nowhere"]) | texts,
        texts,
        texts,
    ).flatmap(lambda parts: st.integers(3, 7).map(lambda count: list(parts[:count])))


def socket_bytes(tokens: list[str]) -> st.SearchStrategy[bytes]:
    """Some frames: whole calls, any other value, broken ones, a wrong length, or nothing of the kind."""
    calls = requests(tokens).map(lambda parts: framed(encoded(parts)))
    values = anything.map(lambda value: framed(encoded(value)))
    broken = st.builds(lambda parts, at: framed(encoded(parts)[:at]), requests(tokens), st.integers(0, 60))
    nested = st.integers(1, 20_000).map(lambda depth: framed(b"\x91" * depth))
    lying = st.builds(
        lambda length, data: struct.pack(">I", length) + data, st.integers(0, 2**32 - 1), st.binary(max_size=60)
    )
    piece = calls | calls | calls | values | broken | nested | lying | st.binary(max_size=200)
    return st.lists(piece, min_size=1, max_size=6).map(b"".join)


def encoded(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return b"\xc1"


def completed(data: bytes) -> bytes:
    """The bytes, with the rest of a frame that they leave unfinished: a node may wait for that as long as it likes."""
    at = 0
    while at < len(data):
        (length,) = struct.unpack(">I", (data[at : at + 4]).ljust(4, b"\xff"))
        if length > wire.REQUEST_BYTES_MAX:
            return data + b"\xff" * 4
        at += 4 + length
    return data.ljust(at, b"\xc1")


def framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@dataclass(frozen=True)
class Doors:
    """Where a node listens."""

    host: str
    rest_port: int
    client_port: int
    tls: ssl.SSLContext

    async def talk(self, data: bytes) -> list[wire.Reply]:
        """All that the socket answers to these bytes and to one good call behind them; it may hang up instead."""
        reader, writer = await asyncio.open_connection(self.host, self.client_port, ssl=self.tls)
        last = wire.Request(PROBED, "status", "", msgspec.Raw(msgspec.msgpack.encode({})))
        cutter, found = wire.Frames(), list[wire.Reply]()
        try:
            async with asyncio.timeout(WITHIN_S):
                writer.write(completed(data) + wire.frame(last))
                while not any(reply.id == PROBED for reply in found) and (more := await _some(reader)):
                    found += [wire.decode_reply(frame) for frame in cutter.feed(more)]
        finally:
            writer.transport.abort()
        return found

    async def get(self, path: str, headers: bytes = b"", verb: bytes = b"GET", body: bytes = b"") -> tuple[int, bytes]:
        """Status, and the body, or the beginning of one that never ends."""
        reader, writer = await asyncio.open_connection(self.host, self.rest_port)
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        try:
            async with asyncio.timeout(WITHIN_S):
                line = verb + b" " + path.encode("ascii", "surrogateescape") + b" HTTP/1.1\r\n"
                writer.write(line + b"Host: node\r\nConnection: close\r\n" + headers + length + b"\r\n" + body)
                head, _, rest = (await _until(reader, HEAD_END)).partition(HEAD_END)
                status = int(head.split(b" ", 2)[1])
                if b"text/event-stream" in head:
                    return status, rest + await _until(reader, b"\n\n")
                return status, rest + await reader.read()
        finally:
            writer.transport.abort()

    async def websocket(self, path: str, frames: bytes) -> list[Any]:
        """What a WebSocket says to these bytes, as JSON, until it has said something or hung up."""
        reader, writer = await asyncio.open_connection(self.host, self.rest_port)
        key = base64.b64encode(os.urandom(16))
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        try:
            async with asyncio.timeout(WITHIN_S):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n".encode() + upgrade + key + HEAD_END)
                head, _, rest = (await _until(reader, HEAD_END)).partition(HEAD_END)
                assert head.startswith(b"HTTP/1.1 101"), head
                # The farewell ends what is left half said, and streams that were begun.
                writer.write(frames + masked(8, b""))
                with contextlib.suppress(OSError):  # a node that has hung up on half of it: ENOTCONN
                    writer.write_eof()
                while more := await _some(reader):
                    rest += more
        finally:
            writer.transport.abort()
        return [json.loads(text) for text in told(rest)]


async def _some(reader: asyncio.StreamReader) -> bytes:
    """What comes next; nothing at the end, however it comes about."""
    try:
        return await reader.read(65_536)
    except OSError:
        return b""


async def _until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    found = b""
    while end not in found and (more := await _some(reader)):
        found += more
    return found


def masked(opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0) -> bytes:
    """One frame of a WebSocket's client."""
    size = len(payload)
    head = bytes([(0x80 if final else 0) | (reserved << 4) | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    return head + bytes(4) + payload  # a mask of zeros changes nothing


def told(data: bytes) -> list[str]:
    """The texts in what a WebSocket's server sent: plain frames, of which the last may be cut off anywhere."""
    found = []
    while len(data) >= 2:
        opcode, size, begin = data[0] & 0x0F, data[1] & 0x7F, 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begin])
        if opcode == 1 and len(data) >= begin + size:
            found.append(data[begin : begin + size].decode())
        data = data[begin + size :]
    return found


def websocket_bytes(tokens: list[str]) -> st.SearchStrategy[bytes]:
    """A first message, mostly of the right kind; other frames, broken ones, and further messages."""
    asked = st.builds(
        lambda wanted, token: masked(1, json.dumps({**wanted, "token": token}).encode()),
        subscriptions(jsons),
        st.sampled_from(tokens) | jsons,
    )
    other = st.builds(
        lambda opcode, payload, final, reserved: masked(opcode, payload, final=final, reserved=reserved),
        st.integers(0, 15),
        st.binary(max_size=200) | jsons.map(lambda value: json.dumps(value).encode()),
        st.booleans(),
        st.integers(0, 7),
    )
    deep = st.integers(1, 8_000).map(lambda depth: masked(1, b"[" * depth))
    long = st.just(masked(1, b" " * 20_000))
    piece = asked | asked | other | deep | long | st.binary(max_size=60)
    return st.lists(piece, min_size=1, max_size=4).map(b"".join)


header_bytes = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, blacklist_characters="\x7f"), max_size=30
).map(lambda text: text.encode("latin-1"))
places = st.builds(lambda height, index: f"{height}-{index}".encode(), numbers, numbers) | header_bytes


def event_requests(tokens: list[str]) -> st.SearchStrategy[tuple[str, bytes]]:
    """Path and headers of a request for server-sent events."""
    words = numbers.map(str) | texts
    query = st.lists(st.tuples(st.sampled_from(["from_height", "interval", "topics", "token"]), words), max_size=3)
    bearer = st.sampled_from(tokens).map(str.encode) | header_bytes
    return st.builds(
        lambda channel, topic, pairs, last, token: (
            f"/v1{channel}/streams/{quote(topic, safe='')}?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in pairs),
            (b"Last-Event-ID: " + last + b"\r\n" if last else b"")
            + (b"Authorization: Bearer " + token + b"\r\n" if token else b""),
        ),
        st.sampled_from(["", "", "/channels/family", "/channels/nowhere", "/channels/%ED%A0%80", "/channels/%00"]),
        topics | texts.filter(bool),
        query,
        st.just(b"") | places,
        bearer,
    )
