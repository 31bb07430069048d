"""Snapshots as they travel: what a manifest and a chunk must be, checked from the genesis file alone.

A manifest holds the certified checkpoint, the top of its state tree and the boundaries that lead to its validators;
a chunk is the entries below one path, which hash to what the manifest's branches say. The depth is genesis's, so
that all honest replicas cut a snapshot alike, and chunks can come from several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from ledger.blocks import Header
from ledger.certificates import CertificateInvalid, check_certificate, follow
from ledger.genesis import Genesis
from ledger.layout import pack, read_entry, read_header
from ledger.runner import pack_entry
from ledger.tree import (
    HASH_BYTES,
    ROOT,
    WIDTH,
    Branch,
    branch_hash,
    decode_branch,
    encode_branch,
    key_hash_of,
    leaf_hash,
    nibbles,
    subtree,
)
from pbft.messages import DECODE_ERRORS, Chunk, Manifest
from pbft.ports import BatchFault

Pairs = list[tuple[str, bytes]]
_read_pairs = msgspec.msgpack.Decoder(Pairs).decode


class SnapshotInvalid(BatchFault):
    """A manifest or a chunk that no honest replica sends; the message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one chunk holds: everything below ``path``, which hashes to ``hash``."""

    path: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest that leads to genesis. ``parts``: one a chunk, in order."""

    manifest: Manifest
    header: Header
    parts: tuple[Part, ...]


def parts_of(root: bytes, depth: int, branches: Sequence[tuple[bytes, Branch]]) -> tuple[Part, ...]:
    """The chunks that the top of a tree leads to; raises ``SnapshotInvalid`` where a branch is not what another, or
    the root, says, or is missing, or is one too many."""
    if depth == 0:
        if branches:
            raise SnapshotInvalid("branches without depth")
        return (Part(ROOT, root),)
    given = dict(branches)
    expected = {ROOT: root}
    parts: list[Part] = []
    for path, branch in branches:
        if expected.pop(path, None) != branch_hash(branch):
            raise SnapshotInvalid("a branch is not what the one above it says")
        for slot, child in branch.items():
            below = path + bytes([slot])
            if child.key_hash is None and len(below) < depth:
                expected[below] = child.hash
            else:
                parts.append(Part(below, child.hash))
    if expected or len(given) != len(branches):
        raise SnapshotInvalid("a branch is missing or given twice")
    return tuple(sorted(parts, key=lambda part: part.path))


def check_manifest(manifest: Manifest, genesis: Genesis, *, anywhere: bool = False) -> Checked:
    """Verify boundaries, certificate, header and branches; raises ``SnapshotInvalid``. Nodes send checkpoints only;
    a file may be of any certified block (``anywhere``)."""
    certificate, limits = manifest.certificate, genesis.limits
    statement = certificate.statement
    try:
        epoch = follow(genesis, manifest.boundaries)
        check_certificate(certificate, genesis, epoch)
        header = read_header(manifest.header)
    except CertificateInvalid as error:
        raise SnapshotInvalid(str(error)) from None
    except DECODE_ERRORS as error:
        raise SnapshotInvalid(f"not a header: {error}") from None
    if header.hash() != statement.header_hash or header.height != statement.height or pack(header) != manifest.header:
        raise SnapshotInvalid("the certificate is another block's")
    between = statement.height % limits.checkpoint_interval_blocks != 0
    if statement.height < epoch.first_height or (between and not anywhere):
        raise SnapshotInvalid("not a checkpoint of its epoch")
    if manifest.depth != limits.snapshot_depth:
        raise SnapshotInvalid(f"cut at depth {manifest.depth}, not {limits.snapshot_depth}")
    parts = parts_of(statement.state_root, manifest.depth, _branches(manifest))
    if manifest.chunks != len(parts):
        raise SnapshotInvalid(f"{manifest.chunks} chunks where there are {len(parts)}")
    return Checked(manifest, header, parts)


def _branches(manifest: Manifest) -> list[tuple[bytes, Branch]]:
    if len(manifest.branches) > sum(WIDTH**level for level in range(manifest.depth)):
        raise SnapshotInvalid("more branches than the depth has room for")
    return [(path, _branch(path, record)) for path, record in manifest.branches]


def _branch(path: bytes, record: bytes) -> Branch:
    """A branch whose leaves stand where their keys say."""
    try:
        branch = decode_branch(record)
    except DECODE_ERRORS as error:
        raise SnapshotInvalid(f"not a branch: {error}") from None
    if encode_branch(branch) != record or not all(0 <= slot < WIDTH for slot in branch):
        raise SnapshotInvalid("a branch is not in canonical form")
    for slot, child in branch.items():
        if len(child.hash) != HASH_BYTES or (child.key_hash is None) != (child.record_hash is None):
            raise SnapshotInvalid("a branch's child is malformed")
        if child.key_hash is None or child.record_hash is None:
            continue
        below = path + bytes([slot])
        if child.hash != leaf_hash(child.key_hash, child.record_hash) or len(child.key_hash) != HASH_BYTES:
            raise SnapshotInvalid("a leaf is not what its hashes say")
        if nibbles(child.key_hash)[: len(below)] != below:
            raise SnapshotInvalid("a leaf stands in another's place")
    return branch


def check_chunk(chunk: Chunk, checked: Checked) -> tuple[Pairs, dict[bytes, bytes]]:
    """A chunk's entries (key, record), and the branch records above them up to its path; raises ``SnapshotInvalid``."""
    if chunk.height != checked.manifest.height or not 0 <= chunk.index < len(checked.parts):
        raise SnapshotInvalid("there is no such chunk")
    part = checked.parts[chunk.index]
    try:
        pairs = _read_pairs(chunk.data)
        sound = all(pack_entry(read_entry(record)) == record for _, record in pairs) and pack(pairs) == chunk.data
    except DECODE_ERRORS as error:
        raise SnapshotInvalid(f"not a chunk: {error}") from None
    if not sound:
        raise SnapshotInvalid("a chunk is not in canonical form")
    places = [nibbles(key_hash_of(key)) for key, _ in pairs]
    if any(before >= after for before, after in pairwise(places)):
        raise SnapshotInvalid("a chunk's entries are not in order")
    if any(place[: len(part.path)] != part.path for place in places):
        raise SnapshotInvalid("an entry belongs into another chunk")
    found, records = subtree(part.path, pairs)
    if found != part.hash:
        raise SnapshotInvalid("a chunk's entries are not those of the certified state")
    return pairs, records


def encode_chunk(pairs: Pairs) -> bytes:
    """A chunk's data, from its entries in any order."""
    return pack(sorted(pairs, key=lambda pair: key_hash_of(pair[0])))
