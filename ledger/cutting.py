"""Cutting a moment of the store into a snapshot's chunks, in files: one pass over the state, in bounded memory."""

from __future__ import annotations

import msgspec

from ledger.layout import STATE, TREE, pack
from ledger.snapshots import Pairs, Part, encode_chunk
from ledger.store import Snapshot
from ledger.tree import ROOT, Branch, decode_branch, key_hash_of, nibbles
from pbft.files import Files

SCAN_KEYS = 200
CUT_BYTES_MAX = 32 << 20
"""Entries held in memory while chunks are cut, beside those of one scan."""
_LENGTH_BYTES = 4
_read_pair = msgspec.msgpack.Decoder(tuple[str, bytes]).decode


def top_of(source: Snapshot, depth: int) -> list[tuple[bytes, bytes]]:
    """The records of the tree's first ``depth`` levels, (path, record), ascending by path."""
    found: list[tuple[bytes, bytes]] = []
    level = [ROOT] if depth else []
    while level:
        below: list[bytes] = []
        for path in level:
            record = source.get(TREE + path)
            assert record is not None, "a branch that is named is there"
            found.append((path, record))
            if len(path) + 1 < depth:
                below.extend(_branches_below(path, decode_branch(record)))
        level = below
    return sorted(found)


def _branches_below(path: bytes, branch: Branch) -> list[bytes]:
    return [path + bytes([slot]) for slot, child in branch.items() if child.key_hash is None]


def cut_chunks(source: Snapshot, parts: tuple[Part, ...], files: Files) -> None:
    """Write each entry of the state into its chunk's file, where there may be a part of it already."""
    index_of = {part.path: index for index, part in enumerate(parts)}
    lengths = sorted({len(part.path) for part in parts})
    waiting: dict[int, list[bytes]] = {index: [] for index in range(len(parts))}
    size = 0
    after = STATE
    while rows := source.scan(STATE, after, SCAN_KEYS):
        for key, record in rows:
            name = key[len(STATE) :].decode()
            place = nibbles(key_hash_of(name))
            index = next(index_of[place[:length]] for length in lengths if place[:length] in index_of)
            framed = pack((name, record))
            waiting[index].append(len(framed).to_bytes(_LENGTH_BYTES, "big") + framed)
            size += len(framed)
            if size > CUT_BYTES_MAX:
                _flush(waiting, files)
                size = 0
        after = rows[-1][0]
    _flush(waiting, files)


def _flush(waiting: dict[int, list[bytes]], files: Files) -> None:
    for index, framed in waiting.items():
        file = files.append(chunk_name(index))
        file.write(b"".join(framed))
        # Not synced: a start empties the shelf, and hundreds of syncs would make whoever asks wait for seconds.
        file.close()
        framed.clear()


def read_chunk(files: Files, index: int) -> bytes:
    """A chunk's data, as it travels."""
    return encode_chunk(_unframed(files.read(chunk_name(index))))


def _unframed(data: bytes) -> Pairs:
    pairs: Pairs = []
    offset = 0
    while offset < len(data):
        start = offset + _LENGTH_BYTES
        offset = start + int.from_bytes(data[offset:start], "big")
        pairs.append(_read_pair(data[start:offset]))
    return pairs


def chunk_name(index: int) -> str:
    return f"{index:06d}.chunk"
