"""A snapshot as one file: its manifest, then its chunks in order, each a record with length and checksum.

Checked from the genesis file alone, a chunk at a time: certificate, validators, and every entry of the state.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from ledger.genesis import Genesis
from ledger.layout import pack
from ledger.snapshots import SnapshotInvalid, check_chunk, check_manifest
from pbft.messages import DECODE_ERRORS, Chunk, Manifest

FORMAT_VERSION = 1
MAGIC = b"WQSNAP" + bytes([FORMAT_VERSION])
RECORD_BYTES_MAX = 256 << 20
PARTIAL = ".part"
_HEAD = struct.Struct(">II")
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


def write_snapshot(path: Path, manifest: Manifest, chunk: Callable[[int], bytes]) -> None:
    """Write a snapshot; the file gets its name when it is whole."""
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(MAGIC)
        for data in (pack(manifest), *map(chunk, range(manifest.chunks))):
            file.write(_HEAD.pack(len(data), zlib.crc32(data)))
            file.write(data)
    partial.replace(path)


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
        checked = check_manifest(manifest, genesis)
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
