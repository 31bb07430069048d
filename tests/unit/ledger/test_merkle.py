"""Merkle proofs: for every size and place, and nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import EMPTY_ROOT, MerkleTree, root_from_proof, root_of

SIZES = [*range(1, 35), 63, 64, 65]


def leaves_of(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


@pytest.mark.parametrize("count", SIZES)
def test_every_leaf_has_a_proof(count: int) -> None:
    leaves = leaves_of(count)
    root = root_of(leaves)
    for index in range(count):
        assert root_from_proof(leaves[index], index, count, MerkleTree(leaves).path(index)) == root


@pytest.mark.parametrize("count", SIZES)
def test_a_proof_fits_one_leaf_at_one_place_of_one_list(count: int) -> None:
    """Place and length are proven too: a trade's id is made of them."""
    leaves = leaves_of(count)
    root = root_of(leaves)
    for index in {0, count // 2, count - 1}:
        path = MerkleTree(leaves).path(index)
        assert root_from_proof(b"another", index, count, path) != root
        for other_count in range(1, count + 3):
            for other_index in range(other_count):
                if (other_index, other_count) != (index, count):
                    assert root_from_proof(leaves[index], other_index, other_count, path) != root


@given(st.integers(2, 40), st.data())
def test_a_changed_path_leads_elsewhere(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    index = data.draw(st.integers(0, count - 1))
    path = list(MerkleTree(leaves).path(index))
    position = data.draw(st.integers(0, len(path) - 1))
    byte, bit = data.draw(st.integers(0, 31)), data.draw(st.integers(0, 7))
    changed = bytearray(path[position])
    changed[byte] ^= 1 << bit
    path[position] = bytes(changed)
    assert root_from_proof(leaves[index], index, count, path) != root_of(leaves)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_path_has_one_length(count: int) -> None:
    path = MerkleTree(leaves_of(count)).path(0)
    assert root_from_proof(b"leaf 0", 0, count, (*path, bytes(32))) is None
    assert not path or root_from_proof(b"leaf 0", 0, count, path[:-1]) is None


@pytest.mark.parametrize(("index", "count"), [(-1, 3), (3, 3), (0, 0), (5, 2)])
def test_a_place_outside_the_list_has_no_root(index: int, count: int) -> None:
    assert root_from_proof(b"leaf 0", index, count, ()) is None


@given(st.lists(st.binary(max_size=4), max_size=20), st.lists(st.binary(max_size=4), max_size=20))
def test_different_lists_have_different_roots(one: list[bytes], other: list[bytes]) -> None:
    assert (root_of(one) == root_of(other)) == (one == other)


def test_an_inner_node_is_no_leaf() -> None:
    pair = leaves_of(2)
    inside = b"".join(sha256(b"\x00" + leaf).digest() for leaf in pair)
    assert root_of([inside]) != root_of(pair)
    assert root_of([]) == EMPTY_ROOT
