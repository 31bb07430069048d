"""Proofs of blocks: checked with the genesis file alone; any change makes them invalid."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgers import GENESIS, certificate_of, envelope, make_genesis, open_ledger, run_block
from tampering import changed, leaves, oddly

from ledger.answers import BlockNotHeld
from ledger.block_proofs import BlockProof, block_proof_from_json, block_proof_to_json, verify_block_proof
from ledger.ledger import Ledger
from ledger.proofs import ProofFault, ProofInvalid


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path_factory.mktemp("ledger"))
    for nonce in range(5):
        run_block(opened, envelope(nonce=nonce))
    opened.certify([certificate_of(opened.block(1).statement)])
    opened.certify([certificate_of(opened.block(4).statement)])
    yield opened
    opened.close()


def proof_of(ledger: Ledger, height: int) -> BlockProof:
    proof = ledger.block_proof(height)
    assert proof is not None
    return proof


def fault_of(tree: Any) -> ProofFault:
    with pytest.raises(ProofInvalid) as caught:
        verify_block_proof(block_proof_from_json(tree), GENESIS)
    return caught.value.fault


def test_a_block_is_proven_by_its_own_certificate_or_the_next_one(ledger: Ledger) -> None:
    own, led = (verify_block_proof(proof_of(ledger, height), GENESIS) for height in (4, 2))
    assert (own.height, own.signers, own.validators) == (4, 3, 4)
    assert own.state_root == ledger.block(4).statement.state_root
    assert (led.height, led.hash, led.state_root) == (2, ledger.block(2).header.hash(), None)
    assert len(proof_of(ledger, 2).later) == 2


def test_what_no_certificate_follows_is_not_proven_and_what_is_not_held_is_said(ledger: Ledger) -> None:
    assert ledger.block_proof(5) is None
    for height in (0, 6):
        with pytest.raises(BlockNotHeld):
            ledger.block_proof(height)


def test_another_networks_genesis_proves_nothing_here(ledger: Ledger) -> None:
    with pytest.raises(ProofInvalid) as caught:
        verify_block_proof(proof_of(ledger, 2), make_genesis(time_ms=7))
    assert caught.value.fault is ProofFault.OTHER_CHAIN


def test_any_flipped_byte_and_any_moved_number_makes_it_invalid(ledger: Ledger) -> None:
    tree = block_proof_to_json(proof_of(ledger, 2))
    for path in leaves(tree):
        for other in changed(_at(tree, path)):
            forged = copy.deepcopy(tree)
            _at(forged, path[:-1])[path[-1]] = other
            fault_of(forged)


def test_odd_values_are_malformed_or_prove_nothing(ledger: Ledger) -> None:
    tree = block_proof_to_json(proof_of(ledger, 2))
    for _ in oddly(tree):
        fault_of(tree)


def test_headers_that_do_not_follow_each_other_prove_nothing(ledger: Ledger) -> None:
    tree = block_proof_to_json(proof_of(ledger, 2))
    later: list[Any] = tree["later"]
    for other in ([], later[:1], later[1:], later[::-1], later * 9):
        assert fault_of({**tree, "later": other}) is ProofFault.HEADER


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def test_the_directory_can_be_opened_again(tmp_path: Path) -> None:
    opened = open_ledger(tmp_path)
    run_block(opened, envelope())
    opened.certify([certificate_of(opened.block(1).statement)])
    before = proof_of(opened, 1)
    opened.close()
    again = open_ledger(tmp_path)
    assert proof_of(again, 1) == before
    again.close()
