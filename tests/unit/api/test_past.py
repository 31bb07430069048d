"""History, past values and proven rows over the API: what each role sees, and what is said where nothing is known."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, BOB, CAROL, GENESIS, envelope, run_block

from api import past
from api.places import Places
from api.privacy import Viewer
from api.queries import HEIGHT_AHEAD_MAX
from ca.keys import SigningKey
from ledger.proofs import ProofInvalid
from sdk.client import check_rows
from sdk.errors import Refused
from sdk.methods import METHODS, QueryParams, Rows

OPERATOR = SigningKey.from_seed(b"operator")
Desk = Any
KEY = "market/order/7"
PATIENCE_S = 20.0


def order(owner: str, left: int) -> dict[str, Any]:
    return {KEY: {"type": "order", "owner": owner, "left": left}}


async def refused(desk: Desk, method: str, token: str = "", **params: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await desk.call(method, token, **params)
    return caught.value.status, caught.value.code


async def test_a_party_sees_the_versions_that_name_it_and_the_operator_all(desk: Desk) -> None:
    first = desk.plant(order(ALICE.signer, 3))
    desk.plant(order(BOB.signer, 2))
    desk.plant(order(ALICE.signer, 1))
    tokens = {key: await desk.token(key) for key in (ALICE, BOB, CAROL, OPERATOR)}
    heights = {
        key: [v.height for v in (await desk.call("history", token, key=KEY)).versions] for key, token in tokens.items()
    }
    assert heights == {ALICE: [4, 2], BOB: [3], CAROL: [], OPERATOR: [4, 3, 2]}
    page = await desk.call("history", tokens[OPERATOR], key=KEY, limit=2)
    assert [(v.height, v.value["left"], v.deleted) for v in page.versions] == [(4, 1, False), (3, 2, False)]
    page = await desk.call("history", tokens[OPERATOR], key=KEY, limit=2, bookmark=page.bookmark)
    (last,) = page.versions
    assert (last.tx_id, page.bookmark, page.known_from, page.height) == (first.tx_id.hex(), "", 0, 4)


async def test_the_bookmark_tells_nothing_of_versions_that_one_may_not_read(desk: Desk) -> None:
    for owner, left in ((ALICE, 9), (BOB, 8), (BOB, 7), (ALICE, 6), (BOB, 5), (BOB, 4)):
        desk.plant(order(owner.signer, left))
    alice, carol, operator = [await desk.token(key) for key in (ALICE, CAROL, OPERATOR)]
    never = await desk.call("history", carol, key="market/order/8", limit=1)
    page = await desk.call("history", carol, key=KEY, limit=1)
    assert (page.versions, page.bookmark) == (never.versions, never.bookmark) == ((), "")
    page = await desk.call("history", alice, key=KEY, limit=1)
    assert ([v.height for v in page.versions], page.bookmark) == ([5], "5-0"), "the version that it shows"
    page = await desk.call("history", alice, key=KEY, limit=1, bookmark=page.bookmark)
    assert ([v.height for v in page.versions], page.bookmark) == ([2], ""), "nothing older is hers"
    page = await desk.call("history", operator, key=KEY, limit=6)
    assert ([v.height for v in page.versions], page.bookmark) == ([7, 6, 5, 4, 3, 2], "")


async def test_a_deletion_is_seen_by_whom_it_concerned_also_at_the_end_of_what_is_read_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "VERSIONS_AT_ONCE", 1)
    desk.plant({"box/seven": {"type": "order", "owner": ALICE.signer}})
    desk.nonce += 1
    run_block(desk.ledger, envelope(CAROL, function="delete", nonce=desk.nonce, args={"key": "seven"}))
    for token, seen in ((await desk.token(ALICE), [(3, True), (2, False)]), (await desk.token(BOB), [])):
        versions = (await desk.call("history", token, key="box/seven")).versions
        assert [(v.height, v.deleted) for v in versions] == seen


async def test_the_search_for_what_one_may_read_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "VERSIONS_AT_ONCE", 2)
    monkeypatch.setattr(past, "VERSIONS_READ_MAX", 4)
    for owner in (ALICE, BOB, BOB, BOB, BOB):
        desk.plant(order(owner.signer, 1))
    page = await desk.call("history", await desk.token(ALICE), key=KEY)
    assert (page.versions, page.bookmark) == ((), "")


async def test_a_past_value_is_its_partys(desk: Desk) -> None:
    desk.plant(order(ALICE.signer, 3))
    desk.plant(order(BOB.signer, 2))
    alice, bob, operator = [await desk.token(key) for key in (ALICE, BOB, OPERATOR)]
    found = await desk.call("value", alice, key=KEY, height=2)
    assert (found.version.height, found.version.value["left"]) == (2, 3)
    assert await refused(desk, "value", bob, key=KEY, height=2) == (403, "NOT_YOURS")
    assert (await desk.call("value", bob, key=KEY, height=3)).version.value["left"] == 2
    assert await refused(desk, "value", operator, key=KEY, height=1) == (404, "NOT_FOUND")
    assert await refused(desk, "value", operator, key=KEY, height=9) == (422, "HEIGHT_TOO_FAR")
    assert await refused(desk, "value", operator, key="system/nonce/1", height=1) == (410, "HISTORY_NOT_HELD")


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"selector": {"$where": 1}}, "$where"),
        ({"selector": {"v.type": {"$regex": "x"}}}, "$regex"),
        ({"selector": {"v.price": {"$gt": 2**60}}}, "2^53"),
        ({"selector": {"v.type": "x" * 600}}, "512"),
        ({"selector": {"v.type": {"$in": ["x"] * 101}}}, "$in"),
        ({"selector": {"v.b\x00d": 1}}, "field name"),
        ({"selector": {"$or": []}}, "$or"),
        ({"selector": {f"v.f{n}": n for n in range(101)}}, "100 terms"),
        ({"selector": {}, "sort": ({"v.a": "asc"},) * 5}, "sort"),
        ({"selector": {}, "fields": ("v.a",) * 33}, "fields"),
        ({"selector": {}, "bookmark": "!"}, "bookmark"),
    ],
)
async def test_a_query_that_cannot_be_is_refused_by_the_part_that_is_wrong(
    desk: Desk, params: dict[str, Any], part: str
) -> None:
    token = await desk.token(ALICE)
    with pytest.raises(Refused) as caught:
        await desk.call("query", token, **params)
    assert (caught.value.status, caught.value.code) == (400, "SELECTOR_INVALID")
    assert part in caught.value.message


async def test_strangers_see_the_past_of_what_is_public(desk: Desk) -> None:
    key = "governance/parameter/grid_price"
    assert (await desk.call("value", key=key, height=0)).version.tx_id is None
    assert [v.height for v in (await desk.call("history", key=key)).versions] == [0]
    for method, params in (("history", {"key": KEY}), ("value", {"key": KEY, "height": 1}), ("proof", {"key": KEY})):
        assert await refused(desk, method, **params) == (401, "IDENTITY_REQUIRED")


async def test_each_row_of_an_answer_is_proven_and_checked(desk: Desk) -> None:
    rows: Rows = await desk.call("query", await desk.token(ALICE), selector={}, prove=True, min_height=1)
    assert {row.key for row in rows.rows} >= {"market/trade/1", f"credit/account/{ALICE.signer}"}
    assert all(row.proof is not None for row in rows.rows)
    check_rows(rows, GENESIS)
    rows = await desk.call("query", await desk.token(ALICE), selector={}, fields=("v.type",), prove=True)
    check_rows(rows, GENESIS, ("v.type",))
    for fields in ((), ("v.type", "v.price")):
        with pytest.raises(ProofInvalid):
            check_rows(rows, GENESIS, fields)
    for place, row in enumerate(rows.rows):
        for other in (
            msgspec.structs.replace(row, value=row.value | {"type": "other"}),
            msgspec.structs.replace(row, value=row.value | {"more": 1}),
            msgspec.structs.replace(row, height=row.height + 1),
            msgspec.structs.replace(row, key=row.key + "x"),
            msgspec.structs.replace(row, proof=None),
        ):
            changed = msgspec.structs.replace(rows, rows=(*rows.rows[:place], other, *rows.rows[place + 1 :]))
            with pytest.raises(ProofInvalid):
                check_rows(changed, GENESIS)


async def test_a_proven_answer_waits_for_the_certificate_of_its_height(desk: Desk) -> None:
    token = await desk.token(ALICE)
    desk.plant({"box/new": 1})
    asked = asyncio.create_task(desk.call("query", token, selector={}, prove=True, min_height=2))
    await asyncio.wait([asked], timeout=0.2)
    assert not asked.done()
    desk.certify(2)
    async with asyncio.timeout(PATIENCE_S):
        check_rows(await asked, GENESIS)


async def test_strangers_cannot_take_the_places_of_those_who_wait_for_proofs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.service._past, "_places", Places(6, 3, 2))
    desk.plant({"box/new": 1})
    params = METHODS["proof"].params(key="governance/epoch", min_height=2)
    asked = [
        asyncio.create_task(desk.service.handle("proof", params, "", origin))
        for origin in ("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    ]
    refusals, waiting = await asyncio.wait(asked, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    while len(refusals) < 2:
        done, waiting = await asyncio.wait(waiting, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        refusals |= done
    assert {str(task.exception()).partition(":")[0] for task in refusals} == {"TOO_MANY_WAITERS"}
    alice = await desk.token(ALICE)
    mine = [asyncio.create_task(desk.call("proof", alice, key="market/trade/1", min_height=2)) for _ in range(3)]
    (third,), _ = await asyncio.wait(mine, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    assert "TOO_MANY_WAITERS" in str(third.exception()), "she has two places, whatever strangers do"
    assert (await desk.call("proof", key="governance/epoch", min_height=1)).proof, "who need not wait takes none"
    desk.certify(2)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*waiting, *(task for task in mine if task is not third))


async def test_a_proof_far_ahead_is_refused_at_once(desk: Desk) -> None:
    for height, refusal in ((1 + HEIGHT_AHEAD_MAX + 1, (422, "HEIGHT_TOO_FAR")), (10**12, (422, "HEIGHT_TOO_FAR"))):
        assert await refused(desk, "proof", key="governance/epoch", min_height=height) == refusal


async def test_a_certificate_that_does_not_come_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "CERTIFIED_WAIT_S", 0.01)
    token = await desk.token(ALICE)
    refusal = (503, "NOT_CERTIFIED_YET")
    desk.plant({"box/new": 1})
    assert await refused(desk, "query", token, selector={}, prove=True, min_height=2) == refusal
    assert await refused(desk, "proof", token, key="market/trade/1", min_height=2) == refusal


async def test_a_row_that_has_changed_since_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await desk.token(OPERATOR)
    page = await desk.service._queries.find(QueryParams(selector={}, min_height=1), Viewer(OPERATOR.signer, "operator"))
    desk.plant({"market/trade/1": {"type": "trade", "seller": ALICE.signer, "price": 8}})
    desk.certify(2)

    async def old(*_: Any) -> Any:
        return page

    monkeypatch.setattr(desk.service._queries, "find", old)
    rows: Rows = await desk.call("query", token, selector={}, prove=True)
    told = {row.key: (row.proof is None, row.unproven) for row in rows.rows}
    assert told["market/trade/1"] == (True, past.CHANGED)
    assert told["market/trade/2"] == (False, "")
    check_rows(rows, GENESIS)
