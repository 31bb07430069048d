"""Merkle trees over lists (RFC 6962): leaves and nodes hashed with different prefixes, split at powers of two.

The root also covers how many leaves there are; without that a path would fit several places, and a receipt
could name another index than the one its transaction has.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

COUNT_BOUND = 2**32


def _sealed(count: int, top: bytes) -> bytes:
    return sha256(b"\x02" + count.to_bytes(8, "big") + top).digest()


EMPTY_ROOT = _sealed(0, b"")


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """The tree over leaf *data*, with all its levels at hand: it costs as much as one path, and gives them all."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.count = len(leaves)
        level = [leaf_hash(leaf) for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            level = paired + level[-1:] if len(level) % 2 else paired
            self._levels.append(level)
        self.root = _sealed(self.count, level[0]) if level else EMPTY_ROOT

    def path(self, index: int) -> tuple[bytes, ...]:
        """The sibling hashes from leaf ``index`` up to the root."""
        assert 0 <= index < self.count, "the proven leaf is in the list"
        siblings = ((level, (index >> depth) ^ 1) for depth, level in enumerate(self._levels))
        return tuple(level[place] for level, place in siblings if place < len(level))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf *data*; ``EMPTY_ROOT`` for none."""
    return MerkleTree(leaves).root


def root_from_proof(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that ``path`` leads to from leaf data at ``index`` of ``count``; None if the path has a wrong length."""
    if not 0 <= index < count < COUNT_BOUND:
        return None
    found = leaf_hash(leaf)
    steps = list(path)
    leaves = count
    while count > 1:
        if index ^ 1 < count:
            if not steps:
                return None
            sibling = steps.pop(0)
            found = _node(sibling, found) if index & 1 else _node(found, sibling)
        index //= 2
        count = (count + 1) // 2
    return None if steps else _sealed(leaves, found)
