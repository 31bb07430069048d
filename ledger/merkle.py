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


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf *data*; ``EMPTY_ROOT`` for none."""
    level = [leaf_hash(leaf) for leaf in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[-1:] if len(level) % 2 else paired
    return _sealed(len(leaves), level[0])


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
