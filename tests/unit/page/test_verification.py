"""The page believes what Python's verifier believes, and refuses what it refuses, for the same reason."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from governed import GENESIS as GOVERNED
from governed import Network
from ledgers import ALICE, BOB, GENESIS, certificate_of, envelope, make_genesis, open_ledger, payload_of, run_block
from page_judge import encoded_again, judge
from tampering import changed, leaves, oddly

from ledger.block_proofs import block_proof_from_json, block_proof_to_json, verify_block_proof
from ledger.envelope import envelope_from_text
from ledger.ledger import Ledger
from ledger.proofs import ProofInvalid, state_proof_from_json, to_json, verify_state_proof
from ledger.receipts import ReceiptInvalid, receipt_from_json, receipt_to_json, verify_receipt

pytestmark = pytest.mark.needs("node")

HOLDS = {"holds": True}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEYS = [f"k{number}" for number in range(40)]
PUTS = [envelope(nonce=int(key[1:]), args={"key": key, "value": int(key[1:])}) for key in KEYS]
FAILED = envelope(nonce=50, function="fail")
STRANGERS = envelope(BOB, function="sell")
BOTH = envelope(ALICE, BOB, nonce=51)


def in_der(high_s: bool) -> Any:
    """An envelope as `openssl` signs: DER, either s."""
    text = msgspec.json.encode(payload_of([ALICE], nonce=60 + high_s)).decode()
    raw = ALICE.sign(text.encode())
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    s = max(s, ORDER - s) if high_s else min(s, ORDER - s)
    return envelope_from_text(text, [(ALICE.public_key, encode_dss_signature(r, s))])


DER = [in_der(False), in_der(True)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Certified at 1 and 3; block 2's receipts lead over block 3."""
    opened = open_ledger(tmp_path_factory.mktemp("ledger"))
    run_block(opened, *PUTS[:20])
    run_block(
        opened, envelope(nonce=70, function="later", args={"count": 2, "at_ms": 1}), FAILED, STRANGERS, BOTH, *DER
    )
    run_block(opened, *PUTS[20:])
    opened.certify([certificate_of(opened.block(height).statement) for height in (1, 3)])
    yield opened
    opened.close()


def receipt_of(ledger: Ledger, tx_id: bytes) -> dict[str, Any]:
    receipt = ledger.receipt(tx_id)
    assert receipt is not None
    return receipt_to_json(receipt)


def state_proof(ledger: Ledger, key: str) -> dict[str, Any]:
    prover = ledger.prover()
    assert prover is not None
    return to_json(prover.whole(key))


def block_proof(ledger: Ledger, height: int) -> dict[str, Any]:
    proof = ledger.block_proof(height)
    assert proof is not None
    return block_proof_to_json(proof)


# ----------------------------------------------------------------------------------------------- what is proven


def test_integers_text_bytes_and_lists_are_encoded_as_the_nodes_encode_them() -> None:
    numbers = [sign * 2**power + more for power in range(64) for more in (-1, 0, 1) for sign in (1, -1)]
    values = [number for number in numbers if -(2**63) <= number < 2**64]
    sizes = [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536]
    values += [[None, True, False], *("é" * size for size in sizes), *(b"x" * size for size in sizes)]
    values += [[0] * size for size in sizes]
    encodings = [msgspec.msgpack.encode(value) for value in values]
    assert encoded_again(encodings) == encodings


def test_the_page_reads_in_a_receipt_what_python_reads(ledger: Ledger) -> None:
    made = [PUTS[3], FAILED, STRANGERS, BOTH, *DER, PUTS[39]]
    trees = [receipt_of(ledger, item.tx_id) for item in made]
    assert {len(tree["later"]) for tree in trees} == {0, 1}
    for item, tree, said in zip(made, trees, judge(GENESIS, [("receipt", tree) for tree in trees]), strict=True):
        proven = verify_receipt(receipt_from_json(tree), GENESIS)
        assert (said["txId"], said["payload"].encode()) == (item.tx_id.hex(), item.payload_bytes)
        assert (said["height"], said["index"], said["timeMs"]) == (proven.height, proven.index, proven.time_ms)
        assert (said["code"], said["message"], said["value"]) == (proven.code, proven.message, proven.value)
        assert said["executed"] is proven.executed is (item is not STRANGERS)
        assert (said["signers"], said["validators"]) == (3, 4)


def test_the_page_reads_in_a_state_proof_what_python_reads(ledger: Ledger) -> None:
    keys = [*(f"box/{key}" for key in KEYS), *(f"box/absent/{n}" for n in range(20)), "registry/user/nobody"]
    trees = [state_proof(ledger, key) for key in keys]
    for tree, said in zip(trees, judge(GENESIS, [("state", tree) for tree in trees]), strict=True):
        proven = verify_state_proof(state_proof_from_json(tree), GENESIS)
        version = None if proven.version is None else list(proven.version)
        assert (said["key"], said["value"], said["version"]) == (proven.key, proven.value, version)
        assert (said["height"], said["timeMs"]) == (proven.height, proven.time_ms)


def test_the_page_reads_in_a_blocks_proof_what_python_reads(ledger: Ledger) -> None:
    trees = [block_proof(ledger, height) for height in (1, 2, 3)]
    for tree, said in zip(trees, judge(GENESIS, [("block", tree) for tree in trees]), strict=True):
        proven = verify_block_proof(block_proof_from_json(tree), GENESIS)
        assert (said["height"], said["hash"], said["timeMs"]) == (proven.height, proven.hash.hex(), proven.time_ms)
        assert said["stateRoot"] == (proven.state_root.hex() if proven.state_root else None)
        assert said["names"] == ["node1", "node2", "node3"]


def test_the_page_follows_changes_of_membership_from_genesis() -> None:
    network = Network()
    network.change(1, 2, 3, 4)
    network.change(2, 3, 4, 5)
    network.block()
    tree = state_proof(network.ledger, "governance/epoch")
    blocks = [block_proof(network.ledger, height) for height in (1, network.ledger.certified_height)]
    assert len(tree["anchor"]["boundaries"]) == 2
    said = judge(GOVERNED, [("state", tree), *(("block", block) for block in blocks)])
    assert said[0]["value"]["number"] == 2
    assert [each["epoch"] for each in said[1:]] == [0, 2]
    assert said[2]["names"] == ["node3", "node4", "node5"]
    boundaries = tree["anchor"]["boundaries"]
    wrong = [[], boundaries[:1], boundaries[::-1], boundaries * 2]
    forged = [("state", {**tree, "anchor": {**tree["anchor"], "boundaries": each}}) for each in wrong]
    assert judge(GOVERNED, forged) == [{"fault": "boundary"}] * len(wrong)


def test_nothing_is_signed_for_what_was_shown_otherwise_than_it_is_certified(ledger: Ledger) -> None:
    """A node showed a listing for a tenth of its price, and people signed for the whole one."""
    key, absent = "governance/epoch", "registry/user/nobody"
    value = judge(GENESIS, [("state", state_proof(ledger, key))])[0]["value"]
    truth = {"key": key, "shown": value, "proof": state_proof(ledger, key), "newest": None}
    none = {"key": absent, "shown": None, "proof": state_proof(ledger, absent), "newest": 66}
    assert judge(GENESIS, [("shown", truth), ("shown", none)]) == [HOLDS, HOLDS]
    lies: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"shown": {**value, "number": 7}}, {"code": "NOT_AS_SHOWN"}),
        ({"shown": {**value, "price": 1}}, {"code": "NOT_AS_SHOWN"}),
        ({"shown": None}, {"code": "NOT_AS_SHOWN"}),
        ({"newest": 10_000}, {"code": "NODE_BEHIND"}),
        ({"key": absent}, {"fault": "record"}),
        ({"proof": None}, {"fault": "malformed"}),
    ]
    assert judge(GENESIS, [("shown", truth | lie) for lie, _ in lies]) == [fault for _, fault in lies]
    assert judge(GENESIS, [("shown", none | {"shown": {"role": "buyer"}})]) == [{"code": "NOT_AS_SHOWN"}]


def test_a_listing_and_a_grid_fee_that_are_not_there_are_not_as_shown(ledger: Ledger) -> None:
    listing = {"listing": "7", "zone": "north", "price": 90, "lot_wh": 100}
    gone = state_proof(ledger, "market/offer/0000000005/0000000090/7")
    other = state_proof(ledger, "market/offer/0000000005/0000000900/7")
    free = {"zones": ["north", "south"], "interval": 5, "proof": state_proof(ledger, "governance/grid_fee/north/south")}
    claims = [
        ("listing", {"listing": listing, "interval": 5, "proof": gone}),
        ("listing", {"listing": listing, "interval": 5, "proof": other}),
        ("grid_fee", free | {"fee": 0}),
        ("grid_fee", free | {"fee": 5}),
        ("grid_fee", free | {"fee": 0, "proof": gone}),
    ]
    not_shown = {"code": "NOT_AS_SHOWN"}
    assert judge(GENESIS, claims) == [not_shown, {"fault": "record"}, HOLDS, not_shown, {"fault": "record"}]


def test_documents_are_proven_and_of_the_type_that_was_asked_for(ledger: Ledger) -> None:
    """A node could answer a question for trades with anything that it can prove."""
    whole = state_proof(ledger, "governance/epoch")
    value = judge(GENESIS, [("state", whole)])[0]
    height, index = value["version"]
    row = {"key": whole["entry"]["key"], "height": height, "index": index, "value": value["value"]}
    answer = {"rows": [{**row, "proof": whole["entry"]}], "anchor": whole["anchor"], "bookmark": ""}
    assert judge(GENESIS, [("documents", {"type": "trade", "answer": answer})]) == [{"fault": "record"}]
    forged = {**answer, "rows": [{**row, "value": {"type": "trade"}, "proof": whole["entry"]}]}
    assert judge(GENESIS, [("documents", {"type": "trade", "answer": forged})]) == [{"fault": "record"}]


def test_rows_are_what_is_proven_or_refused(ledger: Ledger) -> None:
    whole = state_proof(ledger, "box/k7")
    row = {"key": "box/k7", "height": 1, "index": 7, "value": 7, "proof": whole["entry"]}
    unproven = {"key": "box/k8", "height": 1, "index": 8, "value": 8, "unproven": "CHANGED_SINCE"}
    answers = [
        [row], [row, unproven], [{**row, "value": 8}], [{**row, "height": 3}], [{**row, "key": "box/k8"}],
        [{**row, "proof": None}],
    ]  # fmt: skip
    said: list[Any] = judge(GENESIS, [("rows", {"rows": rows, "anchor": whole["anchor"]}) for rows in answers])
    assert [[each["proven"] for each in rows] for rows in said[:2]] == [[True], [True, False]]
    assert [each["fault"] for each in said[2:]] == ["record", "record", "record", "malformed"]


# ---------------------------------------------------------------------------------------------------- forgeries


def python_fault(kind: str, tree: Any) -> str | None:
    try:
        match kind:
            case "receipt":
                verify_receipt(receipt_from_json(tree), GENESIS)
            case "block":
                verify_block_proof(block_proof_from_json(tree), GENESIS)
            case _:
                verify_state_proof(state_proof_from_json(tree), GENESIS)
    except (ReceiptInvalid, ProofInvalid) as invalid:
        return invalid.fault.value
    return None


def made(ledger: Ledger, kind: str) -> dict[str, Any]:
    match kind:
        case "receipt":
            return receipt_of(ledger, BOTH.tx_id)
        case "block":
            return block_proof(ledger, 2)
        case "absence":
            return state_proof(ledger, "box/absent/1")
        case _:
            return state_proof(ledger, "box/k7")


@pytest.mark.parametrize("kind", ["receipt", "block", "state", "absence"])
def test_whatever_is_changed_the_page_refuses_as_python_does(ledger: Ledger, kind: str) -> None:
    tree = made(ledger, kind)
    forged = []
    for path in leaves(tree):
        for other in changed(_at(tree, path)):
            forged.append(copy.deepcopy(tree))
            _at(forged[-1], path[:-1])[path[-1]] = other
    kind = "state" if kind == "absence" else kind
    said = judge(GENESIS, [(kind, each) for each in forged])
    assert len(said) > 300
    for each, told in zip(forged, said, strict=True):
        assert told.get("fault") == python_fault(kind, each)


@pytest.mark.parametrize("kind", ["receipt", "block", "state"])
def test_odd_values_prove_nothing_and_break_nothing(ledger: Ledger, kind: str) -> None:
    tree = made(ledger, kind)
    forged = [copy.deepcopy(tree) for _ in oddly(tree, "")]
    for said in judge(GENESIS, [(kind, each) for each in forged]):
        assert list(said) == ["fault"]


@pytest.mark.parametrize("senders", [(), (0,), (0, 1), (1, 0, 2), (0, 1, 1), (0, 1, 2, 2)])
def test_a_certificate_needs_a_quorum_of_distinct_validators_in_order(ledger: Ledger, senders: tuple[int, ...]) -> None:
    receipt = ledger.receipt(BOTH.tx_id)
    assert receipt is not None
    certificate = certificate_of(receipt.certificate.statement, senders)
    forged = receipt_to_json(msgspec.structs.replace(receipt, certificate=certificate))
    assert judge(GENESIS, [("receipt", forged)]) == [{"fault": "certificate"}]


def test_another_networks_genesis_and_what_is_no_claim_prove_nothing(ledger: Ledger) -> None:
    claims: list[tuple[str, Any]] = [("receipt", made(ledger, "receipt")), ("block", made(ledger, "block"))]
    assert judge(make_genesis(time_ms=7), claims) == [{"fault": "other chain"}] * 2
    kinds = ("receipt", "block", "state", "rows")
    trees: tuple[Any, ...] = (None, [], "receipt", 5, {}, {"v": 1})
    nothing = [(kind, tree) for kind in kinds for tree in trees]
    assert judge(GENESIS, nothing) == [{"fault": "malformed"}] * len(nothing)


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree
