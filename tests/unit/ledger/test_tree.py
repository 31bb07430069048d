"""The state tree: its root is a function of its content, and every key has a proof of its record or its absence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import tree as tree_module
from ledger.tree import EMPTY_ROOT, StateTree, Step, TreeProof, check_proof, key_hash_of, prove, root_of

KEYS = [f"k{number}" for number in range(40)]
CROWD = {f"crowd/{number}": b"%d" % number for number in range(300)}
"""Enough keys for branches three levels deep."""


class Kept:
    """A tree and the store that its records are written to."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.tree = StateTree(self.records.get)

    def update(self, writes: dict[str, bytes | None]) -> bytes:
        for path, record in self.tree.update(writes).items():
            if record is None:
                self.records.pop(path, None)
            else:
                self.records[path] = record
        return self.tree.root

    def reopen(self) -> None:
        self.tree = StateTree(self.records.get)

    def prove(self, key: str) -> TreeProof:
        return prove(self.records.get, key)


def crowded() -> Kept:
    kept = Kept()
    kept.update(dict(CROWD))
    return kept


WRITES = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(WRITES, max_size=8), st.booleans())
def test_the_root_depends_on_the_content_alone(blocks: list[dict[str, bytes | None]], reopens: bool) -> None:
    """Against a dictionary: after every block, and also when the tree is read from its store again."""
    kept, model = Kept(), dict[str, bytes]()
    for writes in blocks:
        for key, record in writes.items():
            if record is None:
                model.pop(key, None)
            else:
                model[key] = record
        assert kept.update(writes) == root_of(model.items())
        if reopens:
            kept.reopen()
            assert kept.tree.root == root_of(model.items())
    if not model:
        assert kept.tree.root == EMPTY_ROOT
    for key in KEYS:
        assert check_proof(kept.tree.root, key, model.get(key), kept.prove(key))


@settings(max_examples=30, deadline=None)
@given(st.permutations(KEYS[:12]), st.integers(1, 12))
def test_neither_order_nor_the_cut_into_blocks_matters(order: list[str], size: int) -> None:
    kept = Kept()
    for start in range(0, len(order), size):
        kept.update({key: key.encode() for key in order[start : start + size]})
    assert kept.tree.root == root_of((key, key.encode()) for key in KEYS[:12])


def test_different_contents_have_different_roots() -> None:
    contents = [{}, {"a": b"1"}, {"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b"1"}, {"a": b""}]
    assert len({root_of(content.items()) for content in contents}) == len(contents)


def test_deleting_everything_leaves_nothing_behind() -> None:
    kept = crowded()
    kept.update(dict.fromkeys(CROWD))
    assert kept.tree.root == EMPTY_ROOT
    assert set(kept.records) == {b""}


def test_deleting_what_is_not_there_changes_nothing() -> None:
    kept = crowded()
    root, records = kept.tree.root, dict(kept.records)
    assert kept.update({"nobody": None}) == root
    assert kept.records == records


def test_a_bounded_cache_changes_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "RECORDS_CACHED_BYTES_MAX", 4_000)
    assert crowded().tree.root == root_of(CROWD.items())


def test_a_full_cache_keeps_what_every_block_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was emptied as a whole, and until then grew to some hundred megabytes."""
    monkeypatch.setattr(tree_module, "RECORDS_CACHED_BYTES_MAX", 8_000)
    kept, loaded = crowded(), []

    def load(path: bytes) -> bytes | None:
        loaded.append(path)
        return kept.records.get(path)

    kept.tree = StateTree(load)
    for number in range(100):
        kept.update({"often": b"%d" % number, f"crowd/{number}": b"again"})
    assert loaded.count(tree_module.ROOT) == 1
    assert len(loaded) > len(set(loaded)) > 8, "branches further down are forgotten, and loaded again"
    assert kept.tree.root == root_of({**CROWD, **dict.fromkeys(list(CROWD)[:100], b"again"), "often": b"99"}.items())


@given(st.lists(WRITES, max_size=12))
def test_a_small_cache_knows_nothing_that_is_no_more(blocks: list[dict[str, bytes | None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "RECORDS_CACHED_BYTES_MAX", 4_000)
        small, content = Kept(), dict[str, bytes]()
        for writes in blocks:
            content.update({key: record for key, record in writes.items() if record is not None})
            for key in [key for key, record in writes.items() if record is None]:
                content.pop(key, None)
            assert small.update(writes) == root_of(content.items())


def test_a_proof_proves_one_record_of_one_key() -> None:
    kept = crowded()
    root = kept.tree.root
    for key, record in list(CROWD.items())[:60]:
        proof = kept.prove(key)
        assert check_proof(root, key, record, proof)
        assert not check_proof(root, key, record + b"!", proof)
        assert not check_proof(root, key, None, proof)
        assert not check_proof(root, "crowd/0" if key != "crowd/0" else "crowd/1", record, proof)
        assert not check_proof(EMPTY_ROOT, key, record, proof)


def test_absence_is_proven_by_an_empty_slot_or_another_leaf() -> None:
    kept = crowded()
    kinds = set()
    for number in range(200):
        key = f"absent/{number}"
        proof = kept.prove(key)
        kinds.add(proof.other is None)
        assert check_proof(kept.tree.root, key, None, proof)
        assert not check_proof(kept.tree.root, key, b"", proof)
    assert kinds == {True, False}


def test_nothing_is_in_an_empty_tree() -> None:
    kept = Kept()
    assert check_proof(EMPTY_ROOT, "a", None, kept.prove("a"))
    assert not check_proof(EMPTY_ROOT, "a", b"", kept.prove("a"))


def test_no_absence_is_proven_of_a_key_that_is_there() -> None:
    """Neither by cutting its proof short, nor by calling it, or a neighbour, the leaf in the way."""
    kept = crowded()
    root = kept.tree.root
    for key, record in list(CROWD.items())[:40]:
        proof = kept.prove(key)
        stranger = (key_hash_of("crowd/7" if key != "crowd/7" else "crowd/8"), bytes(32))
        for other in (None, (key_hash_of(key), key_hash_of(record.decode())), stranger):
            for length in range(len(proof.steps) + 1):
                assert not check_proof(root, key, None, TreeProof(proof.steps[:length], other))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_tampered_proof_is_refused(data: st.DataObject) -> None:
    kept = crowded()
    key = data.draw(st.sampled_from([*CROWD][:40] + [f"absent/{number}" for number in range(40)]))
    proof = kept.prove(key)
    depth = data.draw(st.integers(0, len(proof.steps) - 1))
    step = proof.steps[depth]
    changed = data.draw(st.sampled_from(_changes(step)))
    steps = (*proof.steps[:depth], changed, *proof.steps[depth + 1 :])
    assert not check_proof(kept.tree.root, key, CROWD.get(key), TreeProof(steps, proof.other))


def _changes(step: Step) -> list[Step]:
    """What somebody might try on one step: flip, drop, add, move a border between hashes, repeat, misname."""
    slots, siblings = step.slots, step.siblings
    found = [
        Step(slots, (*siblings, bytes(32))),
        Step((*slots, 16), (*siblings, bytes(32))),
        Step(slots[::-1], siblings),
    ]
    found += [Step((*slots, slots[-1]), (*siblings, bytes(32)))] if slots else []
    if siblings:
        flipped = bytes([siblings[0][0] ^ 1]) + siblings[0][1:]
        found += [Step(slots, (flipped, *siblings[1:])), Step(slots, siblings[1:])]
    if len(siblings) > 1:
        joined = siblings[0] + siblings[1]
        found += [
            Step(slots, (joined[:31], joined[31:], *siblings[2:])),
            Step(slots, (siblings[1], siblings[0], *siblings[2:])),
        ]
    return [change for change in found if change != step]
