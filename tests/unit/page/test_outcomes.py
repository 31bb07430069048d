"""What the page takes for a transaction's outcome: what executed, and no refusal at one place of the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ledgers import ALICE, BOB, GENESIS, certificate_of, envelope, open_ledger, run_block
from page_judge import judge

from ledger.envelope import Envelope
from ledger.proofs import to_json
from ledger.receipts import receipt_to_json

pytestmark = pytest.mark.needs("node")

ORDER = envelope(nonce=3)
FAILS = envelope(nonce=3, function="fail")
STRANGERS = envelope(BOB, nonce=3, function="sell")
LAST_TRY, ANOTHER_TRY = 0, 2_000
HIGHEST = 90
"""The highest nonce that the node names; the page signs next with one more, unless it has one to use up."""


def told(directory: Path, item: Envelope, *before: Envelope) -> tuple[Any, Any]:
    """The receipt of what executed after others, and the proof of its signer's nonces behind it."""
    ledger = open_ledger(directory)
    run_block(ledger, *before, item)
    ledger.certify([certificate_of(ledger.block(1).statement)])
    receipt, prover = ledger.receipt(item.tx_id), ledger.prover()
    assert receipt is not None
    assert prover is not None
    proof = prover.whole(f"system/nonce/{item.payload.signers[0]}")
    ledger.close()
    return receipt_to_json(receipt), to_json(proof)


def outcome(item: Envelope, receipts: list[Any], proof: Any, patience_ms: int, *, refuses: bool = True) -> Any:
    asked = {
        "payload": item.payload_bytes.decode(), "receipts": receipts, "proof": proof, "refuses": refuses,
        "patienceMs": patience_ms,
    }  # fmt: skip
    (found,) = judge(GENESIS, [("outcome", asked)])
    return found


@pytest.mark.parametrize("refuses", [True, False])
def test_a_second_receipt_of_a_refusal_is_not_shown_as_the_outcome(tmp_path: Path, refuses: bool) -> None:
    """A request that was ordered twice executed the first time; a node that showed the receipt of the second time had a
    person believe that nothing had happened, and order again."""
    receipt, _ = told(tmp_path / "executed", ORDER)
    again, proof = told(tmp_path / "refused", ORDER, envelope(nonce=3, args={"key": "b", "value": 2}))
    found = outcome(ORDER, [again, receipt], proof, ANOTHER_TRY, refuses=refuses)
    assert found == {"code": "OK", "sent": 2, "next": HIGHEST + 1}
    found = outcome(ORDER, [again], proof, LAST_TRY, refuses=refuses)
    assert found == {"code": "OUTCOME_UNKNOWN", "failed": False, "sent": 1, "next": HIGHEST + 1}


def test_a_refusal_is_told_at_once_where_the_nonce_is_proven_to_be_unused(tmp_path: Path) -> None:
    """And what is signed next has that nonce: of the two only one can ever execute."""
    receipt, proof = told(tmp_path, STRANGERS)
    found = outcome(STRANGERS, [receipt], proof, ANOTHER_TRY)
    assert found == {"code": "NOT_REGISTERED", "failed": False, "sent": 1, "next": 3}


def test_a_forged_refusal_and_the_proof_of_another_keys_nonces_are_lies(tmp_path: Path) -> None:
    receipt, proof = told(tmp_path / "refused", STRANGERS)
    _, others = told(tmp_path / "others", envelope(ALICE, nonce=5))
    assert outcome(STRANGERS, [receipt], others, LAST_TRY)["fault"] == "record"
    forged = {**receipt, "results_before": "AAAA"}
    assert outcome(STRANGERS, [forged], proof, LAST_TRY)["fault"] == "result proof"


def test_what_executed_and_failed_has_failed(tmp_path: Path) -> None:
    receipt, proof = told(tmp_path, FAILS)
    assert outcome(FAILS, [receipt], proof, LAST_TRY) == {"code": "NO", "failed": True, "sent": 1, "next": HIGHEST + 1}
