"""The service's answers: the market for everyone, documents for their parties, everything for the operator."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, BOB, CAROL, GENESIS, run_block, user_value

from ca.keys import SigningKey
from ledger.block_proofs import block_proof_from_json, verify_block_proof
from ledger.proofs import state_proof_from_json, verify_state_proof
from ledger.receipts import receipt_from_json, verify_receipt
from sdk import wire
from sdk.client import check_rows
from sdk.errors import Refused
from sdk.methods import METHODS

OPERATOR = SigningKey.from_seed(b"operator")
Desk = Any


async def refused(desk: Desk, method: str, token: str = "", **params: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await desk.call(method, token, **params)
    assert caught.value.message.endswith(".")
    return caught.value.status, caught.value.code


def keys_of(rows: Any) -> list[str]:
    return [row.key for row in rows.rows]


def tx_id_of(desk: Desk) -> str:
    found: str = desk.ledger.transactions_of(1)[0].tx_id.hex()
    return found


async def test_every_method_of_the_table_is_answered(desk: Desk) -> None:
    for name in METHODS:
        with pytest.raises(Refused, match="SESSION_UNKNOWN"):
            await desk.service.handle(name, None, "no such session")


# -------------------------------------------------------------------------------------- without identity


async def test_a_stranger_sees_headers_and_roots(desk: Desk) -> None:
    (header,) = (await desk.call("headers")).headers
    assert (header.height, header.transactions, header.certified) == (1, 1, True)
    assert header.state_root == desk.ledger.state_root.hex()
    assert (await desk.call("genesis")).genesis == GENESIS.raw


async def test_a_stranger_gets_what_proves_a_block(desk: Desk) -> None:
    proof = block_proof_from_json((await desk.call("certificate", height=1)).proof)
    assert verify_block_proof(proof, GENESIS).hash.hex() == (await desk.call("headers")).headers[0].hash
    assert await refused(desk, "certificate", height=2) == (404, "NOT_FOUND")


async def test_a_stranger_sees_the_book_without_names(desk: Desk) -> None:
    book = await desk.call("book", interval=5)
    assert [(level.price, level.energy_wh) for level in book.asks] == [(100, 500)]
    assert [(level.price, level.energy_wh) for level in book.bids] == [(90, 50)]
    assert [(item.listing, item.price, item.remaining_wh, item.lot_wh) for item in book.listings] == [
        ("000-1", 120, 700, 100)
    ]
    best = await desk.call("intervals", first=5, count=1)
    assert [(row.interval, row.bid, row.ask, row.listing) for row in best.intervals] == [(5, 90, 100, 120)]
    assert len((await desk.call("intervals")).intervals) == 50
    terms = await desk.call("terms")
    assert (terms.height, terms.organisations) == (1, GENESIS.organisations.names)
    for answer in (book, best, terms):
        text = msgspec.json.encode(answer).decode()
        assert not any(key.signer in text for key in (ALICE, BOB, CAROL))


async def test_a_stranger_sees_a_blocks_header_and_a_count(desk: Desk) -> None:
    block = await desk.call("block", height=1)
    assert (block.transactions, block.hidden, block.header.height) == ((), 1, 1)


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("listings", {}, (401, "IDENTITY_REQUIRED")),
        ("orders", {}, (401, "IDENTITY_REQUIRED")),
        ("trades", {}, (401, "IDENTITY_REQUIRED")),
        ("readings", {}, (401, "IDENTITY_REQUIRED")),
        ("query", {"selector": {}}, (401, "IDENTITY_REQUIRED")),
        ("view", {"contract": "box", "function": "look"}, (401, "IDENTITY_REQUIRED")),
        ("account", {"signer": ALICE.signer}, (401, "IDENTITY_REQUIRED")),
        ("user", {"signer": ALICE.signer}, (401, "IDENTITY_REQUIRED")),
        ("proof", {"key": f"credit/account/{ALICE.signer}"}, (401, "IDENTITY_REQUIRED")),
        ("proof", {"key": "no/such/key"}, (401, "IDENTITY_REQUIRED")),
        ("enrol", {"request": b""}, (421, "NOT_AN_AUTHORITY")),
        ("registration", {"registration": "0" * 32}, (421, "NOT_AN_AUTHORITY")),
        ("block", {"height": 2}, (404, "NOT_FOUND")),
        ("block", {"height": 0}, (404, "NOT_FOUND")),
    ],
)
async def test_a_stranger_is_refused_the_rest(
    desk: Desk, method: str, params: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert await refused(desk, method, **params) == expected


async def test_a_strangers_transaction_and_one_that_is_not_there_look_the_same(desk: Desk) -> None:
    for method in ("transaction", "receipt"):
        assert await refused(desk, method, tx_id=tx_id_of(desk)) == (404, "NOT_FOUND")
        assert await refused(desk, method, tx_id="0" * 64) == (404, "NOT_FOUND")


async def test_an_unknown_session_is_refused_even_for_what_is_public(desk: Desk) -> None:
    assert await refused(desk, "headers", "made up") == (401, "SESSION_UNKNOWN")


# ---------------------------------------------------------------------------------------------- parties


async def test_parties_see_their_own_documents_and_no_others(desk: Desk) -> None:
    alice, bob = await desk.token(ALICE), await desk.token(BOB)
    assert keys_of(await desk.call("trades", alice)) == ["market/trade/1"]
    assert keys_of(await desk.call("trades", bob)) == ["market/trade/1", "market/trade/2"]
    assert keys_of(await desk.call("trades", bob, interval=6)) == ["market/trade/2"]
    assert (await desk.call("account", alice, signer=ALICE.signer)).key == f"credit/account/{ALICE.signer}"
    assert await refused(desk, "account", bob, signer=ALICE.signer) == (403, "NOT_YOURS")
    assert await refused(desk, "account", bob, signer=BOB.signer) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "selector",
    [
        {"v.seller": BOB.signer, "v.buyer": BOB.signer},
        {"$or": [{}, {"v.type": "trade"}]},
        {"$nor": [{"v.seller": ALICE.signer}]},
        {"_id": {"$gte": "market/trade/2"}},
    ],
)
async def test_no_selector_reaches_beyond_ones_own(desk: Desk, selector: dict[str, Any]) -> None:
    rows = await desk.call("query", await desk.token(ALICE), selector=selector)
    assert "market/trade/2" not in keys_of(rows)
    assert all(ALICE.signer in msgspec.json.encode(row).decode() for row in rows.rows)


async def test_fields_cut_documents_after_the_question_whose_they_are(desk: Desk) -> None:
    rows = await desk.call("query", await desk.token(ALICE), selector={"v.type": "trade"}, fields=("v.interval",))
    assert [row.value for row in rows.rows] == [{"interval": 5}]


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        (("v.deep.a.x",), {"deep": {"a": {"x": 1}}}),
        (("v.deep.b", "v.deep.a.x", "v.type"), {"type": "trade", "deep": {"b": [3], "a": {"x": 1}}}),
        (("v.deep", "v.deep.a.x"), {"deep": {"a": {"x": 1, "y": 2}, "b": [3]}}),
        (("v.deep.a.none", "v.type.x", "v.deep.b.x", "type", "_id"), {}),
        (("_id", "v"), {"type": "trade", "owner": ALICE.signer, "deep": {"a": {"x": 1, "y": 2}, "b": [3]}}),
    ],
)
async def test_a_field_selects_the_member_at_the_end_of_its_path(desk: Desk, fields: Any, value: Any) -> None:
    deep = {"type": "trade", "owner": ALICE.signer, "deep": {"a": {"x": 1, "y": 2}, "b": [3]}}
    desk.plant({"market/trade/9": deep})
    desk.certify(2)
    selector = {"_id": {"$in": ["market/trade/9"]}}
    params = {"selector": selector, "fields": fields, "min_height": 2}
    rows = await desk.call("query", await desk.token(OPERATOR), **params, prove=True)
    assert [row.value for row in rows.rows] == [value]
    check_rows(rows, GENESIS, fields)


async def test_a_party_sees_its_transactions_and_their_proof(desk: Desk) -> None:
    carol = await desk.token(CAROL)
    record = await desk.call("transaction", carol, tx_id=tx_id_of(desk))
    assert (record.code, record.height, record.payload["nonce"]) == ("OK", 1, 0)
    proof = await desk.call("receipt", carol, tx_id=tx_id_of(desk))
    assert verify_receipt(receipt_from_json(proof.proof), GENESIS).tx_id == tx_id_of(desk)
    assert len((await desk.call("block", carol, height=1)).transactions) == 1


async def test_a_receipt_waits_for_the_certificate(desk: Desk) -> None:
    made = desk.plant({"box/x": 1})
    carol = await desk.token(CAROL)
    assert await refused(desk, "receipt", carol, tx_id=made.tx_id.hex()) == (503, "NOT_CERTIFIED_YET")


async def test_a_state_proof_verifies_under_the_root(desk: Desk) -> None:
    key = f"credit/account/{ALICE.signer}"
    found = (await desk.call("proof", await desk.token(ALICE), key=key)).proof
    proven = verify_state_proof(state_proof_from_json(found), GENESIS)
    assert (proven.key, proven.height, proven.version) == (key, 1, (1, 0))
    assert proven.value["owner"] == ALICE.signer


async def test_anyone_may_ask_for_a_nonce(desk: Desk) -> None:
    assert (await desk.call("nonce", signer=CAROL.signer)).highest == 0
    assert (await desk.call("nonce", signer=ALICE.signer)).highest == -1


# --------------------------------------------------------------------------------------------- operators


async def test_the_operator_reads_everything(desk: Desk) -> None:
    token = await desk.token(OPERATOR)
    assert keys_of(await desk.call("trades", token)) == ["market/trade/1", "market/trade/2"]
    assert (await desk.call("account", token, signer=ALICE.signer)).value["owner"] == ALICE.signer
    assert (await desk.call("transaction", token, tx_id=tx_id_of(desk))).code == "OK"
    assert await refused(desk, "account", token, signer=CAROL.signer) == (404, "NOT_FOUND")


@pytest.mark.parametrize("change", ["suspended", "expired"])
async def test_an_operator_who_is_barred_reads_only_its_own(desk: Desk, change: str) -> None:
    token = await desk.token(OPERATOR)
    user = user_value(OPERATOR, "operator", suspended=change == "suspended")
    if change == "expired":
        user["not_after_ms"] = 1
    desk.plant({f"registry/user/{OPERATOR.signer}": user})
    assert keys_of(await desk.call("trades", token)) == []
    assert await refused(desk, "account", token, signer=ALICE.signer) == (403, "NOT_YOURS")
    assert await refused(desk, "view", token, contract="box", function="look") == (403, "NOT_YOURS")
    assert (await desk.call("user", token, signer=OPERATOR.signer)).value["role"] == "operator"


async def test_integers_too_large_for_json_tools_are_text_everywhere(desk: Desk) -> None:
    """Otherwise an answer could not be sent at all."""
    token = await desk.token(OPERATOR)
    answers = [
        await desk.call("account", token, signer=ALICE.signer),
        await desk.call("transaction", token, tx_id=tx_id_of(desk)),
        await desk.call("view", token, contract="box", function="look", args={"n": 1}),
        await desk.call("query", token, selector={"v.type": "account"}),
    ]
    for answer in answers:
        assert msgspec.msgpack.decode(wire.encode_body(answer))
    assert int(answers[0].value["balance"]) == 2**70
    assert (int(answers[1].value), int(answers[2].value[0])) == (2**200, 2**60)
    assert isinstance(answers[2].value[0], str)


# ------------------------------------------------------------------------------------------ the database


async def test_pages_follow_one_another(desk: Desk) -> None:
    token = await desk.token(OPERATOR)
    first = await desk.call("trades", token, limit=1)
    second = await desk.call("trades", token, limit=1, bookmark=first.bookmark)
    assert (keys_of(first), keys_of(second), second.bookmark) == (["market/trade/1"], ["market/trade/2"], "")


async def test_a_bookmark_goes_on_with_its_own_query_only(desk: Desk) -> None:
    """Another listing began at that key, or was empty, as if there were nothing more of it."""
    token = await desk.token(OPERATOR)
    first = await desk.call("trades", token, limit=1)
    for method, others in (
        ("orders", {}),
        ("trades", {"interval": 7}),
        ("query", {"selector": {"v.type": "account"}}),
        ("query", {"selector": {"v.type": "trade"}, "sort": ({"_id": "desc"},)}),
    ):
        with pytest.raises(Refused, match="belongs to another query") as caught:
            await desk.call(method, token, bookmark=first.bookmark, **others)
        assert (caught.value.code, caught.value.status) == ("SELECTOR_INVALID", 400)
    same = await desk.call("query", token, selector={"v.type": "trade"}, limit=5, bookmark=first.bookmark)
    assert keys_of(same) == ["market/trade/2"]


@pytest.mark.parametrize(
    "params",
    [
        {"selector": {"$where": 1}},
        {"selector": {"v.x": 2**60}},
        {"selector": {"v.x": 1.5}},
        {"selector": {}, "bookmark": "x"},
        {"selector": {}, "sort": ({"a b": "asc"},)},
        {"selector": {"$or": [{}] * 2_000}},
    ],
    ids=lambda params: str(params)[:40],
)
async def test_a_bad_query_is_400_with_the_part_that_is_wrong(desk: Desk, params: dict[str, Any]) -> None:
    assert await refused(desk, "query", await desk.token(OPERATOR), **params) == (400, "SELECTOR_INVALID")


async def test_a_query_as_of_a_height_waits_for_it_or_says_that_it_lags(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await desk.token(OPERATOR)
    asked = asyncio.create_task(desk.call("query", token, selector={"_id": "box/new"}, min_height=2))
    await asyncio.sleep(0)
    desk.plant({"box/new": 1})
    assert keys_of(await asked) == ["box/new"]
    monkeypatch.setattr("api.queries.MIN_HEIGHT_WAIT_S", 0.01)
    assert await refused(desk, "query", token, selector={}, min_height=99) == (503, "STATE_LAGGING")


async def test_a_view_that_fails_says_why(desk: Desk) -> None:
    token = await desk.token(OPERATOR)
    assert await refused(desk, "view", token, contract="box", function="nothing") == (422, "NO")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"limit": 2}, [2, 3]),
        ({"first": 1, "limit": 2}, [1, 2]),
        ({"first": 3}, [3]),
        ({"first": 9}, []),
    ],
)
async def test_headers_are_the_newest_or_those_from_a_height(
    desk: Desk, params: dict[str, int], expected: list[int]
) -> None:
    run_block(desk.ledger)
    run_block(desk.ledger)
    headers = (await desk.call("headers", **params)).headers
    assert [header.height for header in headers] == expected
    assert [header.certified for header in headers] == [height == 1 for height in expected]
