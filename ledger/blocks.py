"""Blocks: the hashed header, the results of execution, and what a node stores of a block."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from pbft.messages import DOMAIN, Statement

_encode = msgspec.msgpack.Encoder().encode


class Header(msgspec.Struct, frozen=True, array_like=True):
    """Computed at execution (DESIGN "Execute in order"); view and proposer are kept beside it, unhashed."""

    chain: bytes
    channel: str
    epoch: int
    height: int
    previous_hash: bytes
    time_ms: int
    batch_digest: bytes
    transaction_root: bytes

    def hash(self) -> bytes:
        return sha256(_encode((DOMAIN, "header", self))).digest()


class EventRecord(msgspec.Struct, frozen=True, array_like=True):
    """An event that a contract emitted; ``data`` is an encoded value."""

    contract: str
    name: str
    data: bytes


class Result(msgspec.Struct, frozen=True, array_like=True):
    """What became of a transaction (``id``: its id), or of a deadline or a
    contract's upgrade (``id``: its key). ``value`` is encoded."""

    id: bytes
    code: str
    message: str
    gas_used: int
    value: bytes
    events: tuple[EventRecord, ...]


class StoredBlock(msgspec.Struct, frozen=True, array_like=True):
    """A block as it lies in the chain files. ``results``: encoded, deadlines first, then transactions in order.
    ``results_before``: the statement's ``results_hash`` of the block before."""

    header: Header
    body: bytes
    view: int
    proposer: int
    deadlines: int
    results: tuple[bytes, ...]
    results_before: bytes
    statement: Statement


def results_hash(before: bytes, results_root: bytes) -> bytes:
    """What a block's outcome says of all results so far: those ``before``, and the Merkle root of its own."""
    return sha256(_encode((DOMAIN, "results", before, results_root))).digest()


encode_block = _encode
decode_block = msgspec.msgpack.Decoder(StoredBlock).decode
encode_result = _encode
decode_result = msgspec.msgpack.Decoder(Result).decode
