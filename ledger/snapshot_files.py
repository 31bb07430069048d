"""A snapshot as one file: its manifest, then its chunks in order, each a record with length and checksum.

Cut from a store as it was after its newest certified block, also while its node goes on: nothing is locked, and nothing
but the chunks' files is written. Checked from the genesis file alone, a chunk at a time: certificate, validators, and
every entry of the state.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

from ledger.chain import read_block
from ledger.cutting import cut_chunks, read_chunk, top_of
from ledger.genesis import Genesis
from ledger.layout import BASE, BLOCK, BOUNDARY, number, pack, read_base, read_place
from ledger.snapshots import SnapshotInvalid, check_chunk, check_manifest, parts_of
from ledger.store import Snapshot
from ledger.tree import decode_branch
from ledger.undo import certified_moment
from pbft.files import Files
from pbft.messages import DECODE_ERRORS, Chunk, Manifest

FORMAT_VERSION = 1
MAGIC = b"WQSNAP" + bytes([FORMAT_VERSION])
RECORD_BYTES_MAX = 256 << 20
PARTIAL = ".part"
_HEAD = struct.Struct(">II")
ChunkSource: TypeAlias = Callable[[int], bytes]
_read_manifest = msgspec.msgpack.Decoder(Manifest).decode


@dataclass(frozen=True, slots=True)
class VerifiedSnapshot:
    """``signers`` of ``validators`` signed the outcome of its block."""

    height: int
    state_root: bytes
    epoch: int
    signers: int
    chunks: int
    entries: int


class CannotCut(Exception):
    """The store has no state to give; the message says why."""


def cut_snapshot(source: Snapshot, blocks: Path, genesis: Genesis, scratch: Files) -> tuple[Manifest, ChunkSource]:
    """The state after the newest certified block of ``source``, cut into ``scratch``. ``blocks``: the chain files.

    Raises ``CannotCut``, or ``SnapshotInvalid`` if the state is not the one that was certified.
    """
    found = certified_moment(source)
    if found is None:
        raise CannotCut("no block is certified, or what later blocks replaced is not kept")
    certificate, moment = found
    depth, height = genesis.limits.snapshot_depth, certificate.statement.height
    branches = tuple(top_of(moment, depth))
    decoded = [(path, decode_branch(record)) for path, record in branches]
    parts = parts_of(certificate.statement.state_root, depth, decoded)
    boundaries = tuple(record for _, record in source.scan(BOUNDARY, BOUNDARY, certificate.epoch))
    header = _header(source, blocks, height)
    manifest = Manifest(certificate, header, depth, branches, boundaries, len(parts))
    checked = check_manifest(manifest, genesis, anywhere=True)
    cut_chunks(moment, parts, scratch)

    def chunk(index: int) -> bytes:
        data = read_chunk(scratch, index)
        check_chunk(Chunk(height, index, data), checked)
        return data

    return manifest, chunk


def _header(source: Snapshot, blocks: Path, height: int) -> bytes:
    """The encoded header of a certified block: in the chain files, or the one that a store began with."""
    base, place = source.get(BASE), source.get(BLOCK + number(height))
    if base is not None and read_base(base).height == height:
        return read_base(base).header
    if place is None:
        raise CannotCut(f"block {height} is not held")
    return pack(read_block(blocks, read_place(place)).header)


def write_snapshot(path: Path, manifest: Manifest, chunk: ChunkSource) -> None:
    """Write a snapshot; the file gets its name when it is whole."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            file.write(MAGIC)
            for data in chain([pack(manifest)], map(chunk, range(manifest.chunks))):
                file.write(_HEAD.pack(len(data), zlib.crc32(data)))
                file.write(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def verify_snapshot(
    path: Path, genesis: Genesis, progress: Callable[[int], None] = lambda chunk: None
) -> VerifiedSnapshot:
    """Check a snapshot's file; raises ``SnapshotInvalid``, which says which chunk and why. One chunk is in memory."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise SnapshotInvalid(f"not a snapshot file of format {FORMAT_VERSION}")
        try:
            manifest = _read_manifest(_record(file, "manifest"))
        except DECODE_ERRORS as error:
            raise SnapshotInvalid(f"not a manifest: {error}") from None
        checked = check_manifest(manifest, genesis, anywhere=True)
        entries = 0
        for index in range(manifest.chunks):
            data = _record(file, f"chunk {index}")
            try:
                entries += len(check_chunk(Chunk(manifest.height, index, data), checked)[0])
            except SnapshotInvalid as error:
                raise SnapshotInvalid(f"chunk {index}: {error}") from None
            progress(index)
        if file.read(1):
            raise SnapshotInvalid("something follows the last chunk")
    certificate = manifest.certificate
    root, signers = certificate.statement.state_root, len(certificate.signatures)
    return VerifiedSnapshot(manifest.height, root, certificate.epoch, signers, manifest.chunks, entries)


def _record(file: BinaryIO, name: str) -> bytes:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise SnapshotInvalid(f"{name}: missing")
    length, checksum = _HEAD.unpack(head)
    if length > RECORD_BYTES_MAX:
        raise SnapshotInvalid(f"{name}: impossible length")
    data = file.read(length)
    if len(data) != length or zlib.crc32(data) != checksum:
        raise SnapshotInvalid(f"{name}: damaged or cut short")
    return data
