"""Readers of files: what a disk has turned bits of, a crash has cut off, or somebody has handed over."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from decoder import Decoder, a_place, dumped
from ledgers import ALICE, GENESIS
from link_decoders import a_ledger
from memory_files import MemoryFiles

from ca.audit import AuditLog
from ca.authority import AuthorityError
from ca.folder import Folder
from ca.keys import InvalidKey, SigningKey
from ca.policy import load_policy
from ledger.chain import MAGIC as CHAIN_MAGIC
from ledger.chain import ChainCorrupt, ChainFiles
from ledger.genesis import GenesisInvalid
from ledger.snapshot_files import verify_snapshot, write_snapshot
from ledger.snapshots import SnapshotInvalid
from meter.buffer import MAGIC as BUFFER_MAGIC
from meter.buffer import Closed, Done, ReadingBuffer
from meter.counters import CounterTrack, Sample
from meter.curves import load_curves
from meter.errors import BufferCorrupt, ProfileError
from meter.intervals import MeterState
from pbft.evidence_store import EvidenceUnreadable, read_evidence
from pbft.messages import PrePrepare
from pbft.records import Accepted, Muted, encode_record
from pbft.wal import END, WalCorrupt, WriteAheadLog
from pbft.wal import MAGIC as LOG_MAGIC
from sdk.configuration import ConfigurationError
from sdk.connection import read_connection

LOG, CHAIN = "00000001.wal", "00000001.chain"


def _record(data: bytes) -> bytes:
    """Length, checksum and content."""
    return struct.pack(">II", len(data), zlib.crc32(data)) + data


def _holding(name: str, data: bytes) -> MemoryFiles:
    files = MemoryFiles()
    files.append(name).write(data)
    return files


@cache
def _place() -> Path:
    """Where files stand that are read from a path."""
    return a_place()


def _file(read: Callable[[Path], object], name: str = "file") -> Callable[[bytes], object]:
    def read_bytes(data: bytes) -> object:
        path = _place() / name
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)

    return read_bytes


# ------------------------------------------------------------------------------------------------ replicas


def _logged(data: bytes) -> object:
    log = WriteAheadLog(_holding(LOG, data))
    log.close()
    return log.records


def _logs() -> list[bytes]:
    files = MemoryFiles()
    log = WriteAheadLog(files)
    log.append([Accepted(PrePrepare(0, 1, bytes(32), 0, b"s" * 64), b"body"), Muted(3)])
    log.close()
    return [files.read(LOG)]


def _log_records() -> list[bytes]:
    return [encode_record(Accepted(PrePrepare(0, 1, bytes(32), 0, b"s" * 64), b"body")), encode_record(Muted(3))]


def _chained(data: bytes) -> object:
    chain = ChainFiles(_holding(CHAIN, data))
    found = list(chain.after(None))
    chain.close()
    return found


@cache
def _written() -> tuple[bytes, bytes]:
    """A chain file, and a snapshot's."""
    place, ledger = a_place(), a_ledger()
    manifest = ledger.manifest(0)
    assert manifest is not None
    chunks = [ledger.chunk(manifest.height, index) or b"" for index in range(manifest.chunks)]
    write_snapshot(place / "snapshot", manifest, chunks.__getitem__)
    chain = ChainFiles(files := MemoryFiles())
    for height in range(1, ledger.height + 1):
        chain.append(ledger._stored(height))
    return files.read(CHAIN), (place / "snapshot").read_bytes()


def _blocks() -> list[bytes]:
    head = len(CHAIN_MAGIC)
    (length,) = struct.unpack_from(">I", _written()[0], head)
    return [_written()[0][head + 8 : head + 8 + length]]


# -------------------------------------------------------------------------------------------------- meters


def _buffered(path: Path) -> object:
    buffer = ReadingBuffer(path)
    found = buffer.pending()
    buffer.close()
    return found


def _buffer_records() -> list[bytes]:
    state = MeterState("m", CounterTrack(Sample(900, 5, 0, 3)), 1)
    return [msgspec.msgpack.encode(Closed(state, ())), msgspec.msgpack.encode(Done((("m", 1, 1),)))]


def _buffers() -> list[bytes]:
    return [BUFFER_MAGIC + b"".join(map(_record, _buffer_records()))]


# ------------------------------------------------------------------------------------ CAs, keys, connections


def _keys() -> list[bytes]:
    path = _place() / "key"
    path.unlink(missing_ok=True)
    ALICE.save(path)
    return [path.read_bytes()]


ON_DISK: dict[str, Decoder] = {
    "logs of replicas": Decoder(_logged, (WalCorrupt,), _logs),
    "records of logs": Decoder(lambda data: _logged(LOG_MAGIC + _record(data) + END), (WalCorrupt,), _log_records),
    "chain files": Decoder(_chained, (ChainCorrupt,), lambda: [_written()[0]]),
    "blocks of chain files": Decoder(lambda data: _chained(CHAIN_MAGIC + _record(data)), (ChainCorrupt,), _blocks),
    "snapshots as files": Decoder(
        _file(lambda path: verify_snapshot(path, GENESIS)), (SnapshotInvalid,), lambda: [_written()[1]]
    ),
    "files of evidence": Decoder(
        _file(read_evidence), (EvidenceUnreadable,), lambda: [msgspec.msgpack.encode([1, [1, [], []], []])]
    ),
    "buffers of readings": Decoder(_file(_buffered, "buffer"), (BufferCorrupt,), _buffers),
    "records of buffers": Decoder(
        lambda data: _file(_buffered, "buffer")(BUFFER_MAGIC + _record(data)), (BufferCorrupt,), _buffer_records
    ),
    "curves of meters": Decoder(
        _file(load_curves), (ProfileError,), lambda: [b"interval,meter,import_wh,export_wh\n1,m,5,0\n2,m,6,0\n"]
    ),
    "audit logs": Decoder(
        _file(lambda path: AuditLog(Folder(path.parent)).check(), "audit.jsonl"),
        (AuthorityError,),
        lambda: dumped({"number": 0, "time_ms": 1, "what": "a", "by": "b", "facts": {}, "previous": "0" * 64}),
    ),
    "lists of a CA": Decoder(
        _file(lambda path: Folder(path.parent).lines(path.name), "issued.jsonl"),
        (AuthorityError,),
        lambda: [b'{"serial": "5e"}\n{"serial": "5f"}\n'],
    ),
    "policies of a CA": Decoder(
        _file(lambda path: load_policy(path.parent), "policy.toml"),
        (AuthorityError,),
        lambda: [b'otherwise = "wait"\n[[rule]]\nthen = "issue"\nroles = ["buyer"]\n'],
    ),
    "key files": Decoder(_file(SigningKey.load), (InvalidKey,), _keys),
    "files of connections": Decoder(
        _file(read_connection, "connection.toml"),
        (ConfigurationError, GenesisInvalid, InvalidKey),
        lambda: [b'nodes = ["https://127.0.0.1:1"]\ngenesis = "genesis.json"\n'],
    ),
}
"""By what it reads."""
