"""Frames on the socket: cut anywhere, bounded, whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk import wire
from sdk.errors import Problem

REQUESTS = [wire.Request(number, "status", "", msgspec.Raw(wire.encode_body({"n": number}))) for number in range(4)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_whole_however_the_stream_is_cut(sizes: list[int]) -> None:
    stream = b"".join(wire.frame(request) for request in REQUESTS)
    frames = wire.Frames()
    found: list[bytes] = []
    position = 0
    for size in [*sizes, len(stream)]:
        found += frames.feed(stream[position : position + size])
        position += size
    requests = [wire.decode_request(data) for data in found]
    assert [(item.id, bytes(item.params)) for item in requests] == [(r.id, bytes(r.params)) for r in REQUESTS]


def test_a_frame_beyond_the_bound_is_refused_at_its_first_bytes() -> None:
    frames = wire.Frames(100)
    assert list(frames.feed(b"\x00\x00\x00\x64" + bytes(100))) == [bytes(100)]
    with pytest.raises(wire.FrameTooLong, match="101 bytes"):
        list(frames.feed(b"\x00\x00\x00\x65"))


def test_no_frame_beyond_the_bound_is_sent() -> None:
    body = msgspec.Raw(wire.encode_body(bytes(wire.FRAME_BYTES_MAX)))
    with pytest.raises(wire.FrameTooLong):
        wire.frame(wire.Reply(1, True, body))


def test_replies_carry_a_result_or_a_problem() -> None:
    reply = wire.Reply(7, False, msgspec.Raw(wire.encode_body(Problem("CODE", "Sentence.", 400))))
    found = wire.decode_reply(wire.frame(reply)[4:])
    assert (found.id, found.good) == (7, False)
    assert msgspec.msgpack.decode(found.body, type=Problem) == Problem("CODE", "Sentence.", 400)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x94\x01\x02\x03\x04", b"\x91\x01", b"\x94\xa1x\xa1y\xa0\xc0"])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        wire.decode_request(data)
