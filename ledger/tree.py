"""The authenticated state tree: a 16-way trie over SHA-256 of the key, each leaf where it first stands alone.

Its root depends on the content alone, not on history: a branch exists exactly where two keys share a prefix.
A branch's hash covers a bitmap of its children and their hashes; leaves live inside their branch's record, so
an update touches one record a level. All writes of a block are applied together, each branch hashed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import msgspec

from ledger.recent import Recent

WIDTH = 16
HASH_BYTES = 32
ROOT = b""
_BITS = tuple(1 << slot for slot in range(WIDTH))
_DIGITS = bytes.maketrans(b"0123456789abcdef", bytes(range(WIDTH)))
RECORDS_CACHED_BYTES_MAX = 32 << 20
"""Of branches' records in memory, those used last. Of a large tree they are its upper levels, which every block needs,
and whatever is written often; a branch far down is seldom needed twice. Decoded, they would take four times as much."""
RECORD_OVERHEAD_BYTES = 250
"""What a record takes in memory beside itself."""
UNKNOWN_RECORD = b"unknown"
"""Stands for a record that is not in memory; itself it is none."""


class Child(msgspec.Struct, frozen=True, array_like=True):
    """A slot of a branch: the child's hash and, for a leaf, the hashes of its key and of its record."""

    hash: bytes
    key_hash: bytes | None = None
    record_hash: bytes | None = None


Branch: TypeAlias = dict[int, Child]
Load: TypeAlias = Callable[[bytes], bytes | None]
"""Reads a branch's record by its path (one byte a nibble)."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, Child]).decode
encode_branch, decode_branch = _encode, _decode


def key_hash_of(key: str) -> bytes:
    return sha256(key.encode()).digest()


def leaf_hash(key_hash: bytes, record_hash: bytes) -> bytes:
    """A leaf covers the key's hash and the hash of the entry's record (height, index, value)."""
    return sha256(b"\x00" + key_hash + record_hash).digest()


def leaf_of(key_hash: bytes, record: bytes) -> Child:
    record_hash = sha256(record).digest()
    return Child(leaf_hash(key_hash, record_hash), key_hash, record_hash)


def branch_hash(branch: Branch) -> bytes:
    slots = sorted(branch)
    hashes = [branch[slot].hash for slot in slots]
    return sha256(b"\x01" + _bitmap(slots) + b"".join(hashes)).digest()


def _bitmap(slots: Iterable[int]) -> bytes:
    return sum(map(_BITS.__getitem__, slots)).to_bytes(2, "big")


EMPTY_ROOT = branch_hash({})


def nibbles(key_hash: bytes) -> bytes:
    return key_hash.hex().encode().translate(_DIGITS)


def _nibble(key_hash: bytes, depth: int) -> int:
    pair = key_hash[depth >> 1]
    return pair & 15 if depth & 1 else pair >> 4


@dataclass(frozen=True, slots=True)
class _Item:
    path: bytes
    key_hash: bytes
    leaf: Child | None


def _weight(path: bytes, record: bytes) -> int:
    return len(record) + RECORD_OVERHEAD_BYTES


class StateTree:
    """The tree over a store of branch records. ``update`` gives the new root and the records to write with it, and
    leaves in ``replaced`` what their paths had before."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._recent = Recent[bytes, bytes](RECORDS_CACHED_BYTES_MAX, _weight)
        self._dirty: dict[bytes, bytes | None] = {}
        self.replaced: dict[bytes, bytes | None] = {}
        self.root = branch_hash(self._branch(ROOT))

    def update(self, writes: Mapping[str, bytes | None]) -> dict[bytes, bytes | None]:
        """Apply a block's writes (key → entry record, None deletes); changed branch records by path."""
        self._dirty, self.replaced = {}, {}
        items = []
        for key, record in writes.items():
            key_hash = key_hash_of(key)
            leaf = None if record is None else leaf_of(key_hash, record)
            items.append(_Item(nibbles(key_hash), key_hash, leaf))
        if items:
            self._in_branch(ROOT, items)
            self.root = branch_hash(self._branch(ROOT))
        return self._dirty

    def grow(self, path: bytes, entries: Iterable[tuple[str, bytes]]) -> tuple[bytes, dict[bytes, bytes]]:
        """See ``subtree``; ``path`` is not the root's."""
        self._dirty, self.replaced = {}, {}
        leaves = {(hashed := key_hash_of(key)): leaf_of(hashed, record) for key, record in entries}
        top = self._grow(path, leaves)
        records = {place: record for place, record in self._dirty.items() if record is not None}
        return b"" if top is None else top.hash, records

    def _in_branch(self, path: bytes, items: list[_Item]) -> Child | None:
        """Apply items below an existing branch; what its parent should hold for it."""
        record = self._record(path)
        branch = _branch_of(record)
        for slot, group in _by_slot(items, len(path)):
            child = branch.get(slot)
            below = path + bytes([slot])
            is_branch = child is not None and child.key_hash is None
            new = self._in_branch(below, group) if is_branch else self._in_leaf(below, child, group)
            if new is None:
                branch.pop(slot, None)
            else:
                branch[slot] = new
        return self._settle(path, branch, record)

    def _in_leaf(self, path: bytes, child: Child | None, items: list[_Item]) -> Child | None:
        """Apply items where there is a single leaf or nothing."""
        leaves = {} if child is None or child.key_hash is None else {child.key_hash: child}
        for item in items:
            if item.leaf is None:
                leaves.pop(item.key_hash, None)
            else:
                leaves[item.key_hash] = item.leaf
        return self._grow(path, leaves)

    def _grow(self, path: bytes, leaves: Mapping[bytes, Child]) -> Child | None:
        if not leaves:
            return None
        if len(leaves) == 1:
            (leaf,) = leaves.values()
            return leaf
        groups: dict[int, dict[bytes, Child]] = {}
        for key_hash, leaf in leaves.items():
            groups.setdefault(_nibble(key_hash, len(path)), {})[key_hash] = leaf
        branch = {}
        for slot, group in groups.items():
            grown = self._grow(path + bytes([slot]), group)
            assert grown is not None, "a group has at least one leaf"
            branch[slot] = grown
        return self._settle(path, branch, None)

    def _settle(self, path: bytes, branch: Branch, before: bytes | None) -> Child | None:
        """Keep a branch, whose record was ``before``, or dissolve one that holds a single leaf or nothing."""
        self.replaced[path] = before
        if path != ROOT and len(branch) <= 1:
            only = next(iter(branch.values()), None)
            if only is None or only.key_hash is not None:
                self._recent.drop(path)
                self._dirty[path] = None
                return only
        record = self._dirty[path] = _encode(branch)
        self._recent.keep(path, record)
        return Child(branch_hash(branch))

    def _branch(self, path: bytes) -> Branch:
        return _branch_of(self._record(path))

    def _record(self, path: bytes) -> bytes | None:
        found = self._recent.find(path, UNKNOWN_RECORD)
        if found is not UNKNOWN_RECORD:
            return found
        record = self._load(path)
        if record is not None:
            self._recent.keep(path, record)
        return record


def _branch_of(record: bytes | None) -> Branch:
    return {} if record is None else _decode(record)


def _by_slot(items: list[_Item], depth: int) -> Iterable[tuple[int, list[_Item]]]:
    groups: dict[int, list[_Item]] = {}
    for item in items:
        groups.setdefault(item.path[depth], []).append(item)
    return groups.items()


def root_of(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """The root over (key, record) pairs, computed from nothing else."""
    tree = StateTree(lambda _: None)
    tree.update(dict(entries))
    return tree.root


def subtree(path: bytes, entries: Iterable[tuple[str, bytes]]) -> tuple[bytes, dict[bytes, bytes]]:
    """What stands at ``path`` over the (key, record) pairs below it: its hash, and the branch records from there on."""
    tree = StateTree(lambda _: None)
    if path == ROOT:
        written = tree.update(dict(entries))
        return tree.root, {place: record for place, record in written.items() if record is not None}
    return tree.grow(path, entries)


# ------------------------------------------------------------------------------------------------- proofs


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One branch on the way down: which slots are taken, and the hashes of those not taken by the path."""

    slots: tuple[int, ...]
    siblings: tuple[bytes, ...]


class TreeProof(msgspec.Struct, frozen=True, array_like=True):
    """Inclusion or absence of a key. ``other``: the (key hash, record hash) of a leaf that stands in the way."""

    steps: tuple[Step, ...]
    other: tuple[bytes, bytes] | None


def prove(load: Load, key: str) -> TreeProof:
    """The proof for ``key`` in the tree whose records ``load`` reads."""
    key_hash = key_hash_of(key)
    way = nibbles(key_hash)
    steps = []
    for depth in range(len(way)):
        record = load(way[:depth])
        branch = {} if record is None else _decode(record)
        slots = tuple(sorted(branch))
        steps.append(Step(slots, tuple(branch[slot].hash for slot in slots if slot != way[depth])))
        child = branch.get(way[depth])
        if child is None:
            return TreeProof(tuple(steps), None)
        if child.key_hash is not None:
            assert child.record_hash is not None, "a leaf carries its record's hash"
            other = None if child.key_hash == key_hash else (child.key_hash, child.record_hash)
            return TreeProof(tuple(steps), other)
    raise AssertionError("two keys share a whole SHA-256 hash")


def check_proof(root: bytes, key: str, record: bytes | None, proof: TreeProof) -> bool:
    """Whether ``proof`` shows that ``key`` holds ``record`` (None: is absent) under ``root``."""
    key_hash = key_hash_of(key)
    way = nibbles(key_hash)
    if not 1 <= len(proof.steps) <= len(way):
        return False
    if not _is_consistent(key_hash, record, proof, way):
        return False
    current = _bottom(key_hash, record, proof)
    for depth in range(len(proof.steps) - 1, -1, -1):
        step = proof.steps[depth]
        if list(step.slots) != sorted(set(step.slots)) or not all(0 <= slot < WIDTH for slot in step.slots):
            return False
        if (way[depth] in step.slots) != (current is not None):
            return False
        if len(step.siblings) != len(step.slots) - (current is not None):
            return False
        if any(len(sibling) != HASH_BYTES for sibling in step.siblings):
            return False
        rest = iter(step.siblings)
        hashes = [current if slot == way[depth] and current is not None else next(rest) for slot in step.slots]
        current = sha256(b"\x01" + _bitmap(step.slots) + b"".join(hashes)).digest()
    return current == root


def _is_consistent(key_hash: bytes, record: bytes | None, proof: TreeProof, way: bytes) -> bool:
    """Whether what the proof ends in can stand where the key's way ends."""
    if proof.other is None:
        return True
    other_key, _ = proof.other
    depth = len(proof.steps)
    beside = len(other_key) == len(key_hash) and nibbles(other_key)[:depth] == way[:depth]
    return record is None and other_key != key_hash and beside


def _bottom(key_hash: bytes, record: bytes | None, proof: TreeProof) -> bytes | None:
    """The hash in the last step's slot: the key's leaf, another's, or None for an empty slot."""
    if record is not None:
        return leaf_hash(key_hash, sha256(record).digest())
    return None if proof.other is None else leaf_hash(*proof.other)
