"""Queries: they wait without a thread, in bounded numbers, and never delay a submission or what is public."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from ledgers import ALICE, BOB, GENESIS, envelope, user_value

from api import queries, service
from ca.keys import SigningKey
from ledger.statedb import embedded
from ledger.statedb.documents import SavepointLost, StateDatabaseAway, StateDatabaseUnusable
from sdk.client import check_rows
from sdk.errors import Refused
from sdk.methods import QueryParams, SignatureText, SubmitParams

OPERATOR = SigningKey.from_seed(b"operator")
STRANGER = SigningKey.from_seed(b"whoever")
PATIENCE_S = 10.0
Desk = Any


async def refused(desk: Desk, method: str, token: str = "", **params: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await desk.call(method, token, **params)
    return caught.value.status, caught.value.code


async def is_served(desk: Desk, nonce: int) -> None:
    """Others are answered: what is public, and a submission."""
    async with asyncio.timeout(PATIENCE_S):
        assert (await desk.call("headers")).headers
        made = envelope(nonce=nonce)
        signatures = tuple(SignatureText(public_key=key, signature=signature) for key, signature in made.signatures)
        params = SubmitParams(payload=made.payload_bytes.decode(), signatures=signatures, wait="accepted")
        assert (await desk.service.handle("submit", params, "")).state == "accepted"


def query(desk: Desk, token: str, **params: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(desk.call("query", token, selector={}, **params))


async def test_a_height_that_nobody_will_see_is_refused_at_once(desk: Desk) -> None:
    token = await desk.token(OPERATOR)
    async with asyncio.timeout(queries.MIN_HEIGHT_WAIT_S / 2):
        asked = [refused(desk, "query", token, selector={}, min_height=2**50) for _ in range(60)]
        assert set(await asyncio.gather(*asked)) == {(422, "HEIGHT_TOO_FAR")}
        asked = [refused(desk, "trades", token, min_height=1 + queries.HEIGHT_AHEAD_MAX + 1)]
        assert set(await asyncio.gather(*asked)) == {(422, "HEIGHT_TOO_FAR")}


async def test_queries_that_wait_for_a_height_hold_no_thread(desk: Desk) -> None:
    tokens = [await desk.token(key) for key in (ALICE, BOB, OPERATOR)]
    others = _query_threads()
    waiting = [query(desk, token, min_height=2) for token in tokens for _ in range(16)]
    await asyncio.sleep(0)
    assert _query_threads() <= others
    await is_served(desk, 0)
    assert not any(task.done() for task in waiting)
    desk.plant({"box/new": 1})
    async with asyncio.timeout(PATIENCE_S):
        assert {page.height for page in await asyncio.gather(*waiting)} == {2}


def _query_threads() -> set[int | None]:
    return {thread.ident for thread in threading.enumerate() if "queries" in thread.name}


async def test_one_signer_does_not_take_every_place_to_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "HEIGHT_WAITERS_PER_SIGNER_MAX", 2)
    monkeypatch.setattr(queries, "HEIGHT_WAITERS_MAX", 3)
    alice, bob, operator = [await desk.token(key) for key in (ALICE, BOB, OPERATOR)]
    waiting = [query(desk, alice, min_height=2) for _ in range(2)]
    await asyncio.sleep(0)
    assert await refused(desk, "query", alice, selector={}, min_height=2) == (503, "TOO_MANY_WAITERS")
    waiting.append(query(desk, bob, min_height=2))
    await asyncio.sleep(0)
    assert await refused(desk, "query", operator, selector={}, min_height=2) == (503, "TOO_MANY_WAITERS")
    desk.plant({"box/new": 1})
    await asyncio.gather(*waiting)
    assert (await query(desk, alice, min_height=2)).height == 2, "places are given back"


async def test_a_wait_that_was_given_up_gives_its_place_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "HEIGHT_WAITERS_PER_SIGNER_MAX", 1)
    token = await desk.token(ALICE)
    for _ in range(3):
        waiting = query(desk, token, min_height=2)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    monkeypatch.setattr(queries, "MIN_HEIGHT_WAIT_S", 0.01)
    assert await refused(desk, "query", token, selector={}, min_height=2) == (503, "STATE_LAGGING")


@pytest.fixture
def stuck(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The state database answers nothing until this is set."""
    go_on, find = threading.Event(), desk.database.find

    def slow(asked: Any) -> Any:
        assert go_on.wait(PATIENCE_S)
        return find(asked)

    monkeypatch.setattr(desk.database, "find", slow)
    yield go_on
    go_on.set()


async def test_a_stuck_state_database_delays_nothing_else(desk: Desk, stuck: threading.Event) -> None:
    token = await desk.token(OPERATOR)
    under_way = [query(desk, token) for _ in range(service.QUERIES_MAX)]
    await asyncio.sleep(0)
    assert await refused(desk, "query", token, selector={}) == (503, "TOO_BUSY")
    await is_served(desk, 0)
    stuck.set()
    assert len(await asyncio.gather(*under_way)) == service.QUERIES_MAX
    assert (await query(desk, token)).rows


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (StateDatabaseAway("no answer"), "STATE_UNAVAILABLE"),
        (StateDatabaseUnusable("state.couchdb_url: an old version"), "STATE_UNAVAILABLE"),
        (SavepointLost("it was deleted"), "STATE_LAGGING"),
    ],
    ids=lambda param: param if isinstance(param, str) else type(param).__name__,
)
async def test_a_state_database_that_is_away_is_told_from_one_that_lags(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str
) -> None:
    def fails(_: Any) -> Any:
        raise fault

    monkeypatch.setattr(desk.database, "find", fails)
    assert await refused(desk, "query", await desk.token(OPERATOR), selector={}) == (503, code)


async def test_whoever_has_a_key_that_nobody_vouched_for_sees_what_is_public(desk: Desk) -> None:
    token = await desk.token(STRANGER)
    assert (await desk.call("headers", token)).headers
    for method, params in (
        ("query", {"selector": {}, "min_height": 2**50}),
        ("trades", {}),
        ("view", {"contract": "box", "function": "look"}),
        ("account", {"signer": STRANGER.signer}),
        ("user", {"signer": STRANGER.signer}),
        ("proof", {"key": f"credit/account/{STRANGER.signer}"}),
    ):
        assert await refused(desk, method, token, **params) == (403, "NOT_REGISTERED"), method
    desk.plant({f"registry/user/{STRANGER.signer}": user_value(STRANGER, "buyer")})
    assert (await desk.call("user", token, signer=STRANGER.signer)).value["role"] == "buyer"


# ------------------------------------------------------------------------------------------- keys by name


@pytest.mark.parametrize(
    "named",
    [
        lambda key: {"_id": key},
        lambda key: {"_id": {"$eq": key}},
        lambda key: {"_id": {"$in": [key]}},
        lambda key: {"v.type": "account", "$or": [{"v.interval": 5}, {"$and": [{"_id": key}]}]},
    ],
)
@pytest.mark.parametrize("key", [f"credit/account/{BOB.signer}", "market/trade/2", "market/order/none", "evil/secret"])
async def test_a_key_that_is_anothers_is_refused_by_name_whether_it_is_there_or_not(
    desk: Desk, named: Any, key: str
) -> None:
    token = await desk.token(ALICE)
    assert await refused(desk, "query", token, selector=named(key)) == (403, "NOT_YOURS")
    for selector in ({"_id": {"$ne": key}}, {"$not": {"_id": key}}, {"_id": {"$gte": key}}):
        rows = (await desk.call("query", token, selector=selector, limit=200)).rows
        assert key not in {row.key for row in rows}
    await desk.call("query", await desk.token(OPERATOR), selector=named(key))


async def test_the_systems_bookkeeping_has_no_documents_for_anybody(desk: Desk) -> None:
    for key in (ALICE, OPERATOR):
        selector = {"_id": f"system/nonce/{ALICE.signer}"}
        assert await refused(desk, "query", await desk.token(key), selector=selector) == (400, "SELECTOR_INVALID")


async def test_ones_own_and_public_keys_may_be_named(desk: Desk) -> None:
    token = await desk.token(ALICE)
    for key in ("market/trade/1", f"credit/account/{ALICE.signer}"):
        assert [row.key for row in (await desk.call("query", token, selector={"_id": key})).rows] == [key]
    assert (await desk.call("query", token, selector={"_id": "governance/parameter/grid_price"})).height >= 1


async def test_no_selector_finds_what_does_not_name_the_viewer(desk: Desk) -> None:
    """Whatever it says of other contracts' documents."""
    token = await desk.token(ALICE)
    mine = {row.key for row in (await desk.call("query", token, selector={}, limit=200)).rows}
    assert "market/trade/2" not in mine
    for selector in (
        {"contract": "credit"},
        {"contract": {"$in": ["credit", "registry", "governance"]}},
        {"$or": [{"v.buyer": BOB.signer}, {"v.seller": {"$exists": True}}]},
        {"$nor": [{"v.seller": ALICE.signer}]},
        {"v.owner": {"$ne": ALICE.signer}},
    ):
        found = {row.key for row in (await desk.call("query", token, selector=selector, limit=200)).rows}
        assert found <= mine, selector


async def test_an_answer_is_bounded_in_rows_and_in_what_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await desk.token(OPERATOR)
    desk.plant({f"market/many/{number:04d}": {"type": "many", "owner": ALICE.signer} for number in range(250)})
    page = await desk.call("query", token, selector={"v.type": "many"}, limit=200, min_height=2)
    assert (len(page.rows), bool(page.bookmark)) == (200, True)
    with pytest.raises(Exception, match="200"):
        msgspec.convert({"selector": {}, "limit": 201}, QueryParams)
    monkeypatch.setattr(embedded, "STEPS_MAX", 500)
    monkeypatch.setattr(embedded, "STEP_SLICE", 100)
    assert await refused(desk, "query", token, selector={"v.owner": BOB.signer}) == (422, "QUERY_TOO_COSTLY")


# ------------------------------------------------------------------------------------------ proven listings


async def test_listings_orders_trades_and_readings_are_proven_too(desk: Desk) -> None:
    kinds = {"listings": "listing", "orders": "order", "trades": "trade", "readings": "reading"}
    desk.plant({f"market/{kind}/9": {"type": kind, "owner": ALICE.signer, "interval": 7} for kind in kinds.values()})
    desk.certify(2)
    token = await desk.token(ALICE)
    for method, kind in kinds.items():
        rows = await desk.call(method, token, min_height=2, interval=7, prove=True)
        assert [row.key for row in rows.rows] == [f"market/{kind}/9"]
        assert rows.rows[0].proof is not None
        check_rows(rows, GENESIS)
