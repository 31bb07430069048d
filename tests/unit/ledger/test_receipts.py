"""Receipts: checked with the genesis file alone; any change makes them invalid; the command line says so."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, BOB, GENESIS, certificate_of, envelope, make_genesis, open_ledger, run_block
from tampering import changed, leaves, oddly
from typer.testing import CliRunner

from cli.verify import app
from ledger.certificates import CertificateInvalid, check_certificate
from ledger.genesis import GenesisValidator, write_genesis
from ledger.receipts import (
    Receipt,
    ReceiptFault,
    ReceiptInvalid,
    receipt_from_json,
    receipt_to_json,
    verify_receipt,
)

MADE = [envelope(nonce=number, args={"key": "k", "value": number}) for number in range(5)]


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Receipt:
    ledger = open_ledger(tmp_path_factory.mktemp("ledger"))
    run_block(ledger, envelope(nonce=9, function="later", args={"count": 2, "at_ms": 1}))
    run_block(ledger, *MADE)
    run_block(ledger, envelope(nonce=10))
    run_block(ledger)
    ledger.certify([certificate_of(ledger.block(1).statement)])
    assert ledger.receipt(MADE[3].tx_id) is None
    ledger.certify([certificate_of(ledger.block(4).statement)])
    found = ledger.receipt(MADE[3].tx_id)
    ledger.close()
    assert found is not None
    return found


@pytest.fixture
def tree(receipt: Receipt) -> dict[str, Any]:
    return copy.deepcopy(receipt_to_json(receipt))


def fault_of(tree: Any) -> ReceiptFault:
    with pytest.raises(ReceiptInvalid) as caught:
        verify_receipt(receipt_from_json(tree), GENESIS)
    return caught.value.fault


def test_a_receipt_proves_what_became_of_a_transaction(receipt: Receipt) -> None:
    """By the certificate of a later block: the two blocks between have none, and need none."""
    assert (receipt.certificate.statement.height, len(receipt.later)) == (4, 2)
    proven = verify_receipt(receipt, GENESIS)
    assert (proven.tx_id, proven.height, proven.code, proven.value) == (MADE[3].tx_id.hex(), 2, "OK", 3)
    assert (proven.index, proven.signers, proven.payload) == (5, 3, MADE[3].payload_bytes)


def test_every_transaction_has_a_receipt_also_a_failed_one(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    made = [*MADE, envelope(nonce=7, function="fail"), envelope(BOB, function="sell")]
    run_block(ledger, *made)
    ledger.certify([certificate_of(ledger.block(1).statement)])
    codes = []
    for item in made:
        receipt = ledger.receipt(item.tx_id)
        assert receipt is not None
        proven = verify_receipt(receipt, GENESIS)
        codes.append((proven.code, proven.executed))
    assert codes == [("OK", True)] * 5 + [("NO", True), ("NOT_REGISTERED", False)]
    assert ledger.receipt(bytes(32)) is None
    ledger.close()


def test_a_receipt_travels_as_json(receipt: Receipt) -> None:
    assert receipt_from_json(json.loads(json.dumps(receipt_to_json(receipt)))) == receipt


def test_a_number_beyond_64_bits_or_half_a_surrogate_anywhere_is_a_malformed_receipt(tree: dict[str, Any]) -> None:
    for path, odd in oddly(tree, ""):
        assert fault_of(tree) in ReceiptFault, (path, odd)


def test_any_flipped_byte_and_any_moved_number_makes_it_invalid(tree: dict[str, Any]) -> None:
    tried = 0
    for path in list(leaves(tree)):
        place: Any = tree
        for key in path[:-1]:
            place = place[key]
        kept = place[path[-1]]
        for other in changed(kept):
            place[path[-1]] = other
            fault_of(tree)
            tried += 1
        place[path[-1]] = kept
    assert tried > 1_000
    verify_receipt(receipt_from_json(tree), GENESIS)


def test_the_blocks_on_the_way_to_the_certificate_are_all_there_and_in_order(tree: dict[str, Any]) -> None:
    later = tree["later"]
    for wrong in ([], later[:1], later[1:], later[::-1], [*later, later[-1]]):
        assert fault_of(tree | {"later": wrong}) is ReceiptFault.HEADER


def test_no_more_blocks_lie_between_than_a_window_has(tree: dict[str, Any]) -> None:
    many = tree["later"] * GENESIS.limits.window_blocks
    with pytest.raises(ReceiptInvalid, match="than a window has"):
        verify_receipt(receipt_from_json(tree | {"later": many}), GENESIS)


def test_a_block_with_a_certificate_of_its_own_needs_no_others(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    run_block(ledger, *MADE)
    run_block(ledger)
    ledger.certify([certificate_of(ledger.block(2).statement), certificate_of(ledger.block(1).statement)])
    found = ledger.receipt(MADE[0].tx_id)
    assert found is not None
    assert (found.later, found.certificate.statement.height) == ((), 1)
    assert verify_receipt(found, GENESIS).height == 1
    ledger.close()


@pytest.mark.parametrize("branch", ["transaction", "outcome"])
def test_no_other_place_in_the_block_fits(tree: dict[str, Any], branch: str) -> None:
    index, count = tree[branch]["index"], tree[branch]["count"]
    for other_count in range(1, 12):
        for other_index in range(other_count):
            if (other_index, other_count) != (index, count):
                tree[branch] |= {"index": other_index, "count": other_count}
                assert fault_of(tree) in (ReceiptFault.TRANSACTION_PROOF, ReceiptFault.RESULT_PROOF)


@pytest.mark.parametrize("key", ["v", "envelope", "result", "header", "transaction", "outcome", "certificate"])
def test_a_part_that_is_missing_or_of_another_shape_is_malformed(tree: dict[str, Any], key: str) -> None:
    whole = tree.pop(key)
    assert fault_of(tree) is ReceiptFault.MALFORMED
    assert fault_of({**tree, key: None}) is ReceiptFault.MALFORMED
    assert fault_of({**tree, key: whole, "extra": 1}) is ReceiptFault.MALFORMED


@pytest.mark.parametrize("tree", [None, [], "receipt", 5, {}, {"v": 1}])
def test_what_is_no_receipt_is_malformed(tree: Any) -> None:
    assert fault_of(tree) is ReceiptFault.MALFORMED


def test_another_version_is_unknown(tree: dict[str, Any]) -> None:
    assert fault_of(tree | {"v": 3}) is ReceiptFault.MALFORMED


def test_another_chains_receipt_proves_nothing_here(receipt: Receipt) -> None:
    with pytest.raises(ReceiptInvalid) as caught:
        verify_receipt(receipt, make_genesis(network="other"))
    assert caught.value.fault is ReceiptFault.OTHER_CHAIN


def test_another_transactions_envelope_or_result_does_not_fit(tree: dict[str, Any], receipt: Receipt) -> None:
    other = base64.b64encode(MADE[0].raw).decode()
    assert fault_of({**tree, "envelope": other}) is ReceiptFault.ENVELOPE
    result = msgspec.structs.replace(receipt.result, id=MADE[0].tx_id)
    swapped = receipt_to_json(msgspec.structs.replace(receipt, result=result, envelope=MADE[0].raw))
    assert fault_of(swapped) is ReceiptFault.TRANSACTION_PROOF


@pytest.mark.parametrize("senders", [(), (0,), (0, 1), (1, 0, 2), (0, 1, 1), (0, 1, 2, 2)])
def test_a_certificate_needs_a_quorum_of_distinct_validators_in_order(receipt: Receipt, senders: tuple[int]) -> None:
    certificate = certificate_of(receipt.certificate.statement, senders)
    with pytest.raises(CertificateInvalid):
        check_certificate(certificate, GENESIS, GENESIS.epoch)
    with pytest.raises(ReceiptInvalid) as caught:
        verify_receipt(msgspec.structs.replace(receipt, certificate=certificate), GENESIS)
    assert caught.value.fault is ReceiptFault.CERTIFICATE


@pytest.mark.parametrize("senders", [(0, 1, 2), (1, 2, 3), (0, 1, 2, 3)])
def test_any_quorum_will_do(receipt: Receipt, senders: tuple[int]) -> None:
    check_certificate(certificate_of(receipt.certificate.statement, senders), GENESIS, GENESIS.epoch)


def test_signers_are_this_networks_validators(receipt: Receipt) -> None:
    certificate = receipt.certificate
    for sender in (-1, 4, 1_000):
        signatures = (*certificate.signatures[:2], (sender, certificate.signatures[2][1]))
        with pytest.raises(CertificateInvalid, match="distinct validators"):
            check_certificate(msgspec.structs.replace(certificate, signatures=signatures), GENESIS, GENESIS.epoch)
    strangers = (GENESIS.validators[0], *(GenesisValidator(f"s{n}", ALICE.generate().public_key) for n in range(3)))
    other = make_genesis(validators=strangers)
    with pytest.raises(CertificateInvalid, match="is wrong"):
        check_certificate(certificate, other, other.epoch)


# ---------------------------------------------------------------------------------------- the command line


@pytest.fixture
def genesis_file(tmp_path: Path) -> Path:
    write_genesis(tmp_path / "genesis.json", GENESIS)
    return tmp_path / "genesis.json"


def verify(file: Path, genesis: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["receipt", str(file), "--genesis", str(genesis), *options])
    return result.exit_code, result.output


def test_the_command_says_valid(tree: dict[str, Any], tmp_path: Path, genesis_file: Path) -> None:
    file = tmp_path / "receipt.json"
    for content in (tree, {"proof": tree}):
        file.write_text(json.dumps(content))
        code, output = verify(file, genesis_file)
        assert code == 0
        assert "VALID, 3 of 4 validators signed" in output
    code, output = verify(file, genesis_file, "--json")
    told = json.loads(output)
    assert (code, told["valid"], told["tx_id"], told["value"]) == (0, True, MADE[3].tx_id.hex(), 3)


def test_the_command_says_invalid_and_why(tree: dict[str, Any], tmp_path: Path, genesis_file: Path) -> None:
    tree["certificate"][2].pop()
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(tree))
    code, output = verify(file, genesis_file)
    assert code == 1
    assert "INVALID, certificate: 2 of 3 signatures" in output
    code, output = verify(file, genesis_file, "--json")
    assert (code, json.loads(output)["fault"]) == (1, "certificate")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_another_exit_code(tmp_path: Path, genesis_file: Path, content: bytes) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(content)
    code, output = verify(file, genesis_file)
    assert code == 2
    assert str(file) in output.replace("\n", "")
    assert verify(tmp_path / "missing.json", genesis_file)[0] == 2
    assert verify(file, tmp_path / "missing.json")[0] == 2
