"""The node's socket: u32 big-endian length, then a msgpack array. Requests may be pipelined; answers carry the id.

A stream is a call (``STREAM``) with many answers, all but the last of them marked ``more``. The node sends bodies of as
many bytes as it was granted: a window at first, and what ``CREDIT`` adds under the stream's id. ``CANCEL`` ends it.

Both ends are here: ``Frames`` cuts a byte stream into frames within a bound; an oversized one raises
``FrameTooLong``, upon which the connection is closed, since the stream can't be trusted any further.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

FRAME_BYTES_MAX = 4 << 20
REQUEST_BYTES_MAX = 1 << 20
"""What a node takes as one call; whoever announces more is hung up on."""
STREAM, CREDIT, CANCEL = "stream", "credit", "cancel"
STREAM_WINDOW_BYTES = 128 << 10
"""What a stream's reader holds unread at most, but for the last frame."""
_LENGTH = struct.Struct(">I")


class FrameTooLong(Exception):
    """The other side announced a frame beyond the bound."""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A call: ``token`` is a session's, or empty; ``params`` is the method's parameters, encoded; no ``channel`` is the
    main one.

    ``origin``: the address that somebody calls from who is served by the sender; believed on the Unix socket only.
    ``number``: under which the request is in logs, see ``sdk.request_ids``.
    """

    id: int
    method: str
    token: str
    params: msgspec.Raw
    channel: str = ""
    origin: str = ""
    number: str = ""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """An answer: ``body`` is the method's result, encoded, or, if not ``good``, a ``Problem``. ``more``: a stream's
    events, and others follow."""

    id: int
    good: bool
    body: msgspec.Raw
    more: bool = False


encode = msgspec.msgpack.Encoder().encode
encode_body = encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def frame(message: Request | Reply) -> bytes:
    data = encode(message)
    if len(data) > FRAME_BYTES_MAX:
        raise FrameTooLong(f"{len(data)} bytes; at most {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(data)) + data


class Frames:
    """An incremental cutter: ``feed`` bytes, iterate over whole frames. Holds at most one frame's bytes."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.add(data)
        yield from self.whole()

    def add(self, data: bytes) -> None:
        self._buffer += data

    def whole(self) -> Iterator[bytes]:
        """Frames that are there, each taken out as it is asked for."""
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self._max:
                raise FrameTooLong(f"{length} bytes; at most {self._max}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            data = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield data
