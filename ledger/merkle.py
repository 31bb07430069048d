"""Merkle trees over lists (RFC 6962): leaves and nodes hashed with different prefixes, split at powers of two."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf *data*; ``EMPTY_ROOT`` for none."""
    level = [leaf_hash(leaf) for leaf in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[-1:] if len(level) % 2 else paired
    return level[0]


def proof_of(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The sibling hashes from leaf ``index`` up to the root."""
    assert 0 <= index < len(leaves), "the proven leaf is in the list"
    level = [leaf_hash(leaf) for leaf in leaves]
    path = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[-1:] if len(level) % 2 else paired
        index //= 2
    return tuple(path)


def root_from_proof(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that ``path`` leads to from leaf data at ``index`` of ``count``; None if the path has a wrong length."""
    if not 0 <= index < count:
        return None
    found = leaf_hash(leaf)
    steps = list(path)
    while count > 1:
        if index ^ 1 < count:
            if not steps:
                return None
            sibling = steps.pop(0)
            found = _node(sibling, found) if index & 1 else _node(found, sibling)
        index //= 2
        count = (count + 1) // 2
    return None if steps else found
