"""What lies where in the commit store, and how it is packed."""

from __future__ import annotations

import msgspec

from ledger.blocks import Header
from ledger.chain import Place
from ledger.state import Entry
from pbft.epoch import Boundary
from pbft.messages import ExecutionCertificate, Statement

STATE, TREE, BLOCK, CERTIFICATE, TRANSACTION = b"s/", b"t/", b"b/", b"c/", b"x/"
"""Entries by key, branches by path; places, certificates by height; (height, index) by transaction."""
STATE_END = b"s0"
"""Behind every entry."""
HASH = b"k/"
"""Heights by the hash of the block's header."""
BOUNDARY, UNDO, HISTORY = b"e/", b"u/", b"v/"
"""Boundaries by the number of the epoch that they begin; what a block replaced, by height, until it is certified; and
versions of entries that are no more (``ledger.history``)."""
HEAD = b"m/head"
CERTIFIED = b"m/certified"
BASE = b"m/base"
"""The snapshot that the store began with; missing for genesis."""
HASHED = b"m/hashes"
"""Whether every block is in the index by hash: how many had to be put there later."""
ROLLBACKS = b"m/rollbacks"
"""How often blocks of the store were undone; missing for never."""
KNOWN_FROM = b"m/history"
"""The height from which on past versions are known."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The last block. ``place`` is None for genesis and for a snapshot's."""

    height: int
    time_ms: int
    header_hash: bytes
    statement: Statement
    place: Place | None


class Base(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot's height and its block's header, encoded; the block itself is not held."""

    height: int
    header: bytes


pack = msgspec.msgpack.Encoder().encode
read_head = msgspec.msgpack.Decoder(Head).decode
read_entry = msgspec.msgpack.Decoder(Entry).decode
read_place = msgspec.msgpack.Decoder(Place).decode
read_header = msgspec.msgpack.Decoder(Header).decode
read_certificate = msgspec.msgpack.Decoder(ExecutionCertificate).decode
read_boundary = msgspec.msgpack.Decoder(Boundary).decode
read_location = msgspec.msgpack.Decoder(tuple[int, int]).decode
read_undo = msgspec.msgpack.Decoder(dict[bytes, bytes | None]).decode
read_height = msgspec.msgpack.Decoder(int).decode
read_count = msgspec.msgpack.Decoder(int).decode
read_base = msgspec.msgpack.Decoder(Base).decode


def state_mark(generation: int, rollbacks: int, state_root: bytes) -> str:
    """What names one state among all that a data directory ever held."""
    return f"{generation}.{rollbacks}.{state_root.hex()}"


def number(height: int) -> bytes:
    """A height or an epoch's number in a key, so that keys sort as numbers."""
    return height.to_bytes(8, "big")
