"""Proofs of the state: inclusion and absence at a certified height, from genesis alone; any change breaks them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from governed import GENESIS as GOVERNED
from governed import Network
from ledgers import GENESIS, certificate_of, envelope, make_genesis, open_ledger, run_block
from tampering import changed, leaves, oddly

from ledger.ledger import Ledger
from ledger.proofs import (
    KeyProof,
    ProofFault,
    ProofInvalid,
    StateProof,
    state_proof_from_json,
    to_json,
    verify_key,
    verify_state_proof,
)
from ledger.tree import key_hash_of, nibbles

KEYS = [f"k{number}" for number in range(40)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Certified at 2; blocks 3 to 5 changed, deleted and added since."""
    opened = open_ledger(tmp_path_factory.mktemp("ledger"))
    for part in (KEYS[:20], KEYS[20:]):
        run_block(opened, *(envelope(nonce=int(k[1:]), args={"key": k, "value": int(k[1:])}) for k in part))
    opened.certify([certificate_of(opened.block(2).statement)])
    run_block(opened, envelope(nonce=100, args={"key": "k1", "value": "later"}))
    run_block(opened, envelope(nonce=101, function="delete", args={"key": "k2"}))
    run_block(opened, envelope(nonce=102, args={"key": "new", "value": 1}))
    yield opened
    opened.close()


def proof_of(ledger: Ledger, key: str) -> StateProof:
    prover = ledger.prover()
    assert prover is not None
    return prover.whole(key)


@pytest.mark.parametrize("key", KEYS)
def test_what_a_key_held_at_the_certified_height_is_proven_though_blocks_came_since(ledger: Ledger, key: str) -> None:
    proven = verify_state_proof(proof_of(ledger, "box/" + key), GENESIS)
    number = int(key[1:])
    assert (proven.key, proven.height, proven.value) == ("box/" + key, 2, number)
    assert proven.version == (1 + number // 20, number % 20)
    assert (proven.signers, proven.validators) == (3, 4)


@pytest.mark.parametrize("key", ["box/new", "box/none", "box/k", "box/k1/", "box/", "b", "zzz", "é", "a\0b"])
def test_the_absence_of_neighbours_and_prefixes_is_proven(ledger: Ledger, key: str) -> None:
    proven = verify_state_proof(proof_of(ledger, key), GENESIS)
    assert (proven.key, proven.version, proven.value) == (key, None, None)


def test_absence_in_an_empty_slot_and_beside_another_leaf_are_both_proven(ledger: Ledger) -> None:
    proofs = [proof_of(ledger, f"box/absent/{number}") for number in range(60)]
    assert {proof.entry.other is None for proof in proofs} == {True, False}
    for proof in proofs:
        assert verify_state_proof(proof, GENESIS).version is None


def test_before_any_certificate_nothing_is_proven(tmp_path: Path) -> None:
    opened = open_ledger(tmp_path)
    run_block(opened)
    assert opened.prover() is None
    opened.close()


def test_a_prover_stands_while_blocks_are_certified(tmp_path: Path) -> None:
    opened = open_ledger(tmp_path)
    run_block(opened, envelope(args={"key": "a", "value": 1}))
    opened.certify([certificate_of(opened.block(1).statement)])
    prover = opened.prover()
    assert prover is not None
    run_block(opened, envelope(nonce=1, args={"key": "a", "value": 2}))
    opened.certify([certificate_of(opened.block(2).statement)])
    assert verify_state_proof(prover.whole("box/a"), GENESIS).value == 1
    assert verify_state_proof(proof_of(opened, "box/a"), GENESIS).value == 2
    opened.close()


def test_a_proof_of_a_later_epoch_leads_from_genesis_by_its_boundaries() -> None:
    network = Network()
    network.change(1, 2, 3, 4)
    assert network.ledger.boundaries(1)
    network.block()
    network.block(certified=False)
    proof = proof_of(network.ledger, "governance/parameter/skip_blocks")
    assert len(proof.anchor.boundaries) == 1
    assert verify_state_proof(proof, GOVERNED).value == {"value": 20}
    for boundaries in ((), proof.anchor.boundaries * 2):
        anchor = msgspec.structs.replace(proof.anchor, boundaries=boundaries)
        with pytest.raises(ProofInvalid) as caught:
            verify_state_proof(msgspec.structs.replace(proof, anchor=anchor), GOVERNED)
        assert caught.value.fault is ProofFault.BOUNDARY


# ------------------------------------------------------------------------------------------------ tampering


def fault_of(tree: Any) -> ProofFault:
    with pytest.raises(ProofInvalid) as caught:
        verify_state_proof(state_proof_from_json(tree), GENESIS)
    return caught.value.fault


def beside(ledger: Ledger) -> str:
    """An absent key where another leaf stands."""
    keys = (f"box/absent/{number}" for number in range(100))
    return next(key for key in keys if proof_of(ledger, key).entry.other is not None)


@pytest.mark.parametrize("kind", ["present", "absent", "beside"])
def test_any_flipped_byte_and_any_moved_number_makes_it_invalid(ledger: Ledger, kind: str) -> None:
    key = {"present": "box/k5", "absent": "box/none", "beside": beside(ledger)}[kind]
    tree = json.loads(json.dumps(to_json(proof_of(ledger, key))))
    tried = 0
    for path in list(leaves(tree)):
        if path == ("entry", "key") and kind != "present":
            continue  # another key may lack there too, and then its absence is proven
        place: Any = tree
        for part in path[:-1]:
            place = place[part]
        kept = place[path[-1]]
        for other in changed(kept):
            place[path[-1]] = other
            fault_of(tree)
            tried += 1
        place[path[-1]] = kept
    assert tried > 500
    assert verify_state_proof(state_proof_from_json(tree), GENESIS).key == key


def test_a_number_beyond_64_bits_or_half_a_surrogate_anywhere_is_a_malformed_proof(ledger: Ledger) -> None:
    tree = json.loads(json.dumps(to_json(proof_of(ledger, "box/k5"))))
    for path, odd in oddly(tree):
        assert fault_of(tree) in ProofFault, (path, odd)


def test_a_proof_of_one_key_is_none_of_another(ledger: Ledger) -> None:
    proofs = [proof_of(ledger, "box/" + key) for key in KEYS]
    for proof, other in zip(proofs, [*proofs[1:], proofs[0]], strict=True):
        entry = msgspec.structs.replace(proof.entry, key=other.entry.key)
        with pytest.raises(ProofInvalid):
            verify_state_proof(msgspec.structs.replace(proof, entry=entry), GENESIS)


def test_what_is_there_cannot_be_proven_absent(ledger: Ledger) -> None:
    proof = proof_of(ledger, "box/k5")
    stranger = proof_of(ledger, beside(ledger)).entry
    faked = [KeyProof("box/k5", None, proof.entry.steps, other) for other in (None, stranger.other)]
    faked += [KeyProof("box/k5", None, proof.entry.steps[:n], None) for n in range(len(proof.entry.steps))]
    faked.append(KeyProof("box/k5", None, stranger.steps, stranger.other))
    for entry in faked:
        with pytest.raises(ProofInvalid):
            verify_state_proof(msgspec.structs.replace(proof, entry=entry), GENESIS)
    assert nibbles(key_hash_of("box/k5"))


def test_another_networks_genesis_and_another_version_prove_nothing(ledger: Ledger) -> None:
    proof = proof_of(ledger, "box/k5")
    with pytest.raises(ProofInvalid) as caught:
        verify_state_proof(proof, make_genesis(network="other"))
    assert caught.value.fault is ProofFault.OTHER_CHAIN
    tree = copy.deepcopy(to_json(proof))
    assert fault_of(tree | {"v": 2}) is ProofFault.MALFORMED
    for part in ("v", "anchor", "entry"):
        assert fault_of({name: item for name, item in tree.items() if name != part}) is ProofFault.MALFORMED
    others: list[Any] = [None, [], "proof", {}, tree | {"more": 1}]
    for wrong in others:
        assert fault_of(wrong) is ProofFault.MALFORMED


def test_a_key_that_is_no_text_in_utf8_is_refused(ledger: Ledger) -> None:
    proof = proof_of(ledger, "box/none")
    entry = msgspec.structs.replace(proof.entry, key="\ud800")
    with pytest.raises(ProofInvalid):
        verify_key(entry, proof.anchor, GENESIS.epoch)
